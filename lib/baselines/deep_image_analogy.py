"""Deep Image Analogy: match the features of a network instead of pixels, coarse to fine.

Paper: Visual Attribute Transfer through Deep Image Analogy (Liao et al., SIGGRAPH 2017), A : A' :: B : B'. Two
pictures are given, A and B'; the other two, A' (A's content in the looks of B') and B, are found. At every layer of a
network, from the coarsest on,

    match      phi(p) = arg min_q  sum over the patch of |F_A - F_B|^2 + |F_A' - F_B'|^2, features of unit length:
               what is alike in A and B must be alike in A' and B' as well; and the same from B to A
    look up    R = the features from which the network makes the matched ones, F_B'(phi), one layer up
    blend      F_A' <- W F_A + (1 - W) R at the next finer layer, W = alpha M where A shows structure

The picture A' at the end is what the finest matches say: every patch votes.

`transfer` is that. `paint` is for layouts (INFERRED, the paper has none), with the analogy that semantic image analogy
states: A and B are the two layouts, drawn in the mean colours of the photo's classes, and B' is the photo. So B is
*known*: the half of the algorithm that finds B falls away, and the labels themselves can be compared. Ours, too: the
first match, when nothing of A' is known yet, goes by A, B and the place in the picture (the paper starts from A' = A,
and a flat drawing would look for the flattest patch); then the coarsest layer matches again, with A' as that match
made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.baselines.inputs import PaintError, check_inputs, one_hot_layouts
from lib.book.equations import equation
from lib.games.photo_features_train import photo_maps
from lib.losses.patch_match import Field, MatchSearch, patch_match, take, vote
from lib.losses.perceptual import FeatureMaps
from lib.runtime import seeded

__all__ = [
    "PAPER_LAYERS", "DeepAnalogy", "DeepSettings", "Side", "analogy", "blend", "descriptors", "drawn", "invert",
    "paint", "transfer",
]  # fmt: skip


PAPER_LAYERS = ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1))  # (i, j) of VGG-19, fine to coarse


@dataclass(frozen=True)
class DeepSettings:
    """Settings of Deep Image Analogy.

    Attributes:
        keep: alpha for each layer but the coarsest, fine to coarse: how much of F_A stays where A shows structure.
        sizes: side of the patches at each layer, fine to coarse.
        radii: first window of the random search at each layer but the coarsest, in its pixels, fine to coarse.
        iterations: of PatchMatch at each layer, fine to coarse.
        steps: of the search for the features R; 0 takes the warped finer features instead.
        rate: of Adam in that search.
        label_weight: squared feature distance that a wholly mislabelled patch is worth; the features differ by 2 + 2 at
            most.
        place_weight: the same for a shift by the whole height or width; at the first match only.
        vote: side of the patches that vote for the picture.
    """

    keep: tuple[float, ...] = (0.1, 0.3)
    sizes: tuple[int, ...] = (3, 3, 3)
    radii: tuple[int, ...] = (4, 6)
    iterations: tuple[int, ...] = (2, 3, 6)
    steps: int = 20
    rate: float = 0.05
    label_weight: float = 2.0
    place_weight: float = 1.0
    vote: int = 3

    @classmethod
    def paper(cls) -> DeepSettings:
        """For the paper's five layers (`PAPER_LAYERS` of VGG-19): sizes, ranges and weights of the authors' code."""
        return cls(
            keep=(0.2, 0.7, 0.8, 0.9), sizes=(5, 5, 3, 3, 3), radii=(4, 4, 6, 6), iterations=(10, 10, 10, 10, 10)
        )  # fmt: skip

    def __post_init__(self) -> None:
        counts = [len(self.sizes), len(self.iterations), len(self.keep) + 1, len(self.radii) + 1]
        if len(set(counts)) != 1 or counts[0] < 2:
            raise PaintError(
                "Deep Image Analogy needs sizes and iterations for 2 or more layers, keep and radii for each but the "
                f"coarsest; got {len(self.sizes)}, {len(self.iterations)}, {len(self.keep)} and {len(self.radii)}."
            )
        if self.vote % 2 == 0 or min(self.label_weight, self.place_weight, self.steps) < 0:
            raise PaintError("vote must be odd; label_weight, place_weight and steps must not be negative.")


@dataclass(frozen=True, eq=False)
class DeepAnalogy:
    """What was found.

    Attributes:
        image: A', (3, H, W) in [-1, 1].
        there: at the finest layer, the place in B' of every pixel of A', (1, H, W) as y*w + x.
        other: B, (3, h, w); None where it was given.
        back: the place in A of every pixel of B, (1, h, w) as y*W + x; None where B was given.
    """

    image: Tensor
    there: Field
    other: Tensor | None = None
    back: Field | None = None


@dataclass(frozen=True, eq=False)
class Side:
    """One side of the analogy at every layer, fine to coarse.

    Attributes:
        maps: features (1, C, h, w) of the two pictures on this side, A and A' or B and B'; None: not known yet.
        labels: one-hot (1, K, H, W) at full size, or None.
    """

    maps: tuple[list[Tensor | None], list[Tensor | None]]
    labels: Tensor | None = None


def paint(
    photo: Tensor, layout: Tensor, target: Tensor, settings: DeepSettings | None = None, *,
    features: FeatureMaps | None = None, seed: int = 0,
) -> Tensor:  # fmt: skip
    """Paint a layout with the photo's pixels: (3, H', W') in [-1, 1]. See `analogy` for the arguments."""
    return analogy(photo, layout, target, settings, features=features, seed=seed).image


