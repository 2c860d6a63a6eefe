"""Patch voting: minimise patch coherence over the pixels themselves, without a network."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.data.augment import identity_grid
from lib.losses.patch_match import MatchSearch, patch_match, vote
from lib.losses.patches import (
    check_images,
    extract_patches,
    guide_channels,
    nearest_patches,
    take_patches,
)
from lib.runtime import seeded

_BALLOT = 3  # px, the side of the patches that vote; smaller is sharper


@torch.no_grad()
@equation("12.16", tests="tests/equations/test_patches.py::test_refinement_never_raises_the_objective")
def patch_refine(image: Tensor, source: Tensor, *, size: int = 5, iterations: int = 4, power: float = 2.0) -> Tensor:
    """Pull an image onto the patches of a source by expectation maximisation (12.16).

    E-step: every patch finds its nearest source patch. M-step: every pixel becomes the weighted mean of what
    the matched patches that cover it say, which is the least-squares optimum for fixed matches. With power 2
    no step can raise ``patch_coherence(..., distance="squared")``.

    Paper: texture optimisation (Kwatra et al., SIGGRAPH 2005).

    Args:
        image: (B, 3, H, W) in [-1, 1], the start, e.g. the output of a generator.
        source: (1, 3, h, w) or (B, 3, h, w); any size.
        size: side of a patch in pixels.
        iterations: E- and M-steps.
        power: q, minimise sum d^q by reweighting; 2 is the plain mean, 0.8 trusts good matches more.

    Returns:
        (B, 3, H, W) float32.

    Raises:
        ValueError: as `lib.losses.patches.patch_coherence`.
    """
    check_images(image, source, (size,), (1,))
    shape, there, image = (image.shape[2], image.shape[3]), extract_patches(source.float(), size), image.float()
    for _ in range(iterations):
        here = extract_patches(image, size)
        squared, found = nearest_patches(here, there)
        rows = torch.arange(here.shape[1], device=here.device).expand(len(here), -1)
        votes, weights = vote_patches(take_patches(there, found), _reweight(squared, power), rows, shape, size)
        image = votes / weights
    return image


class Followed(NamedTuple):
    """A picture made of the photo's patches."""

    image: Tensor  # (B, 3, H, W), float32
    grid: Tensor  # (B, H, W, 2), where each pixel came from, as for `torch.nn.functional.grid_sample`


@torch.no_grad()
@equation("12.19", tests="tests/equations/test_patches.py::test_following_matches_lowers_its_objective")
def follow_matches(
    image: Tensor,
    source: Tensor,
    image_layout: Tensor,
    source_layout: Tensor,
    grid: Tensor | None = None,
    search: MatchSearch | None = None,
    *,
    sweeps: int = 2,
    label_weight: float = 1.0,
) -> Followed:
    """Correct known matches pixel by pixel, and let the patches that they find vote for the picture (12.19).

        phi(p)  <-  arg min_q  |patch_p(I) - patch_q(I_src)|^2 / 4 + label_weight |patch_p(P) - patch_q(P_src)|^2 / 2
        I       <-  what the matches phi say, overlaps averaged

    Where `patch_refine` searches the whole photo, this starts from where the pixels came from and looks near by, with
    PatchMatch: the time grows with the number of pixels, not with its square, and chunks stay chunks.

    Args:
        image, image_layout: (B, 3, H, W) in [-1, 1] and its one-hot layout (B, K, H, W).
        source, source_layout: the photo and its layout, one or B of each; any size.
        grid: (B, H, W, 2), where each pixel of the image came from; default the same place.
        search: of each sweep; default two iterations with patches of 5 px and random guesses up to 4 px away.
        sweeps: how often matches and picture are found anew.
        label_weight: what a pixel of a wrong class costs; a pixel of the opposite colour costs 3.

    Raises:
        ValueError: shapes do not fit.
    """
    search = search or MatchSearch(size=5, iterations=2, radius=4)
    check_images(image, source, (search.size,), (1,))
    guide_channels(image, source, image_layout, source_layout, 1.0)  # checks the layouts
    height, width = source.shape[-2:]
    if grid is None:
        grid = identity_grid(image.shape[2], image.shape[3], image.device).expand(image.shape[0], -1, -1, -1)
    x, y = (
        (((grid[..., axis] + 1) * side - 1) / 2).round().long().clamp(0, side - 1)
        for axis, side in ((0, width), (1, height))
    )
    place, picture, photo = y * width + x, image.float(), source.float().expand(image.shape[0], -1, -1, -1)
    scale = (label_weight / 2) ** 0.5
    keys = torch.cat([photo / 2, scale * source_layout.expand(image.shape[0], -1, -1, -1)], dim=1)
    for _ in range(sweeps):
        queries = torch.cat([picture / 2, scale * image_layout], dim=1)
        place = patch_match(queries, keys, search, generator=seeded(0), start=place).place
        picture = vote(photo, place, _BALLOT)
    found = torch.stack([(2 * (place % width) + 1) / width - 1, (2 * (place // width) + 1) / height - 1], dim=3)
    return Followed(picture, found)


def _reweight(squared: Tensor, power: float) -> Tensor:
    """d^(power - 2), the weight that makes least squares descend on sum d^power; d is kept above 0.01."""
    return (squared + 1e-4).pow(power / 2 - 1)


def vote_patches(
    patches: Tensor, weight: Tensor, rows: Tensor, shape: tuple[int, int], size: int
) -> tuple[Tensor, Tensor]:
    """Let patches vote for the pixels that they cover.

    Args:
        patches: (B, N, C*size*size).
        weight: (B, N), the weight of each patch.
        rows: (B, N), the position of each patch in ``extract_patches(image, size)``.
        shape: height and width of the image.
        size: side of a patch.

    Returns:
        Weighted sums (B, C, H, W) and total weights (B, 1, H, W); their ratio is the vote.
    """
    batch, _, channels = patches.shape
    count = (shape[0] - size + 1) * (shape[1] - size + 1)
    spoken = torch.cat([patches * weight.unsqueeze(-1), weight.unsqueeze(-1)], dim=-1)  # (B, N, C*s*s + 1)
    offset = count * torch.arange(batch, device=rows.device).unsqueeze(1)
    dense = spoken.new_zeros(batch * count, channels + 1)
    dense.index_add_(0, (rows + offset).reshape(-1), spoken.flatten(0, 1))
    dense = dense.reshape(batch, count, channels + 1).transpose(1, 2)  # (B, C*s*s + 1, count)
    votes = F.fold(dense[:, :-1], shape, size)
    weights = F.fold(dense[:, -1:].expand(-1, size**2, -1), shape, size)
    return votes, weights


def covering_rows(height: int, width: int, size: int, stride: int, device: torch.device) -> Tensor:
    """Every stride-th patch position, and the last in each direction, so that each pixel is covered."""
    ys, xs = (torch.tensor([*range(0, side - size, stride), side - size], device=device) for side in (height, width))
    return (ys[:, None] * (width - size + 1) + xs[None]).reshape(-1)
