"""``python -m lib train stargan``: one generator for every attribute of the face world, and its measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lib.data.label_space import EXPRESSIONS, LOOKS, LabelGroup, LabelSpace
from lib.data.public import CelebA, DataStream, Geometry
from lib.data.unpaired_worlds import Alternating, LabelledPool, labelled_pictures
from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Split
from lib.games.label_translator import LabelTranslator
from lib.games.stargan import StarGAN, StarGANConfig, build_stargan, label_sensitivity
from lib.games.stargan_measures import always, changes, measure, references
from lib.games.translator_train import TranslatorCommand
from lib.images import contact_sheet
from lib.metrics.reader import load_reader
from lib.runtime import RunCard, Runtime
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play
from lib.training.streams import Stream

__all__ = ["SETS", "CelebAStream", "StarGANCommand", "Trained", "celeba_stream", "face_stream", "main", "train_stargan"]

Sets = Literal["both", "attributes", "expressions"]

SETS: Mapping[str, tuple[tuple[LabelGroup, ...], ...]] = {
    "both": (LOOKS, EXPRESSIONS), "attributes": (LOOKS,), "expressions": (EXPRESSIONS,),
}  # fmt: skip
"""Which data sets are learned from. No person is in both, and neither knows the other's labels."""

POOL = 4000  # pictures of each data set
_SHOWN = 8  # pictures in a row of the contact sheet


class Trained(NamedTuple):
    """What a training leaves: the averaged generator as a translator, the game, the history."""

    translator: LabelTranslator
    game: StarGAN
    history: History


def face_stream(
    space: LabelSpace, config: StarGANConfig, *, pool: int = POOL, seed: int = 0, device: torch.device | str = "cpu"
) -> Alternating:
    """The data sets of a space in turn, each of `pool` people of its own, for `StarGANConfig.round_batch`."""
    streams = []
    for index in range(len(space.sets)):
        drawn = labelled_pictures(
            Faces(), space, index, pool, config.size, seed=len(space.sets) * seed + index, always=always
        )
        images, labels = drawn["image"].to(device), drawn["label"].to(device)
        streams.append(LabelledPool(images, labels, batch=config.round_batch, seed=seed + index))
    return Alternating(streams)


def train_stargan(
    space: LabelSpace, config: StarGANConfig, stream: Stream, *, seed: int = 0, runtime: Runtime | None = None,
    budget_s: float | None = None, checkpoint: Path | None = None, resume: bool = False,
    on_round: Callback | Sequence[Callback] = (),
) -> Trained:  # fmt: skip
    """Train from scratch; an interrupt ends it early and keeps what was learned.

    Args:
        space: the labels of the data sets.
        stream: batches with ``image``, ``label`` and, for several data sets, ``set``.
        seed: of the weights and the target labels.
        runtime: device and dtype; default the fastest.
        budget_s, checkpoint, resume, on_round: as in `lib.training.play.play`.
    """
    runtime = runtime or Runtime.detect()
    game = build_stargan(space, config, seed=seed)
    runtime.place(game)
    rates = {"D": config.d_rate * config.lr, "G": config.lr}
    average = EMA(game.G, config.ema) if config.ema else None
    history = play(
        game, stream, config.rounds, optimisers=OptimConfig(lr=rates, betas=(0.5, config.beta2)),
        schedule=config.learning_rate, runtime=runtime, ema=average, budget_s=budget_s, checkpoint=checkpoint,
        resume=resume, on_round=on_round,
    )  # fmt: skip
    G = game.G if average is None else average.module
    return Trained(LabelTranslator(G, space=space, runtime=runtime), game, history)


class CelebAStream:
    """CelebA's pictures with the labels of a space; a `lib.training.streams.Stream`.

    Where CelebA marks no hair colour, or several, the group is zeros: the class loss of D then skips it.
    """

    def __init__(self, stream: DataStream, space: LabelSpace) -> None:
        self.stream, self.space, self.world = stream, space, Faces()

    def draw(self, progress: float = 0.0) -> dict[str, Any]:
        """``image`` (B, 3, S, S) in [-1, 1] and ``label`` (B, n)."""
        batch = self.stream.draw(progress)
        return {"image": batch["image"], "label": self.space.encode(self.world, batch)}

    def state_dict(self) -> dict[str, Any]:
        """The place in the data set."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.stream.load_state_dict(state)


def celeba_stream(
    root: Path, space: LabelSpace, config: StarGANConfig, *, split: Split = "train", seed: int = 0, workers: int = 4,
    device: torch.device | str = "cpu",
) -> CelebAStream:  # fmt: skip
    """CelebA below `root`, mirrored at random.

    Raises:
        PublicDataError: it is not there.
    """
    stream = DataStream(
        CelebA(root, split), Geometry(config.size, flip=0.5), batch=config.round_batch, seed=seed, workers=workers,
        device=device,
    )  # fmt: skip
    return CelebAStream(stream, space)


@dataclass(frozen=True, kw_only=True)
class StarGANCommand(TranslatorCommand):
    """Train one generator on labelled faces; write its weights, its card and the measured results."""

    sets: Sets = "both"
    """attributes: hair, glasses; expressions: five of them, other people; both: jointly"""
    pool: int = POOL
    """people in each data set"""
    size: int | None = None
    """px; default: the profile's"""
    doubt: float | None = None
    """how much D's class head learns from fakes under their old labels; 0 as in the paper; default: the profile's"""
    public: Literal["celeba"] | None = None
    """photographs instead: hair and glasses of CelebA in --root; nothing but the sensitivity is measured"""
    root: Path = Path("data")
    """folder of the public data sets"""

    def config(self) -> StarGANConfig:
        """The settings of the training."""
        chosen = StarGANConfig.full() if self.full else StarGANConfig.shipped()
        wishes: dict[str, Any] = {"size": self.size, "rounds": self.rounds, "doubt": self.doubt}
        return replace(chosen, **{name: value for name, value in wishes.items() if value is not None})


