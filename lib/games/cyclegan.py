"""CycleGAN: two translators that undo each other, taught without a single pair (Zhu et al. 2017).

    players   D   D_X, D_Y: tell pictures of each domain from fakes
              G   G: X -> Y and F: Y -> X

    min_{G,F} max_D   L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda L_cyc(G, F)      (eq. 3; L_cyc is eq. 2)

The paper's ablation, the identity term and the buffer of earlier fakes are numbers in the config.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import adversarial_loss
from lib.losses.cycle import cycle_loss, identity_loss
from lib.nn.image_buffer import ImageBuffer
from lib.nn.patch_family import PatchGAN
from lib.nn.resnet_generator import Padding, ResnetConfig, ResnetGenerator
from lib.runtime import seeded

__all__ = ["CycleGAN", "CycleGANConfig", "PairedCycleGAN", "build_cyclegan", "cycle_under_noise"]


@dataclass(frozen=True)
class CycleGANConfig:
    """Everything that is chosen before the training; the defaults are the paper's at 128 px."""

    size: int = 128  # px
    width: int = 64  # channels of the generators' first layer
    blocks: int = 6  # residual blocks; 9 from 256 px on
    padding: Padding = "reflect"  # of the generators' plain convolutions
    halvings: int = 2  # the generators' blocks work at size / 2^halvings
    up_kernel: int = 3  # of the generators' doublings; 4 has no checkerboard
    skip: bool = False  # the generators' last layer also sees the first one's output
    d_width: int = 64  # channels of the discriminators' first layer
    patch: int = 70  # px that one logit sees
    loss: str = "lsgan"  # a name in lib.losses.adversarial.LOSSES
    gan: float = 1.0  # weight of both adversarial terms; 0 leaves the cycles alone, and D idle
    forward_cycle: float = 10.0  # lambda of |F(G(x)) - x|; 0 leaves it out
    backward_cycle: float = 10.0  # lambda of |G(F(y)) - y|; 0 leaves it out
    identity: float = 0.0  # of |G(y) - y| + |F(x) - x|; 5 (half of lambda) in the paper's paintings -> photos
    buffer: int = 50  # earlier fakes kept for D; 0 shows it new ones only
    batch: int = 1  # pictures of each domain in a round
    rounds: int = 200_000  # 200 passes over 1000 pictures
    lr: float = 2e-4  # Adam with betas 0.5 and 0.999
    ema: float = 0.0  # of the translators' weights, which are used in the end; 0 takes the last ones, as the paper
    x: str = "A"  # where the pictures of X are in a batch
    y: str = "B"  # where the pictures of Y are

    @classmethod
    def quick(cls, **changes: Any) -> CycleGANConfig:
        """A minute on two cores at 64 px: narrow, few blocks, a skip, a higher learning rate, and an average."""
        settings: dict[str, Any] = {
            "size": 64, "width": 12, "blocks": 3, "halvings": 1, "up_kernel": 4, "skip": True, "d_width": 16,
            "patch": 34, "rounds": 500, "lr": 1e-3, "ema": 0.98,
        }  # fmt: skip
        return cls(**settings | changes)

    @classmethod
    def full(cls, **changes: Any) -> CycleGANConfig:
        """A GPU: the paper's networks at 256 px."""
        return cls(**{"size": 256, "blocks": 9} | changes)

    def check(self) -> None:
        """Raise `GameError` where the weights leave nothing to learn."""
        adversarial_loss(self.loss)
        weights = (self.gan, self.forward_cycle, self.backward_cycle, self.identity)
        if min(weights) < 0 or max(weights) == 0:
            raise GameError(f"The weights of CycleGAN's terms must not be negative, nor all 0; got {weights}.")

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: 1 for the first half, then linearly down to 0."""
        return min(1.0, 2 * (1 - progress))


class CycleGAN(Game):
    """The game of two translators and two discriminators.

    Args:
        G: X -> Y.
        F: Y -> X.
        D_X, D_Y: pictures -> logits of any shape.
        config: the rules.
        buffers: of the fakes in X and in Y; default none, D then sees new fakes only.

    Raises:
        GameError: the rules leave nothing to learn.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D_X", "D_Y"), "G": ("G", "F")}

    def __init__(
        self, G: nn.Module, F: nn.Module, D_X: nn.Module, D_Y: nn.Module, config: CycleGANConfig | None = None, *,
        buffers: tuple[ImageBuffer, ImageBuffer] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config or CycleGANConfig()
        self.config.check()
        self.G, self.F, self.D_X, self.D_Y = G, F, D_X, D_Y
        self.loss = adversarial_loss(self.config.loss)
        none = nn.Identity()
        self.buffer_X: nn.Module = buffers[0] if buffers else none
        self.buffer_Y: nn.Module = buffers[1] if buffers else none

    @equation("5.6", tests="tests/equations/test_cycle.py::test_the_objective_of_both_players")
    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """D's turn, then G's. Each fake is drawn once, and both players see it."""
        x, y = self._pictures(batch)
        fake_y, same_y = self._translated(self.G, x, y)
        fake_x, same_x = self._translated(self.F, y, x)
        if self.config.gan:
            old_x, old_y = self.buffer_X(fake_x.detach()), self.buffer_Y(fake_y.detach())
            yield Turn("D", **self.d_terms(self.D_X, x, old_x, "x"), **self.d_terms(self.D_Y, y, old_y, "y"))
        terms = self.fooling_terms(fake_x, fake_y) | self.cycle_terms(x, y, fake_x, fake_y)
        if same_x is not None and same_y is not None:
            terms |= {
                "identity_x": self.config.identity * identity_loss(same_x, x),
                "identity_y": self.config.identity * identity_loss(same_y, y),
            }
        yield Turn("G", **terms)

    @equation("5.3", tests="tests/equations/test_cycle.py::test_the_objective_of_both_players")
    def d_terms(self, D: nn.Module, real: Tensor, fake: Tensor, domain: str) -> dict[str, Tensor]:
        """What one discriminator descends; halved, as in the paper (sec. 7.1)."""
        return {
            f"real_{domain}": 0.5 * self.loss.real(D(real)),
            f"fake_{domain}": 0.5 * self.loss.fake(D(fake)),
        }

    @equation("5.4", tests="tests/equations/test_cycle.py::test_the_objective_of_both_players")
    def fooling_terms(self, fake_x: Tensor, fake_y: Tensor) -> dict[str, Tensor]:
        """The adversarial terms of the translators (eq. 1 with least squares)."""
        if not self.config.gan:
            return {}
        return {
            "gan_x": self.config.gan * self.loss.fool(self.D_X(fake_x)),
            "gan_y": self.config.gan * self.loss.fool(self.D_Y(fake_y)),
        }

    def cycle_terms(self, x: Tensor, y: Tensor, fake_x: Tensor, fake_y: Tensor) -> dict[str, Tensor]:
        """Both directions of the cycle (eq. 2), each where it has a weight."""
        terms = {}
        if self.config.forward_cycle:
            terms["forward"] = self.config.forward_cycle * cycle_loss(self.F(fake_y), x)
        if self.config.backward_cycle:
            terms["backward"] = self.config.backward_cycle * cycle_loss(self.G(fake_x), y)
        return terms

    def _translated(self, network: nn.Module, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """The translation of `source`; where the identity term needs it, `target` through the same network.

        Instance norm treats every picture alone, so one pass over both gives what two passes would.
        """
        if not self.config.identity:
            return network(source), None
        if source.shape[1:] != target.shape[1:]:
            raise GameError(
                f"The identity term needs both domains alike, but they are {tuple(source.shape[1:])} and "
                f"{tuple(target.shape[1:])}; set identity=0."
            )
        translated, same = network(torch.cat([source, target])).split([len(source), len(target)])
        return translated, same

    def _pictures(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        missing = [name for name in (self.config.x, self.config.y) if name not in batch]
        if missing:
            raise GameError(
                f"The batch has no {' and no '.join(map(repr, missing))}, only {', '.join(map(repr, batch))}; "
                "set CycleGANConfig.x and .y to the names of the two domains."
            )
        return batch[self.config.x], batch[self.config.y]


class PairedCycleGAN(CycleGAN):
    """The upper bound: the same networks and adversaries, with the true partner in place of the cycles.

    Its batches hold true pairs, so the L1 term of pix2pix takes the weights and the place of the cycle terms. D sees
    single pictures, as in CycleGAN: the pairs are the only difference.
    """

    def cycle_terms(self, x: Tensor, y: Tensor, fake_x: Tensor, fake_y: Tensor) -> dict[str, Tensor]:
        """|G(x) - y| and |F(y) - x|."""
        return {
            "pair_y": self.config.forward_cycle * cycle_loss(fake_y, y),
            "pair_x": self.config.backward_cycle * cycle_loss(fake_x, x),
        }


def build_cyclegan(
    config: CycleGANConfig | None = None, *, channels: tuple[int, int] = (3, 3), seed: int = 0,
    kind: type[CycleGAN] = CycleGAN,
) -> CycleGAN:  # fmt: skip
    """The game with the paper's networks; the same seed gives the same weights, whatever ran before.

    Args:
        channels: of X and of Y.
        kind: the rules, `CycleGAN` or a class made from it.

    Raises:
        GameError: the identity term between domains with different channels.
    """
    c = config or CycleGANConfig()
    n_x, n_y = channels
    if c.identity and n_x != n_y:
        raise GameError(f"The identity term needs both domains alike, not {n_x} and {n_y} channels; set identity=0.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = ResnetConfig(n_x, n_y, c.width, c.blocks, c.padding, c.halvings, c.up_kernel, c.skip)
        G = ResnetGenerator(shape)
        F = ResnetGenerator(replace(shape, channels_in=n_y, channels_out=n_x))
        D_X, D_Y = (PatchGAN(n, patch=c.patch, width=c.d_width) for n in channels)
    buffer_X = ImageBuffer(c.buffer, (n_x, c.size, c.size), generator=seeded(2 * seed))
    buffer_Y = ImageBuffer(c.buffer, (n_y, c.size, c.size), generator=seeded(2 * seed + 1))
    return kind(G, F, D_X, D_Y, c, buffers=(buffer_X, buffer_Y))


@torch.no_grad()
def cycle_under_noise(
    there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], x: Tensor, sigmas: Tensor, *,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """The cycle error when noise is added to the translation, which nobody would see: |back(there(x) + n) - x|.

    A translator may hide what the other domain cannot show (a lamp at noon) in a faint pattern, and its partner
    reads it there (Chu et al. 2017). Then a noise far too weak to see destroys the rebuilt picture.

    Args:
        sigmas: standard deviations (S,), in the units of the picture.

    Returns:
        (S,) mean absolute errors.
    """
    translated = there(x)
    noise = torch.randn(translated.shape, generator=generator, device=generator.device).to(translated)
    errors = [cycle_loss(back((translated + sigma * noise).clamp(-1, 1)), x) for sigma in sigmas]
    return torch.stack(errors)
