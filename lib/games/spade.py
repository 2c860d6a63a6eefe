"""SPADE: a conditional GAN whose generator hears the layout after every norm (Park et al. 2019).

    players   D   PatchGANs at several sizes of the picture; tells true (picture, layout) pairs from painted ones
              G   paints a picture of a layout

    L_D  =  mean over scales of  E relu(1 - D(y, x)) + E relu(1 + D(G(x), x))
    L_G  =  mean over scales of  -E D(G(x), x)  +  10 sum over layers |features of G(x) - features of y|
            + 10 sum over VGG layers w_l |phi_l(G(x)) - phi_l(y)|           where such features are given

There is no pixel term: D's own features say how near a painting is. The KL term and the style encoder are left out, as
in the authors' code without its VAE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import at_least_float32, feature_matching, hinge_fake, hinge_real
from lib.nn.multiscale import Judgement, MultiscaleDiscriminator
from lib.nn.spade import SPADEGenerator, SPADEGeneratorConfig
from lib.training.optim import OptimConfig

__all__ = ["Spade", "SpadeConfig", "feature_gap", "matched_features", "over_scales"]


@dataclass(frozen=True)
class SpadeConfig:
    """Everything that is chosen before the training; the defaults are for 64 px on a CPU."""

    size: int = 64  # px, long side of the pictures; any other size can be painted
    doublings: int = 3  # from G's start to the picture
    width: int = 16  # channels of G's last block
    hidden: int = 32  # channels of the layout's features inside each SPADE; 128 in the paper
    norm: Literal["instance", "batch"] = "instance"  # batch norm needs a batch, and paints differently in use
    scales: int = 2  # PatchGANs of D
    d_layers: int = 3  # convolutions of each before its logits; 3 see 34 px, 4 see 70 px
    d_width: int = 24  # channels of D's first layer
    features: float = 10.0  # weight of feature matching
    perceptual: float = 10.0  # weight of the perceptual term, in games that are given features
    ema: float = 0.99  # decay of the average generator that paints in the end (ours); 0 keeps the last weights
    batch: int = 2
    rounds: int = 400
    lr_g: float = 4e-4  # Adam
    lr_d: float = 1.6e-3  # four times that of G (TTUR)

    @classmethod
    def quick(cls, **changes: Any) -> SpadeConfig:
        """Some minutes on two CPU cores: a round of one pair at 64 px takes about 0.17 s of one slow core."""
        return cls(**changes)

    @classmethod
    def full(cls, **changes: Any) -> SpadeConfig:
        """A GPU: the paper's networks, norm, batch and rates at 256 px; ADE20K's 200 epochs of 20,210 pairs."""
        settings: dict[str, Any] = {
            "size": 256, "doublings": 5, "width": 64, "hidden": 128, "norm": "batch", "d_layers": 4, "d_width": 64,
            "ema": 0.0, "batch": 32, "rounds": 126_312, "lr_g": 1e-4, "lr_d": 4e-4,
        }  # fmt: skip
        return cls(**settings | changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SpadeConfig:
        """The config that a card holds.

        Raises:
            TypeError: a field is unknown.
        """
        return cls(**values)

    def check(self) -> None:
        """Raise `GameError` where a choice makes no sense."""
        if min(self.features, self.perceptual) < 0:
            raise GameError("features and perceptual are weights and must not be negative.")
        if not 0 <= self.ema < 1:
            raise GameError(f"ema={self.ema} is the decay of an average and must lie in [0, 1).")

    def network(self, classes: int) -> SPADEGeneratorConfig:
        """G's settings for layouts of so many classes."""
        return SPADEGeneratorConfig(
            classes, doublings=self.doublings, width=self.width, hidden=self.hidden, norm=self.norm
        )

    def optimisers(self) -> OptimConfig:
        """Adam at two time scales, with the betas of the authors' code. (The paper prints 0.999 for the second.)"""
        return OptimConfig(lr={"D": self.lr_d, "G": self.lr_g}, betas=(0.0, 0.9))

    def learning_rate(self, progress: float) -> float:
        """Factor on both rates: 1 for the first half, then linearly down to 0.02."""
        return min(1.0, 2 * (1 - progress) + 0.02)


