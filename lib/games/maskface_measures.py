"""What mask-guided faces are judged by: real, different from each other, and obedient to the mask.

The world knows what no photo album does: which pictures share one mask, and what the same person looks like when
one thing is changed. So diversity has a true value to stand beside, and an edit of the mask a true answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Batch, Split, one_hot, split_generator
from lib.losses.diversity import style_loss
from lib.metrics.diversity import FeatureDistance, pairwise_distance
from lib.metrics.features import Features, RandomConvFeatures, ReaderFeatures
from lib.metrics.fidelity import fidelity
from lib.metrics.reader import AttributeReader
from lib.metrics.segmentation_score import SceneParser, confusion, score_of
from lib.nn.maskface import FaceModel
from lib.runtime import seeded

__all__ = [
    "EDITS", "Edit", "Judges", "edit_scores", "edited_faces", "every_style", "leak", "looks_of_one_mask", "measure",
    "style_scores", "swap_score",
]  # fmt: skip

STYLES = 10  # of each mask, as in StarGAN v2's protocol
_REACH = 3  # px around an edit that may change with it: shading, anti-aliasing
_BATCH = 32

EDITS: Mapping[str, tuple[str, str, str]] = MappingProxyType({
    "glasses": ("glasses", "none", "glasses"),
    "smile": ("expression", "neutral", "smile"),
    "surprise": ("expression", "neutral", "surprised"),
})  # fmt: skip
"""Name of an edit of the mask -> the attribute that makes it, its value before and after."""

_LOOKS = ("hair", "light", "background", "texture")
"""Parameters of the face world that no mask shows. (Skin and clothes are part of the identity, which it does.)"""


@dataclass(frozen=True)
class Edit:
    """The same people before and after: ``image``, ``labels`` and all parameters of both."""

    before: Batch
    after: Batch

    @property
    def changed(self) -> Tensor:
        """(B, H, W) bool: where the masks differ."""
        return self.before["labels"] != self.after["labels"]


@dataclass(frozen=True)
class Judges:
    """Networks that took no part in the training."""

    parser: SceneParser  # reads masks
    reader: AttributeReader  # reads attributes

    def small(self, images: Tensor) -> Tensor:
        """Pictures at the size that both judges were trained on."""
        side = self.parser.config.size
        if images.shape[-1] == side:
            return images
        return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True).clamp(-1, 1)

    def parse(self, images: Tensor) -> Tensor:
        """The mask of each picture, (B, H, W) int64 at the picture's own size."""
        found = self.parser.predict(self.small(images))
        return F.interpolate(found[:, None].float(), size=images.shape[-2:], mode="nearest-exact")[:, 0].long()

    def hair(self, images: Tensor) -> Tensor:
        """The hair colour that the reader sees, (B,)."""
        return self.reader.read(self.small(images)).values()["hair"]


def edited_faces(
    name: str, count: int, size: int, *, always: Mapping[str, str] | None = None, split: Split = "test", seed: int = 0
) -> Edit:
    """The true answer to an edit in `EDITS`."""
    world, (attribute, old, new) = Faces(), EDITS[name]
    people = world.changed(world.sample(count, generator=split_generator(split, seed)), **dict(always or {}))
    before, after = (world.changed(people, **{attribute: value}) for value in (old, new))
    return Edit({**before, **world.render(before, size)}, {**after, **world.render(after, size)})


def looks_of_one_mask(
    count: int, styles: int, size: int, *, always: Mapping[str, str] | None = None, split: Split = "test", seed: int = 0
) -> tuple[Tensor, Tensor]:
    """True pictures of the same masks: (count * styles, 3, size, size), and the number of the mask of each.

    Hair colour, light, background and texture are drawn anew; what shows in the mask stays.
    """
    world, generator = Faces(), split_generator(split, seed)
    people = world.changed(world.sample(count, generator=generator), **dict(always or {}))
    pictures = []
    for _ in range(styles):
        other = world.sample(count, generator=generator)
        pictures.append(world.render({**people, **{look: other[look] for look in _LOOKS}}, size)["image"])
    return torch.stack(pictures, dim=1).flatten(0, 1), torch.arange(count).repeat_interleave(styles)


