"""Label maps are read as they were meant, whatever a drawing program did to their colours."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw, ImageFilter

from lib.images import read_image
from lib.labelmaps import (
    LabelError,
    LabelMap,
    Palette,
    inspect_label_map,
    read_label_map,
    read_layouts,
)

Colours = tuple[tuple[int, int, int], ...]
SKY: Colours = ((0, 253, 255), (0, 249, 0), (255, 147, 0))
OLIVE: Colours = ((255, 0, 0), (0, 255, 0), (128, 128, 0), (0, 0, 255), (255, 255, 255))
GREYS: Colours = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (64, 64, 64))
TWO = Palette(("sky", "tree"), ((0, 0, 255), (0, 255, 0)))
FACTOR = 4  # supersampling


def scene(colours: Colours) -> tuple[npt.NDArray[np.int64], Image.Image]:
    """Draw up to five regions; return the class of each pixel by majority and the anti-aliased picture."""
    width, height = 160, 112
    picture = Image.new("P", (width * FACTOR, height * FACTOR), 0)
    draw = ImageDraw.Draw(picture)
    shapes = (
        lambda c: draw.rectangle((0, 280, 640, 448), fill=c),
        lambda c: draw.ellipse((60, 70, 300, 390), fill=c),
        lambda c: draw.polygon([(380, 350), (500, 60), (620, 390)], fill=c),
        lambda c: draw.ellipse((130, 150, 220, 230), fill=c),
    )
    for c, shape in enumerate(shapes[: len(colours) - 1], start=1):
        shape(c)
    picture.putpalette([v for colour in colours for v in colour])
    blocks = np.asarray(picture).reshape(height, FACTOR, width, FACTOR)
    votes = np.stack([(blocks == c).sum(axis=(1, 3)) for c in range(len(colours))])
    smooth = picture.convert("RGB").resize((width, height), Image.Resampling.BOX)
    return votes.argmax(axis=0), smooth


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def quietly(source: object, **options: object) -> LabelMap:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return read_label_map(source, **options)  # type: ignore[arg-type]


def share_right(layout: LabelMap, truth: npt.NDArray[np.int64], colours: Colours) -> float:
    """Compare by colour: the reader orders classes by area. Its colour may be a few levels off."""
    painted = np.array(colours)
    distance = np.abs(layout.palette.as_array()[:, None].astype(int) - painted[None]).sum(axis=2)
    assert distance.min(axis=1).max() < 30
    return float((distance.argmin(axis=1)[layout.index] == truth).mean())


# ------------------------------------------------------------------------------------ snapping to classes


@pytest.mark.parametrize("colours", [SKY, OLIVE, GREYS], ids=["sky", "olive", "greys"])
@pytest.mark.parametrize("quality", [None, 95, 75, 50])
def test_blended_and_compressed_maps_are_recovered(colours: Colours, quality: int | None) -> None:
    truth, smooth = scene(colours)
    data = encoded(smooth) if quality is None else encoded(smooth, "JPEG", quality=quality)
    layout = quietly(data)
    assert layout.classes == len(colours)
    assert share_right(layout, truth, colours) >= (0.999 if quality is None else 0.99)


def test_blurred_map_is_recovered() -> None:
    truth, smooth = scene(SKY)
    layout = quietly(smooth.filter(ImageFilter.GaussianBlur(1.5)))
    assert layout.classes == 3 and share_right(layout, truth, SKY) >= 0.99


def test_blend_does_not_become_a_third_class() -> None:
    """Half red, half green is olive: no pixel of the red-green edge may join the olive region elsewhere."""
    picture = Image.new("RGB", (96, 64), (255, 0, 0))
    picture.paste((0, 255, 0), (48, 0, 96, 64))
    picture.paste((128, 128, 0), (0, 0, 20, 20))
    picture = picture.resize((97 * 3, 65 * 3), Image.Resampling.BICUBIC).resize((131, 87), Image.Resampling.BOX)
    layout = quietly(picture)
    assert layout.classes == 3
    olive = layout.index == layout.palette.names.index("olive")
    assert olive[:, 40:].sum() == 0 and 600 < olive.sum() < 850


def test_thin_line_of_its_own_colour_survives() -> None:
    array = np.asarray(scene(SKY)[1]).copy()
    array[:, 120] = (255, 0, 255)
    array[90:100, 5:15] = (255, 0, 255)  # a solid patch makes it a class
    layout = quietly(array)
    assert (layout.index[:, 120] == layout.palette.names.index("magenta")).mean() > 0.95


def test_thin_line_keeps_an_exact_map_exact() -> None:
    array = np.zeros((32, 32, 3), np.uint8)
    array[:, 16:] = (255, 255, 255)
    array[5, 3:9] = (255, 0, 0)
    layout = read_label_map(array)
    assert layout.classes == 3 and (layout.to_rgb()[0] == read_image(array)[0]).all()


def test_soft_layer_keeps_its_colours() -> None:
    """The edge of an RGBA layer has the right colour with less alpha."""
    truth, smooth = scene(SKY)
    rgba = np.dstack([np.array(SKY, np.uint8)[truth], np.full(truth.shape, 255, np.uint8)])
    edge = np.abs(np.asarray(smooth).astype(int) - rgba[:, :, :3]).sum(axis=2) > 0
    rgba[edge, 3] = 200
    assert share_right(read_label_map(rgba), truth, SKY) == 1.0


def test_snapping_warns_once_and_says_what_it_did(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    scene(SKY)[1].save(path)
    with pytest.warns(UserWarning, match=r"'map.png'.*-> 3 classes \(cyan .*pixels snapped \(\d") as caught:
        read_label_map(path)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_exact_map_does_not_warn() -> None:
    truth, _ = scene(SKY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layout = read_label_map(np.array(SKY, np.uint8)[truth])
    assert share_right(layout, truth, SKY) == 1.0 and set(layout.palette.colours) == set(SKY)


def test_report_counts() -> None:
    array = np.zeros((32, 32, 3), np.uint8)
    array[:, 20:] = (255, 0, 0)
    array[4, 19] = (120, 0, 0)
    report = inspect_label_map(array)
    assert (report.raw_colours, report.names, report.snapped, report.pixels) == (3, ("black", "red"), 1, 1024)
    assert report.shares == pytest.approx((0.625, 0.375), abs=1e-3) and "1 of 1024 pixels snapped" in str(report)


# -------------------------------------------------------------------------------------- indices and names


def test_greyscale_indices_are_classes() -> None:
    index = np.arange(32 * 32).reshape(32, 32) // 256
    for source in (index, encoded(Image.fromarray(index.astype(np.uint8)))):
        layout = read_label_map(source)
        assert (layout.index == index).all()
        assert layout.palette.names == ("class 0", "class 1", "class 2", "class 3")


def test_gaps_and_void_in_indices_are_closed() -> None:
    index = np.choose(np.arange(32 * 32).reshape(32, 32) // 342, [0, 7, 255])
    layout = read_label_map(index)
    assert layout.palette.names == ("class 0", "class 7", "class 255")
    target = read_label_map(np.where(index == 7, 255, 7), palette=layout.palette)
    assert (target.index == np.where(index == 7, 2, 1)).all()


def test_two_greys_are_colours() -> None:
    array = np.zeros((32, 32), np.uint8)
    array[8:] = 255
    assert read_label_map(array).palette == Palette(("white", "black"), ((255, 255, 255), (0, 0, 0)))


def test_indexed_png_keeps_order_and_palette() -> None:
    index = np.repeat(np.array([2, 0, 1], np.uint8), [20, 10, 2])[:, None].repeat(32, axis=1)
    picture = Image.fromarray(index)
    picture.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 200])
    layout = read_label_map(encoded(picture))
    assert (layout.index == index).all()
    assert layout.palette.colours == ((10, 20, 30), (200, 0, 0), (0, 0, 200))


def test_indexed_png_without_colours_is_read_as_numbers() -> None:
    index = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) // 128
    picture = Image.fromarray(index % 2)
    picture.putpalette([0, 0, 0, 0, 0, 0])
    layout = read_label_map(picture)
    assert (layout.index == index % 2).all() and layout.palette.names == ("class 0", "class 1")


def test_quantised_gif_is_snapped() -> None:
    truth, smooth = scene(SKY)
    layout = quietly(encoded(smooth, "GIF"))
    assert layout.classes == 3 and share_right(layout, truth, SKY) >= 0.99


@settings(max_examples=10)  # each one waits for the disk
@given(
    index=hnp.arrays(np.uint8, st.tuples(st.integers(16, 24), st.integers(16, 24)), elements=st.integers(0, 4)),
    colours=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=5, max_size=5, unique=True),
    names=st.lists(st.text(min_size=1, max_size=8), min_size=5, max_size=5, unique=True),
)
def test_save_and_read_is_exact(
    tmp_path_factory: pytest.TempPathFactory,
    index: npt.NDArray[np.uint8],
    colours: list[tuple[int, int, int]],
    names: list[str],
) -> None:
    layout = LabelMap(index, Palette(tuple(names), tuple(colours)))
    path = tmp_path_factory.mktemp("maps") / "map.png"
    layout.save(path)
    again = read_label_map(path)
    assert (again.index == index).all() and again.palette == layout.palette
    as_target = read_label_map(path, palette=layout.palette)
    assert (as_target.index == index).all()


# ------------------------------------------------------------------------------------------- the LabelMap


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)))
def test_one_hot_is_a_partition(index: npt.NDArray[np.uint8]) -> None:
    palette = Palette(("a", "b", "c"), SKY)
    one_hot = LabelMap(index, palette).one_hot()
    assert one_hot.shape == (1, 3, *index.shape) and one_hot.dtype == torch.float32
    assert (one_hot.sum(dim=1) == 1).all() and (one_hot[0].argmax(dim=0).numpy() == index).all()


@given(
    index=hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)),
    factor=st.integers(1, 5),
)
def test_resizing_up_and_back_changes_nothing(index: npt.NDArray[np.uint8], factor: int) -> None:
    layout = LabelMap(index, TWO)
    larger = layout.resized(layout.height * factor, layout.width * factor)
    assert (larger.index == index.repeat(factor, 0).repeat(factor, 1)).all()
    assert (larger.resized(layout.height, layout.width).index == index).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resizing_agrees_with_torch(height: int, width: int, new_height: int, new_width: int) -> None:
    index = np.random.default_rng(0).integers(0, 2, (height, width), dtype=np.uint8)
    ours = LabelMap(index, TWO).resized(new_height, new_width)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(index)[None, None].float(), (new_height, new_width), mode="nearest-exact"
    )
    # float32 in torch may land on the other side of a pixel border that is met exactly
    assert (torch.from_numpy(ours.index.copy()) == theirs[0, 0]).float().mean() > 0.8


def test_label_map_is_read_only_and_separate() -> None:
    index = np.zeros((4, 4), np.uint8)
    layout = LabelMap(index, TWO)
    index[:] = 1
    assert layout.index.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        layout.index[0, 0] = 1


def test_colours_of_a_label_map() -> None:
    layout = LabelMap(np.array([[0, 1]], np.uint8), TWO)
    assert layout.to_rgb()[:, 0].T.tolist() == [[-1, -1, 1], [-1, 1, -1]]
    assert layout.to_pil().mode == "P" and layout.to_pil().convert("RGB").getpixel((1, 0)) == (0, 255, 0)
    assert layout.shares() == (0.5, 0.5)


# --------------------------------------------------------------------------------------- source and targets


def test_targets_share_the_source_palette() -> None:
    truth, smooth = scene(SKY)
    off = ((5, 250, 250), (49, 255, 8), (250, 140, 10))  # the same brushes, slightly off
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        source, (target, blurred) = read_layouts(smooth, [np.array(off, np.uint8)[truth[:, ::-1]], smooth])
    assert target.palette is source.palette
    assert (target.index == source.index[:, ::-1]).mean() > 0.995
    assert (blurred.index == source.index).all()


def test_target_may_lack_a_class() -> None:
    truth, _ = scene(SKY)
    exact = np.array(SKY, np.uint8)
    _, (target,) = read_layouts(exact[truth], [exact[np.minimum(truth, 1)]])
    assert target.classes == 3 and sorted(target.shares())[0] == 0


def test_unseen_label_is_named() -> None:
    truth, _ = scene(SKY)
    target = np.array(SKY, np.uint8)[truth]
    target[:28] = (200, 0, 200)
    message = r"unseen in the source: colour \(200, 0, 200\) covers 25.0% of the target; repaint it .*cyan"
    with pytest.raises(LabelError, match=message):
        read_layouts(np.array(SKY, np.uint8)[truth], [target])
    with pytest.raises(LabelError, match=r"index 2 covers 50.0% of the target"):
        read_label_map(np.repeat([[1], [2]], 16, axis=0).repeat(32, axis=1), palette=TWO)


def test_sizes_must_agree_or_be_asked_for() -> None:
    source = np.array(SKY, np.uint8)[scene(SKY)[0]]
    with pytest.raises(LabelError, match=r"80x56 pixels but the source layout is 160x112; pass size=\(112, 160\)"):
        read_layouts(source, [source[::2, ::2]])
    layout, (target,) = read_layouts(source, [source[::2, ::2]], size=(56, 80))
    assert (layout.height, layout.width) == (target.height, target.width) == (56, 80)
    assert read_label_map(source, size=(28, 40)).index.shape == (28, 40)


def test_empty_region_in_the_source_is_refused(tmp_path: Path) -> None:
    LabelMap(np.zeros((16, 16), np.uint8), TWO).save(tmp_path / "map.png")
    with pytest.raises(LabelError, match=r"class 'tree' has no pixel in the source layout"):
        read_layouts(tmp_path / "map.png", [])


# ---------------------------------------------------------------------------------------------- bad input


def photo() -> npt.NDArray[np.uint8]:
    """Noise over a gradient: smooth in places, no flat area."""
    ramp = np.linspace(0, 200, 96)[:, None, None] + np.random.default_rng(0).normal(20, 12, (96, 96, 3))
    return ramp.clip(0, 255).astype(np.uint8)


def many_colours(count: int) -> npt.NDArray[np.uint8]:
    steps = (np.arange(count) * 97 % 256)[:, None] * np.array([1, 3, 7]) % 256
    return np.kron(steps[:, None], np.ones((10, 40, 1))).astype(np.uint8)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (photo(), "looks like a photo, not a label map.*paint each region in one flat colour"),
        (np.zeros((32, 32, 3), np.uint8), "single class; paint at least two regions"),
        (np.full((32, 32), 3), "single class; paint at least two regions"),
        (many_colours(20), r"20 solid colours, more than max_classes=16; merge classes"),
        (np.full((32, 32), -1), "whole numbers from 0 to 255"),
        (np.full((32, 32), 0.5), "whole numbers from 0 to 255, got float64"),
        (Image.new("F", (32, 32)), "floating-point numbers; save class indices"),
        (b"no image", "is not an image that can be read here"),
        ("no/such/map.png", "'map.png' does not exist"),
    ],
)
def test_bad_label_maps_give_one_sentence(source: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_label_map(source)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_errors_name_the_file(tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "holiday.png")
    with pytest.raises(LabelError, match=r"^'holiday.png': This looks like a photo"):
        read_label_map(tmp_path / "holiday.png")


@pytest.mark.parametrize("name", ["astronaut", "camera", "moon"])
def test_real_photos_are_refused(name: str) -> None:
    data = pytest.importorskip("skimage.data")
    with pytest.raises(LabelError, match="looks like a photo"):
        read_label_map(getattr(data, name)()[::2, ::2])


@pytest.mark.parametrize(
    ("names", "colours", "message"),
    [
        (("a",), ((0, 0, 0), (1, 1, 1)), "1 names and 2 colours"),
        ((), (), "as many names as colours"),
        (("a", "b"), ((0, 0, 0), (0, 0, 0)), "share a name or a colour"),
        (("a", "a"), ((0, 0, 0), (1, 0, 0)), "share a name or a colour"),
        (("a", "b"), ((0, 0, 0), (0, 0, 256)), "from 0 to 255"),
    ],
)
def test_bad_palettes_are_refused(names: tuple[str, ...], colours: Colours, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        Palette(names, colours)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (np.full((4, 4), 2), "holds the classes 2 to 2, but the palette has only 0 to 1"),
        (np.full((4, 4), -1), "holds the classes -1 to -1"),
        (np.zeros((1, 4, 4), np.uint8), r"whole-number array \(H, W\), got uint8 \(1, 4, 4\)"),
        (np.zeros((4, 4)), "got float64"),
    ],
)
def test_bad_indices_are_refused(index: npt.NDArray[np.uint8], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        LabelMap(index, TWO)
    with pytest.raises(LabelError, match="cannot be resized to 0x4"):
        LabelMap(np.zeros((4, 4), np.uint8), TWO).resized(0, 4)
