"""``python -m lib train dtn``: f, then the transfer built on it, and how well what it paints can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.conditions import Condition
from lib.data.domain_transfer import SourceAndTarget, handwritten_target, street_digits, world_pictures
from lib.data.emoji_faces import EmojiFaces
from lib.data.shuffled import Shuffled
from lib.data.worlds.digits import handwritten_digits
from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Batch, split_generator
from lib.games.dtn import DTN, Concepts, DTNConfig, build_dtn
from lib.games.dtn_portraits import train_portrait_concepts
from lib.games.judge_train import Schooling, school
from lib.games.reader_train import train_reader
from lib.games.translator import Translator
from lib.games.translator_train import TranslatorCommand
from lib.images import contact_sheet
from lib.metrics.reader import AttributeReader, ReaderConfig, load_reader
from lib.nn.dtn import ConceptEncoder, in_colour
from lib.runtime import RunCard, Runtime, seeded
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play
from lib.training.streams import Stream

__all__ = [
    "DTNCommand", "adaptation", "answer_key", "concept_accuracy", "encoder_for", "main", "measure_digits",
    "measure_emoji", "train_concepts", "train_dtn", "training_stream",
]  # fmt: skip

_DIGITS = tuple("0123456789")
_TARGET_SEED = 7919  # the emoji of the target set are of other people than the portraits


def train_concepts(
    config: DTNConfig, pictures: Mapping[str, Tensor] | None = None, *, seed: int = 0,
    runtime: Runtime | None = None, budget_s: float | None = None, on_round: Callback | Sequence[Callback] = (),
) -> tuple[ConceptEncoder, History]:  # fmt: skip
    """f for digits, frozen, and its history.

    Args:
        pictures: ``image`` and ``digit``; default those of the config, without the digits that f shall not know.
    """
    runtime = runtime or Runtime.detect()
    if pictures is None:
        pictures = street_digits(config.pool, config.size, seed=seed, unseen=config.unseen_f)
    data = {name: pictures[name].to(runtime.device) for name in ("image", "digit")}
    schooling = Schooling(config.f_rounds, config.f_lr, seed, budget_s, on_round)
    return school(
        lambda: ConceptEncoder(config.size, width=config.f_width, code=config.code),
        lambda f, generator: Concepts(f, generator=generator, centre=config.f_centre),
        Shuffled(data, batch=min(config.batch, len(data["digit"])), generator=seeded(seed)), schooling, runtime,
    )  # fmt: skip


def encoder_for(
    config: DTNConfig, *, seed: int = 0, runtime: Runtime | None = None,
    on_round: Callback | Sequence[Callback] = (),
) -> nn.Module:  # fmt: skip
    """The trained f of any task, frozen; that for faces has never seen an emoji.

    Raises:
        CheckpointError: the reader of faces, from which f for faces goes on, is not shipped.
    """
    if config.encoder == "conv":
        return train_concepts(config, seed=seed, runtime=runtime, on_round=on_round)[0]
    if config.encoder == "reader":
        return load_reader("faces").trunk
    return train_portrait_concepts(config, seed=seed, runtime=runtime, on_round=on_round)[0].trunk


def training_stream(
    config: DTNConfig, *, seed: int = 0, pictures: Mapping[str, Tensor] | None = None,
    device: torch.device | str = "cpu",
) -> SourceAndTarget:  # fmt: skip
    """Both domains of the task.

    Args:
        pictures: source pictures for digits, as `lib.data.domain_transfer.street_digits` gives them, when they are
            there already; those that the config leaves out are dropped.
    """
    if config.task == "emoji":
        pools = [
            world_pictures(world, config.pool, config.size, seed=seed + shift)
            for world, shift in ((Faces(), 0), (EmojiFaces(), _TARGET_SEED))
        ]
        source, target = (_shuffled(pool["image"], config.batch, seed, device) for pool in pools)
        return SourceAndTarget(source, target, mirror=seed if config.mirror else None)
    if pictures is None:
        pictures = street_digits(config.pool, config.size, seed=seed)
    kept = ~torch.isin(pictures["digit"], torch.tensor(config.unseen_s, dtype=torch.long))
    return SourceAndTarget(
        _shuffled(pictures["image"][kept], config.batch, seed, device),
        handwritten_target(
            batch=config.batch, size=config.size, seed=seed, unseen=config.unseen_t, device=device
        ),
    )  # fmt: skip


def train_dtn(
    config: DTNConfig, f: nn.Module, *, seed: int = 0, stream: Stream | None = None, runtime: Runtime | None = None,
    budget_s: float | None = None, checkpoint: Path | None = None, resume: bool = False,
    on_round: Callback | Sequence[Callback] = (),
) -> tuple[DTN, Translator, History]:  # fmt: skip
    """The transfer: the game, G behind one call, and the history; options as in `lib.training.play.play`.

    Args:
        f: trained, frozen here.
        stream: batches with ``source`` and ``target``; default `training_stream`.
    """
    runtime = runtime or Runtime.detect()
    game = build_dtn(config, f, seed=seed)
    runtime.place(game)  # in place, as for every module
    ema = EMA(game.G, config.ema) if config.ema else None
    history = play(
        game, stream or training_stream(config, seed=seed, device=runtime.device), config.rounds,
        optimisers=OptimConfig(lr=config.lr), schedule=config.learning_rate, runtime=runtime, budget_s=budget_s,
        ema=ema, checkpoint=checkpoint, resume=resume, on_round=on_round,
    )  # fmt: skip
    return game, Translator(game.G if ema is None else ema.module, Condition("picture"), runtime=runtime), history


@torch.no_grad()
def concept_accuracy(f: ConceptEncoder, images: Tensor, digits: Tensor, *, batch: int = 256) -> float:
    """Share of pictures (N, 1 or 3, S, S) in [-1, 1] whose class f names rightly."""
    named = torch.cat([f.name(in_colour(part)).argmax(dim=1) for part in images.split(batch)])
    return float((named == digits).double().mean())


def measure_digits(
    translator: Translator, reader: AttributeReader, pictures: Mapping[str, Tensor], *, batch: int = 128
) -> dict[str, float]:
    """The paper's measure: how often a classifier of the *target* reads the source's digit in a translation.

    Args:
        reader: of handwritten digits; it took no part in any training here.
        pictures: test pictures of the source, ``image`` uint8 and ``digit``.

    Returns:
        ``accuracy``, and for each digit that occurs ``accuracy/3``; ``original``: of the pictures as they are. A
        translation below that is worse than none.
    """
    source, digits = _floats(pictures["image"]), pictures["digit"]
    painted = torch.cat([translator.paint(part).cpu() for part in source.split(batch)])
    said = reader.read(painted).values()["digit"]
    scores = {"accuracy": float((said == digits).double().mean())}
    for digit in digits.unique().tolist():
        scores[f"accuracy/{digit}"] = float((said[digits == digit] == digit).double().mean())
    as_they_are = reader.read(source).values()["digit"]
    return {**scores, "original": float((as_they_are == digits).double().mean())}


def adaptation(
    pictures: Mapping[str, Tensor], translator: Translator | None = None, *, rounds: int = 300, seed: int = 0,
    batch: int = 128,
) -> float:  # fmt: skip
    """Unsupervised domain adaptation, table 2: a classifier that learns from translations and the source's labels.

    Args:
        pictures: of the source, ``image`` uint8 and ``digit``.
        translator: None trains it on the pictures as they are: the floor.
        rounds: of the classifier's training.

    Returns:
        Its accuracy on real handwritten test digits, of which it has seen none.
    """
    source = _floats(pictures["image"])
    if translator is not None:
        source = torch.cat([translator.paint(part).cpu() for part in source.split(batch)])
    image = in_colour(F.interpolate(source, size=(16, 16), mode="bilinear", antialias=True))
    stream = Shuffled({"image": image, "digit": pictures["digit"]}, batch=32, generator=seeded(seed))
    config = ReaderConfig("digits", {"digit": _DIGITS}, size=16, width=12)
    reader, _ = train_reader(config, stream, Schooling(rounds, seed=seed), runtime=Runtime.detect("cpu"))
    test, digits = handwritten_digits("test", size=16)
    return reader.scores(test, {"digit": digits}).accuracy["digit"]


def answer_key(count: int, size: int, *, seed: int = 0) -> Batch:
    """Unseen portraits, ``source``, and the true emoji of each, ``target``; both (count, 3, size, size) in [-1, 1].

    Besides, the attributes of the people, as `Faces` names them.
    """
    people = Faces().sample(count, generator=split_generator("test", seed))
    parts = [{name: value[start : start + 32] for name, value in people.items()} for start in range(0, count, 32)]
    worlds = {"source": Faces(), "target": EmojiFaces()}
    drawn = {name: torch.cat([world.render(part, size)["image"] for part in parts]) for name, world in worlds.items()}
    return {**drawn, **{name: people[name] for name in Faces.attributes}}


def measure_emoji(
    translator: Translator, pairs: Mapping[str, Tensor], reader: AttributeReader | None = None, *, batch: int = 64
) -> dict[str, float]:
    """How near each translated portrait is to its true emoji, and whether it can be told by it.

    Args:
        pairs: as `answer_key` gives them.
        reader: of emoji; it took part in no training here.

    Returns:
        ``l1``, and ``l1/mean`` of the mean emoji; ``rank``: the median place, in [0, 1], of the true emoji among all by
        pixel distance (0: first, 1/2: chance); ``rank1``: how often it is the first; with a reader ``read/hat`` and so
        on: how often it reads the person's attribute in the painting.
    """
    truth = pairs["target"]
    painted = torch.cat([translator.paint(part).cpu() for part in pairs["source"].split(batch)])
    far = torch.cdist(painted.flatten(1), truth.flatten(1))
    place = (far < far.diagonal()[:, None]).sum(dim=1)
    return {
        "l1": float((painted - truth).abs().mean()),
        "l1/mean": float((truth.mean(dim=0) - truth).abs().mean()),
        "rank": float(place.double().median() / max(len(truth) - 1, 1)),
        "rank1": float((place == 0).double().mean()),
        **({} if reader is None else {f"read/{k}": v for k, v in reader.scores(painted, pairs).accuracy.items()}),
    }


@dataclass(frozen=True, kw_only=True)
class DTNCommand(TranslatorCommand):
    """Train f and the transfer; write G, its card and its measured results."""

    task: Literal["digits", "emoji"] = "digits"
    """street numbers -> handwriting, or portraits -> emoji"""
    variant: str = "DTN"
    """a name in lib.games.dtn.ABLATION, OURS, PLAIN or UNSEEN"""
    encoder: Literal["portraits", "reader"] = "portraits"
    """emoji only: f learns to look past the manner of painting, or is the trunk of the reader of faces as it is"""

    def config(self) -> DTNConfig:
        """The settings of the training."""
        if self.task == "emoji":
            chosen = DTNConfig.emoji(quick=not self.full, encoder=self.encoder)
        else:
            chosen = DTNConfig.full() if self.full else DTNConfig.quick()
        chosen = chosen.variant(self.variant)
        return replace(chosen, rounds=self.rounds or chosen.rounds)


def main(config: DTNCommand) -> int:
    """Run the command; the weights are called dtn_TASK."""
    chosen, runtime = config.config(), Runtime.detect(config.device)
    chosen.check()
    name, digits = f"dtn_{chosen.task}", chosen.task == "digits"
    # Before the training: a missing judge is no news for the end of it.
    reader = load_reader("digits" if digits else "emoji")
    options: dict[str, Any] = config.play_options()
    with RunCard(name, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        f = encoder_for(chosen, seed=config.seed, runtime=runtime, on_round=ProgressPrinter(title="f"))
        _, translator, history = train_dtn(
            chosen, f, seed=config.seed, runtime=runtime, on_round=ProgressPrinter(title=f"DTN, {chosen.task}"),
            **options,
        )  # fmt: skip
    if digits:
        test = street_digits(config.pairs, chosen.size, split="test")
        scores = measure_digits(translator, reader, test)
        pairs: Mapping[str, Tensor] = {"source": _floats(test["image"])}
    else:
        pairs = answer_key(config.pairs, chosen.size)
        scores = measure_emoji(translator, pairs, reader)
    domains = "street numbers to handwriting" if digits else "portraits to emoji"
    data = f"{domains} at {chosen.size} px; measured on {config.pairs} test pictures"
    config.publish(name, translator, chosen, data=data, scores=scores, history=history, card=card)
    if config.sheet is not None:
        write_sheet(config.sheet, translator, pairs)
    return 0


def write_sheet(path: Path, translator: Translator, pairs: Mapping[str, Tensor], *, count: int = 12) -> None:
    """Sources, translations and, where they are known, true answers in rows, as a PNG."""
    source = pairs["source"][:count]
    rows = [source, in_colour(translator.paint(source).cpu())]
    rows += [pairs["target"][:count]] if "target" in pairs else []
    contact_sheet([list(row) for row in rows], scale=2).save(path)


def _floats(image: Tensor) -> Tensor:
    return image.float() / 127.5 - 1 if image.dtype == torch.uint8 else image


def _shuffled(image: Tensor, batch: int, seed: int, device: torch.device | str) -> Shuffled:
    return Shuffled({"image": image.to(device)}, batch=batch, generator=seeded(seed))
