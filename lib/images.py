"""Read, resize, show and write images safely.

Inside the book an image is a float32 tensor ``(3, H, W)`` in ``[-1, 1]``. This module is the only door
between such tensors and files: whatever a reader's file holds, it becomes that, or one clear sentence.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

MAX_PIXELS = 64_000_000
"""Largest image opened by default, in pixels: larger files are refused before they are decoded."""
MIN_SIDE = 16
"""Smallest side in pixels. The networks of the book halve an image several times; less leaves nothing."""

ImageSource: TypeAlias = "str | os.PathLike[str] | Image.Image | npt.NDArray[np.generic] | bytes | BinaryIO"
Font: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"

_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
_PADDING = 6


class ImageError(ValueError):
    """An image cannot be used. The message says why and how to mend it."""


@runtime_checkable
class Coloured(Protocol):
    """Anything that can show itself as an image, such as a :class:`lib.labelmaps.LabelMap`."""

    def to_rgb(self) -> Tensor:
        """Return ``(3, H, W)`` in ``[-1, 1]``."""
        ...


Cell: TypeAlias = "Tensor | Coloured | Image.Image"


# ---------------------------------------------------------------------------------------------- reading


def read_image(
    source: ImageSource, *, side: int | None = None, multiple: int = 1, max_pixels: int = MAX_PIXELS
) -> Tensor:
    """Read a photo as a float32 tensor ``(3, H, W)`` in ``[-1, 1]``.

    ``source`` is a path, a PIL image, a numpy array (uint8, uint16, bool, or float in [0, 1]), encoded
    bytes or an open binary file. EXIF orientation is applied, transparency is laid over **white**,
    greyscale is repeated over the three channels, and 16-bit values are divided by 65535.

    ``side`` is the long side in pixels after an antialiased (Lanczos) resize; ``multiple`` rounds each
    side to a multiple of it. Raises :class:`ImageError` for anything that is not a usable image.
    """
    picture = _to_rgb_or_grey(open_image(source, max_pixels=max_pixels), describe_source(source))
    width, height = picture.size
    new_height, new_width = fit_size(height, width, side or max(height, width), multiple)
    if min(new_height, new_width) < MIN_SIDE:
        raise ImageError(
            f"{describe_source(source)} of {width}x{height} pixels would become {new_width}x{new_height}, "
            f"and a side under {MIN_SIDE} is too small; crop it closer to a square or ask for a larger side."
        )
    if (new_width, new_height) != picture.size:
        picture = picture.resize((new_width, new_height), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture, dtype=np.float32)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    # Lanczos overshoots at edges; integer images are clipped by PIL, float ones are not.
    return torch.from_numpy(pixels.transpose(2, 0, 1) / np.float32(127.5) - 1).contiguous().clamp_(-1, 1)


def open_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open and fully decode ``source`` with its EXIF orientation applied, keeping its PIL mode.

    Raises :class:`ImageError` if it is missing, broken, not an image, too large or under 16 pixels a side.
    """
    what = describe_source(source)
    if isinstance(source, Image.Image):
        picture = source
    elif isinstance(source, np.ndarray):
        picture = _from_array(source)
    else:
        picture = _open_file(source, what)
    _check_size(picture, what, max_pixels)
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except _DECODE_ERRORS as error:
        raise ImageError(
            f"{what} is damaged or incomplete ({error}); copy, download or export the file again."
        ) from error


def fit_size(height: int, width: int, side: int, multiple: int = 8) -> tuple[int, int]:
    """Return ``(height, width)`` scaled to a long side of ``side``, in multiples of ``multiple``.

    Each is rounded to the nearest multiple; no side becomes smaller than ``multiple``. Raises ``ValueError``
    for a number below 1.
    """
    if min(height, width, side, multiple) < 1:
        raise ValueError(
            f"height, width, side and multiple must be at least 1, got {height}, {width}, {side}, {multiple}."
        )
    scale = side / max(height, width)

    def fit(length: int) -> int:
        # floor(x + 1/2) rather than round(): round() sends 0.5 to the even neighbour.
        return max(multiple, int(length * scale / multiple + 0.5) * multiple)

    return fit(height), fit(width)


def describe_source(source: object) -> str:
    """Name a source at the start of an error message."""
    if isinstance(source, str | os.PathLike):
        return f"The image '{Path(source).name}'"
    if isinstance(source, np.ndarray):
        return "The image array"
    return "The image"


