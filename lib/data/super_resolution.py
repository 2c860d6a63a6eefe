"""Pictures and their small versions: what super-resolution learns from and is measured on (Ledig et al. 2017).

The small picture is made from the large one, so pairs cost nothing. How it is made decides the numbers: every table
of 4x super-resolution means *this* filter, and a network that learned from another one does not fit.

    cubic(t) =  3/2 |t|³ - 5/2 |t|² + 1                  |t| <= 1         Keys's kernel with a = -1/2
               -1/2 |t|³ + 5/2 |t|² - 4 |t| + 2      1 < |t| <  2

One low-resolution pixel is a weighted mean of 4r x 4r large ones: the kernel is made r times wider, which takes out
what the small picture cannot show. Weights that would fall outside the picture are left out and the others rescaled.
This is Pillow's BICUBIC; in the interior MATLAB's ``imresize``, which papers use, has the same kernel (UNVERIFIED
here: there is no MATLAB), while at the border it mirrors. OpenCV's and torch's default bicubic do not widen the
kernel: they alias. Values are clamped to [-1, 1] and, unlike a stored file, not rounded to bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from lib.data.pairs import TEST_SHARE
from lib.data.photos import photo_file
from lib.data.public.error import PublicDataError
from lib.data.public.samples import Sample, Samples, existing_folder, image_files
from lib.images import read_image
from lib.training.streams import Stream

__all__ = [
    "BENCHMARKS", "TEXTURES", "Benchmark", "Lowered", "PhotoSet", "bundled_photos", "cut_to_multiple", "downscale",
    "enlarge",
]  # fmt: skip

FACTOR = 4

_PHOTOS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "train": (
        ("china", "scikit-learn"), ("flower", "scikit-learn"), ("coffee", "scikit-image"), ("rocket", "scikit-image"),
        ("motorcycle_left", "scikit-image"),
    ),
    "test": (("astronaut", "scikit-image"), ("chelsea", "scikit-image"), ("grace_hopper", "matplotlib")),
}  # fmt: skip
TEXTURES = ("brick", "grass", "gravel")
"""Grey pictures of one material each: the left three quarters are for training, the rest for testing."""

BENCHMARKS: Mapping[str, int] = {"Set5": 5, "Set14": 14, "BSD100": 100}
"""The paper's test sets -> number of pictures. BSD100 is the test split of BSD300 (Martin et al. 2001)."""

_INSIDE = ("", "HR", "GTmod12", "original", "image_SRF_4")  # where copies of the sets keep the large pictures
_SMALL = ("_LR", "LRBI", "x4")  # ends of the names of files that are no large pictures


