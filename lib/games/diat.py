"""DIAT: give a face an attribute and leave it its identity, without pairs, in two stages (Li et al. 2016, version 1).

    denoising     g, f    g paints x by feature losses alone; f learns to undo what they leave behind
    transform     D       which faces are real *and* of the guided set?
                  T       fool D, stay the same person for phi, look clean to f
    enhancement   E       make T's soft picture sharp again: `lib.games.diat_enhance`

    L_T = l_attr + lambda l_id + gamma l_smooth            DIAT: l_id by a fixed phi
    L_T = l_attr + lambda l_id^dyn                         DIAT-A: l_id by the maps of D, which move

Version 3 of the paper (2018) is another model of the same name; it is not built here. The weights, learning rates
and sizes of version 1 are UNVERIFIED; those below are ours. phi is the book's `lib.metrics.identity.FaceIdentifier`
in place of VGG-Face.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.data.face_sets import AttributeTask, task_named
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import adversarial_loss
from lib.losses.diat import artefacts, content_loss, denoising_losses
from lib.losses.penalties import r1
from lib.losses.perceptual import FeatureMaps
from lib.losses.total_variation import total_variation
from lib.nn.dcgan import dcgan_init
from lib.nn.denoiser import Denoiser
from lib.nn.diat import AttributeDiscriminator, Output, TransformConfig, TransformNetwork
from lib.nn.resnet_generator import Padding

__all__ = [
    "VARIANTS", "DIATConfig", "Denoising", "FaceTransform", "build_denoising", "build_transform", "pictures_of",
    "target_maps",
]  # fmt: skip

VARIANTS: dict[str, dict[str, Any]] = {
    "DIAT": {},
    "DIAT-A": {"features": "adaptive"},
    "DIAT-A, as printed": {"features": "adaptive", "gamma": 0.0},
    "no identity": {"features": "none"},
    "no smoothing": {"gamma": 0.0},
    "total variation": {"smooth": "tv", "gamma": 3.0},
}
"""Name -> what it changes in a `DIATConfig`, in the command and in the study alike.

The paper's equation of DIAT-A shows no smoothing: *as printed*. Ours keeps it, so that only the features differ.
"""

_SMALL: dict[str, Any] = {
    "size": 48, "blocks": 3, "halvings": 1, "up_kernel": 4, "padding": "zeros", "output": "coat", "smooth_up": True,
    "d_stages": 4, "d_hidden": 64, "batch": 8, "beta2": 0.99, "f_width": 16, "e_blocks": 1,
}  # fmt: skip
"""What the trainings for a CPU have in common: few channels, and a coat over the face."""

_BY_TASK: dict[str, dict[str, Any]] = {
    "smile": {"r1": 0.3, "d_rate": 1.5, "d_width": 32},
    "age": {
        "output": "change", "d_width": 32, "r1": 0.3, "warm": 300, "rounds": 6000, "d_rate": 1.5, "own": 0.5,
        "spare": 3.0, "e_rounds": 300, "blur": 1.0,
    },
    "gender": {"r1": 0.3, "spare": 1.0, "identity": 0.3, "d_width": 32, "rounds": 5000, "blur": 1.3},
}  # fmt: skip
"""What one attribute wants otherwise when it is shipped.

