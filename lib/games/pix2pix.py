"""pix2pix: a conditional GAN that learns a translation from pairs (Isola et al. 2017).

    players   D   tells true pairs (x, y) from painted ones (x, G(x, z)), patch by patch
              G   paints y from x, so that D takes it for true and no pixel is far away

    (1)  L_cGAN = E log D(x, y) + E log(1 - D(x, G(x, z)))
    (2)  L_GAN  = E log D(y) + E log(1 - D(G(x, z)))             D does not see x
    (3)  L_L1   = E |y - G(x, z)|_1
    (4)  G*     = arg min_G max_D L_cGAN + lambda L_L1

D's objective is halved (sec. 3.3) and G plays the non-saturating side of (1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lib.book.equations import equation
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import adversarial_loss
from lib.nn.patch_family import PATCHES, PatchGAN
from lib.nn.unet import UNetConfig, UNetGenerator

__all__ = ["D_SCALE", "LOSS_ABLATION", "SUMMER_DAY", "Pix2Pix", "Pix2PixConfig", "pixel_loss"]

D_SCALE = 0.5
"""D's objective is divided by 2, to slow D down beside G. Adam rescales every gradient and hardly feels it."""

SUMMER_DAY: Mapping[str, str] = MappingProxyType({"time": "day", "season": "summer", "weather": "clear"})
"""What the façades have in common unless the config says otherwise. A label map tells neither hour nor season; left
free, they would dominate every distance between a painted and a true picture. The material stays free."""

LOSS_ABLATION: dict[str, dict[str, Any]] = {
    "L1": {"gan": 0.0},
    "GAN": {"conditional": False, "l1": 0.0},
    "cGAN": {"l1": 0.0},
    "L1+GAN": {"conditional": False},
    "L1+cGAN": {},
}
"""Rows of the paper's table 1 -> what each changes in a `Pix2PixConfig`."""


