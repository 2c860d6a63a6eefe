"""``python -m lib train diat``: the three stages of DIAT in a row, the finished pipeline and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from lib.book.paths import repository_root
from lib.data.conditions import Condition
from lib.data.face_sets import FaceSets, before_and_after
from lib.data.worlds.world import Batch
from lib.games.diat import DIATConfig, FaceTransform, build_denoising, build_transform
from lib.games.diat_enhance import build_enhancement
from lib.games.translator import Translator
from lib.games.translator_train import TranslatorCommand
from lib.images import contact_sheet
from lib.losses.diat import artefact_map
from lib.losses.perceptual import FeatureMaps
from lib.metrics.identity import FaceIdentifier, identity_scores, load_identifier
from lib.metrics.reader import AttributeReader, load_reader
from lib.metrics.translation import painted, translation_scores
from lib.nn.denoiser import Denoiser
from lib.nn.diat import FacePipeline, TransformNetwork
from lib.runtime import RunCard, Runtime, device_name
from lib.training.checkpoint import CheckpointError, load_weights, read_card, save_weights, weights_card
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play
from lib.training.streams import Stream

__all__ = [
    "DENOISER", "DIATCommand", "Stages", "load_denoiser", "main", "measure", "phi_maps", "save_denoiser", "scored",
    "train_denoiser", "train_diat", "train_enhancement", "train_transform",
]  # fmt: skip

DENOISER = repository_root() / "assets" / "checkpoints" / "diat_denoiser.safetensors"
_SHARES = {"denoising": 0.15, "transform": 0.65, "enhancement": 0.2}  # of a time limit
_MOST_PSNR = 100.0  # dB; JSON knows no infinity
Callbacks = Callback | Sequence[Callback]


@dataclass(frozen=True)
class Stages:
    """What a training leaves: the parts, and the history of each stage."""

    pipeline: FacePipeline
    game: FaceTransform  # of stage 1, with D
    f: Denoiser
    histories: Mapping[str, History]

    def translator(self, runtime: Runtime | None = None) -> Translator:
        """Both stages behind one call; ``enhanced=False`` gives the first alone."""
        return Translator(self.pipeline, Condition("picture"), runtime=runtime)


def phi_maps(
    config: DIATConfig, identifier: FaceIdentifier | None = None, *, stage: Literal["transform", "enhancement"]
) -> FeatureMaps:
    """phi's maps: its last stages for the identity loss, its first ones for the local enhancement.

    Raises:
        CheckpointError: no identifier is given, and none is shipped.
    """
    identifier = identifier or load_identifier("faces")
    first = tuple(f"stages.{place}" for place in range(len(config.betas) - 1)) or ("stages.0",)
    layers = config.layers if stage == "transform" else first
    return FeatureMaps(identifier.trunk, layers, side=identifier.config.size)


def train_denoiser(
    config: DIATConfig, phi: FeatureMaps, stream: Stream, *, seed: int = 0, runtime: Runtime | None = None,
    budget_s: float | None = None, on_round: Callbacks = (),
) -> tuple[Denoiser, History]:  # fmt: skip
    """The stage before: f, and the history of g and f."""
    runtime = runtime or Runtime.detect()
    game = build_denoising(config, phi, seed=seed)
    runtime.place(game)  # in place, as for every module
    history = play(
        game, stream, config.f_rounds, optimisers=OptimConfig(lr=config.lr), schedule=config.learning_rate,
        runtime=runtime, budget_s=budget_s, on_round=on_round,
    )  # fmt: skip
    assert isinstance(game.f, Denoiser)
    return game.f, history


def train_transform(
    config: DIATConfig, stream: Stream, phi: FeatureMaps | None = None, f: nn.Module | None = None, *, seed: int = 0,
    runtime: Runtime | None = None, budget_s: float | None = None, checkpoint: Path | None = None,
    resume: bool = False, on_round: Callbacks = (),
) -> tuple[FaceTransform, History]:  # fmt: skip
    """Stage 1; options as in `lib.training.play.play`. The game's T is the averaged one in the end, if there is one."""
    runtime = runtime or Runtime.detect()
    game = build_transform(config, phi, f, seed=seed)
    runtime.place(game)  # in place, as for every module
    average = EMA(game.T, config.ema) if config.ema else None
    rates = {"D": config.d_rate * config.lr, "T": config.lr}
    history = play(
        game, stream, config.rounds, optimisers=OptimConfig(lr=rates, betas=(0.5, config.beta2)),
        schedule=config.learning_rate, ema=average, runtime=runtime, budget_s=budget_s, checkpoint=checkpoint,
        resume=resume, on_round=on_round,
    )  # fmt: skip
    if average is not None:
        game.T.load_state_dict(average.module.state_dict())
    return game, history


