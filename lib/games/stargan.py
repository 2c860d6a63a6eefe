"""StarGAN: one generator for all domains, told which one is wanted (Choi et al. 2018).

    players   D   D_src: is the picture real?  D_cls: which labels does it have?
              G   G(x, c): the picture x with the labels c

    L_D = -L_adv + lambda_cls L_cls^r              (eq. 5; the class loss of *real* pictures)
    L_G =  L_adv + lambda_cls L_cls^f + lambda_rec L_rec        (eq. 6; of *fakes*, and the cycle)

Several data sets may each know other labels: `lib.data.label_space.LabelSpace` puts them into one vector with a
mask, and the class loss looks at the labels that the batch knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.data.label_space import LabelSpace
from lib.games.game import Game, GameError, Turn
from lib.losses.adversarial import adversarial_loss
from lib.losses.cycle import cycle_loss
from lib.losses.domain_labels import label_loss
from lib.losses.penalties import gradient_penalty, r1
from lib.nn.resnet_generator import Padding
from lib.nn.stargan import Conditioning, LabelConfig, LabelDiscriminator, LabelGenerator
from lib.runtime import seeded

__all__ = ["StarGAN", "StarGANConfig", "build_stargan", "label_sensitivity"]


@dataclass(frozen=True)
class StarGANConfig:
    """Everything that is chosen before the training; the defaults are the paper's."""

    size: int = 128  # px
    width: int = 64  # channels of G's first layer
    blocks: int = 6  # residual blocks of G
    conditioning: Conditioning = "modulate"  # how G hears the label; "concat" in the authors' code
    padding: Padding = "zeros"  # of G's plain convolutions
    halvings: int = 2  # G's blocks work at size / 2^halvings
    edit: bool = False  # G paints a change of the picture instead of a new one
    smooth: bool = False  # G blurs after each doubling
    d_width: int = 64  # channels of D's first layer
    d_layers: int = 6  # halvings in D
    loss: str = "wgan"  # a name in lib.losses.adversarial.LOSSES
    gp: float = 10.0  # lambda of the gradient penalty between real pictures and fakes
    r1: float = 0.0  # gamma of R1 on real pictures, instead of gp
    every: int = 1  # a penalty acts in every so many turns of D, that much more strongly
    n_critic: int = 5  # turns of D in a round, each on its own pictures
    classes: float = 1.0  # lambda_cls
    cycle: float = 10.0  # lambda_rec
    doubt: float = 0.0  # D's class loss on fakes, under their old labels, over that on real pictures (ours)
    told: bool = False  # D's source score hears the label (ours): a real face with another label is no real pair
    warm: int = 0  # rounds in the beginning in which D alone plays, and only learns the labels (ours)
    leave: float = 0.0  # how often a group is left open (ours): zeros, and the picture is to keep its own value
    batch: int = 16  # pictures in a turn; a round takes n_critic times as many
    rounds: int = 40_000  # 200 000 turns of D
    lr: float = 1e-4  # Adam
    d_rate: float = 1.0  # D's learning rate over G's
    beta2: float = 0.999  # of Adam; beta1 is 0.5
    ema: float = 0.0  # decay of the averaged G (ours); 0 keeps the last one, as the paper

    @classmethod
    def quick(cls, **changes: Any) -> StarGANConfig:
        """Half a minute on two cores: what the chapter trains before your eyes."""
        small: dict[str, Any] = {
            "width": 8, "told": False, "doubt": 0.0, "warm": 60, "leave": 0.25, "rounds": 450, "lr": 1e-3,
            "d_rate": 3.0, "ema": 0.98,
        }  # fmt: skip
        return cls.shipped(**small | changes)

    @classmethod
    def shipped(cls, **changes: Any) -> StarGANConfig:
        """A quarter of an hour of one core, 32 px: narrow, one turn of D, R1 now and then, a coat over the picture."""
        settings: dict[str, Any] = {
            "size": 32, "width": 16, "blocks": 3, "halvings": 1, "edit": True, "smooth": True, "d_width": 32,
            "d_layers": 3, "n_critic": 1, "loss": "non-saturating", "gp": 0.0, "r1": 0.05, "every": 4, "classes": 0.5,
            "doubt": 0.3, "cycle": 2.0, "told": True, "warm": 150, "leave": 0.1, "batch": 16, "rounds": 4000,
            "lr": 2e-3, "d_rate": 1.5, "beta2": 0.99, "ema": 0.995,
        }  # fmt: skip
        return cls(**settings | changes)

    @classmethod
    def full(cls, **changes: Any) -> StarGANConfig:
        """A GPU: the paper's networks at 128 px, its loss and its schedule."""
        return cls(**changes)

    def check(self) -> None:
        """Raise `GameError` where the numbers make no game."""
        adversarial_loss(self.loss)
        if self.told and self.gp:
            raise GameError("A D that is told labels has no slope between a real picture and a fake; use r1, and gp=0.")
        weights = (self.gp, self.r1, self.classes, self.doubt, self.cycle, self.leave)
        if min(self.n_critic, self.every) < 1 or min(weights) < 0:
            raise GameError("n_critic and every start at 1; gp, r1, classes, doubt, cycle and leave at 0.")

    def generator(self, labels: int) -> LabelConfig:
        """The size of G for a label vector of so many numbers."""
        return LabelConfig(
            labels, self.width, self.blocks, self.conditioning, self.padding, self.halvings, self.edit, self.smooth
        )  # fmt: skip

    @property
    def round_batch(self) -> int:
        """Pictures that the stream must draw for one round."""
        return self.n_critic * self.batch

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: 1 for the first half, then linearly down to 0 (the authors' code hardly lowers it)."""
        return min(1.0, 2 * (1 - progress))


class StarGAN(Game):
    """The game of one translator for all domains.

    Args:
        G: (pictures, unified labels) -> pictures.
        D: pictures -> logits, with ``judge``: pictures -> logits and the logits of all labels.
        space: the labels of the data sets.
        config: the rules.
        generator: draws target labels and the places of the gradient penalty; default seed 0.

    Raises:
        GameError: the rules make no game.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "G": ("G",)}

    def __init__(
        self, G: nn.Module, D: LabelDiscriminator, space: LabelSpace, config: StarGANConfig | None = None, *,
        generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config or StarGANConfig()
        self.config.check()
        self.G, self.D, self.space = G, D, space
        self.loss = adversarial_loss(self.config.loss)
        self.generator = generator or torch.Generator().manual_seed(0)

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """`n_critic` turns of D, then one of G, on the fakes that D saw last.

        Target labels are the labels of the batch in another order: combinations that exist, as often as they do.
        """
        index, parts = self._parts(batch)
        if self.rounds_done < self.config.warm:
            for turn, (x, own) in enumerate(parts):
                yield Turn("D", **self.label_terms(x, own, index, turn))
            return
        for turn, (x, own) in enumerate(parts):
            target, asked = self.targets(own, index)
            with torch.set_grad_enabled(turn == len(parts) - 1):  # only the last fakes go on to G's turn
                fake = self.G(x, self.space.unified(asked, index))
            yield Turn("D", **self.d_terms(x, fake.detach(), own, target, index, turn))
        yield Turn("G", **self.g_terms(x, fake, own, target, index))

    def targets(self, own: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """The labels that the fakes are to show, and what G is told of them: both (B, n_i)."""
        target = own[torch.randperm(len(own), generator=self.generator).to(own.device)]
        if not self.config.leave:
            return target, target
        left = torch.rand(len(own), len(self.space.sets[index]), generator=self.generator) < self.config.leave
        asked = self.space.opened(target, left, index)
        return asked + self.space.opened(own, ~left, index), asked

    @equation("6.3", tests="tests/wiring/test_stargan.py::test_the_terms_by_hand")
    def d_terms(
        self, x: Tensor, fake: Tensor, own: Tensor, target: Tensor, index: int = 0, turn: int = 0
    ) -> dict[str, Tensor]:  # fmt: skip
        """Tell real from fake, and name the known labels of the real pictures, not those of fakes (eq. 2)."""
        c = self.config
        maps, named = self.D.judge(torch.cat([x, fake]))  # without a norm, one pass gives what two would
        source = self.D.heard(maps, self._placed(torch.cat([own, target]), index))
        real_logits, fake_logits = source.split([len(x), len(fake)])
        terms = {"real": self.loss.real(real_logits), "fake": self.loss.fake(fake_logits)}
        if c.classes:
            terms["class"] = c.classes * self._class_loss(named[: len(x)], own, index)
        if c.doubt:
            terms["doubt"] = c.classes * c.doubt * self.doubt(named[len(x) :], own, index)
        if (self.rounds_done * c.n_critic + turn) % c.every:
            return terms
        if c.gp:
            terms["gp"] = c.every * c.gp * gradient_penalty(self.D, x, fake, generator=self.generator)
        return terms | self._slope(x, own, index)

    @equation("6.8", tests="tests/wiring/test_stargan.py::test_a_doubting_head_names_the_old_labels_of_fakes")
    def doubt(self, named: Tensor, own: Tensor, index: int) -> Tensor:
        """What D's class head pays for not seeing, in a fake, the labels of the picture that it was made from (ours).

        Taught by real pictures alone, the head may answer anything to a picture such as no camera takes, and G finds
        where it answers as G likes. With this term G is believed only where real pictures with the target look so.

        Args:
            named: logits of all labels for the fakes (B, n).
            own: labels (B, n_i) of the pictures that the fakes were made from.
        """
        return self._class_loss(named, own, index)

    def label_terms(self, x: Tensor, own: Tensor, index: int, turn: int) -> dict[str, Tensor]:
        """What D learns before G joins in: a G that asks a D without opinions learns to please its whims."""
        terms = {"class": self._class_loss(self.D.judge(x)[1], own, index)}
        return terms if (self.rounds_done + turn) % self.config.every else terms | self._slope(x, own, index)

    def _slope(self, x: Tensor, own: Tensor, index: int) -> dict[str, Tensor]:
        c = self.config
        return {"r1": c.every * c.r1 * r1(lambda real: self._joint(real, own, index), x)} if c.r1 else {}

    def _joint(self, x: Tensor, own: Tensor, index: int) -> Tensor:
        """What R1 smooths: both answers of D, for a rough class head can be pleased by details nobody sees (ours)."""
        maps, named = self.D.judge(x)
        source, sign = self.D.heard(maps, self._placed(own, index)), 2 * own - 1
        return source.flatten(1).mean(dim=1) + (named[:, self.space.block(index)] * sign).mean(dim=1)

    @equation("6.4", tests="tests/wiring/test_stargan.py::test_the_terms_by_hand")
    def g_terms(self, x: Tensor, fake: Tensor, own: Tensor, target: Tensor, index: int = 0) -> dict[str, Tensor]:
        """Pass as real, show the labels asked for (eq. 3), and lead back to the original (eq. 4)."""
        c = self.config
        maps, named = self.D.judge(fake)
        terms = {"gan": self.loss.fool(self.D.heard(maps, self._placed(target, index)))}
        if c.classes:
            terms["class"] = c.classes * self._class_loss(named, target, index)
        if c.cycle:
            terms["cycle"] = c.cycle * cycle_loss(self.G(fake, self.space.unified(own, index)), x)
        return terms

    def _placed(self, labels: Tensor, index: int) -> Tensor:
        """Labels of one data set (B, n_i) among those of all (B, n): zeros for the unknown ones."""
        return self.space.unified(labels, index)[:, : self.space.classified]

    def _class_loss(self, named: Tensor, labels: Tensor, index: int) -> Tensor:
        """Over the block that this data set knows; the logits of unknown labels take no part."""
        return label_loss(named[:, self.space.block(index)], labels, self.space.sets[index])

    def _parts(self, batch: Mapping[str, Any]) -> tuple[int, list[tuple[Tensor, Tensor]]]:
        """The number of the data set, and the pictures and labels of each turn of D."""
        missing = {"image", "label"} - set(batch)
        if missing:
            raise GameError(
                f"The batch has no {' and no '.join(map(repr, sorted(missing)))}, only "
                f"{', '.join(map(repr, batch))}; draw it from a LabelledPool."
            )
        index, turns = batch.get("set", 0), self.config.n_critic
        if not isinstance(index, int) or not 0 <= index < len(self.space.sets):
            raise GameError(f"'set' must be the number of one of {len(self.space.sets)} data sets, not {index!r}.")
        if len(batch["image"]) % turns:
            raise GameError(
                f"A batch of {len(batch['image'])} cannot be shared evenly by {turns} turns of D; "
                "draw StarGANConfig.round_batch pictures."
            )
        return index, list(zip(batch["image"].chunk(turns), batch["label"].chunk(turns), strict=True))


def build_stargan(space: LabelSpace, config: StarGANConfig | None = None, *, seed: int = 0) -> StarGAN:
    """The game with its networks; the same seed gives the same weights, whatever ran before."""
    c = config or StarGANConfig()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = LabelGenerator(c.generator(space.width))
        D = LabelDiscriminator(space.classified, size=c.size, width=c.d_width, layers=c.d_layers, told=c.told)
    return StarGAN(G, D, space, c, generator=seeded(seed))


@torch.no_grad()
@equation("6.6", tests="tests/equations/test_domain_labels.py::test_label_sensitivity")
def label_sensitivity(G: Callable[[Tensor, Tensor], Tensor], x: Tensor, first: Tensor, second: Tensor) -> float:
    """mean |G(x, c1) - G(x, c2)|: 0 for a generator that does not hear its label.

    Args:
        first, second: unified labels, each (B, n) or one for all, (n,).
    """
    count = len(x)
    pictures = [G(x, label.expand(count, -1)) for label in (first, second)]
    return float((pictures[0] - pictures[1]).abs().mean())
