"""MNIST, SVHN and CelebA, read by torchvision, in the format of the worlds. Nothing is downloaded here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lib.data.public.attributes import shared_attributes
from lib.data.public.error import PublicDataError
from lib.data.public.samples import Sample, Samples, check_split
from lib.images import read_image


class Digits(Samples):
    """Pictures of digits, held in memory as uint8.

    Args:
        pixels: (N, H, W) or (N, H, W, 3) uint8.
        digits: (N,) whole numbers 0 to 9.

    Raises:
        PublicDataError: shapes do not fit, or a label is no digit.
    """

    may_mirror = False

    def __init__(self, pixels: npt.NDArray[np.uint8], digits: Tensor) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or len(pixels) != len(digits):
            raise PublicDataError(
                f"Digits need uint8 pixels (N, H, W[, 3]) and N labels, not {pixels.dtype} {pixels.shape} "
                f"and {len(digits)}."
            )
        if len(digits) and not 0 <= int(digits.min()) <= int(digits.max()) <= 9:
            raise PublicDataError(f"The labels run from {int(digits.min())} to {int(digits.max())}, not within 0 to 9.")
        self.pixels, self.digits = pixels, digits.long()

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> Sample:
        """``image`` (grey pictures three times), ``digit`` int64, ``name``."""
        return {"image": read_image(self.pixels[index]), "digit": self.digits[index], "name": str(index)}


def mnist(root: str | Path, split: str = "train") -> Digits:
    """MNIST: 60,000 (train) and 10,000 (test) pictures of 28 pixels, white on black.

    Args:
        root: the folder given to ``python -m lib data fetch mnist --root``; the files lie in ``root/MNIST/raw``.

    Raises:
        PublicDataError: the files are not there.
    """
    from torchvision.datasets import MNIST

    check_split(split, ("train", "test"), "MNIST")
    data = _opened("mnist", Path(root) / "MNIST" / "raw", MNIST, root=root, train=split == "train")
    return Digits(data.data.numpy(), data.targets)


def svhn(root: str | Path, split: str = "train") -> Digits:
    """SVHN, cropped house numbers of 32 pixels: 73,257 (train), 26,032 (test), 531,131 easier ones (extra).

    The files call the zero 10; here it is 0, as in MNIST.

    Args:
        root: the folder given to ``python -m lib data fetch svhn --root``; the files lie in ``root/SVHN``.

    Raises:
        PublicDataError: the files are not there.
    """
    from torchvision.datasets import SVHN

    check_split(split, ("train", "test", "extra"), "SVHN")
    folder = Path(root) / "SVHN"
    data = _opened("svhn", folder, SVHN, root=folder, split=split)
    pixels = np.ascontiguousarray(data.data.transpose(0, 2, 3, 1))  # (N, 3, 32, 32) -> (N, 32, 32, 3)
    return Digits(pixels, torch.from_numpy(np.asarray(data.labels)) % 10)


class CelebA(Samples):
    """CelebA (Liu et al., ICCV 2015): 202,599 aligned faces of 178 x 218 pixels with 40 attributes.

    Args:
        root: the folder that holds ``celeba``.
        split: train, val or test, as published.

    Raises:
        PublicDataError: files are missing or not the published ones.
    """

    def __init__(self, root: str | Path, split: str = "train") -> None:
        from torchvision.datasets import CelebA as TorchvisionCelebA

        check_split(split, ("train", "val", "test"), "CelebA")
        folder = Path(root) / "celeba"
        published = "valid" if split == "val" else split
        self.data = _opened("celeba", folder, TorchvisionCelebA, root=root, split=published, target_type="attr")
        self.names = tuple(name for name in self.data.attr_names if name)  # the header ends in a blank
        self.folder = folder / "img_align_celeba"

    def __len__(self) -> int:
        return len(self.data)

    def read(self, index: int) -> Sample:
        """``image``, ``attributes`` (40,) int64 of 0 and 1, the attributes of the face world, ``name``."""
        file = self.data.filename[index]
        attributes = self.data.attr[index].long()
        return {
            "image": read_image(self.folder / file),
            "attributes": attributes,
            **shared_attributes(attributes, self.names),
            "name": Path(file).stem,
        }


def _opened(name: str, folder: Path, kind: Any, **options: Any) -> Any:
    """Open a torchvision data set, or say what is missing where."""
    try:
        return kind(download=False, **options)
    except (RuntimeError, OSError, ValueError) as error:
        inside = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) if folder.is_dir() else "nothing"
        raise PublicDataError(
            f"'{folder}' does not hold the published files of {name} (it holds {inside or 'nothing'}); run "
            f"`python -m lib data fetch {name} --root {options['root']}`, which fetches them or says how to get them."
        ) from error