def train_enhancement(
    config: DIATConfig, stream: Stream, T: nn.Module, phi: FeatureMaps | None = None, *, seed: int = 0,
    runtime: Runtime | None = None, budget_s: float | None = None, on_round: Callbacks = (),
) -> tuple[TransformNetwork, History]:  # fmt: skip
    """Stage 2: E, and its history."""
    runtime = runtime or Runtime.detect()
    game = build_enhancement(config, T, phi, seed=seed)
    runtime.place(game)  # in place, as for every module
    history = play(
        game, stream, config.e_rounds, optimisers=OptimConfig(lr=config.lr), schedule=config.learning_rate,
        runtime=runtime, budget_s=budget_s, on_round=on_round,
    )  # fmt: skip
    assert isinstance(game.E, TransformNetwork)
    return game.E, history


def train_diat(
    config: DIATConfig, *, seed: int = 0, stream: Stream | None = None, identifier: FaceIdentifier | None = None,
    f: Denoiser | None = None, runtime: Runtime | None = None, budget_s: float | None = None,
    checkpoint: Path | None = None, resume: bool = False,
    on_stage: Callable[[str], Callbacks] = lambda stage: (),
) -> Stages:  # fmt: skip
    """All stages in a row.

    Args:
        stream: batches as `FaceSets` gives them; default that of the config.
        identifier: phi; default the shipped one.
        f: a trained denoiser, if there is one; then its stage is left out.
        budget_s: seconds for all stages together.
        checkpoint, resume: of stage 1.
        on_stage: name of a stage -> its callbacks.
    """
    runtime = runtime or Runtime.detect()
    stream = stream or FaceSets(
        config.attribute, count=config.pool, size=config.size, batch=config.batch, seed=seed, device=runtime.device
    )
    shares = {name: None if budget_s is None else share * budget_s for name, share in _SHARES.items()}
    phi = phi_maps(config, identifier, stage="transform")
    histories: dict[str, History] = {}
    if f is None:
        f, histories["denoising"] = train_denoiser(
            config, phi, stream, seed=seed, runtime=runtime, budget_s=shares["denoising"],
            on_round=on_stage("denoising"),
        )  # fmt: skip
    game, histories["transform"] = train_transform(
        config, stream, phi, f, seed=seed, runtime=runtime, budget_s=shares["transform"], checkpoint=checkpoint,
        resume=resume, on_round=on_stage("transform"),
    )  # fmt: skip
    early = phi_maps(config, identifier, stage="enhancement")
    E, histories["enhancement"] = train_enhancement(
        config, stream, game.T, early, seed=seed, runtime=runtime, budget_s=shares["enhancement"],
        on_round=on_stage("enhancement"),
    )  # fmt: skip
    assert isinstance(game.T, TransformNetwork)
    return Stages(FacePipeline.joined(game.T, E), game, f, histories)


@torch.no_grad()
def scored(
    picture: Tensor, before: Batch, after: Batch, attribute: str, reader: AttributeReader, witness: FaceIdentifier,
    f: nn.Module | None = None,
) -> dict[str, float]:  # fmt: skip
    """Measures of one set of pictures: the attribute, the person, the picture.

    Returns:
        ``attribute``: share in which the reader reads the new value; ``identity/…`` by the witness, against the
        originals; ``painted`` and ``stray``, the parts of the change that are and are not the true one's; all of
        `lib.metrics.translation.translation_scores` against the true answer; with f ``artefacts``.
    """
    scores = translation_scores(reader, picture, before, after)
    scores["psnr"] = min(scores["psnr"], _MOST_PSNR)
    scores["attribute"] = scores[f"read/{attribute}"]
    scores["painted"], scores["stray"] = painted(picture, before["image"], after["image"])
    scores |= identity_scores(witness, picture, before["image"]).as_metrics()
    if f is not None:
        scores["artefacts"] = float(artefact_map(f, picture).mean())
    return scores


