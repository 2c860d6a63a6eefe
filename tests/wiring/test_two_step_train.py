"""Both steps in a row on tiny networks: training, resuming, storing, measuring, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lib.data.domains import rendered
from lib.games import two_step_train
from lib.games.game import GameError
from lib.games.two_step_model import (
    TwoStepConfig,
    domains_of,
    load_translator,
    networks,
    save_translator,
    train_encoder,
    train_gan,
)
from lib.games.two_step_train import LESSONS, TwoStepCommand, held_out_pairs, main, measure
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.training.checkpoint import CheckpointError, save_weights
from lib.training.play import Report

TINY = TwoStepConfig(
    size=16, latent=4, g_width=2, d_width=2, e_width=2, pool=8, batch=4, rounds=3, encoder_rounds=2, every=2
)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Tensor]:
    return rendered(domains_of("gender"), TINY.pool, TINY.size)


def tiny_reader() -> AttributeReader:
    torch.manual_seed(0)
    config = ReaderConfig("faces", {"gender": ("female", "male")}, {"gaze": 2}, size=16, width=4, features=8)
    return AttributeReader(config).eval()


def test_both_domains_hold_what_they_should() -> None:
    """Women and men without hats or beards; two people who stay themselves in any pose."""
    drawn = rendered(domains_of("gender"), 8, 16)
    assert torch.equal(drawn["gender"], drawn["domain"]) and not drawn["hat"].any() and not drawn["beard"].any()
    swap = rendered(domains_of("swap"), 8, 16)
    for person in (0, 1):
        identity = swap["identity"][swap["domain"] == person]
        assert bool((identity == identity[0]).all())
    assert swap["pose"].unique(dim=0).shape[0] == 8


def test_held_out_pairs_differ_in_the_domain_alone() -> None:
    here, there = held_out_pairs(domains_of("gender"), 4, 16)
    assert torch.equal(here["domain"], 1 - there["domain"])
    for name in ("identity", "pose", "gaze", "background", "hair", "expression"):
        assert torch.equal(here[name], there[name])
    assert not torch.equal(here["image"], there["image"])


def test_an_interrupted_training_goes_on(pictures: dict[str, Tensor], tmp_path: Path) -> None:
    """Two rounds, then one more from the checkpoint: the weights of three rounds in one go."""

    def stop(report: Report) -> None:
        if report.rounds_done == 2:
            raise KeyboardInterrupt

    file = tmp_path / "step1.safetensors"
    _, history = train_gan(TINY, pictures, checkpoint=file, on_round=stop)
    assert history.interrupted and len(history) == 2
    resumed, history = train_gan(TINY, pictures, checkpoint=file)
    assert len(history) == 3
    whole = train_gan(TINY, pictures)[0].state_dict()
    assert all(torch.equal(weight, whole[name]) for name, weight in resumed.state_dict().items())


def test_a_lesson_about_real_pictures_needs_some() -> None:
    with pytest.raises(GameError, match="about real pictures; give them"):
        train_encoder(TINY, networks(TINY, seed=0)[0], LESSONS["image, real"])


@pytest.mark.parametrize("lesson", sorted(LESSONS))
def test_every_lesson_teaches_and_is_stored(lesson: str, pictures: dict[str, Tensor], tmp_path: Path) -> None:
    G = networks(TINY, seed=0)[0].eval()
    translator, history = train_encoder(TINY, G, replace(LESSONS[lesson], batch=4), pictures=pictures)
    assert len(history) == 2 and not any(weight.requires_grad for weight in translator.parameters())
    file = tmp_path / "t.safetensors"
    save_translator(file, translator, TINY, seed=3, seconds=1.5, metrics={"psnr": 9.0})
    again, config = load_translator(file)
    assert config == TINY
    x, to = pictures["image"][:3], torch.tensor([0, 1, 0])
    torch.testing.assert_close(again.translate(x, to), translator.translate(x, to))
    assert json.loads(file.with_suffix(".json").read_text())["metrics"] == {"psnr": 9.0}


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_weights(file, nn.Linear(1, 1), {"config": {"depth": 3}})
    with pytest.raises(CheckpointError, match="train twostep"):
        load_translator(file)


def test_measures_of_trivial_competitors(pictures: dict[str, Tensor]) -> None:
    """The true partner is a perfect translation, the copy a perfect reconstruction."""
    G = networks(TINY, seed=0)[0].eval()
    translator, _ = train_encoder(TINY, G)
    rows = measure(tiny_reader(), {"latent": translator}, G, *held_out_pairs(domains_of("gender"), 4, 16))
    assert set(rows) == {"truth", "original", "copy", "latent, rebuilt", "latent, translated", "drawn"}
    assert rows["truth"]["psnr"] == rows["original"]["psnr"] == 100
    assert rows["original"]["explained/background"] == pytest.approx(1)
    assert rows["copy"]["explained/background"] > 0.7  # both domains share the place; hair frays its border
    assert rows["copy"]["psnr"] < 40 and rows["latent, translated"]["psnr"] < rows["copy"]["psnr"]


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It leaves a model that loads, a card, the measures of every lesson, and a sheet."""
    monkeypatch.setattr(two_step_train, "load_reader", lambda world: tiny_reader())
    monkeypatch.setattr(two_step_train, "TwoStepConfig", lambda task: replace(TINY, task=task))
    command = TwoStepCommand(
        rounds=2, device="cpu", profile="quick", pairs=4, work=tmp_path / "work", checkpoints=tmp_path,
        results=tmp_path / "results", sheet=tmp_path / "sheet.png",
    )  # fmt: skip
    assert main(command) == 0
    load_translator(tmp_path / "twostep_faces.safetensors")
    record = json.loads((tmp_path / "results" / "twostep_faces.json").read_text())
    assert {f"{lesson}, translated" for lesson in LESSONS} < set(record["measures"]) and record["rounds"] == 2
    assert (tmp_path / "sheet.png").exists() and "psnr" in capsys.readouterr().out


def test_seeds_decide_the_weights() -> None:
    first, again, other = (networks(TINY, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
