"""Translation in two steps (Dong et al. 2017): a GAN with classes first, then an encoder that inverts it.

    step 1    AC-GAN: G(z, c), whose z comes to mean what the domains share
    step 2    G stands still; E learns z from G(z, c):  no picture of the world is needed any more
    use       G(E(x), c'): the picture x in the domain c'

Chapter 3 derives both steps and measures what they lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.games.game import Game, GameError, Turn
from lib.losses.inversion import image_loss, latent_loss

__all__ = ["EncoderConfig", "EncoderGame", "Translator"]


@dataclass(frozen=True)
class EncoderConfig:
    """How the encoder is taught; the defaults are the paper's."""

    loss: Literal["latent", "image"] = "latent"  # ‖E(G(z,c)) - z‖², or ‖G(E(x),c) - x‖²
    pictures: Literal["drawn", "real"] = "drawn"  # x = G(z, c), or x from the batch (image loss only)
    told: bool = False  # E(x, c) is told the class; the paper's E sees the picture alone
    batch: int = 64  # pictures that G draws in a round
    key: str = "image"  # where real pictures are in a batch
    label: str = "domain"  # where their classes are

    def check(self) -> None:
        """Raise `GameError` where two choices contradict each other."""
        if self.loss == "latent" and self.pictures == "real":
            raise GameError("The latent of a real picture is not known; use loss='image', or pictures='drawn'.")


class EncoderGame(Game):
    """Step 2: one player, E. G is frozen, in evaluation mode, whatever mode the game is put into.

    Without real pictures the game needs no data: play it on ``Repeat({})``.

    Args:
        G: (z (B, d), y (B,)) -> pictures, trained.
        E: pictures -> z; with `told` (pictures, y) -> z.
        config: the rules.
        latent: d.
        classes: K.
        generator: draws z and c; default seed 0.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"E": ("E",)}

    def __init__(
        self, G: nn.Module, E: nn.Module, config: EncoderConfig | None = None, *, latent: int, classes: int,
        generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config or EncoderConfig()
        self.config.check()
        self.G, self.E = G.requires_grad_(False), E
        self.latent, self.classes = latent, classes
        self.generator = generator or torch.Generator().manual_seed(0)

    def train(self, mode: bool = True) -> EncoderGame:
        """Set E's mode. In training mode G's batch norm would draw other pictures, and forget its statistics."""
        super().train(mode)
        self.G.eval()
        return self

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Latents (count, d), standard normal, and classes (count,), equally frequent; on G's device."""
        device = next(self.G.parameters()).device
        z = torch.randn(count, self.latent, generator=self.generator)
        y = torch.randint(self.classes, (count,), generator=self.generator)
        return z.to(device), y.to(device)

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One turn of E."""
        c = self.config
        z, y = self.draw(c.batch)
        if c.pictures == "real":
            x, y = batch[c.key], batch[c.label]
        else:
            with torch.no_grad():
                x = self.G(z, y)
        found = self.E(x, y) if c.told else self.E(x)
        if c.loss == "latent":
            yield Turn("E", latent=latent_loss(found, z))
        else:
            yield Turn("E", image=image_loss(self.G(found, y), x))


class Translator(nn.Module):
    """Both networks, trained: pictures to latents and back, in any domain.

    Args:
        G: (z, y) -> pictures.
        E: pictures -> z; with `told` (pictures, y) -> z.
        latent: d.
        told: whether E is told the class.
    """

    def __init__(self, G: nn.Module, E: nn.Module, *, latent: int, told: bool = False) -> None:
        super().__init__()
        self.G, self.E, self.latent, self.told = G, E, latent, told
        self.eval().requires_grad_(False)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """E's answer for pictures (B, 3, H, W): (B, d). y (B,), the class of x, only for an E that is told."""
        z: Tensor = self.E(x, y) if self.told else self.E(x)
        return z

    @equation("3.12", tests="tests/wiring/test_two_step.py::test_translation")
    def translate(self, x: Tensor, to: Tensor, y: Tensor | None = None) -> Tensor:
        """G(E(x), c'): pictures x in the domains `to` (B,); in their own domain a reconstruction."""
        picture: Tensor = self.G(self.encode(x, y), to)
        return picture

    forward = translate