def main(config: StarGANCommand) -> int:
    """Run the command; the weights are called stargan_faces, stargan_SETS or stargan_celeba, and _doubt_X if wished."""
    chosen, runtime = config.config(), Runtime.detect(config.device)
    chosen.check()
    load_reader("faces")  # a missing judge is no news for the end of a training
    space = LabelSpace(*SETS["attributes" if config.public else config.sets])
    name = f"stargan_{config.public or ('faces' if config.sets == 'both' else config.sets)}"
    name += "" if config.doubt is None else f"_doubt_{config.doubt:g}"
    options: dict[str, Any] = {"seed": config.seed, "device": runtime.device}
    stream: Stream = (
        celeba_stream(config.root, space, chosen, **options) if config.public
        else face_stream(space, chosen, pool=config.pool, **options)
    )  # fmt: skip
    with RunCard(name, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        trained = train_stargan(
            space, chosen, stream, seed=config.seed, runtime=runtime, on_round=ProgressPrinter(title=name),
            **config.play_options(),
        )  # fmt: skip
    found = _on_photographs(config, chosen, trained) if config.public else _on_faces(config, chosen, trained)
    trained.translator.save(
        config.checkpoints / f"{name}.safetensors", config=chosen, seed=config.seed, data=found.data,
        metrics=found.scores["measures"], seconds=trained.history.seconds,
    )  # fmt: skip
    record = {"run": card.as_dict(), "config": asdict(chosen), "rounds": len(trained.history)}
    config.record(name, record | found.scores)
    for key, value in found.scores["measures"].items():
        print(f"{key:>20} {value:.3f}")
    if config.sheet is not None:
        contact_sheet(found.rows, scale=2).save(config.sheet)
    return 0


class _Found(NamedTuple):
    data: str  # one sentence on what was learned from and measured on
    scores: dict[str, dict[str, Any]]  # "measures" and, where there are some, "references"
    rows: list[list[Tensor]]  # of the contact sheet


def _on_faces(config: StarGANCommand, chosen: StarGANConfig, trained: Trained) -> _Found:
    """All measures; on the sheet each change in three rows: the people, what G made of them, the truth."""
    translator, reader = trained.translator, load_reader("faces")
    tasks, rows = changes(translator.space, config.pairs, chosen.size), []
    scores: dict[str, dict[str, Any]] = {
        "measures": measure(_paint(translator), reader, tasks, full=not chosen.leave),
        "references": references(reader, tasks),
    }
    for change in tasks.values():
        x = change.before["image"][:_SHOWN]
        made = translator.paint(x, label=change.labels[:_SHOWN]).cpu()
        rows += [list(x), list(made), list(change.after["image"][:_SHOWN])]
    data = f"faces, {config.sets}, {config.pool} people in a set, {chosen.size} px; N = {config.pairs} held-out people"
    return _Found(data, scores, rows)


def _on_photographs(config: StarGANCommand, chosen: StarGANConfig, trained: Trained) -> _Found:
    """Only the sensitivity; on the sheet every value of every attribute."""
    translator = trained.translator
    x = celeba_stream(config.root, translator.space, chosen, split="test", workers=0).draw()["image"]
    groups = translator.space.sets[0]
    vectors = [translator.vector(0, **{group.attribute: value}) for group in groups for value in group.values]
    found = {"sensitivity": label_sensitivity(_paint(translator), x, vectors[0][0], vectors[1][0])}
    rows = [list(x[:_SHOWN]), *[list(translator.paint(x[:_SHOWN], label=vector).cpu()) for vector in vectors]]
    return _Found(f"CelebA at {chosen.size} px", {"measures": found}, rows)


def _paint(translator: LabelTranslator) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, label: translator.paint(x, label=label).cpu()
