"""SPADE on façades: its pairs, its features, its training, and its command."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from lib.baselines import spade_photo
from lib.baselines.spade_photo import PhotoSpadeCommand
from lib.data.photos import load_photo
from lib.games import spade_train
from lib.games.pix2pix_train import held_out_pairs
from lib.games.spade_train import (
    SpadeCommand,
    SpadeFacadesConfig,
    main,
    pairs_of,
    perceptual_maps,
    train_spade,
    untrained,
)  # fmt: skip
from lib.games.translator import Translator
from lib.metrics.segmentation_score import ParserConfig, SceneParser
from lib.nn.spade import SPADEGenerator
from lib.training.audit import assert_alive
from lib.training.checkpoint import CheckpointError
from tests.scenes import CPU

TINY: dict[str, Any] = {"size": 32, "width": 4, "hidden": 8, "d_layers": 2, "d_width": 4, "batch": 2, "rounds": 2,
                        "pool": 4}  # fmt: skip


def config(**changes: Any) -> SpadeFacadesConfig:
    return SpadeFacadesConfig(**TINY | changes)


def test_the_pairs_are_those_of_pix2pix() -> None:
    """So that the two systems are measured on the same pictures."""
    pairs = held_out_pairs(pairs_of(config()), 3)
    assert (
        pairs["image"].shape == (3, 3, 32, 32) and pairs["condition"].shape[1] == untrained(config()).G.config.classes
    )
    assert pairs_of(config()).always == {"time": "day", "season": "summer", "weather": "clear"}


def test_every_term_is_alive_with_the_books_features() -> None:
    game = untrained(config())
    pairs = held_out_pairs(pairs_of(config()), 2)
    assert_alive(game, {name: pairs[name] for name in ("condition", "image")})
    assert game.perceptual is not None and len(game.perceptual(pairs["image"])) == 3
    assert untrained(config(sees="nothing")).perceptual is None and perceptual_maps("nothing") is None


def test_the_average_is_kept_and_the_seed_decides() -> None:
    first, again, other = (train_spade(config(), seed=seed, runtime=CPU)[0] for seed in (0, 0, 1))
    x = held_out_pairs(pairs_of(config()), 1)["condition"]
    assert torch.equal(first.paint(x), again.paint(x)) and not torch.equal(first.paint(x), other.paint(x))
    last, history = train_spade(config(ema=0.0), runtime=CPU)
    assert not torch.equal(first.paint(x), last.paint(x))
    assert {"D/real", "D/fake", "G/gan", "G/features", "G/perceptual"} <= set(history.names)


@pytest.mark.parametrize("made", [SpadeFacadesConfig.shipped(rounds=3), SpadeFacadesConfig.full()])
def test_a_config_survives_its_card(made: SpadeFacadesConfig) -> None:
    made.check()
    assert SpadeFacadesConfig.from_dict(json.loads(json.dumps(asdict(made)))) == made


def test_the_command_writes_a_translator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpadeFacadesConfig, "shipped", config)
    names = tuple(f"class {index}" for index in range(13))
    parser = SceneParser(ParserConfig("facades", names, size=32, widths=(4, 4))).eval()
    monkeypatch.setattr(spade_train, "load_parser", lambda world: parser)
    command = SpadeCommand(
        profile="quick", device="cpu", pairs=3, checkpoints=tmp_path, results=tmp_path / "results", sees="nothing",
        sheet=tmp_path / "sheet.png",
    )  # fmt: skip
    assert main(command) == 0 and (tmp_path / "sheet.png").is_file()
    loaded = Translator.load(tmp_path / "spade_facades.safetensors", runtime=CPU)
    assert isinstance(loaded.G, SPADEGenerator) and loaded.card["config"]["sees"] == "nothing"
    record = json.loads((tmp_path / "results" / "spade_facades.json").read_text())
    assert record["measures"] == loaded.card["metrics"] and "fcn/miou" in record["measures"]
    labels = held_out_pairs(pairs_of(config()), 1)["labels"][0]
    assert loaded.translate(labels).shape == (3, 32, 32)


def test_a_missing_judge_is_told_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(world: str) -> SceneParser:
        raise CheckpointError(f"no parser of {world}")

    monkeypatch.setattr(spade_train, "load_parser", missing)
    monkeypatch.setattr(spade_train, "train_spade", lambda *_, **__: pytest.fail("trained without a judge"))
    with pytest.raises(CheckpointError, match="no parser of facades"):
        main(SpadeCommand(profile="quick", device="cpu", checkpoints=tmp_path, results=tmp_path / "results"))


def test_the_command_for_a_photo_writes_a_translator_of_its_layouts(tmp_path: Path) -> None:
    command = PhotoSpadeCommand(
        photo="flower", side=48, rounds=1, profile="quick", device="cpu", checkpoints=tmp_path,
        results=tmp_path / "results", sheet=tmp_path / "sheet.png",
    )  # fmt: skip
    assert spade_photo.main(command) == 0 and (tmp_path / "sheet.png").is_file()
    loaded = Translator.load(tmp_path / "spade_flower.safetensors", runtime=CPU)
    flower = load_photo("flower", side=48)
    assert loaded.translate(flower.targets["two"]).shape == flower.image.shape
    assert loaded.card["config"]["rounds"] == 1 and 0 < loaded.card["metrics"]["accuracy/patches"] < 1
