"""DTN: pictures of one domain as pictures of another, tied together by what a frozen f sees (Taigman et al. 2017).

    concepts   f   learns to name the classes of the source, and then stands still
    transfer   D   which is it: G of a source picture, G of a target picture, or a real target picture?
               g   G = g o f: pass as the third, keep f (L_CONST), leave target pictures alone (L_TID), be smooth (L_TV)

    L_G = L_GANG + alpha L_CONST + beta L_TID + gamma L_TV

No pair is needed, and no label of the target; those of the source are in f. The rows of the paper's tables 1 and 3 are
changes of a `DTNConfig`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.book.equations import equation
from lib.data.augment import WarpConfig, random_grid, warp_image
from lib.games.game import Game, GameError, Turn
from lib.games.reading import roughened
from lib.losses.adversarial import bce_fake, bce_real, non_saturating
from lib.losses.ternary import FROM_SOURCE, FROM_TARGET, REAL, class_spread, constancy, minus_log, target_identity
from lib.losses.total_variation import total_variation
from lib.nn.dtn import AnswerDiscriminator, ConceptEncoder, DomainTransfer, DomainTransferConfig, encoder_of, in_colour

__all__ = [
    "ABLATION", "DTN", "OURS", "PAPER_TABLE_1", "PAPER_TABLE_3", "PLAIN", "UNSEEN", "Concepts", "DTNConfig",
    "build_dtn",
]  # fmt: skip

_BEND = WarpConfig(zoom=1.1, stretch=1.4, shift=0.05, rotation=16.0, flip=0.0, tps=0.2)

ABLATION: dict[str, dict[str, Any]] = {
    "DTN": {},
    "no L_TID": {"tid": 0.0},
    "no L_CONST": {"const": 0.0},
    "G without f": {"contains_f": False},
    "no GAN": {"gang": 0.0},
    "no L_CONST, no L_TID": {"const": 0.0, "tid": 0.0},
    "baseline": {"contains_f": False, "answers": "binary", "target_route": False, "tid": 0.0},
}
"""Rows of the paper's table 1 -> what each changes in a `DTNConfig`. The baseline of its section 3, a usual GAN with a
constancy term for a G that is not built on f, is described from memory: UNVERIFIED."""

PAPER_TABLE_1 = {
    "DTN": 90.66, "no L_TID": 88.40, "no L_CONST": 74.55, "G without f": 36.90, "no GAN": 34.70,
    "no L_CONST, no L_TID": 5.28, "baseline": 13.71, "original": 40.06,
}  # fmt: skip
"""Row -> % of translated SVHN test digits that an MNIST classifier reads rightly; "original": not translated."""

OURS: dict[str, dict[str, Any]] = {"two answers": {"answers": "binary"}}
"""A row that the paper does not have: both kinds of fakes are one class to D."""

PLAIN: dict[str, dict[str, Any]] = {
    f"{name}; plain f": changes | {"f_centre": 0.0} for name, changes in ABLATION.items()
}
"""The rows of table 1 once more, with an f that names classes and nothing else, as the paper's does."""

UNSEEN: dict[str, dict[str, Any]] = {
    "all seen": {},
    "not in s": {"unseen_s": (3,)},
    "not in t": {"unseen_t": (3,)},
    "not in s, t": {"unseen_s": (3,), "unseen_t": (3,)},
    "not in s, t, f": {"unseen_s": (3,), "unseen_t": (3,), "unseen_f": (3,)},
}
"""Rows of the paper's table 3: where the digit 3 is left out."""

PAPER_TABLE_3 = {
    "all seen": 94.67, "not in s": 93.33, "not in t": 40.13, "not in s, t": 60.02, "not in s, t, f": 4.52,
}  # fmt: skip
"""Row -> % of translated threes that are read as threes."""