def _open_file(source: str | os.PathLike[str] | bytes | BinaryIO, what: str) -> Image.Image:
    """Open encoded bytes, an open file or a path, without decoding the pixels yet."""
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        if path.is_dir():
            raise ImageError(f"{what} is a folder; give the path of one image file in it.")
        if not path.is_file():
            raise ImageError(f"{what} does not exist; check the path '{path}', seen from '{Path.cwd()}'.")
        source = path.read_bytes()
    elif not isinstance(source, bytes | bytearray) and not hasattr(source, "read"):
        raise ImageError(
            f"An image cannot be read from {type(source).__name__}; "
            "give a path, a PIL image, a numpy array, bytes or an open binary file."
        )
    data = source if isinstance(source, bytes | bytearray) else source.read()
    if not data:
        raise ImageError(f"{what} is empty (0 bytes); copy, download or export the file again.")
    try:
        with warnings.catch_warnings():
            # Our own limit is lower than the one PIL warns at, and it is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise ImageError(f"{what} has far too many pixels to be opened safely; resize the file first.") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{what} is not an image that can be read here; export it as PNG, JPEG, TIFF or WebP."
        ) from error
    except _DECODE_ERRORS as error:
        raise ImageError(
            f"{what} is damaged or incomplete ({error}); copy, download or export the file again."
        ) from error


