"""Mask-guided diverse faces: four networks, one mask, as many faces as one likes (Sun et al. 2022).

    players   D   tells true faces from painted ones, given their mask
              G   S draws a style, G paints mask and style, R reads the style back: three networks, one move

    L_D = E softplus(-D(x, m)) + E softplus(D(G(m, s), m)) + gamma/2 E |grad_x D(x, m)|^2
    L_G = E softplus(-D(G(m, s), m)) + lambda_sty E |R(G(m, s)) - s| - lambda_ds(t) E |G(m, s1) - G(m, s2)|

INFERRED: the abstract names the four networks, the references name R1 (Mescheder et al. 2018), mode seeking and
diversity-sensitive terms, StarGAN v2 and weight averaging. The article itself, its weights and its tables are not
known to us. The recipe is StarGAN v2's.

Who needs whom: without the last two terms G may ignore s. R alone can be content with a pattern that nobody sees.
The diversity term alone is content with garbage. D alone keeps faces faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from lib.book.equations import equation
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import adversarial_loss
from lib.losses.diversity import diversity_loss, energy_distance, style_loss
from lib.losses.penalties import r1
from lib.nn.maskface import FaceConfig, FaceDiscriminator, FaceModel
from lib.runtime import seeded

__all__ = ["BARE_HEADS", "TERMS", "MaskFace", "MaskFaceConfig", "build_maskface"]

BARE_HEADS: Mapping[str, str] = MappingProxyType({"hat": "none"})
"""What all faces of the quick profile share: a hat is a large, rare thing, and a short training cannot afford it."""

_CODES = 128  # as many are drawn, and remembered, for the energy distance

TERMS: dict[str, dict[str, Any]] = {
    "adv": {"reconstruct": 0.0, "diversity": 0.0},
    "adv+recon": {"diversity": 0.0},
    "adv+div": {"reconstruct": 0.0},
    "all": {},
}
"""Who needs whom: name -> what it changes in a `MaskFaceConfig`."""


@dataclass(frozen=True)
class MaskFaceConfig:
    """Everything that is chosen before the training; the defaults are StarGAN v2's recipe at 256 px."""

    size: int = 256  # px, a power of two
    width: int = 64  # channels of G's first layer
    widest: int = 512  # no layer has more
    halvings: int = 4  # G's middle works at size / 2^halvings
    middle: int = 2  # blocks there without the style, and as many with it
    skips: bool = False  # ours: G's second half sees the mask at every scale
    flat: bool = False  # ours: G paints on top of one colour for each class, which the style chooses
    smooth: bool = False  # ours: G's doublings interpolate
    hearing: float = 1.0  # factor on the first weights from s to AdaIN
    detail: float = 1.0  # ours: factor on the first weights of what is painted over the flat colours
    latent: int = 16  # length of z
    style: int = 64  # length of s
    mapping: int = 512  # width of S
    judge_width: int = 64  # channels of the first layer of D and R
    loss: str = "non-saturating"  # a name in lib.losses.adversarial.LOSSES
    r1: float = 1.0  # gamma
    every: int = 1  # R1 acts in every so many rounds, that much more strongly
    judged: bool = True  # False: no D, and no adversarial term
    reconstruct: float = 1.0  # lambda_sty
    diversity: float = 1.0  # lambda_ds at the start; it falls linearly to 0 at the end
    diversity_form: str = "sensitive"  # a name in lib.losses.diversity.DIVERSITY
    rebuild: float = 0.0  # ours: weight of |G(m, R(x)) - x|, falling linearly to 0 at `rebuild_until`
    rebuild_until: float = 0.5  # progress at which it is gone
    follow: float = 0.0  # ours: weight of the energy distance between S's codes and those that R reads from true faces
    always: Mapping[str, str] = field(default_factory=dict)  # attribute of the face world -> its value in every picture
    pool: int = 0  # pictures of the world drawn once and met again; 0 draws new ones in every round
    batch: int = 4  # masks in a round; each is painted in two styles
    rounds: int = 100_000
    lr: float = 1e-4  # Adam, betas 0 and 0.99, weight decay 1e-4
    d_rate: float = 1.0  # D learns so many times as fast
    s_lr: float = 0.01  # S learns so many times as fast: 1e-6
    ema: float = 0.999  # decay of the average model that paints in the end

    @classmethod
    def quick(cls, **changes: Any) -> MaskFaceConfig:
        """About a minute on two cores, 32 px: what the chapter trains before your eyes."""
        return cls.shipped(**{"pool": 1200, "rounds": 250, "ema": 0.97} | changes)

    @classmethod
    def shipped(cls, **changes: Any) -> MaskFaceConfig:
        """Ten to thirty minutes of a free core, 32 px: narrow, on flat colours; S follows the styles of true faces."""
        settings: dict[str, Any] = {
            "size": 32, "width": 16, "widest": 64, "halvings": 2, "middle": 1, "skips": True, "flat": True,
            "smooth": True, "hearing": 0.5, "style": 16, "mapping": 64, "judge_width": 16, "r1": 2.0, "every": 4,
            "diversity": 0.2, "rebuild": 10.0, "rebuild_until": 1.0, "follow": 1.0, "always": dict(BARE_HEADS),
            "pool": 8000, "batch": 8, "rounds": 5000, "lr": 2e-3, "d_rate": 0.5, "s_lr": 0.5, "ema": 0.999,
        }  # fmt: skip
        return cls(**settings | changes)

    @classmethod
    def full(cls, **changes: Any) -> MaskFaceConfig:
        """A GPU: StarGAN v2's networks and schedule at 256 px."""
        return cls(**changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MaskFaceConfig:
        """The config that a card holds.

        Raises:
            TypeError: a field is unknown.
        """
        return cls(**values)

    def check(self) -> None:
        """Raise an error where choices contradict each other."""
        adversarial_loss(self.loss)
        diversity_loss(self.diversity_form)
        weights = (self.r1, self.reconstruct, self.diversity, self.rebuild, self.follow)
        if min(weights) < 0 or self.every < 1 or self.batch < 1:
            raise GameError(
                "r1, reconstruct, diversity, rebuild and follow are weights from 0 on; every and batch start at 1."
            )
        if not 0 < self.rebuild_until <= 1:
            raise GameError(f"rebuild_until is a share of the training in (0, 1], not {self.rebuild_until}.")

    def networks(self, classes: int) -> FaceConfig:
        """The settings of the four networks for masks of so many classes."""
        return FaceConfig(
            classes, self.size, self.width, self.widest, self.halvings, plain=self.middle, styled=self.middle,
            skips=self.skips, flat=self.flat, smooth=self.smooth, hearing=self.hearing, detail=self.detail,
            latent=self.latent, style=self.style, mapping=self.mapping, judge_width=self.judge_width,
            judge_widest=self.widest,
        )  # fmt: skip

    def optimisers(self, game: MaskFace) -> dict[str, Optimizer]:
        """Adam for both players, S slower than the rest: a code that moves quickly cannot be read."""

        def adam(groups: list[dict[str, Any]], rate: float = 1.0) -> Adam:
            return Adam(groups, lr=rate * self.lr, betas=(0.0, 0.99), weight_decay=1e-4, fused=True)

        model = game.model
        painters = [*model.G.parameters(), *model.R.parameters()]
        slow = {"params": list(model.S.parameters()), "lr": self.s_lr * self.lr}
        return {
            "D": adam([{"params": list(game.D.parameters())}], self.d_rate),
            "G": adam([{"params": painters}, slow]),
        }

    def learning_rate(self, progress: float) -> float:
        """Factor on the learning rates: 1 for the first half, then linearly down to 0.1 (ours; constant in SG v2)."""
        return min(1.0, 2 * (1 - progress) + 0.1)


class MaskFace(Game):
    """The game on pictures with masks.

    A batch holds ``condition``, m (B, K, H, W) one-hot, and ``image``, x (B, 3, H, W) in [-1, 1]. Every mask is
    painted in two styles; all 2B fakes go to D and R, and the two of a mask are compared with each other.

    Args:
        classes: K.
        config: the rules and sizes.
        generator: draws z; default seed 0.

    Raises:
        GameError: the rules make no game.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "G": ("model.G", "model.S", "model.R")}

    def __init__(
        self, classes: int, config: MaskFaceConfig | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config or MaskFaceConfig()
        self.config.check()
        sizes = self.config.networks(classes)
        self.model, self.D = FaceModel(sizes), FaceDiscriminator(sizes)
        self.loss, self.diversity = adversarial_loss(self.config.loss), diversity_loss(self.config.diversity_form)
        self.generator = generator or torch.Generator().manual_seed(0)
        self.codes: Tensor
        self.register_buffer("codes", torch.zeros(_CODES, sizes.style))  # what R read last from true faces

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """D looks at true and painted faces; then S, G and R move together on the same fakes."""
        m, x = _masked(batch)
        z = self.model.draw(2 * len(m), self.generator, m.device)
        style = self.model.S(z)
        layout = self.model.G.encode(m)  # once for both styles
        fake = self.model.G.decode([torch.cat([maps, maps]) for maps in layout], style)
        twice = torch.cat([m, m])
        if self.config.judged:
            yield Turn("D", **self.d_terms(m, x, twice, fake.detach()))
        yield Turn("G", **self.g_terms(twice, fake, style, z), **self.true_terms(layout, x))

    @equation("10.7", tests="tests/wiring/test_maskface.py::test_the_terms_by_hand")
    def d_terms(self, m: Tensor, x: Tensor, twice: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Tell real from fake; R1 at the real faces, for their masks."""
        c = self.config
        terms = {"real": self.loss.real(self.D(x, m)), "fake": self.loss.fake(self.D(fake, twice))}
        if c.r1 and self.rounds_done % c.every == 0:
            terms["r1"] = c.every * c.r1 * r1(lambda image: self.D(image, m), x)
        return terms

    @equation("10.8", tests="tests/wiring/test_maskface.py::test_the_terms_by_hand")
    def g_terms(self, twice: Tensor, fake: Tensor, style: Tensor, z: Tensor) -> dict[str, Tensor]:
        """Pass as real, show the style, and let two styles look different."""
        c = self.config
        terms = {"gan": self.loss.fool(self.D(fake, twice))} if c.judged else {}
        if c.reconstruct:
            terms["style"] = c.reconstruct * style_loss(self.model.R(fake), style)
        weight = c.diversity * (1 - self.progress)
        if c.diversity and weight > 0:
            terms["diversity"] = weight * self.diversity(*fake.chunk(2), *z.chunk(2))
        return terms

    def true_terms(self, layout: list[Tensor], x: Tensor) -> dict[str, Tensor]:
        """Ours: what R reads from true faces teaches R and G to rebuild them, and S which codes there are.

        ``rebuild`` falls away: an autoencoder that is told the mask shortens the training, and is blurred. ``follow``
        stays: where S draws codes that no true face has, G has only D to tell it what to paint.
        """
        c, terms = self.config, dict[str, Tensor]()
        weight = c.rebuild * (1 - self.progress / c.rebuild_until)
        if weight <= 0 and not c.follow:
            return terms
        found = self.model.R(x)
        if weight > 0:
            terms["rebuild"] = weight * (self.model.G.decode(layout, found) - x).abs().mean()
        if c.follow:
            drawn = self.model.S(self.model.draw(_CODES, self.generator, x.device))
            self.codes = torch.cat([found.detach(), self.codes])[:_CODES]  # one batch is no distribution
            terms["follow"] = c.follow * energy_distance(drawn, self.codes)
        return terms


def build_maskface(classes: int, config: MaskFaceConfig | None = None, *, seed: int = 0) -> MaskFace:
    """The game with its networks; the same seed gives the same weights, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MaskFace(classes, config, generator=seeded(seed + 1))


def _masked(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    missing = [name for name in ("condition", "image") if name not in batch]
    if missing:
        raise GameError(f"The batch has no {missing[0]!r}, only {', '.join(batch)}; wrap the stream in Paired.")
    m, x = batch["condition"], batch["image"]
    if len(m) != len(x) or m.shape[2:] != x.shape[2:]:
        raise GameError(
            f"Masks {tuple(m.shape)} and faces {tuple(x.shape)} are no pairs; they differ in number or size."
        )
    return m, x