@dataclass(frozen=True)
class DTNConfig:
    """Everything that is chosen before the training; the defaults are the reimplementations' for digits at 32 px."""

    task: Literal["digits", "emoji"] = "digits"  # street numbers -> handwriting, or portraits -> emoji
    encoder: Literal["conv", "portraits", "reader"] = "conv"  # f: for digits; for portraits; a shipped reader's trunk
    size: int = 32  # px
    f_width: int = 64  # channels of f's first layer, where f is trained here
    code: int = 128  # length of f's answer
    g_width: int = 128  # channels before g's last layer
    g_widest: int = 512  # no layer of g has more
    doubling: Literal["transposed", "resize"] = "transposed"  # how g's layers grow
    d_width: int = 128  # channels of D's first layer
    d_widest: int = 512  # no layer of D has more
    d_norm: bool = True  # batch norm in D
    contains_f: bool = True  # G = g o f; False: G learns an encoder of its own, and f serves L_CONST alone
    answers: Literal["ternary", "binary"] = "ternary"  # of D; "binary" calls both kinds of fakes one
    target_route: bool = True  # G also paints target pictures, for D and L_TID
    gang: float = 1.0  # weight of L_GANG; 0 leaves D out
    const: float = 15.0  # alpha; 15 for digits, 100 for faces
    tid: float = 15.0  # beta; 15 for digits, 1 for faces
    tv: float = 0.0  # gamma; 0 for digits (UNVERIFIED), 0.05 for faces
    tv_power: float = 1.0  # B of L_TV (UNVERIFIED)
    distance: Literal["mse", "cosine"] = "mse"  # d of L_CONST
    unseen_s: tuple[int, ...] = ()  # digits that are left out of the source pictures of the transfer
    unseen_t: tuple[int, ...] = ()  # and out of the target
    unseen_f: tuple[int, ...] = ()  # and out of f's training
    mirror: bool = False  # mirror half of the pictures; wrong for digits
    pool: int = 50_000  # source pictures drawn once (emoji: of each domain)
    f_pool: int = 4096  # portraits from which f learns, where the task is emoji
    batch: int = 128  # pictures of each domain in a round
    rounds: int = 20_000  # of the transfer
    lr: float = 1e-3  # Adam with betas 0.5 and 0.999, both players
    ema: float = 0.0  # decay of g's running average, which is kept in its place; 0: none
    f_centre: float = 0.0  # weight of the spread of codes about the mean of their class, for digits (ours)
    f_batch: int = 32  # of f's training on portraits; that on digits takes `batch`
    f_rounds: int = 10_000  # of f's training
    f_lr: float = 2e-3  # its peak

    @classmethod
    def quick(cls, **changes: Any) -> DTNConfig:
        """A minute on two CPU cores at 32 px, f's training included; weaker weights keep D in the game."""
        settings: dict[str, Any] = {
            "f_width": 24, "code": 64, "g_width": 24, "g_widest": 96, "d_width": 24, "d_widest": 96, "pool": 2500,
            "batch": 32, "rounds": 350, "f_rounds": 1200, "f_centre": 3.0, "const": 6.0, "tid": 5.0, "ema": 0.98,
        }  # fmt: skip
        return cls(**settings | changes)

    @classmethod
    def full(cls, **changes: Any) -> DTNConfig:
        """A GPU: the layers that run in the reimplementations."""
        return cls(**changes)

    @classmethod
    def emoji(cls, *, quick: bool = True, **changes: Any) -> DTNConfig:
        """Portraits -> emoji at 64 px, with the weights for faces; f goes on from a face network that is shipped."""
        trained = changes.get("encoder", "portraits") == "portraits"
        settings: dict[str, Any] = {
            "task": "emoji", "encoder": "portraits", "size": 64, "code": 48 if trained else 128, "const": 100.0,
            "tid": 1.0, "tv": 0.05, "g_width": 64, "d_width": 128, "mirror": True, "lr": 5e-4, "f_rounds": 1500,
        }  # fmt: skip
        # In a small f's features, alpha = 100 paints noise that pleases f alone.
        small = {"g_width": 32, "g_widest": 96, "doubling": "resize", "d_width": 12, "d_widest": 96, "d_norm": False,
                 "pool": 2048, "batch": 16, "rounds": 3000, "lr": 3e-3, "const": 3.0, "tid": 60.0, "tv": 6.0,
                 "gang": 0.05, "ema": 0.999, "f_pool": 6000}  # fmt: skip
        return cls(**settings | (small if quick else {}) | changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DTNConfig:
        """The config that a card holds; JSON knows no tuples.

        Raises:
            TypeError: a field is unknown.
        """
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**settings)

    def variant(self, name: str) -> DTNConfig:
        """The same training with the changes of a row of `ABLATION`, `OURS`, `PLAIN` or `UNSEEN`.

        Raises:
            GameError: there is none of that name.
        """
        rows = ABLATION | OURS | PLAIN | UNSEEN
        if name not in rows:
            raise GameError(f"There is no variant {name!r} of DTN; choose one of {', '.join(rows)}.")
        return replace(self, **rows[name])

    def check(self) -> None:
        """Raise `GameError` where the rules contradict each other."""
        weights = (self.gang, self.const, self.tid, self.tv)
        if min(weights) < 0 or max(weights) == 0:
            raise GameError(f"gang, const, tid and tv are weights: not negative, and not all 0; got {weights}.")
        if self.tid and not self.target_route:
            raise GameError("L_TID is about target pictures that G paints; without target_route, set tid=0.")
        if self.answers == "ternary" and not self.target_route:
            raise GameError("Without target_route D never meets its second answer; set answers='binary'.")
        if self.mirror and self.task == "digits":
            raise GameError("A mirrored digit is no digit, or another one; set mirror=False.")
        if (self.task == "digits") != (self.encoder == "conv"):
            raise GameError("Digits need encoder='conv', which is trained on them; emoji 'portraits' or 'reader'.")

    def network(self) -> DomainTransferConfig:
        """G's settings."""
        digits = self.task == "digits"
        kinds: dict[str, Literal["conv", "trunk", "portrait"]]
        kinds = {"conv": "conv", "portraits": "portrait", "reader": "trunk"}
        return DomainTransferConfig(
            encoder=kinds[self.encoder], size=self.size, f_width=self.f_width if digits else 16,
            code=self.code, channels=1 if digits else 3, g_width=self.g_width, g_widest=self.g_widest,
            pointwise=not digits, doubling=self.doubling,
        )  # fmt: skip

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: 1 for the first half, then linearly down to 0.02."""
        return min(1.0, 2 * (1 - progress) + 0.02)


class Concepts(Game):
    """Before the transfer: f learns to name the source's classes. One player.

    Args:
        f: with ``classify``: codes -> logits.
        generator: roughens the pictures: f must read what G paints, which is never quite as clean as the world.
        label: where the classes are in a batch.
        centre: weight of the spread of the codes within a class.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"f": ("f",)}

    def __init__(
        self, f: ConceptEncoder, *, generator: torch.Generator, label: str = "digit", centre: float = 0.0
    ) -> None:
        super().__init__()
        self.f, self.generator, self.label, self.centre = f, generator, label, centre

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One turn: name spoilt pictures, and give those of one name one code."""
        image, answer = batch["image"], batch[self.label]
        image = image.float() / 127.5 - 1 if image.dtype == torch.uint8 else image
        code = self.f(in_colour(self.spoilt(image)))
        terms = {"names": F.cross_entropy(self.f.classify(code).float(), answer)}
        if self.centre:
            terms["spread"] = self.centre * class_spread(code, answer)
        yield Turn("f", **terms)

    def spoilt(self, image: Tensor) -> Tensor:
        """Pictures (B, C, H, W) bent, brought nearer, drawn fatter or finer and roughened, half of them in negative.

        All that a digit may suffer and stay the same, but no mirror. f sees the source only, and shall read more.
        """
        sign, near = torch.rand(2, len(image), 1, 1, 1, generator=self.generator).to(image.device)
        count, _, height, width = image.shape
        grid = random_grid(count, height, width, 1.0, _BEND, generator=self.generator, device=image.device)
        image = warp_image(torch.where(sign < 0.5, -image, image), (0.6 + 0.45 * near) * grid)
        return roughened(_fatter_or_finer(image, self.generator), self.generator)


class DTN(Game):
    """The transfer, on batches with ``source`` and ``target``.

    Args:
        G: the whole generator; a frozen f in it is owned by nobody.
        D: pictures -> logits of 3 answers, or of 1.
        f: what L_CONST compares; frozen here, and always in evaluation mode. G's own where G = g o f.
        config: the rules.

    Raises:
        GameError: the rules contradict each other.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "G": ("G",)}

    def __init__(self, G: DomainTransfer, D: nn.Module, f: nn.Module, config: DTNConfig | None = None) -> None:
        super().__init__()
        self.config = config or DTNConfig()
        self.config.check()
        self.G, self.D, self.f = G, D, f.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> DTN:
        """Set the players' mode; f keeps its own, or its batch norms would judge a picture by its neighbours."""
        super().train(mode)
        self.f.eval()
        return self

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """D's turn, then G's. Both domains pass G together, and both players see the same fakes."""
        s, t = _domains(batch)
        code, painted_s, painted_t = self.painted(s, t)
        if self.config.gang:
            yield Turn("D", **self.d_terms(painted_s.detach(), painted_t.detach(), t))
        yield Turn("G", **self.g_terms(s, t, code, painted_s, painted_t))

    def painted(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """G's code of the source (B, code), G(s), and G(t), which is empty without the target's route."""
        both = torch.cat([in_colour(s), in_colour(t)]) if self.config.target_route else s
        code = self.G.code(both)
        picture = self.G.g(code)
        return code[: len(s)], picture[: len(s)], picture[len(s) :]

    @equation("8.2", tests="tests/equations/test_dtn_equations.py::test_d_is_told_all_three_answers")
    def d_terms(self, painted_s: Tensor, painted_t: Tensor, t: Tensor) -> dict[str, Tensor]:
        """L_D; with batch norm each kind of pictures passes D by itself."""
        if self.config.answers == "ternary":
            return {
                "source": minus_log(self.D(painted_s), FROM_SOURCE),
                "target": minus_log(self.D(painted_t), FROM_TARGET),
                "real": minus_log(self.D(t), REAL),
            }
        terms = {"source": bce_fake(self.D(painted_s))}
        if self.config.target_route:
            terms["target"] = bce_fake(self.D(painted_t))
        return {**terms, "real": bce_real(self.D(t))}

    @equation("8.8", tests="tests/equations/test_dtn_equations.py::test_the_whole_of_g_by_hand")
    def g_terms(
        self, s: Tensor, t: Tensor, code: Tensor, painted_s: Tensor, painted_t: Tensor
    ) -> dict[str, Tensor]:  # fmt: skip
        """L_GANG, alpha L_CONST, beta L_TID and gamma L_TV, each where it has a weight."""
        c = self.config
        terms = self.gang_terms(painted_s, painted_t) if c.gang else {}
        if c.const:
            again = self.f(in_colour(painted_s))
            terms["const"] = c.const * constancy(self._seen(s, code), again, c.distance)
        if c.tid:
            terms["tid"] = c.tid * target_identity(painted_t, t)
        if c.tv:
            terms["tv"] = c.tv * total_variation(torch.cat([painted_s, painted_t]), c.tv_power)
        return terms

    @equation("8.4", tests="tests/equations/test_dtn_equations.py::test_g_wants_the_third_answer_on_both_routes")
    def gang_terms(self, painted_s: Tensor, painted_t: Tensor) -> dict[str, Tensor]:
        """L_GANG: pictures of both routes pass for real ones."""
        painted = {"gan_source": painted_s} | ({"gan_target": painted_t} if self.config.target_route else {})
        fooled = non_saturating if self.config.answers == "binary" else partial(minus_log, answer=REAL)
        return {name: self.config.gang * fooled(self.D(picture)) for name, picture in painted.items()}

    def _seen(self, s: Tensor, code: Tensor) -> Tensor:
        """f(s): G's own code where G is built on f, else looked up."""
        if self.config.contains_f:
            return code
        with torch.no_grad():
            seen: Tensor = self.f(in_colour(s))
        return seen


def build_dtn(config: DTNConfig | None = None, f: nn.Module | None = None, *, seed: int = 0) -> DTN:
    """The game with its networks; the same seed gives the same weights, whatever ran before.

    Args:
        f: trained; default an untrained one, for tests.
    """
    c = config or DTNConfig()
    c.check()
    settings = c.network()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        f = encoder_of(settings) if f is None else f
        G = DomainTransfer(settings, f if c.contains_f else None, frozen=c.contains_f)
        answers = 3 if c.answers == "ternary" else 1
        D = AnswerDiscriminator(
            c.size, settings.channels, width=c.d_width, widest=c.d_widest, answers=answers, norm=c.d_norm
        )
    return DTN(G, D, f, c)


def _domains(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    missing = [name for name in ("source", "target") if name not in batch]
    if missing:
        raise GameError(f"The batch has no {missing[0]!r}, only {', '.join(batch)}; draw it from SourceAndTarget.")
    return batch["source"], batch["target"]


def _fatter_or_finer(image: Tensor, generator: torch.Generator, share: float = 0.6) -> Tensor:
    """Up to a pixel more or less of what is bright, on a random `share` of the pictures."""
    chosen, amount, bright = torch.rand(3, len(image), 1, 1, 1, generator=generator).to(image.device)
    grown, shrunk = F.max_pool2d(image, 3, 1, 1), -F.max_pool2d(-image, 3, 1, 1)
    changed = torch.lerp(image, torch.where(bright < 0.5, grown, shrunk), amount)
    return torch.where(chosen < share, changed, image)
