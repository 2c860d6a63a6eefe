"""SRGAN: enlarge a picture four times so that it looks sharp, not so that it errs least (Ledig et al. 2017).

    players   D   tells true large pictures from enlarged ones
              G   SRResNet: enlarges I_LR

    l_SR  = l_X + 1e-3 l_Gen                                                                  (eq. 3)
    l_MSE = mean (I_HR - G(I_LR))^2                                                           (eq. 4)
    l_VGG/i.j = mean (phi_ij(I_HR) - phi_ij(G(I_LR)))^2                                       (eq. 5)
    l_Gen = - log D(G(I_LR))                                                                  (eq. 6)

G is trained with l_MSE alone first: that is SRResNet. SRGAN starts from its weights (`warm_start`). Without the warm
start D wins before G paints anything (INFERRED: the paper says "to avoid undesired local optima").

Where the paper and its copies differ: the paper adds no pixel loss to l_VGG; its sum over the batch in l_Gen is a
mean here; features are divided by 12.75, the loss by 162.6, to bring VGG's scale to that of l_MSE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import adversarial_loss
from lib.losses.inversion import image_loss
from lib.losses.penalties import r1
from lib.losses.perceptual import perceptual_loss
from lib.losses.total_variation import total_variation
from lib.nn.srgan_discriminator import Head, SRDiscriminator
from lib.nn.srresnet import SRResNet, SRResNetConfig, Upsampling

__all__ = ["SRGAN", "TABLE_1", "VGG_SCALE", "Content", "SRGANConfig", "SRResNetGame", "build", "warm_start"]

Content = tuple[int, int] | Literal["mse"]
Features = Callable[[Tensor], list[Tensor]]

VGG_SCALE = 1 / 12.75**2
"""Factor on l_VGG: features divided by 12.75 (sec. 2.2.1), so the squared error by 162.6; often written as 0.006."""

TABLE_1: dict[str, dict[str, Any]] = {
    "SRResNet-MSE": {"content": "mse", "adversarial": 0.0},
    "SRResNet-VGG22": {"content": (2, 2), "adversarial": 0.0},
    "SRGAN-MSE": {"content": "mse"},
    "SRGAN-VGG22": {"content": (2, 2), "tv": 2e-8},
    "SRGAN-VGG54": {"content": (5, 4)},
}
"""Rows of the paper's table 1 -> what each changes in an `SRGANConfig`. The weight of TV is UNVERIFIED."""

LAST_LAYER = (3, 2)
"""(i, j) of the last layer of `lib.nn.photo_features.PhotoFeatures`."""


