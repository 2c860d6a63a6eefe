"""``python -m lib train cyclegan``: two translators between two piles of pictures, and their measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from PIL.Image import Image
from torch import Tensor, nn

from lib.data.conditions import Condition
from lib.data.public.catalogue import source_named
from lib.data.public.geometry import Geometry
from lib.data.public.samples import ImageFolder, Samples, holdout
from lib.data.public.stream import DataStream, UnpairedStream, collect
from lib.data.public.unpaired import unpaired_domain
from lib.data.unpaired_worlds import PairedPool, UnpairedPool, facade_domains, true_pairs
from lib.games.cyclegan import CycleGAN, CycleGANConfig, PairedCycleGAN, build_cyclegan
from lib.games.cyclegan_measures import measure
from lib.games.game import GameError
from lib.games.partner_measures import partner_features
from lib.games.translator import Translator
from lib.games.translator_train import TranslatorCommand
from lib.images import contact_sheet
from lib.metrics.segmentation_score import load_parser
from lib.runtime import RunCard, Runtime
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play
from lib.training.streams import Stream

__all__ = ["CycleGANCommand", "Trained", "folder_samples", "main", "pictures_stream", "train_cyclegan"]

POOL = 1000  # pictures of a world drawn for a training, half of them in each domain
LOAD = 286 / 256  # the authors read a picture larger by this and cut a random square
HELD_OUT = 0.1  # of a reader's own folder


class Trained(NamedTuple):
    """What a training leaves.

    Attributes:
        there, back: G: X -> Y and F: Y -> X, with the average of their weights where the config asks for it.
        game: all four networks with their last weights.
    """

    there: Translator
    back: Translator
    game: CycleGAN
    history: History


def train_cyclegan(
    config: CycleGANConfig, stream: Stream, *, seed: int = 0, runtime: Runtime | None = None,
    kind: type[CycleGAN] = CycleGAN, budget_s: float | None = None, checkpoint: Path | None = None,
    resume: bool = False, on_round: Callback | Sequence[Callback] = (),
) -> Trained:  # fmt: skip
    """Train from scratch; an interrupt ends it early and keeps what was learned.

    Args:
        stream: batches with two piles of pictures, ``A`` and ``B`` unless the config says otherwise.
        seed: of the weights and the buffers.
        runtime: device and dtype; default the fastest.
        kind: the rules, `CycleGAN` or a class made from it.
        budget_s, checkpoint, resume, on_round: as in `lib.training.play.play`.
    """
    runtime = runtime or Runtime.detect()
    game = build_cyclegan(config, seed=seed, kind=kind)
    runtime.place(game)
    average = EMA(nn.ModuleList([game.G, game.F]), config.ema)
    history = play(
        game, stream, config.rounds, optimisers=OptimConfig(lr=config.lr), schedule=config.learning_rate,
        ema=average, runtime=runtime, budget_s=budget_s, checkpoint=checkpoint, resume=resume, on_round=on_round,
    )  # fmt: skip
    G, F = cast(nn.ModuleList, average.module)
    there, back = (Translator(network, Condition("picture"), runtime=runtime) for network in (G, F))
    return Trained(there, back, game, history)


def pictures_stream(
    a: Samples, b: Samples, config: CycleGANConfig, *, seed: int = 0, workers: int = 0,
    device: torch.device | str = "cpu",
) -> UnpairedStream:  # fmt: skip
    """Two piles of pictures on disk, each in its own random order, cut and mirrored as the authors do."""
    geometry = Geometry(config.size, load=round(config.size * LOAD), flip=0.5)
    streams = [
        DataStream(samples, geometry, batch=config.batch, seed=2 * seed + place, workers=workers, device=device)
        for place, samples in enumerate((a, b))
    ]
    return UnpairedStream(*streams)


def folder_samples(folder: Path) -> tuple[Samples, Samples]:
    """The pictures of a folder, all but a tenth for training and a tenth held out.

    Raises:
        PublicDataError: the folder does not exist, or holds too few pictures.
    """
    return holdout(ImageFolder(folder), HELD_OUT)


@dataclass(frozen=True, kw_only=True)
class CycleGANCommand(TranslatorCommand):
    """Train two translators on unpaired pictures; write their weights, their cards and the measured results.

    The pictures come from the drawn world (--task), from two folders of your own (--folder-a and --folder-b), or
    from a public data set (--public horse2zebra, after `python -m lib data fetch horse2zebra`).
    """

    task: Literal["night", "winter", "brick", "gable", "arches"] = "night"
    """two domains of street fronts; gable and arches change shapes, the others surfaces"""
    folder_a: Path | None = None
    """folder with pictures of the first domain"""
    folder_b: Path | None = None
    """folder with pictures of the second domain"""
    public: str | None = None
    """an unpaired public data set in --root"""
    root: Path = Path("data")
    """folder of the public data sets"""
    size: int | None = None
    """px; default: the profile's"""
    width: int | None = None
    """channels of the generators' first layer; default: the profile's"""
    identity: float | None = None
    """weight of the identity term; default: the profile's"""
    cycle: float | None = None
    """weight of both cycles; default: the profile's"""
    pool: int = POOL
    """pictures of the world, half of them in each domain"""
    partners: bool = False
    """the upper bound: learn from true pairs, which only a drawn world has (--task)"""

    def config(self) -> CycleGANConfig:
        """The settings of the training."""
        chosen = CycleGANConfig.full() if self.full else CycleGANConfig.quick()
        wishes: dict[str, Any] = {
            "size": self.size,
            "width": self.width,
            "identity": self.identity,
            "forward_cycle": self.cycle,
            "backward_cycle": self.cycle,
            "rounds": self.rounds,
        }
        return replace(chosen, **{name: value for name, value in wishes.items() if value is not None})

    @property
    def name(self) -> str:
        """What the files are called after: the data."""
        drawn = f"{self.task}_pairs" if self.partners else self.task
        return self.public or (drawn if self.folder_a is None else self.folder_a.name)

    def data(self, config: CycleGANConfig, device: torch.device) -> tuple[Stream, dict[str, Tensor]]:
        """What is learned from, and held-out pictures ``A`` and ``B``; with labels where they are true pairs.

        Raises:
            GameError: one folder without the other, folders and a public data set, or partners that nobody knows.
            PublicDataError: the pictures are not there.
        """
        if (self.folder_a is None) != (self.folder_b is None) or (self.public and self.folder_a):
            raise GameError("Give --folder-a and --folder-b together, or --public alone, or neither.")
        if self.partners and (self.public or self.folder_a):
            raise GameError("Nobody knows the true partners of these pictures; leave --partners out, or give --task.")
        train: Sequence[Samples]
        test: Sequence[Samples]
        if self.public is not None:
            folder = self.root / source_named(self.public).folder
            train, test = ([unpaired_domain(folder, split, d) for d in ("A", "B")] for split in ("train", "test"))
        elif self.folder_a is not None and self.folder_b is not None:
            parts = [folder_samples(folder) for folder in (self.folder_a, self.folder_b)]
            train, test = ([part[place] for part in parts] for place in (0, 1))
        else:
            domains = facade_domains(self.task)
            kind = PairedPool if self.partners else UnpairedPool
            stream = kind(domains, count=self.pool, size=config.size, batch=config.batch, seed=self.seed,
                          device=device)  # fmt: skip
            return stream, true_pairs(domains, self.pairs, config.size)
        held_out = {
            name: collect(samples, Geometry(config.size), range(min(self.pairs, len(samples))))["image"]
            for name, samples in zip("AB", test, strict=True)
        }
        return pictures_stream(train[0], train[1], config, seed=self.seed, workers=4, device=device), held_out