@dataclass(frozen=True)
class Pix2PixConfig:
    """Everything that is chosen before the training; the defaults are for 64 px on a CPU."""

    task: Literal["labels", "edges", "grey"] = "labels"  # what x is
    data: Literal["facades", "faces", "photos"] = "facades"  # a drawn world, or crops of the bundled photos
    always: Mapping[str, str] = field(default_factory=dict)  # attribute of the world -> its value in every picture
    size: int = 64  # px, a power of two; G reaches 1 x 1 there
    width: int = 32  # channels of G's first layer
    widest: int = 4  # no layer of G has more than widest * width channels; 8 in the paper
    d_width: int = 24  # channels of D's first layer
    loss: str = "non-saturating"  # a name in lib.losses.adversarial.LOSSES
    gan: float = 1.0  # weight of the adversarial term; 0 leaves D out
    conditional: bool = True  # D sees (x, y); False: y alone, equation (2)
    l1: float = 100.0  # lambda
    distance: Literal["l1", "l2"] = "l1"  # |y - G| has its minimum at the median, (y - G)^2 at the mean
    patch: int = 34  # px that one logit of D sees
    skips: bool = True  # False: an encoder-decoder instead of a U-Net
    noise: bool = True  # z, as dropout, in training and at test time
    pool: int = 256  # pictures of a world drawn once and met again; 0 draws new ones in every round
    batch: int = 1  # as in the paper
    rounds: int = 800
    lr: float = 2e-3  # Adam, both players; falls linearly in the second half (the authors' second code)

    @classmethod
    def quick(cls, **changes: Any) -> Pix2PixConfig:
        """Under a minute on two CPU cores."""
        return cls(**_common(changes) | changes)

    @classmethod
    def shipped(cls, **changes: Any) -> Pix2PixConfig:
        """The models that the book ships: ten minutes of one CPU core at 128 px for labels, one at 64 px for others."""
        settings: dict[str, Any] = {"width": 24, "d_width": 32, "lr": 1e-3, "rounds": 1500}
        if changes.get("task", "labels") == "labels":
            settings |= {"size": 128, "pool": 512, "rounds": 5000}
        return cls(**settings | _common(changes) | changes)

    @classmethod
    def full(cls, **changes: Any) -> Pix2PixConfig:
        """A GPU: the paper's networks, batch and learning rate at 256 px; 200 epochs of 400 pictures."""
        settings: dict[str, Any] = {
            "size": 256, "width": 64, "widest": 8, "d_width": 64, "patch": 70, "pool": 0, "batch": 1,
            "rounds": 80_000, "lr": 2e-4,
        }  # fmt: skip
        return cls(**settings | _common(changes) | changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Pix2PixConfig:
        """The config that a card holds.

        Raises:
            TypeError: a field is unknown.
        """
        return cls(**values)

    def ablation(self) -> dict[str, Pix2PixConfig]:
        """The same training with each loss of the paper's table 1."""
        return {name: replace(self, **changes) for name, changes in LOSS_ABLATION.items()}

    def check(self) -> None:
        """Raise `GameError` where choices contradict each other."""
        adversarial_loss(self.loss)
        if self.size < 16 or self.size & (self.size - 1):
            raise GameError(f"size={self.size} is no power of two from 16 on; crop the pictures.")
        if self.patch not in PATCHES:
            raise GameError(f"There is no PatchGAN of {self.patch} px; choose one of {', '.join(map(str, PATCHES))}.")
        if min(self.gan, self.l1) < 0 or self.gan == self.l1 == 0:
            raise GameError("gan and l1 are weights: not negative, and not both 0, or G has nothing to learn from.")
        if self.task == "labels" and self.data == "photos":
            raise GameError("The photos have no common classes; take task='edges' or 'grey', or a world.")

    def network(self, channels: int) -> UNetConfig:
        """G's settings for conditions of so many channels."""
        return UNetConfig(
            channels, depth=self.size.bit_length() - 1, width=self.width, widest=self.widest, skips=self.skips
        )

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: 1 for the first half, then linearly down to 0.02."""
        return min(1.0, 2 * (1 - progress) + 0.02)


def _common(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What all pictures share where nothing else is asked for."""
    return {"always": dict(SUMMER_DAY)} if changes.get("data", "facades") == "facades" else {}


@equation("4.5", tests="tests/equations/test_paired.py::test_objective")
class Pix2Pix(Game):
    """The game on pairs.

    A batch holds ``condition``, x (B, C, H, W), and ``image``, y (B, 3, H, W) in [-1, 1].

    Args:
        channels: C.
        config: the rules and sizes.
        generator: draws z; default seed 0.

    Raises:
        GameError: the rules contradict each other.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "G": ("G",)}

    def __init__(
        self, channels: int, config: Pix2PixConfig | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        c = self.config = config or Pix2PixConfig()
        c.check()
        self.G = UNetGenerator(c.network(channels))
        self.D = PatchGAN(3 + (channels if c.conditional else 0), patch=c.patch, width=c.d_width)
        if c.gan and c.size < self.D.least_side:
            raise GameError(f"patch={c.patch} needs pictures of {self.D.least_side} px or more, not size={c.size}.")
        self.loss = adversarial_loss(c.loss)
        self.generator = generator or torch.Generator().manual_seed(0)

    def paint(self, x: Tensor) -> Tensor:
        """G(x, z), z drawn where the config wants noise: (B, C, H, W) -> (B, 3, H, W)."""
        picture: Tensor = self.G(x, noise=self.generator if self.config.noise else None)
        return picture

    @equation("4.3", tests="tests/equations/test_paired.py::test_judge")
    def judge(self, x: Tensor, y: Tensor) -> Tensor:
        """D's logits (B, 1, h, w) of a pair; an unconditional D does not look at x."""
        logits: Tensor = self.D(x, y) if self.config.conditional else self.D(y)
        return logits

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One fake for both players; G is judged by the D that has just learned."""
        x, y = _pair(batch)
        c, fake = self.config, self.paint(x)
        if c.gan:
            real_loss, fake_loss = self.loss.real(self.judge(x, y)), self.loss.fake(self.judge(x, fake.detach()))
            yield Turn("D", real=D_SCALE * real_loss, fake=D_SCALE * fake_loss)
        terms = {"gan": c.gan * self.loss.fool(self.judge(x, fake))} if c.gan else {}
        if c.l1:
            terms[c.distance] = c.l1 * pixel_loss(fake, y, c.distance)
        yield Turn("G", **terms)


@equation("4.4", tests="tests/equations/test_paired.py::test_pixel_loss")
def pixel_loss(fake: Tensor, y: Tensor, distance: Literal["l1", "l2"] = "l1") -> Tensor:
    """Mean over all values of |y - G| or (y - G)^2, in float32 at least; equation (3) up to the number of values.

    Where several y fit one x, "l1" is least at their median and "l2" at their mean. Both are grey compromises.
    """
    gap = fake.float() - y.float() if fake.dtype.itemsize < 4 else fake - y
    return gap.abs().mean() if distance == "l1" else gap.square().mean()


def _pair(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    missing = [name for name in ("condition", "image") if name not in batch]
    if missing:
        raise GameError(f"The batch has no {missing[0]!r}, only {', '.join(batch)}; wrap the stream in Paired.")
    x, y = batch["condition"], batch["image"]
    if x.shape[0] != y.shape[0] or x.shape[2:] != y.shape[2:]:
        raise GameError(f"x {tuple(x.shape)} and y {tuple(y.shape)} are no pairs; they differ in number or size.")
    return x, y