@dataclass(frozen=True)
class SRGANConfig:
    """Everything that is chosen before the training; the defaults are the paper's."""

    size: int = 96  # px of the large crops, a multiple of 16
    side: int | None = None  # long side in px to which the photos are brought; None keeps the file's
    factor: int = 4  # r
    width: int = 64  # channels of G
    blocks: int = 16  # residual blocks of G
    kernel: int = 9  # of G's first and last convolution
    norm: bool = True  # batch norm in G
    upsampling: Upsampling = "shuffle"  # "resize" paints no checkerboard on what is flat
    base: Literal["nothing", "bicubic"] = "nothing"  # what G's answer is added to; bicubic is ours
    d_width: int = 64  # channels of D's first layer
    d_head: Head = "dense"  # "pool" takes any size, as most later codes do
    d_norm: bool = True  # batch norm in D
    loss: str = "non-saturating"  # a name in lib.losses.adversarial.LOSSES
    content: Content = (5, 4)  # l_X: "mse", or (i, j) of phi_{i,j}
    features: Literal["vgg19", "photos"] = "vgg19"  # whose phi; "photos": the book's, see lib.nn.photo_features
    feature_scale: float | None = VGG_SCALE  # factor on the feature loss; None: measured, see with_scale in srgan_train
    adversarial: float = 1e-3  # weight of l_Gen; 0 leaves D out
    tv: float = 0.0  # weight of the total variation
    pixel: float = 0.0  # weight of l_MSE beside a feature loss; 0 in the paper, above 0 in many later codes
    r1: float = 0.0  # gamma of R1 on D (ours, for few photos); 0: none
    every: int = 4  # rounds from one R1 term to the next, which then counts as many times
    warm: int = 0  # rounds of the second stage in which D learns alone (ours)
    d_rate: float = 1.0  # D's learning rate over G's
    ema: float = 0.0  # decay of the averaged G of the second stage (ours); 0 keeps the last one
    batch: int = 16
    rounds: int = 1_000_000  # of SRResNet
    gan_rounds: int = 200_000  # of SRGAN, after it
    lr: float = 1e-4  # Adam of SRResNet, beta_1 = 0.9
    gan_lr: float = 1e-4  # Adam of SRGAN, both players; a tenth in the second half

    @classmethod
    def quick(cls, **changes: Any) -> SRGANConfig:
        """Less than a minute of one core for both stages: crops of 48 px, what the chapter trains before your eyes."""
        settings: dict[str, Any] = {"pixel": 0.5, "rounds": 350, "gan_rounds": 200, "warm": 30, "ema": 0.98}
        return cls.shipped(**settings | changes)

    @classmethod
    def shipped(cls, **changes: Any) -> SRGANConfig:
        """Four minutes of one core, both stages: 4 blocks over bicubic, the book's own features, R1 on D."""
        settings: dict[str, Any] = {
            "size": 48, "side": 320, "width": 32, "blocks": 4, "kernel": 5, "norm": False, "upsampling": "resize",
            "base": "bicubic", "d_width": 16, "d_head": "pool", "d_norm": False, "features": "photos",
            "content": (2, 2), "feature_scale": None, "adversarial": 4e-3, "pixel": 1.0, "r1": 0.05, "warm": 100,
            "d_rate": 2.0, "ema": 0.99, "batch": 8, "rounds": 900, "gan_rounds": 1000, "lr": 2e-3, "gan_lr": 4e-4,
        }  # fmt: skip
        return cls(**settings | changes)

    @classmethod
    def full(cls, **changes: Any) -> SRGANConfig:
        """A GPU: the paper's networks, losses and schedule; VGG-19 must be on disk."""
        return cls(**changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SRGANConfig:
        """The config that a card holds.

        Raises:
            TypeError: a field is unknown.
        """
        content = values.get("content", "mse")
        return cls(**{**values, "content": content if isinstance(content, str) else tuple(content)})

    def check(self) -> None:
        """Raise an error where choices contradict each other."""
        adversarial_loss(self.loss)
        if self.size % self.factor:
            raise GameError(f"Crops of {self.size} px have no small version at 1/{self.factor}.")
        weights = (self.adversarial, self.tv, self.pixel, self.r1)
        if min(weights) < 0 or (self.feature_scale is not None and self.feature_scale <= 0) or self.every < 1:
            raise GameError("adversarial, tv, pixel and r1 are weights from 0 on, feature_scale and every are above 0.")
        if self.content != "mse" and len(self.content) != 2:
            raise GameError(f'content is "mse" or (i, j) of phi_{{i,j}}, not {self.content!r}.')

    def row(self, name: str) -> SRGANConfig:
        """The same training as a row of the paper's table 1; phi_{5,4} is the last layer of smaller features.

        Raises:
            GameError: there is no such row.
        """
        if name not in TABLE_1:
            raise GameError(f"Table 1 has no row {name!r}; its rows are {', '.join(TABLE_1)}.")
        changes = dict(TABLE_1[name])
        if self.features == "photos" and changes["content"] == (5, 4):
            changes["content"] = LAST_LAYER
        return replace(self, **changes)

    def pretraining(self) -> SRGANConfig:
        """SRResNet-MSE with the same G: the warm start."""
        return replace(self, content="mse", adversarial=0.0, tv=0.0)

    def network(self) -> SRResNetConfig:
        """G's settings."""
        return SRResNetConfig(self.factor, self.width, self.blocks, self.kernel, self.norm, self.upsampling, self.base)

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: 1 throughout in the paper; the book's short trainings fall linearly in the second half."""
        return min(1.0, 2 * (1 - progress) + 0.02) if self.features == "photos" else 1.0

    @staticmethod
    def gan_learning_rate(progress: float) -> float:
        """Factor on ``gan_lr``: 1, and 0.1 from the middle on."""
        return 1.0 if progress < 0.5 else 0.1


class SRResNetGame(Game):
    """One player: G comes near the true picture in pixels or in features. No D.

    A batch holds ``condition``, I_LR (B, 3, H, W), and ``image``, I_HR (B, 3, rH, rW), both in [-1, 1].

    Args:
        config: sizes and weights; its ``adversarial`` has no effect here.
        features: the frozen phi of a content loss on features, pictures -> a list of one map.

    Raises:
        GameError: the choices contradict each other, or features are missing.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"G": ("G",)}

    def __init__(self, config: SRGANConfig | None = None, features: Features | None = None) -> None:
        super().__init__()
        c = self.config = config or SRGANConfig()
        c.check()
        if c.content != "mse" and (features is None or c.feature_scale is None):
            raise GameError(f"The content loss phi_{c.content} needs features and their scale; see srgan_train.")
        self.G = SRResNet(c.network())
        self.features = features if c.content != "mse" else None

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """G's only turn."""
        low, image = _pair(batch, self.config.factor)
        yield Turn("G", **self.content_terms(self.G(low), image))

    @equation("9.7", tests="tests/equations/test_srgan_equations.py::test_content_terms")
    @equation("9.8", tests="tests/equations/test_srgan_equations.py::test_content_terms")
    def content_terms(self, fake: Tensor, image: Tensor) -> dict[str, Tensor]:
        """l_X, under the name of what is compared: ``mse`` (eq. 4) or ``features`` (eq. 5), and what stands beside it.

        Beside features: pixels, where they have a weight. Beside all: TV, where it has one.
        """
        c = self.config
        if self.features is None:
            terms = {"mse": image_loss(fake, image)}
        else:
            with torch.no_grad():  # only the true picture's: the gradient must pass through phi to the fake
                target = self.features(image)
            assert c.feature_scale is not None
            terms = {"features": c.feature_scale * perceptual_loss(self.features(fake), target)}
            terms |= {"pixel": c.pixel * image_loss(fake, image)} if c.pixel else {}
        return terms | ({"tv": c.tv * total_variation(fake)} if c.tv else {})


class SRGAN(SRResNetGame):
    """The game of both players; args and batch are those of `SRResNetGame`."""

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "G": ("G",)}

    def __init__(self, config: SRGANConfig | None = None, features: Features | None = None) -> None:
        super().__init__(config, features)
        c = self.config
        if not c.adversarial:
            raise GameError("Without an adversarial term this is SRResNet; play SRResNetGame.")
        self.D = SRDiscriminator(size=c.size, width=c.d_width, head=c.d_head, norm=c.d_norm)
        self.loss = adversarial_loss(c.loss)

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One step of D, one of G, on the same enlarged pictures."""
        low, image = _pair(batch, self.config.factor)
        fake = self.G(low)
        yield Turn("D", **self.d_terms(fake.detach(), image))
        if self.rounds_done >= self.config.warm:  # a D without opinions would reward the first pattern it is shown
            yield Turn("G", **self.g_terms(fake, image))

    def d_terms(self, fake: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Tell true from enlarged, in two passes: a batch norm that saw both mixed would tell them apart itself."""
        c = self.config
        terms = {"real": self.loss.real(self.D(image)), "fake": self.loss.fake(self.D(fake))}
        if c.r1 and self.rounds_done % c.every == 0:
            terms["r1"] = c.every * c.r1 * r1(self.D, image)
        return terms

    @equation("9.9", tests="tests/equations/test_srgan_equations.py::test_gan_term")
    def gan_term(self, fake: Tensor) -> Tensor:
        """l_Gen: pass for a true picture (eq. 6, non-saturating); the mean over the batch, where the paper sums."""
        return self.loss.fool(self.D(fake))

    @equation("9.10", tests="tests/equations/test_srgan_equations.py::test_g_terms")
    def g_terms(self, fake: Tensor, image: Tensor) -> dict[str, Tensor]:
        """l_SR = l_X + 1e-3 l_Gen (eq. 3)."""
        return self.content_terms(fake, image) | {"gan": self.config.adversarial * self.gan_term(fake)}


