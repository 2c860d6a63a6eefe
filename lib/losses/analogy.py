"""The losses that make a conditional single-photo GAN an analogy (Li et al. 2020), and the one that aligns it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["IGNORE", "correspondence", "fixed_point", "reconstruction", "semantic_alignment"]

IGNORE = -100  # match index of a target cell whose true source is unknown


def semantic_alignment(predicted: Tensor, layout: Tensor) -> Tensor:
    """Cross-entropy of S(I_target) with P_target: the picture must read as the layout asks.

    The gradient has to pass *through* S into the picture. Freeze S by not stepping it; `no_grad` round S, as
    in the official code, would leave a correct value with no gradient at all.

    Args:
        predicted: S's logits (B, K, H, W).
        layout: one-hot (B, K, H, W).
    """
    return F.cross_entropy(predicted.float(), layout.argmax(dim=1))


def fixed_point(modulation: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean over levels of |gamma - 1| + |beta|: equal layouts must not modulate the photo.

    Args:
        modulation: (gamma_img, beta_img) of each level, for equal source and target layouts.
    """
    gaps = [(gamma - 1).abs().float().mean() + beta.abs().float().mean() for gamma, beta in modulation]
    return torch.stack(gaps).mean()


def reconstruction(output: Tensor, image: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean absolute error, over the pixels whose true value is known.

    Args:
        output, image: (B, 3, H, W).
        valid: (B, 1, H, W) in {0, 1}; None trusts every pixel.
    """
    error = (output - image).abs().mean(dim=1, keepdim=True)
    return error.mean() if valid is None else (error * valid).sum() / valid.sum().clamp(min=1)


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