@torch.no_grad()
def every_style(model: FaceModel, mask: Tensor, styles: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Every mask in `styles` random styles of its own: (B * styles, 3, H, W) and the number of the mask of each."""
    noise = seeded(seed)
    painted = [model(part.repeat_interleave(styles, dim=0), noise=noise) for part in mask.split(_BATCH)]
    return torch.cat(painted), torch.arange(len(mask), device=mask.device).repeat_interleave(styles)


@torch.no_grad()
def style_scores(model: FaceModel, mask: Tensor, *, seed: int = 0, noise: float = 0.05) -> dict[str, float]:
    """Can the style be read from the picture, and still from a slightly spoiled one?

    Returns:
        ``style/error``: mean |R(G(m, s)) - s|. ``style/noisy``: the same after noise of that standard deviation, which
        a reader of the book would hardly see: a code that hides in faint patterns does not survive it.
        ``style/guess``: the error of always answering the median.
    """
    generator = seeded(seed)
    style = model.S(model.draw(len(mask), generator, mask.device))
    fake = model.G(mask, style)
    spoiled = fake + noise * torch.randn(fake.shape, generator=generator).to(fake.device)
    return {
        "style/error": float(style_loss(model.R(fake), style)),
        "style/noisy": float(style_loss(model.R(spoiled), style)),
        "style/guess": float((style - style.median(dim=0).values).abs().mean()),
    }


@equation("10.10", tests="tests/equations/test_diverse_faces.py::test_leak")
def leak(before: Tensor, after: Tensor, changed: Tensor) -> Tensor:
    """Mean |difference| of two pictures far from an edit, over the mean at the edit: 0 where nothing else moves.

    Far is more than 3 px away from every edited pixel: shading and anti-aliasing may change with an edit.

    Args:
        before, after: (B, 3, H, W).
        changed: (B, H, W) bool, the edited pixels.
    """
    difference = (after - before).abs().mean(dim=1)  # (B, H, W)
    far = F.max_pool2d(changed.float()[:, None], 2 * _REACH + 1, 1, _REACH)[:, 0] == 0
    return difference[far].mean() / difference[changed].mean().clamp(min=1e-9)


@torch.no_grad()
def edit_scores(model: FaceModel, edit: Edit, judges: Judges, *, seed: int = 0) -> dict[str, float]:
    """Does the edited part of the mask move in the picture, and nothing else? Both pictures have one style.

    Returns:
        ``hit``: share of the changed pixels in which the parser finds the new class; ``hit/truth`` in the true
        pictures. ``moved``: mean |difference| at the changed pixels. ``leak``: the same farther than 3 px from them,
        over ``moved``; ``leak/truth`` is the world's own.
    """
    classes, changed = model.config.classes, edit.changed
    old, new = (one_hot(side["labels"], classes) for side in (edit.before, edit.after))
    style = model.S(model.draw(len(old), seeded(seed), old.device))
    pictures = model.G(old, style), model.G(new, style)
    truth = edit.before["image"], edit.after["image"]
    scores: dict[str, float] = {}
    for name, (before, after) in {"": pictures, "/truth": truth}.items():
        moved = float((after - before).abs().mean(dim=1)[changed].mean())
        found = judges.parse(after) == edit.after["labels"]
        scores |= {
            f"hit{name}": float(found[changed].double().mean()),
            f"moved{name}": moved,
            f"leak{name}": float(leak(before, after, changed)),
        }
    return scores


@torch.no_grad()
def swap_score(model: FaceModel, faces: Batch, judges: Judges) -> dict[str, float]:
    """A style read from one picture and painted on another's mask: does the hair keep the colour of the first?

    Returns:
        ``swap/hair``: how often the reader reads it; ``swap/hair/truth`` in the pictures themselves. Chance is 1/4.
    """
    owner = faces["hair"]
    mask = one_hot(faces["labels"], model.config.classes).roll(1, 0)  # everyone gets the next one's mask
    painted = model.G(mask, model.R(faces["image"]))
    answers = {"": painted, "/truth": faces["image"]}
    return {f"swap/hair{name}": float((judges.hair(image) == owner).double().mean()) for name, image in answers.items()}


@torch.no_grad()
def measure(
    model: FaceModel, faces: Batch, others: Batch, judges: Judges, *, always: Mapping[str, str] | None = None,
    masks: int = 16, edits: Sequence[str] = tuple(EDITS),
) -> dict[str, float]:  # fmt: skip
    """Everything about one model; judges see its pictures at the size that they were trained on.

    Args:
        model: in evaluation mode, on the CPU.
        faces, others: two sets of test faces of one length: ``image``, ``labels``, ``hair``. The masks of the first
            are painted; the second gives the floor of the FID.
        always: what all faces have in common, for the pictures that are drawn here.
        masks: that are painted in ten styles.
        edits: names in `EDITS`.
    """
    classes, size = model.config.classes, faces["image"].shape[-1]
    mask = one_hot(faces["labels"], classes)
    fake, _ = every_style(model, mask, 1)
    scores: dict[str, float] = {}
    spaces: list[Features] = [RandomConvFeatures(), ReaderFeatures(judges.reader)]
    real, painted, other = (judges.small(images) for images in (faces["image"], fake, others["image"]))
    for features in spaces:
        report = fidelity(real, painted, features, other_real=other)
        scores |= {f"fid/{features.name}": report.fid, f"floor/{features.name}": report.fid_floor}
    scores |= _diversity(model, mask[:masks], size, always)
    for name, images in (("mask", fake), ("mask/truth", faces["image"])):
        score = score_of(confusion(judges.parse(images), faces["labels"].long(), classes))
        scores |= {f"{name}/miou": score.miou, f"{name}/pixel": score.pixel_accuracy}
    scores |= style_scores(model, mask) | swap_score(model, faces, judges)
    for name in edits:
        edit = edited_faces(name, masks, size, always=always)
        scores |= {f"edit/{name}/{key}": value for key, value in edit_scores(model, edit, judges).items()}
    return scores


def _diversity(model: FaceModel, mask: Tensor, size: int, always: Mapping[str, str] | None) -> dict[str, float]:
    """Mean distance of two pictures of one mask, painted and true."""
    ruler = FeatureDistance(RandomConvFeatures())
    painted, true = every_style(model, mask, STYLES), looks_of_one_mask(len(mask), STYLES, size, always=always)
    return {
        f"diversity{name}": pairwise_distance(images, ruler, groups=groups, generator=seeded(0)).mean
        for name, (images, groups) in {"": painted, "/truth": true}.items()
    }
