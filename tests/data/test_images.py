"""Every kind of file a reader may own becomes the same tensor, or one clear sentence."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from lib.images import (
    ImageError,
    ImageSource,
    contact_sheet,
    fit_size,
    read_image,
    to_pil,
    write_atomically,
    write_png,
)
from lib.labelmaps import LabelMap, Palette

RED = (1.0, -1.0, -1.0)


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def noise(height: int = 24, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def colour_at(image: torch.Tensor, y: int, x: int) -> tuple[float, ...]:
    return tuple(round(v, 3) for v in image[:, y, x].tolist())


# ------------------------------------------------------------------------------------------ what is read


def test_every_source_gives_the_same_tensor(tmp_path: Path) -> None:
    array = noise()
    picture = Image.fromarray(array)
    path = tmp_path / "photo.png"
    picture.save(path)
    expected = torch.from_numpy(array).permute(2, 0, 1) / 127.5 - 1
    for source in (path, str(path), picture, array, path.read_bytes(), io.BytesIO(path.read_bytes())):
        image = read_image(source)
        assert image.dtype == torch.float32 and image.is_contiguous()
        torch.testing.assert_close(image, expected)


def test_png_round_trip_is_exact(tmp_path: Path) -> None:
    image = read_image(noise())
    write_png(image, tmp_path / "new" / "out.png")
    assert torch.equal(read_image(tmp_path / "new" / "out.png"), image)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out.png"]


def test_exif_orientation_is_applied() -> None:
    array = np.zeros((20, 32, 3), np.uint8)
    array[:, :4] = (255, 0, 0)  # a red left edge
    picture = Image.fromarray(array)
    exif = picture.getexif()
    exif[0x0112] = 6  # "rotate 90 degrees clockwise to see it upright": the left edge is the top
    image = read_image(encoded(picture, exif=exif))
    assert image.shape == (3, 32, 20)
    assert colour_at(image, 0, 10) == RED and colour_at(image, 31, 10) == (-1, -1, -1)


def test_transparency_lies_on_white() -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:8] = (255, 0, 0, 255)
    image = read_image(rgba)
    assert colour_at(image, 0, 0) == RED and colour_at(image, 15, 0) == (1, 1, 1)
    grey_alpha = Image.fromarray(rgba).convert("LA")
    assert colour_at(read_image(encoded(grey_alpha)), 15, 0) == (1, 1, 1)


def test_transparent_palette_entry_lies_on_white() -> None:
    picture = Image.new("P", (16, 16), 0)
    picture.putpalette([0, 0, 255, 255, 0, 0])
    picture.paste(1, (0, 0, 16, 8))
    image = read_image(encoded(picture, transparency=0))
    assert colour_at(image, 0, 0) == RED and colour_at(image, 15, 0) == (1, 1, 1)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4"])
def test_sixteen_bits_are_divided_by_65535(dtype: str) -> None:
    values = np.linspace(0, 65535, 16 * 20).round().reshape(16, 20).astype(dtype)
    image = read_image(encoded(Image.fromarray(values), "TIFF"))
    expected = torch.from_numpy(values.astype(np.float32) / 65535 * 2 - 1)
    torch.testing.assert_close(image, expected.expand(3, 16, 20), atol=1e-6, rtol=0)
    assert image.unique().numel() == 320  # 8 bits would leave 256


def test_sixteen_bit_png() -> None:
    values = np.full((16, 16), 65535 // 4, np.uint16)
    torch.testing.assert_close(
        read_image(encoded(Image.fromarray(values))), torch.full((3, 16, 16), -0.5), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_float_tiff_finds_its_white(white: float) -> None:
    values = np.linspace(0, white, 256, dtype=np.float32).reshape(16, 16)
    image = read_image(encoded(Image.fromarray(values), "TIFF"))
    torch.testing.assert_close(image[0].flatten(), torch.linspace(-1, 1, 256))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "L", "1"])
def test_other_modes_keep_white_and_black(mode: str) -> None:
    array = np.zeros((16, 16, 3), np.uint8)
    array[:8] = 255
    image = read_image(Image.fromarray(array).convert(mode))
    assert colour_at(image, 0, 0) == (1, 1, 1) and colour_at(image, 15, 15) == (-1, -1, -1)


def test_cmyk_jpeg_keeps_its_colour() -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    image = read_image(encoded(red, "JPEG", quality=95))
    assert image[0].min() > 0.9 and image[1:].max() < -0.9


def test_arrays_of_other_types_agree() -> None:
    array = noise()
    expected = read_image(array)
    torch.testing.assert_close(read_image(array / 255.0), expected)
    torch.testing.assert_close(read_image(array.astype(np.uint16) * 257), expected)
    assert colour_at(read_image(np.ones((16, 16, 1), bool)), 0, 0) == (1, 1, 1)


# ------------------------------------------------------------------------------------------------- sizes


def test_side_and_multiple() -> None:
    image = read_image(noise(60, 100), side=48, multiple=8)
    assert image.shape == (3, 32, 48)
    assert read_image(noise(21, 35), multiple=8).shape == (3, 24, 32)
    assert image.min() >= -1 and image.max() <= 1


def test_resize_is_antialiased() -> None:
    checks = np.indices((128, 128)).sum(0) % 2 * 255
    small = read_image(checks.astype(np.uint8), side=32)
    assert small.abs().max() < 0.05  # without a filter every pixel would be black or white


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    side=st.integers(16, 512),
    power=st.integers(0, 4),
)
def test_fit_size_keeps_the_shape(height: int, width: int, side: int, power: int) -> None:
    multiple = 2**power
    new = fit_size(height, width, side, multiple)
    assert all(length % multiple == 0 and length >= multiple for length in new)
    scale = side / max(height, width)
    for length, old in zip(new, (height, width), strict=True):
        assert length == multiple or abs(length - old * scale) <= multiple / 2 + 1e-6


def test_fit_size_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        fit_size(10, 0, 64)


# ---------------------------------------------------------------------------------------------- bad input


def truncated() -> bytes:
    data = encoded(Image.fromarray(noise(64, 64)))
    return data[: len(data) // 2]


def truncated_jpeg() -> bytes:
    data = encoded(Image.fromarray(noise(64, 64)), "JPEG")
    return data[: len(data) // 2]


def corrupt() -> bytes:
    data = bytearray(encoded(Image.fromarray(noise(64, 64))))
    data[100:140] = bytes(40)
    return bytes(data)


BAD: dict[str, tuple[ImageSource, str]] = {
    "missing": ("no/such/photo.png", r"'photo.png' does not exist; check the path"),
    "folder": (Path(__file__).parent, r"is a folder; give the path of one image"),
    "not an image": (b"a letter to a friend", r"is not an image that can be read here; export it as PNG"),
    "empty": (b"", r"is empty \(0 bytes\)"),
    "truncated PNG": (truncated(), r"is damaged or incomplete"),
    "truncated JPEG": (truncated_jpeg(), r"is damaged or incomplete"),
    "corrupt": (corrupt(), r"is damaged or incomplete"),
    "too small": (np.zeros((15, 200, 3), np.uint8), r"200x15 pixels, too small .* at least 16"),
    "wrong shape": (np.zeros((3, 64, 64), np.uint8), r"shape \(3, 64, 64\).* channels last"),
    "wrong dtype": (np.zeros((64, 64), np.int64), r"dtype int64; convert it to uint8"),
    "floats of 0..255": (np.full((64, 64, 3), 200.0), r"floats that leave \[0, 1\]"),
    "NaN": (np.full((64, 64, 3), np.nan), r"or are NaN"),
    "NaN TIFF": (Image.fromarray(np.full((64, 64), np.nan, np.float32)), r"NaN or infinite values"),
    "negative TIFF": (Image.fromarray(np.full((64, 64), -3, np.float32)), r"values from -3 to -3"),
    "32 bits": (Image.fromarray(np.full((64, 64), 70000, np.int32)), r"values from 70000 to 70000"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_sentence(case: str) -> None:
    source, message = BAD[case]
    with pytest.raises(ImageError, match=message) as caught:
        read_image(source)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_wrong_type_gives_one_sentence() -> None:
    with pytest.raises(ImageError, match="cannot be read from int; give a path"):
        read_image(3)  # type: ignore[arg-type]


def test_bombs_are_refused_before_decoding() -> None:
    # 100 million pixels, of which the file has not a single one: decoding would complain about the data.
    header = encoded(Image.new("1", (16, 16)))
    import struct
    import zlib

    body = b"IHDR" + struct.pack(">IIBBBBB", 10000, 10000, 1, 0, 0, 0, 0)
    bomb = header[:8] + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + header[33:]
    with pytest.raises(ImageError, match=r"10000x10000 pixels, more than the limit of 64 million"):
        read_image(bomb)
    body = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0)
    bomb = header[:8] + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + header[33:]
    with pytest.raises(ImageError, match=r"far too many pixels"):
        read_image(bomb)
    with pytest.raises(ImageError, match=r"limit of 0.0009 million"):
        read_image(noise(24, 40), max_pixels=900)


def test_a_strip_is_refused_rather_than_squeezed() -> None:
    with pytest.raises(ImageError, match="would become 128x4"):
        read_image(noise(20, 640), side=128)


# ----------------------------------------------------------------------------------------------- writing


def test_to_pil_rounds_and_clips() -> None:
    image = torch.tensor([-5.0, -1.0, 0.0, 0.999, 5.0]).expand(3, 1, 5)
    assert np.asarray(to_pil(image[None]))[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(ImageError, match=r"\(3, H, W\).*got shape \(1, 5, 5\)"):
        to_pil(torch.zeros(1, 5, 5))
    with pytest.raises(ImageError, match="holds NaN"):
        to_pil(torch.full((3, 4, 4), torch.nan))


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.bin"
    write_atomically(path, b"old")

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["weights.bin"]


# ----------------------------------------------------------------------------------------- contact sheet


def test_contact_sheet_shows_pixels_unchanged() -> None:
    layout = LabelMap(np.eye(16, dtype=np.uint8), Palette(("sky", "tree"), ((0, 0, 255), (0, 255, 0))))
    photo = read_image(noise(24, 40))
    sheet = np.asarray(contact_sheet([[photo, layout], [to_pil(photo)]], scale=2))
    wanted = noise(24, 40).repeat(2, 0).repeat(2, 1)
    assert (sheet[6 : 6 + 48, 6 : 6 + 80] == wanted).all()
    assert (sheet[6 + 48 + 6 :][:48, 6 : 6 + 80] == wanted).all()
    assert tuple(sheet[6, 6 + 80 + 6]) == (0, 255, 0) and tuple(sheet[6, 6 + 80 + 8]) == (0, 0, 255)


def test_contact_sheet_titles_take_room_and_ink() -> None:
    cell = torch.ones(3, 64, 64)
    plain = contact_sheet([[cell, cell]])
    titled = contact_sheet([[cell, cell]], titles=["source", "a much longer title of the target"])
    assert titled.height > plain.height + 16  # the long title wraps
    assert np.asarray(titled)[:, :70].min() < 100 and np.asarray(titled)[:, 76:].min() < 100
    per_row = contact_sheet([[cell], [cell]], titles=[["one"], ["two"]])
    assert per_row.height > contact_sheet([[cell], [cell]], titles=["one"]).height


@pytest.mark.parametrize(
    ("rows", "titles", "scale", "message"),
    [
        ([], None, 1, "rows are empty"),
        ([[torch.zeros(3, 16, 16)]], ["a", "b"], 1, "more titles than cells"),
        ([[torch.zeros(3, 16, 16)]], None, 0, "at least 1, got 0"),
    ],
)
def test_contact_sheet_refuses(
    rows: list[list[torch.Tensor]], titles: list[str] | None, scale: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet(rows, titles, scale)


def test_big_endian_tiff_is_really_big_endian() -> None:
    """The 16-bit test above must not pass because PIL swapped the bytes on writing."""
    data = encoded(Image.fromarray(np.full((16, 16), 258, ">u2")), "TIFF")
    assert isinstance(Image.open(io.BytesIO(data)), TiffImagePlugin.TiffImageFile)
    assert Image.open(io.BytesIO(data)).mode in ("I;16", "I;16B")
