"""CelebAMask-HQ (Lee et al., CVPR 2020): 30,000 faces of 1024 pixels with label maps of 19 classes."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lib.data.public.attributes import AttributeTable, read_attributes, shared_attributes
from lib.data.public.error import PublicDataError
from lib.data.public.samples import Sample, Samples, check_split, existing_folder
from lib.images import open_image, read_image
from lib.labelmaps import Palette

PARTS = Palette(
    (
        "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth",
        "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
    ),
    (
        (0, 0, 0), (204, 0, 0), (76, 153, 0), (204, 204, 0), (51, 51, 255), (204, 0, 204), (0, 255, 255),
        (255, 204, 204), (102, 51, 0), (255, 0, 0), (102, 204, 0), (255, 255, 0), (0, 0, 153), (0, 0, 204),
        (255, 51, 153), (0, 204, 204), (0, 51, 0), (255, 153, 51), (0, 204, 0),
    ),
)  # fmt: skip
"""The 19 classes in the order of the publisher's own script, where a later one lies over an earlier one."""

_SIDES = (("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear"))
_PER_FOLDER = 2000
_CELEBA_VAL, _CELEBA_TEST = 162771, 182638  # where CelebA's own splits begin; its files count from 1


def mirrored_parts(palette: Palette) -> tuple[int, ...]:
    """Part -> part in the mirrored picture: a left eye becomes a right one. ``l_lip``, the lower lip, stays."""
    partner = dict(_SIDES) | {right: left for left, right in _SIDES}
    return tuple(palette.names.index(partner.get(name, name)) for name in palette.names)


class CelebAMaskHQ(Samples):
    """Faces with label maps and the 40 attributes.

    The splits are those of CelebA, found through the mapping file, so that a network trained on CelebA's
    training set has not seen the test faces.

    Args:
        root: folder with ``CelebA-HQ-img``, ``CelebAMask-HQ-mask-anno``, ``CelebAMask-HQ-attribute-anno.txt`` and
            ``CelebA-HQ-to-CelebA-mapping.txt``.
        split: train, val or test.
        palette: the parts to tell apart, by their names in `PARTS`; ``Faces.palette`` gives the label maps of the
            face world. A part that it lacks shows what lies under it: skin under an earring.

    Raises:
        PublicDataError: a folder or file is missing, or the palette has other names.
    """

    def __init__(self, root: str | Path, split: str = "train", *, palette: Palette = PARTS) -> None:
        check_split(split, ("train", "val", "test"), "CelebAMask-HQ")
        foreign = set(palette.names) - set(PARTS.names)
        if foreign or PARTS.names[0] not in palette.names:
            raise PublicDataError(
                f"A palette for CelebAMask-HQ has background and any of {', '.join(PARTS.names[1:])}; "
                f"this one has {', '.join(sorted(foreign)) or 'no background'}."
            )
        self.palette, self.mirror = palette, mirrored_parts(palette)
        self._classes = {name: index for index, name in enumerate(palette.names)}
        root = existing_folder(root, source="celebamask-hq")
        self.images = existing_folder(root / "CelebA-HQ-img", source="celebamask-hq")
        self.masks = existing_folder(root / "CelebAMask-HQ-mask-anno", source="celebamask-hq")
        self.table: AttributeTable = read_attributes(root / "CelebAMask-HQ-attribute-anno.txt")
        self.numbers = _numbers_of_split(root / "CelebA-HQ-to-CelebA-mapping.txt", split)

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, index: int) -> Sample:
        """``image``, ``labels``, ``attributes`` (40,) int64 of 0 and 1, the attributes of the face world, ``name``."""
        number = self.numbers[index]
        attributes = self.table.of(f"{number}.jpg")
        return {
            "image": read_image(self.images / f"{number}.jpg"),
            "labels": self._labels(number),
            "attributes": attributes,
            **shared_attributes(attributes, self.table.names),
            "name": str(number),
        }

    def _labels(self, number: int) -> Tensor:
        """One label map from the files of the parts; a part that is not visible has no file."""
        folder = self.masks / str(number // _PER_FOLDER)
        classes = self._classes  # in the order of PARTS the parts lie over each other, whatever their index
        labels: npt.NDArray[np.uint8] | None = None
        for name in PARTS.names[1:]:
            path = folder / f"{number:05d}_{name}.png"
            if name not in classes or not path.is_file():
                continue
            mask = np.asarray(open_image(path).convert("L"))
            if labels is None:
                labels = np.full(mask.shape, classes[PARTS.names[0]], dtype=np.uint8)
            if mask.shape != labels.shape:
                raise PublicDataError(f"'{path}' has another size than the parts before it; unpack the masks again.")
            labels[mask > 127] = classes[name]
        if labels is None:
            raise PublicDataError(f"There are no masks of picture {number} in '{folder}'; unpack the masks again.")
        return torch.from_numpy(labels)


@functools.lru_cache(maxsize=8)
def _numbers_of_split(path: Path, split: str) -> tuple[int, ...]:
    """Numbers of the pictures in one split; a line of the file is: number, index in CelebA, file in CelebA.

    CelebA's index counts from 0, its files and the bounds of its splits from 1: ``0 119613 119614.jpg``.
    """
    if not path.is_file():
        raise PublicDataError(f"'{path}' is missing; it comes with CelebAMask-HQ and tells the splits.")
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    try:
        pairs = [(int(row[0]), int(row[2].removesuffix(".jpg"))) for row in rows]
    except (ValueError, IndexError) as error:
        raise PublicDataError(f"'{path}' is damaged ({error}); fetch it again.") from error
    bounds = {"train": (0, _CELEBA_VAL), "val": (_CELEBA_VAL, _CELEBA_TEST), "test": (_CELEBA_TEST, 1 << 31)}
    low, high = bounds[split]
    return tuple(number for number, original in pairs if low <= original < high)
