"""Cityscapes (Cordts et al., CVPR 2016): street scenes of 2048 x 1024 pixels with label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lib.data.public.error import PublicDataError
from lib.data.public.samples import Sample, Samples, check_split, existing_folder, image_files
from lib.images import open_image, read_image
from lib.labelmaps import Palette

VOID = "void"
# name of the class, its number in the files (gtFine_labelIds), its colour; in the order of evaluation
_CLASSES = (
    ("road", 7, (128, 64, 128)), ("sidewalk", 8, (244, 35, 232)), ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)), ("fence", 13, (190, 153, 153)), ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)), ("traffic sign", 20, (220, 220, 0)), ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)), ("sky", 23, (70, 130, 180)), ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)), ("car", 26, (0, 0, 142)), ("truck", 27, (0, 0, 70)), ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)), ("motorcycle", 32, (0, 0, 230)), ("bicycle", 33, (119, 11, 32)),
)  # fmt: skip
# name of the category, the numbers in the files that belong to it, its colour
_CATEGORIES = (
    ("flat", range(7, 11), (128, 64, 128)), ("construction", range(11, 17), (70, 70, 70)),
    ("object", range(17, 21), (153, 153, 153)), ("nature", range(21, 23), (107, 142, 35)),
    ("sky", range(23, 24), (70, 130, 180)), ("human", range(24, 26), (220, 20, 60)),
    ("vehicle", range(26, 34), (0, 0, 142)),
)  # fmt: skip
_LICENCE_PLATE = 255  # -1 in a uint8 file; it belongs to a vehicle, and no evaluation counts it

CLASSES = Palette((*(name for name, _, _ in _CLASSES), VOID), (*(colour for _, _, colour in _CLASSES), (0, 0, 0)))
"""The 19 classes that are evaluated, and void as number 19."""
CATEGORIES = Palette(
    (*(name for name, _, _ in _CATEGORIES), VOID), (*(colour for _, _, colour in _CATEGORIES), (0, 0, 0))
)
"""The 7 categories, and void as number 7."""


class Cityscapes(Samples):
    """Street scenes with label maps.

    What is void in the evaluation is a class of its own, the last one: 255, as other loaders write, is no index
    of a one-hot layer.

    Args:
        root: folder with ``leftImg8bit`` and ``gtFine``.
        split: train (2975) or val (500). The label maps of test are not published.
        kind: classes (20 with void) or categories (8 with void).

    Raises:
        PublicDataError: a folder or a label map is missing.
    """

    def __init__(
        self, root: str | Path, split: str = "train", *, kind: Literal["classes", "categories"] = "classes"
    ) -> None:
        check_split(split, ("train", "val"), "Cityscapes with published label maps")
        root = existing_folder(root, source="cityscapes")
        self.palette: Palette = CLASSES if kind == "classes" else CATEGORIES
        self.table = _table(kind)
        cities = sorted(existing_folder(root / "leftImg8bit" / split, source="cityscapes").iterdir())
        photos = [path for city in cities if city.is_dir() for path in image_files(city)]
        self.files = [(photo, _labels_of(photo, root / "gtFine" / split)) for photo in photos]
        missing = [labels for _, labels in self.files if not labels.is_file()]
        if missing or not self.files:
            lacking = f"{len(missing)} label maps, '{missing[0]}' first" if missing else "photos"
            raise PublicDataError(f"'{root}' lacks {lacking}; unpack leftImg8bit and gtFine into it again.")

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Sample:
        """``image``, ``labels``, ``name``."""
        photo, labels = self.files[index]
        numbers = torch.from_numpy(np.array(open_image(labels), dtype=np.uint8))
        if numbers.ndim != 2:
            raise PublicDataError(f"'{labels}' is a colour image; the files that end in labelIds.png are needed.")
        return {
            "image": read_image(photo),
            "labels": self.table[numbers.long()],
            "name": photo.name.removesuffix("_leftImg8bit.png"),
        }


def _labels_of(photo: Path, folder: Path) -> Path:
    stem = photo.name.removesuffix("_leftImg8bit.png")
    return folder / photo.parent.name / f"{stem}_gtFine_labelIds.png"


def _table(kind: str) -> Tensor:
    """Number in the file (256,) -> our class, uint8."""
    palette = CLASSES if kind == "classes" else CATEGORIES
    table = torch.full((256,), palette.names.index(VOID), dtype=torch.uint8)
    if kind == "classes":
        for index, (_, number, _) in enumerate(_CLASSES):
            table[number] = index
        return table
    for index, (_, numbers, _) in enumerate(_CATEGORIES):
        table[list(numbers)] = index
    table[_LICENCE_PLATE] = palette.names.index("vehicle")
    return table