def downscale(images: Tensor, factor: int = FACTOR) -> Tensor:
    """I_LR: (B, 3, rH, rW) in [-1, 1] -> (B, 3, H, W) in [-1, 1], by the filter that the module describes.

    Raises:
        PublicDataError: a side is no multiple of the factor; see `cut_to_multiple`.
    """
    height, width = images.shape[-2:]
    if factor < 1 or height % factor or width % factor:
        raise PublicDataError(
            f"Pictures of {width}x{height} px have no small version at 1/{factor}: cut the sides to multiples of "
            f"{factor} with cut_to_multiple."
        )
    return _resized(images, (height // factor, width // factor))


def enlarge(images: Tensor, factor: int = FACTOR, *, method: Literal["bicubic", "nearest"] = "bicubic") -> Tensor:
    """The competitors that know nothing: (B, 3, H, W) in [-1, 1] -> (B, 3, rH, rW) in [-1, 1].

    Bicubic has the same kernel as `downscale`, not widened: 4 x 4 pixels, passing through the given values.
    """
    if method == "nearest":
        return images.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
    return _resized(images, (images.shape[-2] * factor, images.shape[-1] * factor))


def cut_to_multiple(images: Tensor, factor: int = FACTOR) -> Tensor:
    """(…, H, W) without the last rows and columns that make no whole low-resolution pixel."""
    height, width = (side - side % factor for side in images.shape[-2:])
    return images[..., :height, :width]


class Lowered:
    """A stream that gives each picture's small version as well; a `lib.training.streams.Stream`.

    Args:
        stream: gives ``image`` (B, 3, rH, rW).
        factor: r.
    """

    def __init__(self, stream: Stream, factor: int = FACTOR) -> None:
        self.stream, self.factor = stream, factor

    def draw(self, progress: float = 0.0) -> dict[str, Any]:
        """The stream's next batch with ``condition``, I_LR (B, 3, H, W)."""
        batch = self.stream.draw(progress)
        return {**batch, "condition": downscale(batch["image"], self.factor)}

    def state_dict(self) -> dict[str, Any]:
        """The stream's."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the stream."""
        self.stream.load_state_dict(state)


class PhotoSet(Samples):
    """Finished pictures (3, H, W) by name, as `Samples` with their small versions.

    Args:
        pictures: name -> (3, H, W) in [-1, 1].
        factor: of the small version.
    """

    def __init__(self, pictures: Mapping[str, Tensor], *, factor: int = FACTOR) -> None:
        self.names = tuple(pictures)
        self.pictures, self.factor = dict(pictures), factor

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> Sample:
        """``image`` (3, rH, rW), ``condition`` (3, H, W) and ``name``."""
        name = self.names[index]
        return _sample(self.pictures[name], name, self.factor)


class Benchmark(Samples):
    """Set5, Set14 or BSD100 from a folder of the large pictures; the small ones are made by `downscale`.

    Every copy of these sets on the net has another layout. Read are the pictures in the folder itself, or in its
    ``HR``, ``GTmod12``, ``original`` or ``image_SRF_4`` (there only the files ``…_HR``). Small versions that lie
    beside them are not used: nobody says how they were made. Sides are cut to multiples of the factor.

    Args:
        root: the folder.
        name: ``Set5``, ``Set14`` or ``BSD100``, whose number of pictures is then checked; None for any other folder.
        factor: r.

    Raises:
        PublicDataError: there is no such folder, no picture in it, or not as many as the set has.
    """

    def __init__(self, root: str | Path, name: str | None = None, *, factor: int = FACTOR) -> None:
        if name is not None and name not in BENCHMARKS:
            raise PublicDataError(f"There is no benchmark '{name}'; choose one of {', '.join(BENCHMARKS)}, or None.")
        self.files, self.factor = _large_pictures(existing_folder(root)), factor
        if name is not None and len(self.files) != BENCHMARKS[name]:
            raise PublicDataError(
                f"{name} has {BENCHMARKS[name]} pictures, but '{self.files[0].parent}' has {len(self.files)}; "
                "give the folder of the large pictures alone, or name=None."
            )

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> Sample:
        """``image`` (3, rH, rW), ``condition`` (3, H, W) and ``name``."""
        path = self.files[index]
        return _sample(read_image(path), path.stem.removesuffix("_HR"), self.factor)


def bundled_photos(
    split: Literal["train", "test"], *, side: int | None = 320, textures: bool = True, multiple: int = FACTOR
) -> dict[str, Tensor]:
    """Real photos from installed packages: name -> (3, H, W) in [-1, 1]. No photo is in both splits.

    Train: china, flower, coffee, rocket, a motorcycle. Test: an astronaut, a cat, Rear Admiral Hopper. Of each
    texture the two splits have different places.

    Args:
        split: train or test.
        side: long side of a whole photo in px; None keeps the file's, where JPEG's blocks can be seen.
        textures: with brick, grass and gravel.
        multiple: of which the sides are.

    Raises:
        PhotoError, ModuleNotFoundError: a package does not carry its photo, or is not installed.
    """
    pictures = {
        name: cut_to_multiple(read_image(photo_file(name, package), side=side), multiple)
        for name, package in _PHOTOS[split]
    }
    for name in TEXTURES if textures else ():
        whole = read_image(photo_file(name, "scikit-image"), side=side)
        border = int(whole.shape[2] * (1 - TEST_SHARE))
        part = whole[:, :, :border] if split == "train" else whole[:, :, border:]
        pictures[name] = cut_to_multiple(part, multiple)
    return pictures


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Torch's antialiased bicubic has a = -1/2 in both directions; without `antialias` it has -3/4."""
    small = F.interpolate(images.float(), size, mode="bicubic", antialias=True, align_corners=False)
    return small.clamp(-1, 1)  # the kernel overshoots at edges


def _sample(image: Tensor, name: str, factor: int) -> Sample:
    image = cut_to_multiple(image, factor)
    return {"image": image, "condition": downscale(image[None], factor)[0], "name": name}


def _large_pictures(root: Path) -> list[Path]:
    """The files of the first folder of `_INSIDE` that holds any large picture."""
    for inside in _INSIDE:
        folder = root / inside
        files: Sequence[Path] = image_files(folder) if folder.is_dir() and _holds_images(folder) else ()
        marked = [path for path in files if path.stem.endswith("_HR")]
        large = marked or [path for path in files if not path.stem.endswith(_SMALL)]
        if large:
            return large
    raise PublicDataError(
        f"'{root}' holds no large pictures, neither itself nor in {', '.join(filter(None, _INSIDE))}; give the folder "
        "that does."
    )


def _holds_images(folder: Path) -> bool:
    try:
        return bool(image_files(folder))
    except PublicDataError:
        return False
