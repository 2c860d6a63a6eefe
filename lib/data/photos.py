"""Real photos without a download, each with a hand-made layout and new layouts to draw.

The pixels are read from files inside the installed scikit-learn and scikit-image packages. The layouts
are the book's own, in ``assets/layouts/<photo>/``; its ``README.md`` describes the format.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from lib.images import open_image, read_image
from lib.labelmaps import LabelMap, Palette, read_label_map

LAYOUTS = Path(__file__).resolve().parents[2] / "assets" / "layouts"
"""Folder of the layouts; one folder in it for each photo."""

# Where a package keeps its photos: the name it is imported by, and the folder inside it. The files are
# opened directly, because the loaders of scikit-image may fetch a missing file from the network.
_PACKAGES = {
    "scikit-learn": ("sklearn", "datasets/images"),
    "scikit-image": ("skimage", "data"),
    "matplotlib": ("matplotlib", "mpl-data/sample_data"),
}
_ABOUT = ("title", "author", "licence", "source", "layout_author", "layout_licence")


class PhotoError(ValueError):
    """A photo or its layouts cannot be loaded. The message says why and how to mend it."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, its layout and the layouts to draw next.

    ``image`` is ``(3, H, W)`` in ``[-1, 1]``. ``layout`` and ``targets`` are ``H x W`` and share one palette.
    ``about`` holds title, author, licence and source of the photo, and author and licence of the layouts.
    ``edits`` says in one sentence what each target changes.
    """

    name: str
    image: Tensor
    layout: LabelMap
    targets: dict[str, LabelMap]
    about: dict[str, str]
    edits: dict[str, str]


def photo_names() -> tuple[str, ...]:
    """Return the names that :func:`load_photo` knows, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in LAYOUTS.glob("*/layout.json")))


def load_photo(name: str, *, side: int = 128, multiple: int = 8) -> Photo:
    """Load a photo and its layouts at one size. No network is used.

    ``side`` is the long side in pixels; both sides are rounded to a multiple of ``multiple``. The photo is
    resized with an antialiased filter, the layouts by nearest neighbour, so that no class is blended.

    Raises :class:`PhotoError` for an unknown name or a damaged layout folder, and ``ModuleNotFoundError`` if
    the package that carries the photo is not installed.
    """
    if side < 1:
        raise PhotoError(f"side is the long side in pixels and must be at least 1, got {side}.")
    card = _read_card(name)
    image = read_image(_open_crop(card), side=side, multiple=multiple)
    height, width = image.shape[1:]
    palette = Palette(
        names=tuple(str(entry["name"]) for entry in card["classes"]),
        colours=tuple((int(r), int(g), int(b)) for r, g, b in (entry["colour"] for entry in card["classes"])),
    )

    def layout(stem: str) -> LabelMap:
        return _read_layout(name, stem, palette).resized(height, width)

    return Photo(
        name=name,
        image=image,
        layout=layout("source"),
        targets={target: layout(target) for target in card["targets"]},
        about={key: str(card[key]) for key in _ABOUT},
        edits=dict(card["targets"]),
    )


def _read_card(name: str) -> dict[str, Any]:
    """Return the checked content of ``layout.json``."""
    names = photo_names()
    if not names:
        raise PhotoError(f"There are no layouts in '{LAYOUTS}'; run the book from a complete copy of it.")
    if name not in names:
        raise PhotoError(f"There is no photo '{name}'; choose one of {', '.join(names)}.")
    try:
        card = json.loads((LAYOUTS / name / "layout.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise PhotoError(
            f"The layout.json of the photo '{name}' is not valid JSON ({error}); restore it from the book."
        ) from error
    needed = {"photo", "package", "crop", "classes", "targets", *_ABOUT}
    if not isinstance(card, dict) or not needed <= card.keys():
        missing = sorted(needed - set(card if isinstance(card, dict) else ()))
        raise PhotoError(f"The layout.json of the photo '{name}' lacks {', '.join(missing)}; restore it from the book.")
    return card


def _read_layout(name: str, stem: str, palette: Palette) -> LabelMap:
    """Read one layout at the size it was drawn in. Cached layouts are safe to share: they are read-only."""
    path = LAYOUTS / name / f"{stem}.png"
    if not path.is_file():
        raise PhotoError(f"The layout '{stem}.png' of the photo '{name}' is missing; restore it from the book.")
    return _decode_layout(path, palette)


@functools.lru_cache(maxsize=128)
def _decode_layout(path: Path, palette: Palette) -> LabelMap:
    return read_label_map(path, palette=palette)


def _open_crop(card: dict[str, Any]) -> Image.Image:
    """Open the part of the photo that the layout was drawn on, in the photo's own pixels."""
    package = card["package"]
    if package not in _PACKAGES:
        raise PhotoError(
            f"The photo '{card['photo']}' is said to be in the package '{package}'; "
            f"the book reads photos from {', '.join(_PACKAGES)}."
        )
    picture = open_image(photo_file(card["photo"], package))
    return picture if card["crop"] is None else picture.crop(tuple(card["crop"]))


def photo_file(photo: str, package: str) -> Path:
    """Return the path of a photo inside an installed package, without importing the package.

    Raises :class:`PhotoError` if the package does not carry it, and ``ModuleNotFoundError`` without the package.
    """
    module, folder = _PACKAGES[package]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The photo '{photo}' is part of {package}, which is not installed; run: pip install {package}",
            name=module,
        )
    root = Path(next(iter(spec.submodule_search_locations))) / folder
    files = [root / f"{photo}{suffix}" for suffix in (".png", ".jpg")]
    found = next((path for path in files if path.is_file()), None)
    if found is None:
        raise PhotoError(
            f"This version of {package} does not carry the photo '{photo}'; run: pip install --upgrade {package}"
        )
    return found
