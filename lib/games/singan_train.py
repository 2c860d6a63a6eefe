"""``python -m lib train singan``: the pyramids that the book ships, and their measured results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lib.data.photos import load_photo
from lib.games.command import TrainingCommand
from lib.games.singan import SinGANConfig, SinGANScale
from lib.games.singan_measures import measure
from lib.games.singan_model import SinGAN
from lib.images import Cell, contact_sheet
from lib.runtime import RunCard, Runtime
from lib.training.live import ProgressPrinter

__all__ = ["SinGANCommand", "main", "write_sheet"]


@dataclass(frozen=True, kw_only=True)
class SinGANCommand(TrainingCommand):
    """Train SinGAN on one bundled photo; write singan_PHOTO with its card and its measured results."""

    photo: str
    """a bundled photo: astronaut, chelsea, china, coffee, flower or rocket"""
    side: int | None = None
    """long side in pixels; default: the profile's"""
    rounds: int | None = None
    """rounds at the coarsest scale; default: the profile's"""
    work: Path | None = None
    """folder for the state of every scale, from which an interrupted training goes on"""

    def config(self) -> SinGANConfig:
        """The settings of the training."""
        chosen = SinGANConfig.full() if self.full else SinGANConfig.quick()
        return replace(chosen, side=self.side or chosen.side, rounds=self.rounds or chosen.rounds)


def main(config: SinGANCommand) -> int:
    """Run the command."""
    chosen, runtime = config.config(), Runtime.detect(config.device)
    photo = load_photo(config.photo, side=chosen.side)

    def watch(game: SinGANScale) -> ProgressPrinter:
        return ProgressPrinter(title=f"{photo.name}, {game.size[1]} x {game.size[0]} px")

    name = f"singan_{photo.name}"
    with RunCard(name, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        singan = SinGAN.train(
            photo.image, chosen, seed=config.seed, runtime=runtime, checkpoint=config.work,
            resume=config.work is not None, watch=watch,
        )  # fmt: skip
        singan.histories.append(singan.train_enlarger(on_round=ProgressPrinter(title=f"{photo.name}, enlarger")))
    scores = measure(singan)
    singan.save(config.checkpoints / f"{name}.safetensors", metrics=scores, data=photo.name)
    # The last of each is the enlarger's. After a cut training the run is only the rest; these seconds are all of it.
    rounds, seconds = zip(*((len(history), round(history.seconds, 1)) for history in singan.histories), strict=True)
    record = {"run": card.as_dict(), "config": asdict(chosen), "sizes": singan.pyramid.sizes, "rounds": rounds}
    config.record(name, record | {"seconds": seconds, "measures": scores})
    if config.sheet is not None:
        write_sheet(config.sheet, singan)
    print(json.dumps(scores, indent=1))
    return 0


def write_sheet(path: Path, singan: SinGAN, *, count: int = 4) -> None:
    """The photo and its reconstruction, then samples from each of the three coarsest scales, as a PNG."""
    rows: list[list[Cell]] = [[singan.image, singan.reconstruct()]]
    rows += [list(singan.sample(count, from_scale=singan.coarsest - k)) for k in range(min(3, singan.coarsest + 1))]
    contact_sheet(rows, scale=2).save(path)