@equation("11.11", tests="tests/wiring/test_spade.py::test_terms_are_the_papers")
class Spade(Game):
    """The game on pairs.

    A batch holds ``condition``, a one-hot layout x (B, K, H, W), and ``image``, the picture y (B, 3, H, W) in [-1, 1].
    The paper's G learns before D; here D learns first, and one fake serves both.

    Args:
        classes: K.
        config: the rules and sizes.
        perceptual: pictures -> features to compare, such as ``vgg19_maps([(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)])``,
            the paper's (which normalises pictures as VGG was trained; the authors' code does not), or `reader_maps`.
            None leaves the term out.

    Raises:
        GameError: the rules make no sense.
        NetworkError: the networks cannot be built so.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "G": ("G",)}

    def __init__(self, classes: int, config: SpadeConfig | None = None, *, perceptual: nn.Module | None = None) -> None:
        super().__init__()
        c = self.config = config or SpadeConfig()
        c.check()
        self.G = SPADEGenerator(c.network(classes))
        self.D = MultiscaleDiscriminator(classes, scales=c.scales, layers=c.d_layers, width=c.d_width)
        self.perceptual = None if perceptual is None else perceptual.requires_grad_(False)

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One fake for both players; G is judged by the D that has just learned."""
        x, y = _pair(batch)
        c, fake = self.config, self.G(x)
        on_true, on_fake = self.D(y, x), self.D(fake.detach(), x)
        yield Turn("D", real=over_scales(hinge_real, on_true), fake=over_scales(hinge_fake, on_fake))
        judged = self.D(fake, x)
        terms = {"gan": over_scales(_fool, judged)}
        if c.features:
            with torch.no_grad():
                wanted = self.D(y, x)
            terms["features"] = c.features * matched_features(judged, wanted)
        if self.perceptual is not None and c.perceptual:
            with torch.no_grad():
                seen = self.perceptual(y)
            terms["perceptual"] = c.perceptual * feature_gap(self.perceptual(fake), seen)
        yield Turn("G", **terms)


def over_scales(loss: Callable[[Tensor], Tensor], judgement: Judgement) -> Tensor:
    """The mean over D's scales of a loss of the logits: a coarse map counts as much as a fine one."""
    return torch.stack([loss(answers[-1]) for answers in judgement]).mean()


@equation("11.12", tests="tests/wiring/test_spade.py::test_matched_features_leave_the_logits_out")
def matched_features(fake: Judgement, real: Judgement) -> Tensor:
    """Feature matching in a multi-scale D: sum over hidden layers of the mean gap, averaged over scales.

    The sum over layers is the authors' (pix2pixHD and SPADE): with four layers it is four times `feature_matching`.
    """
    gaps = [
        len(painted[:-1]) * feature_matching(painted[:-1], true[:-1])
        for painted, true in zip(fake, real, strict=True)
    ]  # fmt: skip
    return torch.stack(gaps).mean()


@equation("11.13", tests="tests/wiring/test_spade.py::test_weights_of_the_perceptual_layers")
def feature_gap(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """sum_l w_l mean |phi_l(fake) - phi_l(real)|; of L layers the last weighs 1, the others 2^-L, …, 1/8, 1/4.

    For VGG-19's five layers these are the paper's 1/32, 1/16, 1/8, 1/4 and 1. No gradient goes to ``real``.
    """
    count = len(fake)
    gaps = [
        (1.0 if place == count - 1 else 2.0 ** (place - count))
        * (at_least_float32(painted) - at_least_float32(true.detach())).abs().mean()
        for place, (painted, true) in enumerate(zip(fake, real, strict=True))
    ]
    return torch.stack(gaps).sum()


def _fool(logits: Tensor) -> Tensor:
    """G's side of the hinge: -mean a, without end."""
    return -at_least_float32(logits).mean()


def _pair(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """x and y, checked."""
    try:
        x, y = batch["condition"], batch["image"]
    except KeyError as missing:
        raise GameError(f"SPADE learns from 'condition' and 'image'; {missing} is not in {sorted(batch)}.") from missing
    if y.shape != (len(x), 3, *x.shape[2:]):
        raise GameError(f"Pictures {tuple(y.shape)} do not fit layouts {tuple(x.shape)}: (B, 3, H, W), (B, K, H, W).")
    return x, y
