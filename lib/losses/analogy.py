"""The losses that make a conditional single-photo GAN an analogy (Li et al. 2020), and one that aligns it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.data.single_photo import IGNORE

__all__ = ["correspondence", "fixed_point", "reconstruction", "semantic_alignment"]


@equation("12.12", tests="tests/equations/test_analogy.py::test_semantic_alignment")
def semantic_alignment(predicted: Tensor, layout: Tensor) -> Tensor:
    """Cross-entropy of S(I_target) with P_target: the picture must read as the layout asks.

    The gradient has to pass *through* S into the picture. Freeze S by not stepping it; `no_grad` round S, as
    in the official code, would leave a correct value with no gradient at all.

    Args:
        predicted: S's logits (B, K, H, W).
        layout: one-hot (B, K, H, W).
    """
    return F.cross_entropy(predicted.float(), layout.argmax(dim=1))


@equation("12.14", tests="tests/equations/test_analogy.py::test_fixed_point")
def fixed_point(modulation: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean over levels of |gamma - 1| + |beta|: equal layouts must not modulate the photo.

    Args:
        modulation: (gamma_img, beta_img) of each level, for equal source and target layouts.
    """
    gaps = [(gamma - 1).abs().float().mean() + beta.abs().float().mean() for gamma, beta in modulation]
    return torch.stack(gaps).mean()


@equation("12.13", tests="tests/equations/test_analogy.py::test_reconstruction")
def reconstruction(output: Tensor, image: Tensor, valid: Tensor | None = None, *, scale: int = 1) -> Tensor:
    """Mean absolute error over the pixels whose true value is known.

    A copied texture is right without being the same pixel for pixel. L1 would rather have its median, a blur.
    Compared at a smaller size, both textures are equal.

    Args:
        output, image: (B, 3, H, W).
        valid: (B, 1, H, W) in {0, 1}; None trusts every pixel.
        scale: compare means of scale x scale pixels.
    """
    known = torch.ones_like(image[:, :1]) if valid is None else valid
    error = F.avg_pool2d((output - image) * known, scale).abs().mean(dim=1)
    return error.sum() / F.avg_pool2d(known, scale).sum().clamp(min=1)


@equation("12.15", tests="tests/equations/test_analogy.py::test_correspondence")
def correspondence(logits: Tensor, matches: Tensor) -> Tensor:
    """Cross-entropy of the matcher with the cells that the augmentation is known to have come from.

    Args:
        logits: (B, T, S) from `lib.nn.alignment.LayoutMatcher`.
        matches: (B, T) index of the true source cell, `IGNORE` where there is none.
    """
    flat = matches.reshape(-1)
    # The mean over known cells only; sum / count stays finite when a draw knows none.
    total = F.cross_entropy(logits.float().flatten(0, 1), flat, ignore_index=IGNORE, reduction="sum")
    return total / flat.ne(IGNORE).sum().clamp(min=1)
