"""PatchMatch: the nearest patch for every patch, by good guesses that neighbours pass on to each other.

Paper: PatchMatch (Barnes et al., SIGGRAPH 2009). An exhaustive search compares every patch with every other. But the
matches of a natural picture are *coherent*: where a pixel finds its match, the pixel beside it nearly always finds its
own beside that. So start at random, where some pixels are lucky, and repeat

    propagation      try what the neighbour found, shifted by the step to the neighbour
    random search    try random places round the best one so far, in ever smaller windows

The paper walks over the picture in raster order, so that luck travels a whole row in one pass. That is a loop over
pixels. Here all pixels look at once, at neighbours 8, 4, 2 and 1 steps away (jump flooding, Rong and Tan 2006): luck
travels 15 pixels in each direction, in four look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.losses.patches import nearest_patches

__all__ = ["Field", "MatchSearch", "exhaustive", "patch_match", "patch_rows", "random_field", "take", "vote"]

_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # dy, dx
_PIECE = 4096  # patches compared at once: a few megabytes, which stay in a processor's cache


@dataclass(frozen=True)
class MatchSearch:
    """Settings of the search.

    Attributes:
        size: side of a patch in pixels, odd.
        iterations: propagations, each followed by a random search.
        steps: how far away the neighbours are that a propagation asks, in pixels.
        radius: of the first random window, in pixels; None is the whole picture. The windows halve down to 1.

    Raises:
        ValueError: a value is out of range.
    """

    size: int = 3
    iterations: int = 6
    steps: tuple[int, ...] = (8, 4, 2, 1)
    radius: int | None = None

    def __post_init__(self) -> None:
        if self.size < 1 or self.size % 2 == 0 or self.iterations < 0 or min(self.steps, default=0) < 1:
            raise ValueError(
                "PatchMatch needs an odd size, iterations >= 0 and steps >= 1, "
                f"got {self.size}, {self.iterations} and {self.steps}."
            )


@dataclass(frozen=True, eq=False)
class Field:
    """A nearest-neighbour field: for every pixel, where its match is and how far.

    Attributes:
        place: (B, H, W) int64, the match as y*w + x in the other picture.
        distance: (B, H, W), mean squared difference of the two patches.
    """

    place: Tensor
    distance: Tensor

    def mean(self) -> float:
        """The mean distance, which the search makes small."""
        return float(self.distance.mean())


def patch_rows(maps: Tensor, size: int) -> Tensor:
    """The patch round every pixel, continued by the border: (B, C, H, W) -> (B, H*W, C*size*size)."""
    padded = F.pad(maps, (size // 2,) * 4, mode="replicate")
    return F.unfold(padded, size).transpose(1, 2).contiguous()


def random_field(shape: Sequence[int], keys: int, *, generator: torch.Generator) -> Tensor:
    """A place among ``keys`` for every pixel of (B, H, W), all equally likely; on the generator's device."""
    return torch.randint(keys, tuple(shape), generator=generator, device=generator.device)


def take(maps: Tensor, place: Tensor) -> Tensor:
    """Copy pixels: maps (B or 1, C, h, w) at the places (B, H, W) -> (B, C, H, W)."""
    batch, height, width = place.shape
    flat = maps.flatten(2).expand(batch, -1, -1)
    return flat.gather(2, place.view(batch, 1, -1).expand(-1, maps.shape[1], -1)).view(batch, -1, height, width)


def vote(picture: Tensor, place: Tensor, size: int) -> Tensor:
    """The picture that matches make: each patch says what its match shows, overlaps are averaged.

    Args:
        picture: (B, C, h, w), what was searched.
        place: (B, H, W), y*w + x.
        size: side of the patches; 1 copies pixels.
    """
    rows = patch_rows(picture, size)
    found = place.flatten(1).unsqueeze(2).expand(-1, -1, rows.shape[2])
    said = rows.gather(1, found).transpose(1, 2)  # (B, C*s*s, H*W)
    height, width = place.shape[1:]
    padded = (height + size - 1, width + size - 1)
    total = F.fold(said, padded, size) / F.fold(torch.ones_like(said), padded, size)
    edge = size // 2
    return total[:, :, edge : edge + height, edge : edge + width]


@torch.no_grad()
def exhaustive(queries: Tensor, keys: Tensor, size: int = 3) -> Field:
    """The exact field, by comparing all with all: time in H*W * h*w. Arguments as in `patch_match`."""
    _check(queries, keys)
    batch, _, height, width = queries.shape
    distance, place = nearest_patches(patch_rows(queries, size), patch_rows(keys, size))
    return Field(place.view(batch, height, width), distance.view(batch, height, width))


