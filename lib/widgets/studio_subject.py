"""What a studio paints with: a photo, its layout, and the model that was trained on them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lib.data.first_guess import first_guess
from lib.data.photos import PhotoError, load_photo, photo_names
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.games.fine_painting import paint_fine
from lib.images import ImageSource, fit_size, read_image
from lib.labelmaps import LabelError, LabelMap, Palette, read_label_map
from lib.training.play import Report
from lib.widgets.project import Project

__all__ = ["MODELS", "Subject", "models"]

MODELS = Path(__file__).resolve().parents[2] / "assets" / "checkpoints"
"""Where the trained models of the bundled photos are."""

CELL = 8  # both sides of what a model paints are multiples of this many pixels


@dataclass(frozen=True, eq=False)
class Subject:
    """A photo with its layout at the size of the studio, and where its model is.

    Attributes:
        name: of a bundled photo, or anything.
        image: (3, H, W) in [-1, 1]; H and W multiples of 8 ``factor``.
        layout: the photo's layout, of the same size.
        targets: layouts that come with a bundled photo.
        factor: how many times larger the studio is than the picture that the model learns.
        model: a trained model; None where it has to be trained first.
    """

    name: str
    image: Tensor
    layout: LabelMap
    targets: dict[str, LabelMap]
    factor: int
    model: Analogist | None = None

    @classmethod
    def opened(
        cls, photo: str | ImageSource | Tensor, layout: ImageSource | LabelMap | None = None, *, side: int = 256
    ) -> Subject:
        """What a reader means by a photo: a name of the book, a file, or a picture; with a layout or a first guess.

        Raises:
            PhotoError: neither a photo nor a file has this name.
            ImageError, LabelError: the photo or its layout cannot be used.
        """
        named = isinstance(photo, str | Path)
        name = Path(photo).stem if isinstance(photo, str | Path) else "photo"
        if layout is not None:
            return cls.of(photo, layout, side=side, name=name)
        if not named or (str(photo) not in photo_names() and Path(str(photo)).is_file()):
            return cls.guessed(photo, side=side, name=name)
        try:
            return cls.bundled(str(photo), side=side)
        except PhotoError as error:
            if str(photo) in photo_names():
                raise
            raise PhotoError(
                f"{error} A photo of your own needs the path of a file, and there is none here."
            ) from error

    @classmethod
    def bundled(cls, name: str, *, side: int = 256) -> Subject:
        """One of the book's photos, with its model if there is one.

        Raises:
            PhotoError: there is no such photo.
        """
        factor = _factor(side)
        photo = load_photo(name, side=side, multiple=CELL * factor)
        subject = cls(name, photo.image, photo.layout, photo.targets, factor)
        path = MODELS / f"analogy_{name}.safetensors"
        return subject.with_model(Analogist.load(path)) if path.exists() else subject

    @classmethod
    def of(
        cls, photo: ImageSource | Tensor, layout: ImageSource | LabelMap, *, side: int = 256, name: str = "photo"
    ) -> Subject:  # fmt: skip
        """A photo of one's own and the map painted over it; both are resized to the studio's size.

        Raises:
            ImageError, LabelError: one of them cannot be used, or they do not show the same picture.
        """
        factor = _factor(side)
        image = photo if isinstance(photo, Tensor) else read_image(photo, side=side, multiple=CELL * factor)
        size = fit_size(image.shape[-2], image.shape[-1], side, CELL * factor)
        if image.shape[-2:] != size:
            raise LabelError(f"The photo must be {size[1]} x {size[0]} px for side={side}; use read_image to resize.")
        drawn = read_label_map(layout)
        if abs(drawn.width / drawn.height * size[0] / size[1] - 1) > 0.08:
            raise LabelError(
                f"The photo is {size[1]} x {size[0]} px and its layout {drawn.width} x {drawn.height}; they must show "
                "the same picture: crop one to the shape of the other."
            )
        return cls(name, image, drawn.resized(*size), {}, factor)

    @classmethod
    def guessed(cls, photo: ImageSource | Tensor, *, side: int = 256, name: str = "photo") -> Subject:
        """A photo of one's own with a first guess of its layout (`lib.data.first_guess`), to be mended by hand.

        Raises:
            ImageError, LabelError: the photo cannot be used, or is of one colour.
        """
        image = photo if isinstance(photo, Tensor) else read_image(photo, side=side, multiple=CELL * _factor(side))
        return cls.of(image, first_guess(image), side=side, name=name)

    @classmethod
    def from_project(cls, project: Project) -> Subject:
        """What a project was made with; a bundled photo finds its model again."""
        side = max(project.image.shape[-2:])
        if project.name in photo_names():
            known = cls.bundled(project.name, side=side)
            if np.array_equal(known.layout.index, project.source.index):
                return known
        return cls(project.name, project.image, project.source, {}, _factor(side))

    @property
    def small(self) -> tuple[int, int]:
        """(H, W) of the picture that the model learns."""
        return self.layout.height // self.factor, self.layout.width // self.factor

    def with_model(self, model: Analogist) -> Subject:
        """The subject, painted by a model.

        Raises:
            LabelError: the model was trained on other classes or another size.
        """
        size = (model.layout.height, model.layout.width)
        if size != self.small or model.layout.classes != self.layout.classes:
            raise LabelError(
                f"The model knows {model.layout.classes} classes at {size[1]} x {size[0]} px, the studio needs "
                f"{self.layout.classes} at {self.small[1]} x {self.small[0]}; train one for this photo."
            )
        return replace(self, model=model)

    def with_layout(self, layout: LabelMap) -> Subject:
        """The photo with another layout, and without a model; classes that no pixel has are left out."""
        present = np.flatnonzero(np.bincount(layout.index.ravel(), minlength=layout.classes))
        names = tuple(layout.palette.names[k] for k in present)
        colours = tuple(layout.palette.colours[k] for k in present)
        index = np.searchsorted(present, layout.index).astype(np.uint8)
        return replace(self, layout=LabelMap(index, Palette(names, colours)), model=None)

    def small_image(self) -> Tensor:
        """The photo at the size that the model learns."""
        return read_image(_pixels(self.image), side=max(self.small), multiple=CELL)

    def train(self, on_round: Callable[[Report], None], config: AnalogyConfig | None = None) -> Analogist:
        """Train a model for this photo; an exception ``KeyboardInterrupt`` in ``on_round`` ends it early."""
        return Analogist.train(self.small_image(), self.layout.resized(*self.small), config, on_round=on_round)

    def with_learner(self, report: Report, config: AnalogyConfig | None = None) -> Subject:
        """The subject, painted by what a training of `train` has learned so far."""
        if report.ema is None:
            raise ValueError("Samples are painted by the averaged generator; train with an EMA.")
        generator = copy.deepcopy(report.ema.module)  # the training goes on with its own
        layout = self.layout.resized(*self.small)
        return self.with_model(Analogist(generator, self.small_image(), layout, config or AnalogyConfig.quick()))

    def paint(self, target: LabelMap, *, refine: bool = False) -> Tensor:
        """The picture that fits the target: (3, H, W) in [-1, 1].

        Names and colours of the target may have been changed, and classes may have been added, as long as no
        pixel has one of these.

        Raises:
            LabelError: the model does not know a class of the target, or there is no model yet.
        """
        if self.model is None:
            raise LabelError(f"There is no model for {self.name} yet; train it first.")
        known, highest = self.model.layout, int(target.index.max())
        if highest >= known.classes:
            raise LabelError(
                f"The model has not seen the class '{target.palette.names[highest]}'; paint it in the source layout "
                "and train again, or use another class."
            )
        wanted = LabelMap(target.index, known.palette)
        layout = LabelMap(self.layout.index, known.palette)
        if self.factor == 1:
            return self.model.paint(wanted, refine=refine)
        return paint_fine(self.model, self.image, layout, wanted, refine=refine)


def models() -> tuple[str, ...]:
    """The bundled photos that have a trained model."""
    return tuple(name for name in photo_names() if (MODELS / f"analogy_{name}.safetensors").exists())


def _factor(side: int) -> int:
    """The model learns at most 128 px; a larger studio borrows its detail from the photo."""
    return max(1, side // 128)


def _pixels(image: Tensor) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = ((image.clamp(-1, 1) + 1) / 2).permute(1, 2, 0).numpy()
    return values
