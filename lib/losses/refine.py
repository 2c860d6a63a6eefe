"""Patch voting: minimise patch coherence over the pixels themselves, without a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.losses.patches import (
    append_labels,
    check_images,
    downsample,
    extract_patches,
    guide_channels,
    nearest_patches,
    take_patches,
)


@torch.no_grad()
@equation("12.16", tests="tests/equations/test_patches.py::test_refinement_never_raises_the_objective")
def patch_refine(
    image: Tensor,
    source: Tensor,
    *,
    sizes: Sequence[int] = (5,),
    levels: Sequence[int] = (2, 1),
    iterations: int = 4,
    stride: int = 2,
    completeness: float = 1.0,
    power: float = 2.0,
    image_layout: Tensor | None = None,
    source_layout: Tensor | None = None,
    label_weight: float = 0.0,
) -> Tensor:
    """Pull an image onto the patches of a source by expectation maximisation, coarse to fine.

    E-step: every patch finds its nearest source patch. M-step: every pixel becomes the weighted mean of what
    the matched patches that cover it say, which is the least-squares optimum for fixed matches. With power 2
    and stride 1 no step can raise ``patch_coherence(..., distance="squared")`` at its level. A coarse level
    hands its *change* to the next one, so finer detail is not lost and ``patch_refine(photo, photo)`` is the
    photo.

    Without ``completeness`` a blurred start drifts to the dullest patches of the source, which cover anything
    cheaply: coherence is content with a grey zebra.

    Papers: texture optimisation (Kwatra et al., SIGGRAPH 2005) for the two steps and the power;
    bidirectional similarity (Simakov et al., CVPR 2008) for the votes of the source.

    Args:
        image: (B, 3, H, W) in [-1, 1], the start, e.g. the output of a generator.
        source: (1, 3, h, w) or (B, 3, h, w); any size.
        sizes: patch sides in pixels; several sizes vote together.
        levels: downsampling factors, coarse to fine; end with 1.
        iterations: E- and M-steps per level.
        stride: step between the patches that vote; at most the smallest size.
        completeness: weight of the reverse vote, in which every source patch asks for a place in the image.
        power: minimise sum d^power by reweighting; 2 is the plain mean, 0.8 trusts good matches more.
        image_layout, source_layout, label_weight: guide the match as in ``patch_coherence``.

    Returns:
        (B, 3, H, W) float32.

    Raises:
        ValueError: as ``patch_coherence``, or the stride leaves pixels without a vote.
    """
    check_images(image, source, sizes, levels)
    if not 1 <= stride <= min(sizes):
        raise ValueError(f"stride must be between 1 and the smallest size {min(sizes)}, got {stride}.")
    guide_i, guide_s = guide_channels(image, source, image_layout, source_layout, label_weight)
    result = image.float()
    for level in levels:
        start, src = downsample(result, level), downsample(source.float(), level)
        gi = None if guide_i is None else downsample(guide_i, level)
        gs = None if guide_s is None else downsample(guide_s, level)
        refined = start
        for _ in range(iterations):
            ballots = [_ballot(refined, src, gi, gs, s, stride, completeness, power) for s in sizes]
            votes, weights = (torch.stack(parts).sum(dim=0) for parts in zip(*ballots, strict=True))
            refined = votes / weights
        change = refined - start
        if level > 1:
            change = F.interpolate(change, size=result.shape[2:], mode="bilinear", align_corners=False)
        result = result + change
    return result


def _ballot(
    image: Tensor, source: Tensor, guide_i: Tensor | None, guide_s: Tensor | None,
    size: int, stride: int, completeness: float, power: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """E-step for one patch size: sums of votes (B, C, H, W) and of their weights (B, 1, H, W)."""
    batch, shape = image.shape[0], (image.shape[2], image.shape[3])
    here, there = extract_patches(image, size), extract_patches(source, size)
    search_here, search_there = here, there
    if guide_i is not None and guide_s is not None:
        search_here = append_labels(here, extract_patches(guide_i, size))
        search_there = append_labels(there, extract_patches(guide_s, size))
    rows = covering_rows(*shape, size, stride, image.device)
    squared, found = nearest_patches(search_here.index_select(1, rows), search_there)
    weight = _reweight(squared, power) / len(rows)
    said = take_patches(there, found)
    votes, weights = vote_patches(said, weight, rows.expand(batch, -1), shape, size)
    if completeness:
        rows = covering_rows(source.shape[2], source.shape[3], size, stride, image.device)
        asking = search_there.index_select(1, rows).expand(batch, -1, -1)
        squared, found = nearest_patches(asking, search_here)
        weight = completeness * _reweight(squared, power) / len(rows)
        more = vote_patches(there.index_select(1, rows).expand(batch, -1, -1), weight, found, shape, size)
        votes, weights = votes + more[0], weights + more[1]
    return votes, weights


@torch.no_grad()
def refine_within_classes(
    image: Tensor,
    source: Tensor,
    image_layout: Tensor,
    source_layout: Tensor,
    *,
    size: int = 5,
    iterations: int = 3,
    stride: int = 2,
    power: float = 0.8,
    tolerance: float = 0.002,
    label_weight: float = 0.3,
) -> Tensor:
    """`patch_refine` at one scale, guided by labels: a patch looks only among patches with the class of its centre.

    The guided search of `patch_refine` compares every patch with every other and carries the labels of all its pixels
    along. Here K classes make K small searches, and one number, the share of the class in the patch, keeps borders
    with borders: at 256 px about a tenth of the work. A class that the source lacks is left as it is.

    Args:
        image, image_layout: (1, 3, H, W) in [-1, 1] and its one-hot layout (1, K, H, W).
        source, source_layout: the photo and its layout; any size.
        size: side of a patch in pixels, odd.
        iterations, stride, power: as for `patch_refine`.
        tolerance: a patch within about this mean squared distance of its match votes for itself. In a sky every patch
            is near to any other, and its slow gradient would be cut into steps; 0 replaces every patch.
        label_weight: squared colour difference that a wholly different share is worth.

    Returns:
        (1, 3, H, W) float32.

    Raises:
        ValueError: shapes do not fit, an even size, or the stride leaves pixels without a vote.
    """
    check_images(image, source, (size,), (1,))
    guide_channels(image, source, image_layout, source_layout, 1.0)  # checks the layouts
    if image.shape[0] != 1 or size % 2 == 0 or not 1 <= stride <= size:
        raise ValueError(f"One picture, an odd size and a stride up to it, got {image.shape[0]}, {size} and {stride}.")
    shape = (image.shape[2], image.shape[3])
    rows = covering_rows(*shape, size, stride, image.device)
    (asked, share), (known, known_share) = (_centres(layout, size) for layout in (image_layout, source_layout))
    asked, share = asked[rows], share[rows]
    classes = [(asked == k, known == k) for k in asked.unique().tolist() if bool((known == k).any())]
    scale = (label_weight * image.shape[1] * size**2) ** 0.5
    there = extract_patches(source.float(), size)[0]
    keys = torch.cat([there, scale * known_share], dim=1)
    result = image.float()
    for _ in range(iterations):
        own = extract_patches(result, size)[0, rows]
        queries, said, squared = torch.cat([own, scale * share], dim=1), own.clone(), own.new_zeros(len(own))
        for here, candidates in classes:
            near, found = nearest_patches(queries[None, here], keys[None, candidates])
            content = torch.exp(-near[0] / tolerance) if tolerance else torch.zeros_like(near[0])
            said[here] = torch.lerp(there[candidates][found[0]], own[here], content.unsqueeze(-1))
            squared[here] = near[0]
        votes, weights = vote_patches(said[None], _reweight(squared, power)[None], rows[None], shape, size)
        result = votes / weights
    return result


def _centres(layout: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Of every patch of a layout (1, K, H, W): the class of its centre (N,), and that class's share in it (N, 1)."""
    border = size // 2
    labels = layout.argmax(dim=1)[0, border : layout.shape[2] - border, border : layout.shape[3] - border].reshape(-1)
    shares = F.avg_pool2d(layout.float(), size, stride=1)[0].flatten(1)
    return labels, shares.T.gather(1, labels.unsqueeze(1))


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