@torch.no_grad()
def analogy(
    photo: Tensor, layout: Tensor, target: Tensor, settings: DeepSettings | None = None, *,
    features: FeatureMaps | None = None, seed: int = 0,
) -> DeepAnalogy:  # fmt: skip
    """Find A' for A = the target, B = the layout and B' = the photo.

    Args:
        photo: (3, H, W) in [-1, 1].
        layout: (H, W) class indices.
        target: (H', W') class indices that occur in ``layout``.
        settings: default `DeepSettings()`.
        features: layers of a chain of modules, fine to coarse; default `photo_maps()`, the book's own. As in the paper,
            where the weights are on disk: settings `DeepSettings.paper()` and ``vgg19_maps(PAPER_LAYERS)``.
        seed: of PatchMatch's guesses.

    Raises:
        PaintError: the inputs do not fit, or the settings do not fit the features.
        CheckpointError: the book's features are missing.
    """
    levels = _Levels(settings or DeepSettings(), features or photo_maps(), seeded(seed, photo.device))
    check_inputs(photo, layout, target, least=2**levels.count)
    labels_b, labels_a = one_hot_layouts(layout, target, torch.float32)
    b_prime = photo.float().unsqueeze(0)
    colours = torch.einsum("nchw,nkhw->kc", b_prime, labels_b) / labels_b.sum(dim=(0, 2, 3)).clamp(min=1)[:, None]
    side_a = Side((levels.see(drawn(labels_a, colours)), [None] * levels.count), labels_a)
    side_b = Side((levels.see(drawn(labels_b, colours)), levels.see(b_prime)), labels_b)
    there, _ = levels.run(side_a, side_b)
    return DeepAnalogy(vote(b_prime, there.place, levels.settings.vote)[0].clamp(-1, 1), there)


