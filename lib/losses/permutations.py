"""How much do the terms of CycleGAN determine? An exact answer where everything can be counted.

X and Y have a few states each, equally frequent. G: X -> Y and F: Y -> X are tables, so all of them can be listed:
with four states, 4^4 = 256 tables for each and 65 536 pairs. Every state of X has one true partner in Y, which an
unpaired method is never told.

The adversarial term sees only how often each state is drawn. It is at its minimum for every permutation, which is
why the paper adds the cycle (Zhu et al. 2017, sec. 3.2). The cycle terms couple F to G: F becomes the inverse of
*that* permutation. They do not say which permutation is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from lib.book.equations import equation

__all__ = ["GAMES", "StatesError", "all_maps", "best_pairs", "count_best", "pair_losses", "wrong_marginal"]

GAMES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "GAN alone": ("gan",),
    "forward cycle alone": ("forward",),
    "backward cycle alone": ("backward",),
    "both cycles alone": ("forward", "backward"),
    "GAN + forward cycle": ("gan", "forward"),
    "GAN + backward cycle": ("gan", "backward"),
    "CycleGAN": ("gan", "forward", "backward"),
    "CycleGAN + identity": ("gan", "forward", "backward", "identity"),
    "pairs": ("paired",),
})  # fmt: skip
"""Game -> its terms: the rows of the paper's ablation, the identity term, and pix2pix."""

_MOST = 2**20  # pairs of tables, or tables


class StatesError(ValueError):
    """Too many states to list every table, or partners that are no permutation."""


def all_maps(sources: int, targets: int) -> Tensor:
    """Every table from `sources` states to `targets` states: (targets^sources, sources) int64, in counting order.

    Raises:
        StatesError: no state, or more than 2^20 tables.
    """
    if min(sources, targets) < 1 or targets**sources > _MOST:
        raise StatesError(f"From {sources} to {targets} states there are no tables, or more than {_MOST}; use fewer.")
    place = targets ** torch.arange(sources - 1, -1, -1)
    return torch.arange(targets**sources)[:, None] // place % targets


@equation("5.1", tests="tests/equations/test_cycle.py::test_wrong_marginal_is_total_variation")
def wrong_marginal(maps: Tensor, targets: int) -> Tensor:
    """The adversarial term: total variation between what a table draws and the uniform distribution.

    0 exactly where every target is drawn equally often. The best D that sees single states tells real from drawn
    with probability 1/2 + half of it.

    Args:
        maps: (M, sources).

    Returns:
        (M,) float64 in [0, 1).
    """
    sources = maps.shape[1]
    drawn = torch.zeros(len(maps), targets, dtype=torch.int64).scatter_add_(1, maps, torch.ones_like(maps))
    # In whole numbers up to the last step, so that equal is exactly equal.
    return (targets * drawn - sources).abs().sum(dim=1).double() / (2 * sources * targets)


def pair_losses(n_x: int = 4, n_y: int = 4, partner: Sequence[int] | None = None) -> dict[str, Tensor]:
    """Every term for every pair of tables: name -> (n_y^n_x, n_x^n_y) float64, rows for G and columns for F.

    ``gan`` adds `wrong_marginal` of both; ``forward`` is the share of x with F(G(x)) != x, ``backward`` of y with
    G(F(y)) != y. Where both domains have as many states there are two more. ``identity`` adds the shares with
    G(y) != y and F(x) != x: it takes state i of both for the same picture. ``paired`` adds the shares with a
    wrong partner, as pix2pix would in both directions.

    Args:
        partner: the true G as a table; default the order reversed, so the truth is not the identity.

    Raises:
        StatesError: more than 2^20 pairs, or `partner` is no permutation.
    """
    if n_y**n_x * n_x**n_y > _MOST:
        raise StatesError(f"{n_x} and {n_y} states make {n_y**n_x * n_x**n_y} pairs of tables; use at most 4 of each.")
    G, F = all_maps(n_x, n_y), all_maps(n_y, n_x)
    losses = {
        "gan": wrong_marginal(G, n_y)[:, None] + wrong_marginal(F, n_x)[None],
        "forward": _wrong(F[:, G].transpose(0, 1), torch.arange(n_x)),  # F(G(x)): (M_G, M_F, n_x)
        "backward": _wrong(G[:, F], torch.arange(n_y)),  # G(F(y)): (M_G, M_F, n_y)
    }
    if n_x == n_y:
        truth = torch.tensor(partner if partner is not None else range(n_x)[::-1])
        if sorted(truth.tolist()) != list(range(n_x)):
            raise StatesError(f"The partners {truth.tolist()} are no permutation of the states 0 to {n_x - 1}.")
        losses["identity"] = _both(G, F, torch.arange(n_x), torch.arange(n_x))
        losses["paired"] = _both(G, F, truth, torch.argsort(truth))
    return losses


def best_pairs(terms: Sequence[str], losses: Mapping[str, Tensor]) -> Tensor:
    """The pairs at which the sum of `terms` is least: rows (number of G, number of F) in the order of `all_maps`.

    Args:
        losses: of `pair_losses`.
    """
    total = torch.stack([losses[name] for name in terms]).sum(dim=0)
    return torch.nonzero(total <= total.min() + 1e-9)


def count_best(losses: Mapping[str, Tensor]) -> dict[str, tuple[int, bool]]:
    """Game of `GAMES` -> how many pairs (G, F) it cannot tell apart, and whether the truth is one of them."""
    truth = best_pairs(GAMES["pairs"], losses)
    found = {game: best_pairs(terms, losses) for game, terms in GAMES.items()}
    return {game: (len(pairs), bool((pairs == truth).all(dim=1).any())) for game, pairs in found.items()}


def _wrong(maps: Tensor, right: Tensor) -> Tensor:
    """The share of states that tables send elsewhere than `right` (n,): (…, n) -> (…)."""
    return (maps != right).double().mean(dim=-1)


def _both(G: Tensor, F: Tensor, right_G: Tensor, right_F: Tensor) -> Tensor:
    return _wrong(G, right_G)[:, None] + _wrong(F, right_F)[None]
