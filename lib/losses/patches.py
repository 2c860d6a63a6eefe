"""Patch nearest neighbours, and patch coherence: every patch of the output exists in the source.

Paper: semantic image analogy with a conditional single-image GAN (ACM MM 2020), patch coherence loss

    L_coherence = 1/N  sum_{V in output}  min_{U in source}  d(V, U).

The other direction, 1/M sum_U min_V d(U, V), is the *completeness* of Simakov et al. (CVPR 2008): it asks
that every patch of the source survives in the output. Coherence alone cannot see content that is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation

Distance = Literal["l1", "squared"]

# Values in one block of the distance matrix: about a CPU's cache, or 256 MiB of an accelerator's memory.
_BLOCK_CPU, _BLOCK_DEVICE = 1 << 22, 1 << 26


def extract_patches(image: Tensor, size: int, stride: int = 1) -> Tensor:
    """All square patches of an image that lie wholly inside it, as rows.

    Args:
        image: (B, C, H, W), floating point.
        size: side of a patch in pixels.
        stride: step between neighbouring patches in pixels.

    Returns:
        (B, N, C*size*size), N = ((H-size)//stride + 1) * ((W-size)//stride + 1), in row-major order.

    Raises:
        ValueError: the image is not (B, C, H, W), or is smaller than one patch.
    """
    if image.ndim != 4:
        raise ValueError(f"extract_patches needs an image (B, C, H, W), got shape {tuple(image.shape)}.")
    if size < 1 or stride < 1:
        raise ValueError(f"Patch size and stride must be at least 1, got size={size}, stride={stride}.")
    if min(image.shape[2:]) < size:
        height, width = image.shape[2:]
        raise ValueError(f"A {height}x{width} image holds no {size}x{size} patch; use smaller ones.")
    return F.unfold(image, size, stride=stride).transpose(1, 2)  # (B, C*s*s, N) -> (B, N, C*s*s)


def nearest_patches(queries: Tensor, keys: Tensor, *, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """The nearest key of every query: exact search, without gradient.

    The search uses ||q - k||^2 = ||q||^2 + ||k||^2 - 2 q.k: one matrix product per chunk of queries. The
    returned distance is computed again from the matched pair, because the expansion loses digits near zero.

    Args:
        queries: (B, N, D) patches.
        keys: (B, M, D) patches, or (1, M, D) shared by the whole batch.
        chunk: number of queries per matrix product; the default bounds the memory of one block.

    Returns:
        distances (B, N): mean squared difference per element, float32.
        indices (B, N): int64, the row of ``keys`` that is nearest.

    Raises:
        ValueError: the shapes do not fit, or there is no key.
    """
    _check_rows(queries, keys)
    batch, count, width = queries.shape
    with torch.no_grad(), torch.autocast(queries.device.type, enabled=False):
        q, k = queries.detach().float(), keys.detach().float()
        if k.shape[0] == 1:
            q = q.reshape(1, batch * count, width)  # one large product is faster than B small ones
        centre = k.mean(dim=1, keepdim=True)  # smaller norms, less cancellation in the expansion
        indices = _argmin_rows(q - centre, k - centre, chunk)
        matched = take_patches(k, indices)
        distances = (q - matched).square().mean(dim=-1)
    return distances.reshape(batch, count), indices.reshape(batch, count)


def take_patches(patches: Tensor, indices: Tensor) -> Tensor:
    """Rows ``patches[b, indices[b, n]]``, differentiable: (B or 1, M, D), (B, N) -> (B, N, D)."""
    if patches.shape[0] == 1:
        return patches[0].index_select(0, indices.reshape(-1)).reshape(*indices.shape, -1)
    return torch.gather(patches, 1, indices.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


@equation("12.11", tests="tests/equations/test_patches.py::test_coherence_equals_the_naive_double_loop")
def patch_coherence(
    output: Tensor,
    source: Tensor,
    *,
    sizes: Sequence[int] = (3, 5),
    levels: Sequence[int] = (1,),
    stride: int = 1,
    subset: int | None = None,
    completeness: float = 0.0,
    distance: Distance = "l1",
    output_layout: Tensor | None = None,
    source_layout: Tensor | None = None,
    label_weight: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean distance from the patches of the output to their nearest patches in the source.

        L = mean over sizes and levels of [1/N sum_V min_U d(V, U) + completeness * 1/M sum_U min_V d(U, V)]

    The match is found by squared distance without gradient; d is then computed with gradient on the matched
    pairs only. For ``squared`` this is the true gradient almost everywhere (Danskin's theorem); for ``l1``
    the match is the L2 nearest neighbour, a close and much faster substitute for the L1 one.

    With ``label_weight`` > 0 a patch is matched by appearance *and* layout: the search adds ``label_weight``
    times the fraction of the patch's pixels whose labels differ. The labels only steer the match; d itself
    sees colours.

    Args:
        output: (B, 3, H, W) in [-1, 1]; the gradient flows here.
        source: (1, 3, h, w) shared by the batch, or (B, 3, h, w); any size.
        sizes: patch sides in pixels.
        levels: downsampling factors of the image pyramid; 1 is full resolution, 2 is half.
        stride: step between the patches that look for a match; they may match at any position.
        subset: number of patches drawn at random per size, level and direction; None uses all.
        completeness: weight of the reverse direction.
        distance: ``l1`` (mean absolute, robust) or ``squared`` (mean squared).
        output_layout, source_layout: one-hot (B or 1, K, H, W), needed when ``label_weight`` > 0.
        label_weight: squared colour difference that one wholly mislabelled patch is worth; 1 nearly forbids
            a match across classes.
        generator: source of the random subset, needed with ``subset``.

    Returns:
        Scalar tensor, >= 0.

    Raises:
        ValueError: shapes do not fit, layouts or the generator are missing, or no size or level is given.
    """
    check_images(output, source, sizes, levels)
    if subset is not None and generator is None:
        raise ValueError("A random subset needs an explicit generator: pass generator=torch.Generator(...).")
    guide_o, guide_s = guide_channels(output, source, output_layout, source_layout, label_weight)
    total = output.new_zeros((), dtype=torch.float32)
    for level in levels:
        out, src = downsample(output.float(), level), downsample(source.detach().float(), level)
        go = None if guide_o is None else downsample(guide_o, level)
        gs = None if guide_s is None else downsample(guide_s, level)
        for size in sizes:
            total = total + _one_way(out, src, go, gs, size, stride, subset, distance, generator)
            if completeness:
                reverse = _one_way(src, out, gs, go, size, stride, subset, distance, generator)
                total = total + completeness * reverse
    return total / (len(sizes) * len(levels))


def _one_way(
    asking: Tensor, answering: Tensor, guide_a: Tensor | None, guide_b: Tensor | None,
    size: int, stride: int, subset: int | None, distance: Distance, generator: torch.Generator | None,
) -> Tensor:  # fmt: skip
    """Mean distance from patches of ``asking`` to their nearest patches of ``answering``."""
    if asking.shape[0] < answering.shape[0]:
        asking = asking.expand(answering.shape[0], -1, -1, -1)
    queries, keys = extract_patches(asking, size, stride), extract_patches(answering, size)
    search_q, search_k = queries.detach(), keys.detach()
    if guide_a is not None and guide_b is not None:
        search_q = append_labels(search_q, extract_patches(guide_a, size, stride))
        search_k = append_labels(search_k, extract_patches(guide_b, size))
    if subset is not None and subset < queries.shape[1]:
        rows = _random_rows(queries.shape[1], subset, generator, queries.device)
        queries, search_q = queries.index_select(1, rows), search_q.index_select(1, rows)
    _, indices = nearest_patches(search_q, search_k)
    difference = queries - take_patches(keys, indices)
    return difference.abs().mean() if distance == "l1" else difference.square().mean()


def append_labels(patches: Tensor, labels: Tensor) -> Tensor:
    """(B, N, D), (B or 1, N, L) -> (B, N, D + L)."""
    return torch.cat([patches, labels.expand(patches.shape[0], -1, -1)], dim=-1)


def guide_channels(
    output: Tensor, source: Tensor, output_layout: Tensor | None, source_layout: Tensor | None, weight: float
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Label channels scaled for the search, or None when the search is unguided."""
    if weight < 0:
        raise ValueError(f"label_weight must be >= 0, got {weight}.")
    if weight == 0:
        return None, None
    if output_layout is None or source_layout is None:
        raise ValueError("label_weight > 0 needs output_layout and source_layout (one-hot).")
    if output_layout.shape[1] != source_layout.shape[1]:
        raise ValueError(
            f"The layouts have {output_layout.shape[1]} and {source_layout.shape[1]} classes; use one palette for both."
        )
    for name, layout, image in (("output", output_layout, output), ("source", source_layout, source)):
        if layout.shape[2:] != image.shape[2:] or layout.shape[0] not in (1, image.shape[0]):
            raise ValueError(
                f"{name}_layout {tuple(layout.shape)} does not fit the {name} image {tuple(image.shape)}: "
                "give it the same height and width, and batch 1 or the image's batch."
            )
    # Two different one-hot vectors are 2 apart in squared distance, and colours are averaged over C channels.
    scale = (weight * output.shape[1] / 2) ** 0.5
    return scale * output_layout.detach().float(), scale * source_layout.detach().float()


def _argmin_rows(queries: Tensor, keys: Tensor, chunk: int | None) -> Tensor:
    """argmin over keys of ||k||^2/2 - q.k for (B, N, D) and (B, M, D), in blocks of queries."""
    batch, count, _ = queries.shape
    if chunk is None:
        block = _BLOCK_CPU if queries.device.type == "cpu" else _BLOCK_DEVICE
        chunk = max(1, block // (batch * keys.shape[1]))
    half_norm = 0.5 * keys.square().sum(dim=-1).unsqueeze(1)  # (B, 1, M)
    transposed = keys.transpose(1, 2)  # (B, D, M)
    found = [
        torch.baddbmm(half_norm, queries[:, i : i + chunk], transposed, alpha=-1).argmin(dim=-1)
        for i in range(0, count, chunk)
    ]
    return torch.cat(found, dim=1) if found else queries.new_zeros((batch, 0), dtype=torch.int64)


def _random_rows(count: int, subset: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    if subset < 1:
        raise ValueError(f"subset must be at least 1, got {subset}.")
    home = generator.device if generator is not None else device
    return torch.randperm(count, generator=generator, device=home)[:subset].to(device)


def downsample(image: Tensor, factor: int) -> Tensor:
    """Mean over factor x factor blocks; the incomplete blocks at the right and bottom are dropped."""
    return image if factor == 1 else F.avg_pool2d(image, factor)


def _check_rows(queries: Tensor, keys: Tensor) -> None:
    if queries.ndim != 3 or keys.ndim != 3 or queries.shape[-1] != keys.shape[-1]:
        raise ValueError(
            "nearest_patches needs queries (B, N, D) and keys (B, M, D), "
            f"got {tuple(queries.shape)} and {tuple(keys.shape)}."
        )
    if keys.shape[0] not in (1, queries.shape[0]):
        raise ValueError(f"Keys have batch {keys.shape[0]}, queries {queries.shape[0]}: use the same or 1.")
    if keys.shape[1] == 0:
        raise ValueError("nearest_patches got no keys: there is nothing to match.")


def check_images(output: Tensor, source: Tensor, sizes: Sequence[int], levels: Sequence[int]) -> None:
    if not sizes or not levels:
        raise ValueError("Patches need at least one size and one pyramid level.")
    if output.ndim != 4 or source.ndim != 4 or output.shape[1] != source.shape[1]:
        raise ValueError(
            f"Patches compare images (B, C, H, W) with equal C, got {tuple(output.shape)} and {tuple(source.shape)}."
        )
    if source.shape[0] not in (1, output.shape[0]):
        raise ValueError(f"The source has batch {source.shape[0]}: use 1 or the output's {output.shape[0]}.")