@torch.no_grad()
@equation("11.3", tests="tests/wiring/test_patch_match.py::test_patch_match_comes_near_the_exhaustive_search")
def patch_match(
    queries: Tensor,
    keys: Tensor,
    search: MatchSearch | None = None,
    *,
    generator: torch.Generator,
    start: Tensor | None = None,
    on_iteration: Callable[[int, Field], object] | None = None,
) -> Field:
    """Search the nearest patch of ``keys`` for every patch of ``queries``.

    Args:
        queries: (B, C, H, W), pixels or features.
        keys: (B, C, h, w).
        search: default `MatchSearch()`.
        generator: source of the guesses.
        start: (B, H, W) places to begin with; default `random_field`.
        on_iteration: called with the number of iterations done and the field so far, first with 0.

    Raises:
        ValueError: the maps or the start do not fit.
    """
    search = search or MatchSearch()
    _check(queries, keys)
    batch, _, height, width = queries.shape
    matcher = _Matcher(queries, keys, search.size)
    if start is None:
        start = random_field((batch, height, width), keys.shape[2] * keys.shape[3], generator=generator)
    if start.shape != (batch, height, width):
        raise ValueError(f"The start {tuple(start.shape)} does not fit queries of {(batch, height, width)}.")
    field = matcher.field(start.to(queries.device))
    if on_iteration is not None:
        on_iteration(0, field)
    for iteration in range(search.iterations):
        for step in search.steps:
            for side in _SIDES:
                field = matcher.better(field, *matcher.neighbours(field, side[0] * step, side[1] * step))
        radius = search.radius or max(keys.shape[2:])
        while radius >= 1:
            field = matcher.better(field, *matcher.nearby(field, radius, generator))
            radius //= 2
        if on_iteration is not None:
            on_iteration(iteration + 1, field)
    return field


def _check(queries: Tensor, keys: Tensor) -> None:
    if queries.ndim != 4 or keys.ndim != 4 or queries.shape[:2] != keys.shape[:2]:
        raise ValueError(
            "Patches are matched between maps (B, C, H, W) and (B, C, h, w) of the same batch and channels, "
            f"got {tuple(queries.shape)} and {tuple(keys.shape)}."
        )


class _Matcher:
    """Patches as rows, and the two kinds of guesses; a guess is a place as y and x, (B, H, W) each."""

    def __init__(self, queries: Tensor, keys: Tensor, size: int) -> None:
        self.queries, self.keys = patch_rows(queries, size), patch_rows(keys, size)
        self.height, self.width = keys.shape[2], keys.shape[3]
        batch = torch.arange(len(keys), device=keys.device)
        self.first = (batch * self.height * self.width)[:, None]  # (B, 1): row of each picture's first patch
        self.flat = self.keys.flatten(0, 1)

    def field(self, place: Tensor) -> Field:
        found = (place.flatten(1) + self.first).flatten()
        pairs = zip(self.queries.flatten(0, 1).split(_PIECE), found.split(_PIECE), strict=True)
        distance = [(asked - self.flat.index_select(0, rows)).square_().mean(dim=1) for asked, rows in pairs]
        return Field(place, torch.cat(distance).view_as(place))

    def better(self, field: Field, y: Tensor, x: Tensor) -> Field:
        """Keep of each pixel's match and the guess what is nearer."""
        guess = self.field(y.clamp(0, self.height - 1) * self.width + x.clamp(0, self.width - 1))
        nearer = guess.distance < field.distance
        return Field(torch.where(nearer, guess.place, field.place), torch.where(nearer, guess.distance, field.distance))

    def neighbours(self, field: Field, dy: int, dx: int) -> tuple[Tensor, Tensor]:
        """What the pixel (dy, dx) away found, less that step; at the border the border's pixel is asked."""
        height, width = field.place.shape[1:]
        ys = (torch.arange(height, device=field.place.device) + dy).clamp(0, height - 1)
        xs = (torch.arange(width, device=field.place.device) + dx).clamp(0, width - 1)
        theirs = field.place[:, ys][:, :, xs]
        own_y, own_x = torch.arange(height, device=ys.device), torch.arange(width, device=xs.device)
        return theirs // self.width + (own_y - ys)[:, None], theirs % self.width + (own_x - xs)

    def nearby(self, field: Field, radius: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A place at random, at most ``radius`` rows and columns from the match."""
        shift = torch.randint(
            -radius, radius + 1, (2, *field.place.shape), generator=generator, device=generator.device
        ).to(field.place.device)  # fmt: skip
        return field.place // self.width + shift[0], field.place % self.width + shift[1]
