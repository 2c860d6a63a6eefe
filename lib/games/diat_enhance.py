"""DIAT's second stage: a network that makes the soft picture of the first one sharp again.

local attribute     L_E = ||(1 - m)(E(T(x)) - x)||_F^2 + sum_i beta_i l_c^{phi,i}(m T(x), m E(T(x)))
global attribute    L_E = ||E(B(x)) - x||_F^2
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.games.diat import DIATConfig, pictures_of, target_maps
from lib.games.game import Game, GameError, Turn
from lib.games.pix2pix_measures import blurred
from lib.losses.diat import content_loss, masked_loss
from lib.losses.perceptual import FeatureMaps
from lib.nn.diat import TransformConfig, TransformNetwork
from lib.runtime import seeded

__all__ = ["Enhancement", "build_enhancement"]


class Enhancement(Game):
    """Stage 2: one player, E. T is frozen.

    Local attributes: outside the region m the *input* shows how sharp a face is, inside T's picture is kept. Global
    ones: E learns on clean faces to undo a blur, and is then given T's soft pictures.

    Args:
        E: pictures -> pictures.
        T: trained; None for a global attribute, whose E never sees it.
        config: the rules.
        phi: features for beta_1, beta_2, …; None drops these terms.
        generator: draws the strength of the blur; default seed 0.

    Raises:
        GameError: a local attribute without T.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"E": ("E",)}

    def __init__(
        self, E: nn.Module, T: nn.Module | None, config: DIATConfig, phi: FeatureMaps | None = None, *,
        generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        config.check()
        if T is None and config.attribute.local:
            raise GameError("The local enhancement starts from T's pictures; give the trained T.")
        self.E, self.config, self.phi = E, config, phi
        self.T = None if T is None else T.requires_grad_(False)
        self.generator = generator or torch.Generator().manual_seed(0)

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One turn of E."""
        if self.config.attribute.local:
            x, mask = pictures_of(batch, "A", "mask")
            yield Turn("E", **self.local_terms(x, mask))
        else:
            yield Turn("E", sharp=self.global_term(torch.cat(pictures_of(batch, "A", "B"))))

    @equation("7.8", tests="tests/equations/test_diat_stages.py::test_the_local_enhancement")
    def local_terms(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """The outside towards x, the inside towards T(x): beta_0 in pixels (INFERRED), the others in phi's stages."""
        assert self.T is not None  # __init__ saw to it
        with torch.no_grad():
            soft = self.T(x)
        sharp = self.E(soft)
        terms = {"outside": masked_loss(sharp, x, 1 - mask)}
        beta, *betas = self.config.betas
        if beta:
            terms["inside"] = beta * content_loss([mask * sharp], [mask * soft])
        if self.phi is not None and any(betas):
            terms["features"] = content_loss(self.phi(mask * sharp), target_maps(self.phi, mask * soft), betas)
        return terms

    @equation("7.9", tests="tests/equations/test_diat_stages.py::test_the_global_enhancement")
    def global_term(self, x: Tensor) -> Tensor:
        """mean (E(B(x)) - x)^2; how strong B is, changes from round to round: T is not told how soft to be."""
        strongest = self.config.blur * self.config.size / 128
        sigma = strongest * (0.25 + 0.75 * float(torch.rand((), generator=self.generator)))
        return masked_loss(self.E(blurred(x, sigma)), x, torch.ones_like(x[:1, :1]))


def build_enhancement(
    config: DIATConfig, T: nn.Module | None, phi: FeatureMaps | None = None, *, seed: int = 0
) -> Enhancement:
    """Stage 2 with its network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        E = TransformNetwork(TransformConfig(config.e_width, config.e_blocks, 1, up_kernel=4, output="change"))
    return Enhancement(E, T, config, phi, generator=seeded(seed + 1))