def _check_size(picture: Image.Image, what: str, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageError(
            f"{what} has {width}x{height} pixels, more than the limit of {max_pixels / 1e6:g} million; "
            "resize the file first, or raise max_pixels if you trust it."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{what} has {width}x{height} pixels, too small to learn from: each side needs at least "
            f"{MIN_SIDE}; use a larger image."
        )


def _from_array(array: npt.NDArray[np.generic]) -> Image.Image:
    """Wrap an array (H, W) or (H, W, 1|3|4) as a PIL image; floats are read as [0, 1]."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(
            f"The image array has shape {array.shape}; it must be (H, W), (H, W, 3) or (H, W, 4), channels last."
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        if array.ndim == 2:
            return Image.fromarray(np.ascontiguousarray(array))
        array = array.astype(np.float32) / 65535
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ImageError("The image array holds floats that leave [0, 1] or are NaN; scale them to [0, 1] first.")
        array = np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageError(
            f"The image array has dtype {array.dtype}; convert it to uint8, uint16, bool or float in [0, 1]."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _to_rgb_or_grey(picture: Image.Image, what: str) -> Image.Image:
    """Return mode ``RGB`` (8 bits a channel) or, for deep greyscale, mode ``F`` holding 0..255."""
    mode = picture.mode
    if mode == "F" or mode.startswith("I"):
        return _deep_grey(np.asarray(picture, dtype=np.float64), mode, what)
    try:
        if picture.has_transparency_data:
            layer = picture.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
        return picture.convert("RGB")
    except ValueError as error:
        raise ImageError(f"{what} has the colour mode {mode}, which cannot become RGB; export it as RGB.") from error


def _deep_grey(values: npt.NDArray[np.float64], mode: str, what: str) -> Image.Image:
    """Scale 16-bit, 32-bit or float greyscale to 0..255 in mode ``F``, which a resize keeps deep."""
    if not np.isfinite(values).all():
        raise ImageError(f"{what} holds NaN or infinite values; export it again as an 8-bit or 16-bit image.")
    low, high = float(values.min()), float(values.max())
    # A float TIFF does not say what white is. We take the smallest usual white that holds its values.
    white = next((w for w in (1.0, 255.0, 65535.0) if high <= w), None) if mode == "F" else 65535.0
    if white is None or low < 0 or high > white:
        raise ImageError(
            f"{what} holds values from {low:g} to {high:g}, which are not brightness in 0..65535 "
            "(or 0..1 for floats); scale them first."
        )
    return Image.fromarray((values * (255.0 / white)).astype(np.float32))


# ---------------------------------------------------------------------------------------------- writing


def to_pil(image: Tensor) -> Image.Image:
    """Turn ``(3, H, W)`` or ``(1, 3, H, W)`` in ``[-1, 1]`` into an 8-bit RGB image.

    Values outside are clipped. Raises :class:`ImageError` for another shape or for NaN.
    """
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3:
        raise ImageError(f"An image tensor must be (3, H, W) in [-1, 1], got shape {tuple(image.shape)}.")
    pixels = image.detach().to("cpu", torch.float32)
    if bool(pixels.isnan().any()):
        raise ImageError("The image holds NaN; look for a loss that diverged or a division by zero before showing it.")
    levels = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def write_png(image: Tensor, path: str | os.PathLike[str]) -> None:
    """Write ``(3, H, W)`` in ``[-1, 1]`` as an 8-bit PNG, all or nothing. Missing folders are made."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader finds the old file or the whole new one, never half of it.

    The bytes go to a temporary file in the same folder, reach the disk (fsync), and replace ``path`` at once.
    """
    target = Path(path).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; keep the old file's mode, or give the usual one.
        os.chmod(name, target.stat().st_mode & 0o777 if target.exists() else 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# ---------------------------------------------------------------------------------------------- showing


def contact_sheet(
    rows: Sequence[Sequence[Cell]],
    titles: Sequence[str] | Sequence[Sequence[str]] | None = None,
    scale: int = 1,
) -> Image.Image:
    """Lay images and label maps out in rows, with titles, as one RGB image on white.

    A cell is a tensor ``(3, H, W)`` in ``[-1, 1]``, a label map (shown in its palette) or a PIL image.
    ``titles`` is one string per column (shown once, on top) or one row of strings per row of cells.
    ``scale`` enlarges every cell by a whole factor without smoothing. Cells may differ in size.
    """
    if not rows or not any(rows):
        raise ValueError("A contact sheet needs at least one image; the rows are empty.")
    if scale < 1:
        raise ValueError(f"scale must be a whole number of at least 1, got {scale}.")
    pictures = [[_cell_picture(cell, scale) for cell in row] for row in rows]
    columns = max(len(row) for row in pictures)
    captions = _captions(titles, len(rows), columns)
    font = _font()
    widths = [
        max([row[c].width for row in pictures if c < len(row)] + _longest_words(captions, c, font))
        for c in range(columns)
    ]
    texts = [[_wrap(text, width, font) for text, width in zip(row, widths, strict=True)] for row in captions]
    return _paste(pictures, texts, widths, font)


def _cell_picture(cell: Cell, scale: int) -> Image.Image:
    if isinstance(cell, Image.Image):
        picture = cell.convert("RGB")
    else:
        picture = to_pil(cell if isinstance(cell, Tensor) else cell.to_rgb())
    if scale == 1:
        return picture
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _captions(titles: Sequence[str] | Sequence[Sequence[str]] | None, rows: int, columns: int) -> list[list[str]]:
    """Return a full rows x columns table of titles; empty strings where there is none."""
    if titles is None:
        table: list[list[str]] = []
    elif all(isinstance(title, str) for title in titles):
        table = [[str(title) for title in titles]]
    else:
        table = [[row] if isinstance(row, str) else list(row) for row in titles]
    if len(table) > rows or any(len(row) > columns for row in table):
        raise ValueError(f"There are more titles than cells: the sheet has {rows} rows of {columns} columns.")
    table += [[] for _ in range(rows - len(table))]
    return [row + [""] * (columns - len(row)) for row in table]


def _font() -> Font:
    return ImageFont.load_default(size=13)


def _longest_words(captions: list[list[str]], column: int, font: Font) -> list[int]:
    """Widths in pixels that the words of a column's titles need; a word is never broken."""
    return [int(font.getlength(word)) + 1 for row in captions for word in row[column].split()]


def _wrap(text: str, width: int, font: Font) -> str:
    """Break ``text`` at spaces into lines that fit ``width`` pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _paste(pictures: list[list[Image.Image]], texts: list[list[str]], widths: list[int], font: Font) -> Image.Image:
    line_height = 16
    text_heights = [max(text.count("\n") + 1 if text else 0 for text in row) * line_height for row in texts]
    picture_heights = [max((picture.height for picture in row), default=0) for row in pictures]
    width = sum(widths) + _PADDING * (len(widths) + 1)
    height = sum(text_heights) + sum(picture_heights) + _PADDING * (len(pictures) + 1)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = _PADDING
    for row, captions, text_height, row_height in zip(pictures, texts, text_heights, picture_heights, strict=True):
        left = _PADDING
        for column, column_width in enumerate(widths):
            draw.multiline_text((left, top - 2), captions[column], fill="black", font=font, spacing=2)
            if column < len(row):
                sheet.paste(row[column], (left, top + text_height))
            left += column_width + _PADDING
        top += text_height + row_height + _PADDING
    return sheet
