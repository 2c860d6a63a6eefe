"""Why a squared error blurs: a world in which every sharp answer to a small picture is known.

A meadow: each cell of r x r pixels holds one upright blade, one pixel wide, in one of the r columns, all equally
likely. The small picture, the mean of each cell, is the same flat tone everywhere: it says that there is grass, and
nothing of where. With as many rows of cells as share one place (``tall``), the blades become the posts of a fence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation

__all__ = ["BRIGHT", "DARK", "ToyError", "expected_errors", "meadow", "posterior_mean", "small_version"]

DARK, BRIGHT = -0.8, 0.8


class ToyError(ValueError):
    """A meadow that cannot be planted, or answers that are no answers."""


def meadow(
    count: int, rows: int, columns: int, *, generator: torch.Generator, factor: int = 4, tall: int = 1
) -> Tensor:  # fmt: skip
    """Sharp pictures with one and the same small version: (count, 3, r rows, r columns), DARK or BRIGHT.

    Args:
        rows, columns: of cells.
        generator: draws the places.
        factor: r, the side of a cell in px.
        tall: so many cells below each other have their blade in the same column; 1 for grass, `rows` for a fence.

    Raises:
        ToyError: `rows` is no multiple of `tall`.
    """
    if min(count, rows, columns, factor, tall) < 1 or rows % tall:
        raise ToyError(f"A meadow has 1 cell or more each way, and {rows} rows of cells are no multiple of {tall}.")
    place = torch.randint(factor, (count, rows // tall, columns), generator=generator)
    blades = F.one_hot(place, factor).flatten(2)  # (count, rows / tall, r columns)
    upright = blades.repeat_interleave(tall * factor, dim=1)[:, None].expand(-1, 3, -1, -1)
    return torch.where(upright > 0, BRIGHT, DARK)


def small_version(images: Tensor, factor: int = 4) -> Tensor:
    """The mean of each cell: (B, 3, rH, rW) -> (B, 3, H, W). (Photos are made smaller by `downscale` instead.)"""
    return F.avg_pool2d(images, factor)


@equation("9.1", tests="tests/equations/test_srgan_equations.py::test_posterior_mean")
def posterior_mean(answers: Tensor, weights: Tensor | None = None) -> Tensor:
    """E[y | x], the guess with the least expected squared error: (K, ...) -> (...).

    Args:
        answers: all y that fit the small picture x.
        weights: (K,) their probabilities; default: all the same.
    """
    p = _probabilities(answers, weights)
    return torch.einsum("k,k...->...", p, answers)


@equation("9.2", tests="tests/equations/test_srgan_equations.py::test_expected_errors")
def expected_errors(answers: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean squared error to expect of the posterior mean, and of one answer drawn at random: exactly twice as much.

        E (y' - y)² = 2 E (ȳ - y)²,    y and y' independent, ȳ = E y

    The price of being sharp is therefore 10 log10 2 = 3.01 dB, in any world (Blau and Michaeli 2018).
    """
    p = _probabilities(answers, weights)
    flat = answers.flatten(1)
    mean = (p[:, None] * (flat - (p[:, None] * flat).sum(dim=0)).square()).sum(dim=0).mean()
    pairs = (flat[:, None] - flat[None]).square().mean(dim=2)  # (K, K)
    return mean, (p[:, None] * p[None] * pairs).sum()


def _probabilities(answers: Tensor, weights: Tensor | None) -> Tensor:
    if answers.ndim < 2 or not len(answers):
        raise ToyError(f"Answers are (K, ...) with at least one of them, not {tuple(answers.shape)}.")
    if weights is None:
        return answers.new_full((len(answers),), 1 / len(answers))
    if weights.shape != (len(answers),) or bool((weights < 0).any()) or abs(float(weights.sum()) - 1) > 1e-5:
        raise ToyError(f"{len(answers)} answers need as many probabilities, which sum to 1.")
    return weights.to(answers)