@torch.no_grad()
def transfer(
    picture: Tensor, looks: Tensor, settings: DeepSettings | None = None, *, features: FeatureMaps | None = None,
    seed: int = 0,
) -> DeepAnalogy:  # fmt: skip
    """The paper's own problem: A' and B from two pictures, A (3, H, W) and B' (3, h, w), of alike content.

    Other arguments as in `analogy`; without labels, ``label_weight`` and ``place_weight`` say nothing.

    Raises:
        PaintError: a picture is no (3, H, W), or too small for the layers.
    """
    levels = _Levels(settings or DeepSettings(), features or photo_maps(), seeded(seed, picture.device))
    for image in (picture, looks):
        if image.ndim != 3 or image.shape[0] != 3 or min(image.shape[1:]) < 2**levels.count:
            raise PaintError(f"A picture is (3, H, W) of at least {2**levels.count} px, not {tuple(image.shape)}.")
    a, b_prime = picture.float().unsqueeze(0), looks.float().unsqueeze(0)
    maps_a, maps_b = levels.see(a), levels.see(b_prime)
    unknown: list[Tensor | None] = [None] * (levels.count - 1)
    # At the coarsest layer the paper begins with A' = A and B = B': there content speaks louder than looks.
    there, back = levels.run(Side((maps_a, [*unknown, maps_a[-1]])), Side(([*unknown, maps_b[-1]], maps_b)))
    assert back is not None  # B was not given
    made, other = vote(b_prime, there.place, levels.settings.vote), vote(a, back.place, levels.settings.vote)
    return DeepAnalogy(made[0].clamp(-1, 1), there, other[0].clamp(-1, 1), back)


def drawn(labels: Tensor, colours: Tensor) -> Tensor:
    """A layout as a picture of flat colours: one-hot (B, K, H, W) and (K, 3) -> (B, 3, H, W)."""
    return torch.einsum("nkhw,kc->nchw", labels, colours)


@equation("11.4", tests="tests/wiring/test_deep_image_analogy.py::test_descriptors_add_up_the_distances_of_the_analogy")
def descriptors(
    pair: Sequence[Tensor], labels: Tensor | None = None, *, label_weight: float = 0.0, place_weight: float = 0.0
) -> Tensor:  # fmt: skip
    """What is compared at a layer: (1, D, h, w), whose squared distances are the sums that the analogy asks for.

    Args:
        pair: features (1, C, h, w) of A and A', or of B and B', or only of the first; each is brought to length 1.
        labels: one-hot (1, K, H, W) at full size.
        label_weight, place_weight: as in `DeepSettings`.
    """
    size = (pair[0].shape[2], pair[0].shape[3])
    parts = [F.normalize(maps, dim=1) for maps in pair]
    if labels is not None:  # two one-hot vectors are 2 apart in squared distance
        parts.append((label_weight / 2) ** 0.5 * F.adaptive_avg_pool2d(labels, size))
    if place_weight:
        ys, xs = ((torch.arange(side, device=pair[0].device) + 0.5) / side for side in size)
        parts.append(place_weight**0.5 * torch.stack(torch.meshgrid(ys, xs, indexing="ij"))[None])
    return torch.cat(parts, dim=1)


@equation("11.5", tests="tests/wiring/test_deep_image_analogy.py::test_blend_keeps_what_is_strong")
def blend(own: Tensor, looked_up: Tensor, alpha: float, *, sharpness: float = 300.0, threshold: float = 0.05) -> Tensor:
    """F_A' = W F_A + (1 - W) R with W = alpha * sigmoid(sharpness * (|F_A|^2 - threshold)), |F_A|^2 scaled to 0..1.

    The two constants are UNVERIFIED; the authors' code cuts at the threshold instead.
    """
    strength = own.square().sum(dim=1, keepdim=True)
    low, high = strength.amin(dim=(2, 3), keepdim=True), strength.amax(dim=(2, 3), keepdim=True)
    response = torch.sigmoid(sharpness * ((strength - low) / (high - low).clamp(min=1e-8) - threshold))
    return torch.lerp(looked_up, own, alpha * response)


