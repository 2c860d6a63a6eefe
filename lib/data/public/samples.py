"""Finite data sets on disk, one picture at a time, in the format of the worlds.

A sample is a dict: ``image`` (3, H, W) float32 in [-1, 1], ``labels`` (H, W) uint8 class indices where there is a
label map, attributes as int64 tensors, and ``name``. H and W are the file's own; `lib.data.public.geometry`
brings samples to one size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from lib.data.public.catalogue import SOURCES
from lib.data.public.error import PublicDataError
from lib.images import read_image
from lib.labelmaps import Palette

Sample = dict[str, Any]
Split = Literal["train", "val", "test"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


class Samples(ABC):
    """A finite, ordered data set. Reading the same index gives the same sample.

    Attributes:
        palette: classes of the label maps; None where there are none.
        mirror: class -> class in the mirrored picture, where left and right are different classes.
        may_mirror: False where a mirrored picture is no longer a picture of its kind: digits, letters.
    """

    palette: Palette | None = None
    mirror: tuple[int, ...] | None = None
    may_mirror: bool = True

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def read(self, index: int) -> Sample:
        """The sample at `index` in [0, len)."""


class Subset(Samples):
    """Some samples of another data set, in the order of `indices`."""

    def __init__(self, samples: Samples, indices: Sequence[int]) -> None:
        self.samples, self.indices = samples, tuple(indices)
        self.palette, self.mirror, self.may_mirror = samples.palette, samples.mirror, samples.may_mirror

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> Sample:
        """The sample at place `index` of the subset."""
        return self.samples.read(self.indices[index])


class ImageFolder(Samples):
    """All images directly inside a folder, in the natural order of their names (2 before 10).

    Raises:
        PublicDataError: the folder does not exist or holds no image.
    """

    def __init__(self, folder: str | Path) -> None:
        self.files = image_files(folder)

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Sample:
        """``image`` and ``name``."""
        return {"image": read_image(self.files[index]), "name": self.files[index].stem}


def holdout(samples: Samples, share: float, *, seed: int = 0) -> tuple[Subset, Subset]:
    """Divide a data set at random: (the rest, the held-out `share`), for sets that come without ``val``.

    Raises:
        PublicDataError: one of the parts would be empty.
    """
    count = round(len(samples) * share)
    if not 0 < count < len(samples):
        raise PublicDataError(f"A share of {share} of {len(samples)} samples leaves one part empty; choose another.")
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed)).tolist()
    return Subset(samples, sorted(order[count:])), Subset(samples, sorted(order[:count]))


def image_files(folder: str | Path) -> list[Path]:
    """The image files directly inside `folder`, hidden ones left out, in natural order.

    Raises:
        PublicDataError: the folder does not exist or holds no image.
    """
    folder = existing_folder(folder)
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    if not files:
        raise PublicDataError(f"'{folder}' holds no image ({', '.join(sorted(SUFFIXES))}); is it the right folder?")
    return sorted(files, key=_natural)


def existing_folder(folder: str | Path, *, source: str | None = None) -> Path:
    """The path of a folder that must be there. `source`: its data set, if the catalogue knows one of that name.

    Raises:
        PublicDataError: it is not; the message says how to get it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        fetch = f"; run `python -m lib data fetch {source}`, which fetches it or says how to get it"
        how = fetch if source in SOURCES else ""
        near = next((parent for parent in folder.parents if parent.is_dir()), Path("/"))
        inside = ", ".join(sorted(path.name for path in near.iterdir())[:8]) or "nothing"
        raise PublicDataError(f"There is no folder '{folder}'{how}. '{near}' holds {inside}.")
    return folder


def check_split(split: str, splits: Sequence[str], title: str) -> None:
    """Raise unless the publisher of the data set made this split."""
    if split not in splits:
        hint = "; take some of train with holdout(samples, 0.1)" if split == "val" else ""
        raise PublicDataError(f"{title} has no split '{split}', only {', '.join(splits)}{hint}.")


def _natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sort key in which numbers inside a name count as numbers."""
    key: list[tuple[int, int, str]] = []
    digits = ""
    for letter in path.name + "\0":
        if letter.isascii() and letter.isdigit():
            digits += letter
            continue
        if digits:
            key.append((0, int(digits), digits))
            digits = ""
        key.append((1, 0, letter))
    return tuple(key)
