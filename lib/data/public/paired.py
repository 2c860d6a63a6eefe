"""Pairs of pictures of one scene: pix2pix's side-by-side files, and two folders with matching names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lib.data.public.error import PublicDataError
from lib.data.public.samples import Sample, Samples, check_split, existing_folder, image_files
from lib.images import open_image, read_image
from lib.labelmaps import Palette

FACADE_CLASSES = Palette(
    (
        "background", "wall", "window", "door", "cornice", "sill",
        "balcony", "blind", "deco", "molding", "pillar", "shop",
    ),
    (
        (0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (85, 255, 170),
        (170, 255, 85), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (170, 0, 0),
    ),
)  # fmt: skip
"""Classes and colours of the CMP Facade Database, which the facades of pix2pix and CycleGAN are drawn in."""

SPLITS = ("train", "val", "test")
_SURE = 16.0  # JPEG blurs edges, but a solid area keeps its colour to within a few levels
_LEAST_SURE = 0.5


class SideBySide(Samples):
    """pix2pix's format: one file holds two pictures of equal size, left and right, in ``root/split``.

    Args:
        root: folder with train, val, test.
        split: one of them.
        swap: False: the left half is the image to be made and the right one its condition, as in facades and
            maps; True: the other way round, as in edges2shoes and night2day.
        palette: the condition is a label map in these colours; it is given as ``labels``, else as
            ``condition`` (3, H, W).

    Raises:
        PublicDataError: no such split on the disk, or no images in it.
    """

    def __init__(self, root: str | Path, split: str, *, swap: bool = False, palette: Palette | None = None) -> None:
        check_split(split, SPLITS, f"'{root}'")
        self.files = image_files(existing_folder(Path(root) / split, source=Path(root).name))
        self.swap, self.palette = swap, palette

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Sample:
        """``image``, ``labels`` or ``condition``, ``name``.

        Raises:
            PublicDataError: the file cannot be halved, or its label map has other colours.
        """
        path = self.files[index]
        both = open_image(path)
        width, height = both.size
        if width % 2:
            raise PublicDataError(f"'{path}' is {width} pixels wide; two halves need an even number.")
        left, right = both.crop((0, 0, width // 2, height)), both.crop((width // 2, 0, width, height))
        image, condition = (right, left) if self.swap else (left, right)
        return _sample(image, condition, self.palette, path)


class MatchedFolders(Samples):
    """CycleGAN's facades and maps are unpaired by order only: ``trainA/1_A.jpg`` belongs to ``trainB/1_B.jpg``.

    So these verified archives serve pix2pix as well, and tell how often CycleGAN found the hidden partner.

    Args:
        root: folder with trainA, trainB, testA, testB.
        split: train or test.
        palette: as in `SideBySide`; the condition is domain B.

    Raises:
        PublicDataError: a folder is missing, or the names do not match.
    """

    def __init__(self, root: str | Path, split: str, *, palette: Palette | None = None) -> None:
        check_split(split, ("train", "test"), f"'{root}'")
        a, b = (_by_stem(Path(root) / f"{split}{domain}") for domain in "AB")
        lonely = sorted(a.keys() ^ b.keys())
        if lonely:
            raise PublicDataError(
                f"{len(lonely)} pictures in '{root}' have no partner, '{lonely[0]}' first; this data set is unpaired."
            )
        self.files = [(path, b[key]) for key, path in a.items()]
        self.palette = palette

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Sample:
        """``image``, ``labels`` or ``condition``, ``name``."""
        first, second = self.files[index]
        image, condition = open_image(first), open_image(second)
        if image.size != condition.size:
            raise PublicDataError(f"'{first}' and '{second}' differ in size; a pair needs one size.")
        return _sample(image, condition, self.palette, second)


def labels_from_colours(picture: Image.Image, palette: Palette) -> Tensor:
    """A label map that was stored as a colour image, even a JPEG -> class indices (H, W) uint8.

    A pixel takes the nearest colour, but only of a class that is surely there within two pixels: the colour in
    a blurred edge between two classes may be that of a third. (`lib.snapping` does this for drawings; here
    lines of two pixels must survive, and hundreds of files be read.)

    Raises:
        PublicDataError: less than half of the pixels have a colour of the palette: it is another one, or a photo.
    """
    pixels = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32))  # (H, W, 3) in 0..255
    count = len(palette)
    distance = torch.cdist(pixels, torch.tensor(palette.colours, dtype=torch.float32)[None])  # (H, W, K)
    least, labels = distance.min(dim=2)
    unsure = least > _SURE
    share = 1 - float(unsure.float().mean())
    if share < _LEAST_SURE:
        raise PublicDataError(f"Only {share:.0%} of the label map has the colours of the palette; is it a photo?")
    sure_or_none = F.pad(labels.masked_fill(unsure, count), (2, 2, 2, 2), value=count)
    around = sure_or_none.unfold(0, 5, 1).unfold(1, 5, 1)[unsure].flatten(1)  # (P, 25): what lies round P pixels
    allowed = torch.zeros(len(around), count + 1, dtype=torch.bool).scatter_(1, around, True)[:, :count]
    # Where nothing is sure, all classes are equally penalised and the nearest colour decides.
    labels[unsure] = torch.where(allowed, distance[unsure], distance[unsure] + 1e4).argmin(dim=1)
    return labels.to(torch.uint8)


def _by_stem(folder: Path) -> dict[str, Path]:
    """What both pictures of a pair are called -> file, in natural order."""
    files = image_files(existing_folder(folder, source=folder.parent.name))
    return {re.sub(r"_[AB]$", "", path.stem): path for path in files}


def _sample(image: Image.Image, condition: Image.Image, palette: Palette | None, path: Path) -> Sample:
    sample: Sample = {"image": read_image(image), "name": path.stem}
    if palette is None:
        return sample | {"condition": read_image(condition)}
    try:
        return sample | {"labels": labels_from_colours(condition, palette)}
    except PublicDataError as error:
        raise PublicDataError(f"'{path}': {error}") from error