def build(config: SRGANConfig, features: Features | None = None, *, seed: int = 0) -> SRResNetGame:
    """The game that the config describes: `SRGAN`, or `SRResNetGame` where the adversarial weight is 0.

    The same seed gives the same weights, whatever ran before.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (SRGAN if config.adversarial else SRResNetGame)(config, features)


def warm_start(game: SRResNetGame, G: nn.Module) -> None:
    """Begin with the weights of a trained SRResNet.

    Raises:
        GameError: it has other sizes.
    """
    try:
        game.G.load_state_dict(G.state_dict())
    except RuntimeError as error:
        raise GameError("SRGAN's warm start needs a SRResNet of the same sizes as its own G.") from error


def _pair(batch: Mapping[str, Any], factor: int) -> tuple[Tensor, Tensor]:
    missing = [name for name in ("condition", "image") if name not in batch]
    if missing:
        raise GameError(f"The batch has no {missing[0]!r}, only {', '.join(batch)}; wrap the stream in Lowered.")
    low, image = batch["condition"], batch["image"]
    wanted = (len(low), 3, *(factor * side for side in low.shape[2:]))
    if tuple(image.shape) != wanted:
        raise GameError(f"I_HR {tuple(image.shape)} is not {factor} times as large as I_LR {tuple(low.shape)}.")
    return low, image