@torch.enable_grad()
def invert(stage: nn.Module, wanted: Tensor, start: Tensor, *, steps: int, rate: float) -> Tensor:
    """Features R, near ``start``, of which ``stage`` makes the ``wanted`` ones: least squares by Adam."""
    found = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([found], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        (stage(found) - wanted).square().mean().backward()
        optimiser.step()
    return found.detach().clamp(min=0)  # features behind a ReLU


def _stages(features: FeatureMaps, layers: int) -> list[nn.Module]:
    """The chain cut behind every layer: picture -> layer 1 -> layer 2 -> ..."""
    if not isinstance(features.network, nn.Sequential) or len(features.layers) != layers:
        raise PaintError(
            f"The settings are for {layers} layers of a chain of modules, fine to coarse; the features have "
            f"{len(features.layers)} of a {type(features.network).__name__}."
        )
    chain = list(features.network)
    ends = [0, *(1 + int(name) for name in features.layers)]
    return [nn.Sequential(*chain[first:last]) for first, last in pairwise(ends)]


def _finer(place: Tensor, width: int, size: Sequence[int], keys: Sequence[int]) -> Tensor:
    """Matches in maps of a width, for a finer layer: each of its pixels keeps its place within the coarse pixel."""
    height_f, width_f = size
    rows, columns = place.shape[1:]
    ys, xs = torch.arange(height_f, device=place.device), torch.arange(width_f, device=place.device)
    over = place[:, (ys // 2).clamp(max=rows - 1)][:, :, (xs // 2).clamp(max=columns - 1)]
    y = (2 * (over // width) + ys[:, None] % 2).clamp(max=keys[0] - 1)
    x = (2 * (over % width) + xs % 2).clamp(max=keys[1] - 1)
    return y * keys[1] + x


class _Levels:
    """The layers, coarse to fine, for one analogy."""

    def __init__(self, settings: DeepSettings, features: FeatureMaps, generator: torch.Generator) -> None:
        self.settings, self.features, self.generator = settings, features, generator
        self.count = len(settings.sizes)
        self.stages = _stages(features, self.count)

    def see(self, picture: Tensor) -> list[Tensor | None]:
        """The features of a picture (1, 3, H, W), fine to coarse."""
        return list(self.features(picture))

    def run(self, a: Side, b: Side) -> tuple[Field, Field | None]:
        """The field from A's side to B's at the finest layer, and the field back where B is not known."""
        start: tuple[Tensor | None, Tensor | None] = (None, None)
        for level in reversed(range(self.count)):
            there = self._match(level, a, b, start[0])
            if a.maps[1][level] is None:  # nothing was known of A'; now something is
                a.maps[1][level] = take(_known(b.maps[1][level]), there.place)
                there = self._match(level, a, b, there.place)
            finds_b = level > 0 and b.maps[0][level - 1] is None
            back = self._match(level, b, a, start[1]) if finds_b or start[1] is not None else None
            if level:
                start = (self._hand_on(level, there, a, b, 1), None)
                if finds_b and back is not None:
                    start = (start[0], self._hand_on(level, back, b, a, 0))
        return there, back

    def _match(self, level: int, asking: Side, answering: Side, start: Tensor | None) -> Field:
        s = self.settings
        both = all(side.maps[1][level] is not None for side in (asking, answering))
        first_sight = 0.0 if both or asking.labels is None else s.place_weight
        rows = [
            descriptors(
                [_known(maps[level]) for maps in (side.maps if both else side.maps[:1])], side.labels,
                label_weight=s.label_weight, place_weight=first_sight,
            )
            for side in (asking, answering)
        ]  # fmt: skip
        coarsest = level == self.count - 1
        search = MatchSearch(
            size=s.sizes[level], iterations=s.iterations[level], radius=None if coarsest else s.radii[level]
        )
        return patch_match(rows[0], rows[1], search, generator=self.generator, start=start)

    def _hand_on(self, level: int, field: Field, asking: Side, answering: Side, which: int) -> Tensor:
        """Fill in the unknown picture of the asking side at the next finer layer; return the start of its search.

        ``which`` of the two maps of a side is the unknown one on the asking side, and known on the other.
        """
        s, known, own = self.settings, answering.maps[which], _known(asking.maps[1 - which][level - 1])
        finer = _known(known[level - 1])
        start = _finer(field.place, _known(known[level]).shape[3], own.shape[2:], finer.shape[2:])
        looked_up = take(finer, start)
        if s.steps:
            wanted = take(_known(known[level]), field.place)
            looked_up = invert(self.stages[level], wanted, looked_up, steps=s.steps, rate=s.rate)
        asking.maps[which][level - 1] = blend(own, looked_up, s.keep[level - 1])
        return start


def _known(maps: Tensor | None) -> Tensor:
    assert maps is not None  # the coarser layer has filled it in
    return maps