Age is faint: D tells a face from the same face grown old only after hundreds of rounds, and never finds it while T's
first pictures differ from x by more than age does. So T starts as x, D has a long head start, and x stays among D's
fakes, or D forgets age as soon as T paints something else. Gender changes much of the picture: its price is low, and
so is lambda, which would hold on to long hair.
"""


@dataclass(frozen=True)
class DIATConfig:
    """Everything that is chosen before the training; the defaults are for 128 px on a GPU."""

    task: str = "glasses"  # a name in lib.data.face_sets.TASKS
    size: int = 128  # px
    width: int = 32  # channels of T's first layer
    blocks: int = 5  # residual blocks of T
    halvings: int = 2  # T's blocks work at size / 2^halvings
    up_kernel: int = 3  # of T's doublings
    padding: Padding = "reflect"  # of T's plain convolutions
    output: Output = "picture"  # what T paints: all of it, or a coat over x (ours)
    smooth_up: bool = False  # T blurs after each doubling (ours)
    d_width: int = 64  # channels of D's first stage
    d_stages: int = 5  # halvings in D
    d_hidden: int = 512  # units of D's fully connected layer
    loss: str = "non-saturating"  # l_attr: a name in lib.losses.adversarial.LOSSES; "minimax" as in the paper's formula
    gan: float = 1.0  # weight of l_attr; 0 leaves D out
    r1: float = 1.0  # gamma of R1 on the guided set (ours: without it, a small D learns the set by heart)
    every: int = 4  # R1 acts in every so many rounds, that much more strongly
    own: float = 0.0  # share of D's fakes that x itself makes up: D cannot forget the attribute (ours)
    features: Literal["fixed", "adaptive", "none"] = "fixed"  # where l_id compares: phi, D (DIAT-A), nowhere
    identity: float = 1.0  # lambda
    layers: tuple[str, ...] = ("stages.0", "stages.1")  # of phi: its last two stages, as VGG-Face's 4 and 5
    weights: tuple[float, ...] = (1.0, 1.0)  # w_l, for phi's layers and for D's
    smooth: Literal["denoiser", "tv"] = "denoiser"  # l_smooth: by the trained f, or total variation
    gamma: float = 100.0  # weight of l_smooth; 0 leaves it out
    spare: float = 0.0  # weight of mean |T(x) - x|, the price of each change (ours)
    pool: int = 20_000  # pictures rendered once, half in each set
    batch: int = 16  # pictures of each set in a round
    rounds: int = 40_000  # of the transform stage
    warm: int = 0  # rounds in the beginning in which D alone plays, against T's first pictures (ours)
    lr: float = 2e-4  # Adam, all players of all stages
    d_rate: float = 1.0  # D's learning rate over T's
    beta2: float = 0.999  # of the transform stage; beta1 is 0.5
    ema: float = 0.0  # decay of the averaged T (ours); 0 keeps the last one
    f_width: int = 32  # channels inside the denoiser
    f_rounds: int = 4000  # of the denoising stage
    f_wait: float = 0.3  # share of them in which g learns alone (ours)
    e_width: int = 32  # channels of E's first layer
    e_blocks: int = 3  # residual blocks of E
    e_rounds: int = 10_000  # of the enhancement stage
    betas: tuple[float, ...] = (1.0, 0.1, 0.1)  # beta_i of the local L_E: pixels, then the first stages of phi
    blur: float = 2.0  # px at size 128, the strongest blur B of the global L_E; the size scales it

    @classmethod
    def quick(cls, **changes: Any) -> DIATConfig:
        """Half a minute on two CPU cores at 48 px: what the chapter trains before your eyes."""
        settings: dict[str, Any] = {
            "width": 8, "d_width": 16, "r1": 0.35, "pool": 800, "warm": 120, "rounds": 400, "lr": 1.5e-3,
            "d_rate": 3.0, "ema": 0.98, "f_rounds": 120, "e_width": 12, "e_rounds": 60,
        }  # fmt: skip
        return cls(**_SMALL | settings | changes)

    @classmethod
    def shipped(cls, **changes: Any) -> DIATConfig:
        """Five to thirty minutes of one core at 48 px.

        Wider and much longer than `quick`, on more people, with a price of changes and a longer average of T.
        """
        settings: dict[str, Any] = {
            "width": 16, "d_width": 24, "r1": 0.15, "spare": 4.0, "pool": 12_000, "warm": 150, "rounds": 4000,
            "lr": 1e-3, "d_rate": 2.0, "ema": 0.999, "f_rounds": 150, "e_width": 16, "e_rounds": 400,
        }  # fmt: skip
        return cls(**_SMALL | settings | _BY_TASK.get(changes.get("task", ""), {}) | changes)

    @classmethod
    def full(cls, **changes: Any) -> DIATConfig:
        """A GPU: the paper's 16 layers of T at 128 px (size and all weights UNVERIFIED)."""
        return cls(**changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DIATConfig:
        """The config that a card holds; JSON knows no tuples.

        Raises:
            TypeError: a field is unknown.
        """
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**settings)

    def variant(self, name: str) -> DIATConfig:
        """The same training with the changes of one of the `VARIANTS`.

        Raises:
            GameError: there is none of that name.
        """
        if name not in VARIANTS:
            raise GameError(f"There is no variant {name!r} of DIAT; choose one of {', '.join(VARIANTS)}.")
        return replace(self, **VARIANTS[name])

    def check(self) -> None:
        """Raise `GameError` where the rules contradict each other."""
        adversarial_loss(self.loss)
        if min(self.gan, self.r1, self.identity, self.gamma, self.spare, self.blur, self.warm) < 0 or self.every < 1:
            raise GameError("gan, r1, identity, gamma, spare, blur and warm start at 0, every at 1.")
        if not 0 <= self.own < 1:
            raise GameError(f"own={self.own:g} is a share of D's fakes; choose one from 0 up to, but not with, 1.")
        if self.features == "adaptive" and not self.gan:
            raise GameError("The adaptive identity loss compares in D's maps; without gan, D never learns any.")
        if len(self.weights) != (2 if self.features == "adaptive" else len(self.layers)):
            raise GameError(f"weights={self.weights} must hold one number for each layer that is compared.")

    @property
    def attribute(self) -> AttributeTask:
        """The task."""
        return task_named(self.task)

    @property
    def needs_denoiser(self) -> bool:
        """Whether the transform stage looks at its picture through f."""
        return bool(self.gamma) and self.smooth == "denoiser"

    def transform(self) -> TransformConfig:
        """Of T."""
        return TransformConfig(
            self.width, self.blocks, self.halvings, self.up_kernel, self.padding, self.output, self.smooth_up
        )

    def roughening(self) -> TransformConfig:
        """Of g, which shall leave artefacts: no coat and no smooth doublings."""
        output: Output = "picture" if self.output == "picture" else "change"
        return replace(self.transform(), output=output, smooth=False)

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: 1 for the first half, then linearly down to 0.02."""
        return min(1.0, 2 * (1 - progress) + 0.02)


class Denoising(Game):
    """The stage before: g paints pictures that carry the artefacts of feature losses, f learns to take them off.

    What is left in g's pictures at the end is what phi does not see. As long as g paints something else altogether, f
    could learn nothing but to tint; so it waits (ours).

    Args:
        g: pictures -> pictures.
        f: the denoiser.
        phi: the frozen features.
        weights: w_l.
        wait: share of the training in which g learns alone.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"g": ("g",), "f": ("f",)}

    def __init__(
        self, g: nn.Module, f: nn.Module, phi: FeatureMaps, weights: tuple[float, ...] = (1.0, 1.0), *,
        wait: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.g, self.f, self.phi, self.weights, self.wait = g, f, phi, weights, wait

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """min_g sum_l w_l l_c(g(x), x), then min_f ||f(g(x)) - x||^2 + ||f(x) - x||^2."""
        (x,) = pictures_of(batch, "A")
        rough = self.g(x)
        yield Turn("g", content=content_loss(self.phi(rough), target_maps(self.phi, x), self.weights))
        if self.progress >= self.wait:
            repair, keep = denoising_losses(self.f, rough.detach(), x)
            yield Turn("f", repair=repair, keep=keep)


class FaceTransform(Game):
    """Stage 1, on batches with ``A`` (input set) and ``B`` (guided set).

    Args:
        T: pictures -> pictures.
        D: with ``judge``.
        phi: frozen features; needed for the fixed identity loss.
        f: the trained denoiser, frozen here; needed where it smooths.
        config: the rules.

    Raises:
        GameError: the rules contradict each other, or a network that they need is missing.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "T": ("T",)}

    def __init__(
        self, T: nn.Module, D: AttributeDiscriminator, phi: FeatureMaps | None = None, f: nn.Module | None = None,
        config: DIATConfig | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        c = self.config = config or DIATConfig()
        c.check()
        if phi is None and c.features == "fixed" and c.identity:
            raise GameError("The fixed identity loss needs phi; give FeatureMaps, or set features='adaptive'.")
        if f is None and c.needs_denoiser:
            raise GameError("l_smooth needs a trained denoiser f; give one, or set gamma=0 or smooth='tv'.")
        self.T, self.D, self.phi = T, D, phi
        self.f = None if f is None else f.requires_grad_(False)
        self.loss = adversarial_loss(c.loss)

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One fake for both players; T is judged, and in DIAT-A also measured, by the D that has just learned."""
        x, real = pictures_of(batch, "A", "B")
        warm = self.rounds_done < self.config.warm
        with torch.set_grad_enabled(not warm):
            fake = self.T(x)
        if self.config.gan:
            yield Turn("D", **self.d_terms(x, real, fake.detach()))
        if warm:
            return
        yield Turn("T", **self.t_terms(x, fake))

    def d_terms(self, x: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Real faces with the attribute against T's, and against x where ``own`` asks for it; x is never real."""
        c = self.config
        shown = [real, fake, x] if c.own else [real, fake]
        logits = self.D(torch.cat(shown)).split([len(each) for each in shown])
        terms = {"real": self.loss.real(logits[0]), "fake": (1 - c.own) * self.loss.fake(logits[1])}
        if c.own:
            terms["own"] = c.own * self.loss.fake(logits[2])
        if c.r1 and self.rounds_done % c.every == 0:
            terms["r1"] = c.every * c.r1 * r1(self.D, real)
        return terms

    @equation("7.6", tests="tests/equations/test_diat_stages.py::test_the_loss_of_t")
    def t_terms(self, x: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """l_attr, lambda l_id and gamma l_smooth, each where it has a weight; `spare` adds a price of changes (ours).

        That one is an L1 norm: it asks for few changes, not for faint ones. A ripple over a wall costs more than the
        rim of a pair of glasses.
        """
        c, terms = self.config, {}
        maps: list[Tensor] = []
        if c.gan:
            logits, maps = self.D.judge(fake)
            terms["gan"] = c.gan * self.loss.fool(logits)
        if c.identity and c.features == "adaptive":
            terms["identity"] = c.identity * self.adaptive_identity(x, maps)
        elif c.identity and c.features == "fixed":
            assert self.phi is not None  # __init__ saw to it
            terms["identity"] = c.identity * content_loss(self.phi(fake), target_maps(self.phi, x), c.weights)
        if c.gamma:
            smooth = artefacts(self.f, fake) if c.smooth == "denoiser" and self.f is not None else total_variation(fake)
            terms["smooth"] = c.gamma * smooth
        if c.spare:
            terms["spare"] = c.spare * (fake - x).abs().mean()
        return terms

    @equation("7.7", tests="tests/equations/test_diat_stages.py::test_the_adaptive_identity_loss")
    def adaptive_identity(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """l_id^dyn = sum_l w_l ||D_l(T(x)) - D_l(x)||_F^2 / (2 C_l H_l W_l), by the D of this very round.

        Args:
            x: the originals, whose maps are the target; it costs no graph.
            maps: D_l(T(x)), from the pass that also judged it.
        """
        with torch.no_grad():
            own = self.D.judge(x)[1]
        return content_loss(maps, own, self.config.weights)

    @torch.no_grad()
    def distance(self, x: Tensor, y: Tensor, features: Literal["fixed", "adaptive"] | None = None) -> float:
        """l_id between two pictures as T would be charged for it now, without lambda.

        The same pair again and again during a training shows DIAT-A's moving target: the fixed phi says one number.
        """
        if (features or self.config.features) == "adaptive":
            return float(content_loss(self.D.judge(y)[1], self.D.judge(x)[1]))
        if self.phi is None:
            raise GameError("This game has no phi to measure with.")
        return float(content_loss(self.phi(y), self.phi(x), self.config.weights))


def build_denoising(config: DIATConfig, phi: FeatureMaps, *, seed: int = 0) -> Denoising:
    """The stage before the first; the same seed gives the same weights, whatever ran before.

    g has T's depth. Where T starts as a copy of x, g starts as x under a strong pattern: a copy has no artefacts.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        g, f = TransformNetwork(config.roughening()), Denoiser(config.f_width)
        dcgan_init(g.paint)
    return Denoising(g, f, phi, config.weights, wait=config.f_wait)


def build_transform(
    config: DIATConfig | None = None, phi: FeatureMaps | None = None, f: nn.Module | None = None, *, seed: int = 0
) -> FaceTransform:
    """Stage 1 with its networks; the same seed gives the same weights, whatever ran before."""
    c = config or DIATConfig()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        T = TransformNetwork(c.transform())
        D = AttributeDiscriminator(c.size, width=c.d_width, stages=c.d_stages, hidden=c.d_hidden)
    return FaceTransform(T, D, phi, f, c)


def target_maps(phi: FeatureMaps, x: Tensor) -> list[Tensor]:
    """phi(x), which costs no graph; phi of the *fake* must keep its graph."""
    with torch.no_grad():
        maps: list[Tensor] = phi(x)
    return maps


def pictures_of(batch: Mapping[str, Any], *names: str) -> list[Tensor]:
    """What a batch holds under these names.

    Raises:
        GameError: it lacks one.
    """
    missing = [name for name in names if name not in batch]
    if missing:
        raise GameError(
            f"The batch has no {' and no '.join(map(repr, missing))}, only {', '.join(batch)}; draw it from FaceSets "
            "with the task of the config."
        )
    return [batch[name] for name in names]