@torch.no_grad()
def measure(
    translator: Translator, config: DIATConfig, reader: AttributeReader, witness: FaceIdentifier,
    f: nn.Module | None = None, *, pairs: int = 256, batch: int = 32,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Rows: the originals (`copy`), the true answer (`truth`), stage 1 (`transformed`), both stages (`enhanced`)."""
    before, after = before_and_after(config.attribute, pairs, config.size)
    parts = before["image"].split(batch)
    rows = {"copy": before["image"], "truth": after["image"]}
    for name, enhanced in (("transformed", False), ("enhanced", True)):
        rows[name] = torch.cat([translator.paint(part, enhanced=enhanced).cpu() for part in parts])
    f = None if f is None else f.cpu()
    attribute = config.attribute.attribute
    return {
        name: scored(picture, before, after, attribute, reader, witness, f) for name, picture in rows.items()
    }  # fmt: skip


def save_denoiser(path: str | Path, f: Denoiser, config: DIATConfig, *, seed: int, history: History) -> None:
    """Write f with its card; see `lib.training.checkpoint.save_weights`."""
    device = device_name(next(f.parameters()).device)
    card = weights_card(
        config=config, seed=seed, data=f"faces at {config.size} px", metrics={}, device=device, seconds=history.seconds
    )
    save_weights(path, f, card)


def load_denoiser(path: str | Path = DENOISER) -> Denoiser:
    """Read what `save_denoiser` wrote, frozen.

    Raises:
        CheckpointError: the file is missing, damaged or holds something else.
    """
    try:
        f = Denoiser(DIATConfig.from_dict(read_card(path)["config"]).f_width)
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} holds no denoiser ({error}); use a file of `python -m lib train diat`."
        ) from error
    load_weights(path, f)
    return f.eval().requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class DIATCommand(TranslatorCommand):
    """Train DIAT on faces, all stages; write the pipeline, its denoiser, their cards and the measured results."""

    task: Literal["smile", "mouth", "glasses", "age", "gender"] = "glasses"
    """the attribute that faces shall get"""
    variant: str = "DIAT"
    """a name in lib.games.diat.VARIANTS"""
    denoiser: Path | None = None
    """a file with a trained denoiser; default: train one, and write it, too"""

    def config(self) -> DIATConfig:
        """The settings of the training."""
        make = DIATConfig.full if self.full else DIATConfig.shipped
        chosen = make(task=self.task).variant(self.variant)
        return replace(chosen, rounds=self.rounds or chosen.rounds)


def main(config: DIATCommand) -> int:
    """Run the command; the weights are called diat_TASK, the denoiser diat_denoiser."""
    chosen, runtime = config.config(), Runtime.detect(config.device)
    chosen.check()
    # Before the training: a missing judge is no news for the end of it.
    reader, witness = load_reader("faces"), load_identifier("faces_witness")
    f = None if config.denoiser is None else load_denoiser(config.denoiser)
    name = f"diat_{chosen.task}"
    with RunCard(name, seed=config.seed, device=runtime.device, dtype=runtime.dtype) as card:
        stages = train_diat(
            chosen, seed=config.seed, runtime=runtime, f=f, **config.play_options(),
            on_stage=lambda stage: ProgressPrinter(title=f"DIAT, {stage}"),
        )  # fmt: skip
    translator = stages.translator(runtime)
    table = measure(translator, chosen, reader, witness, stages.f, pairs=config.pairs)
    flat = {f"{row}/{key}": value for row, scores in table.items() for key, value in scores.items()}
    config.publish(
        name, translator, chosen, scores=flat, history=stages.histories["transform"], card=card,
        data=f"faces, {chosen.task}, at {chosen.size} px; measured on {config.pairs} unseen people",
    )  # fmt: skip
    if f is None:
        history = stages.histories["denoising"]
        save_denoiser(config.checkpoints / DENOISER.name, stages.f, chosen, seed=config.seed, history=history)
    if config.sheet is not None:
        write_sheet(config.sheet, translator, chosen)
    return 0


def write_sheet(path: Path, translator: Translator, config: DIATConfig, *, count: int = 8) -> None:
    """Originals, stage 1, both stages and true answers in rows, as a PNG."""
    before, after = before_and_after(config.attribute, count, config.size)
    rows = [before["image"], *(translator.paint(before["image"], enhanced=which).cpu() for which in (False, True))]
    contact_sheet([list(row) for row in (*rows, after["image"])], scale=2 if config.size <= 64 else 1).save(path)