def main(config: CycleGANCommand) -> int:
    """Run the command; the weights are called cyclegan_DATA_there and cyclegan_DATA_back."""
    chosen, runtime = config.config(), Runtime.detect(config.device)
    chosen.check()
    stream, held_out = config.data(chosen, runtime.device)
    parser, maps = (load_parser("facades"), partner_features()) if "A_labels" in held_out else (None, None)
    with RunCard(f"cyclegan_{config.name}", seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        trained = train_cyclegan(
            chosen, stream, seed=config.seed, runtime=runtime, kind=PairedCycleGAN if config.partners else CycleGAN,
            on_round=ProgressPrinter(title=f"CycleGAN {config.name}"), **config.play_options(),
        )  # fmt: skip
    scores = measure(trained.there.paint, trained.back.paint, held_out, parser, maps)
    told = "true pairs" if config.partners else "unpaired"
    data = f"{config.name}, {told}, {chosen.size} px; measured on {len(held_out['A'])} held-out pictures of each"
    for way, translator in (("there", trained.there), ("back", trained.back)):
        translator.save(
            config.checkpoints / f"cyclegan_{config.name}_{way}.safetensors", config=chosen, seed=config.seed,
            data=data, metrics=scores, seconds=trained.history.seconds,
        )  # fmt: skip
    record = {"run": card.as_dict(), "config": asdict(chosen), "rounds": len(trained.history), "measures": scores}
    config.record(f"cyclegan_{config.name}", record)
    for name, value in scores.items():
        print(f"{name:>14} {value:.3f}")
    if config.sheet is not None:
        _sheet(trained, held_out).save(config.sheet)
    return 0


def _sheet(trained: Trained, pictures: dict[str, Tensor], count: int = 8) -> Image:
    """x, G(x), F(G(x)) and y, F(y), G(F(y)) in rows."""
    rows: list[list[Tensor]] = []
    for name, first, second in (("A", trained.there, trained.back), ("B", trained.back, trained.there)):
        x = pictures[name][:count]
        translated = first.paint(x)
        rows += [list(part.cpu()) for part in (x, translated, second.paint(translated))]
    return contact_sheet(rows, scale=2 if x.shape[-1] <= 64 else 1)
