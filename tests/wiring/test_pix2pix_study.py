"""The recorded study of chapter 4 and its measures, and the bench of the translator games, at toy size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib.games import pix2pix_study, translator_bench
from lib.games.cyclegan import CycleGANConfig
from lib.games.pix2pix import Pix2Pix, Pix2PixConfig
from lib.games.pix2pix_measures import blurred, competitors, d_accuracy, picture_scores
from lib.games.pix2pix_study import MEASURES, VARIANTS, Pix2PixStudyCommand, run_pix2pix_study
from lib.games.stargan import StarGANConfig
from lib.games.study import load_study
from lib.games.translator_bench import CASES, TranslatorBenchCommand, measure_case
from lib.metrics.features import RandomConvFeatures
from lib.metrics.segmentation_score import ParserConfig, SceneParser
from lib.runtime import seeded
from tests.scenes import CPU, noise

TINY: dict[str, Any] = {"size": 16, "width": 2, "d_width": 2, "patch": 16, "rounds": 2, "pool": 4, "batch": 1}


def small_parser(name: str) -> SceneParser:
    torch.manual_seed(0)
    return SceneParser(ParserConfig(name, tuple(map(str, range(13))), size=16, widths=(4, 4))).eval()


def test_a_study_runs_is_kept_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pix2pix_study, "load_parser", small_parser)
    chosen = Pix2PixConfig.quick(**TINY)
    monkeypatch.setattr(Pix2PixStudyCommand, "settings", lambda self: chosen)
    command = Pix2PixStudyCommand(
        out=tmp_path / "s.json", seeds=(0,), variants=("L1", "L1+cGAN"), pairs=3, device="cpu"
    )
    assert pix2pix_study.main(command) == 0
    study = load_study(tmp_path / "s.json")
    assert [run.variant for run in study.runs] == ["L1", "L1+cGAN"]
    for run in study.runs:
        assert set(run.values) == set(MEASURES) - ({"d_accuracy"} if run.variant == "L1" else set())
    assert study.references["truth"]["l1"] == 0 and study.references["nearest neighbour"]["sharpness"] > 0.3
    more = run_pix2pix_study(chosen, seeds=(0,), variants=("L1", "L2"), pairs=3, known=study, runtime=CPU)
    assert more.runs[:2] == study.runs and [run.variant for run in more.runs[2:]] == ["L2"]
    with pytest.raises(ValueError, match="no variant 'L3'"):
        run_pix2pix_study(chosen, variants=("L3",), runtime=CPU)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_a_game_at_the_size_of_the_study(variant: str) -> None:
    config = Pix2PixConfig.quick(**{"width": 2, "d_width": 2} | dict(VARIANTS[variant]))
    batch = {"condition": noise(1, 2, 64, 64), "image": noise(1, 3, 64, 64)}
    players = [turn.player for turn in Pix2Pix(2, config).round(batch)]
    assert players == (["D", "G"] if config.gan else ["G"])


def test_competitors_by_hand() -> None:
    """Two training pictures of one class each; the held-out map is of class 1."""
    image = torch.stack([torch.full((3, 16, 16), -0.5), torch.full((3, 16, 16), 0.5)])
    labels = torch.stack([torch.zeros(16, 16), torch.ones(16, 16)]).to(torch.uint8)
    found = competitors({"image": image, "labels": labels}, {"labels": labels[1:]}, 2)
    assert float(found["mean picture"].abs().max()) == 0
    for name in ("class colours", "nearest neighbour"):
        torch.testing.assert_close(found[name], image[1:])


def test_scores_of_the_truth_and_of_blur() -> None:
    image = noise(40, 3, 32, 32)
    features, pairs = RandomConvFeatures(), {"image": image}
    exact = picture_scores(image, pairs, features=features)
    assert exact["l1"] == 0 and exact["psnr"] == 100 and exact["sharpness"] == pytest.approx(1)
    soft = picture_scores(blurred(image, 1.0), pairs, features=features)
    assert soft["sharpness"] < 0.2 and soft["kid"] > exact["kid"] + 0.01 and soft["l1"] > 0
    flat = torch.full((1, 3, 20, 24), 0.3)
    torch.testing.assert_close(blurred(flat, 2.0), flat)


def test_accuracy_of_a_d_that_knows() -> None:
    """D answers by the sign of the mean brightness: true pictures are bright, G's are 0 and thus called fake half."""
    game = Pix2Pix(2, Pix2PixConfig(size=16, width=2, d_width=2, patch=16))

    class Bright(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return y.mean(dim=1, keepdim=True) - 0.2

    game.D = Bright()  # type: ignore[assignment]
    pairs = {"condition": noise(4, 2, 16, 16), "image": torch.full((4, 3, 16, 16), 0.9)}
    assert d_accuracy(game, pairs, batch=3) > 0.95  # an untrained G paints grey
    pairs["image"] = -pairs["image"]
    assert d_accuracy(game, pairs) == pytest.approx(0.5, abs=0.05)


def test_both_sides_of_the_bench_do_the_same_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every network of every game is moved by the plain step, and a row has both times."""
    monkeypatch.setattr(translator_bench, "_CYCLEGAN", CycleGANConfig(size=64, identity=5.0, width=4, blocks=1,
                                                                      d_width=4, patch=16))  # fmt: skip
    monkeypatch.setattr(translator_bench, "_STARGAN", StarGANConfig(size=64, width=4, blocks=1, d_width=4, d_layers=4,
                                                                    n_critic=2, batch=2))  # fmt: skip
    for name in ("cyclegan", "stargan"):
        case = CASES[name]
        game, batch = case.game(), case.batch()
        before = {key: value.clone() for key, value in game.state_dict().items()}
        case.plain(game, batch)()
        moved = {key.split(".")[0] for key, value in game.state_dict().items() if not torch.equal(value, before[key])}
        assert {network for names in game.players.values() for network in names} <= moved
        row = measure_case(case, CPU, repeats=1)
        assert row["ours_ms"] > 0 and row["plain_ms"] > 0 and row["ratio"] > 0
    command = TranslatorBenchCommand(games=("stargan",), repeats=1, device="cpu", out=tmp_path / "b.json")
    assert translator_bench.main(command) == 0
    assert set(json.loads((tmp_path / "b.json").read_text())["games"]) == {"stargan"}
    with pytest.raises(ValueError, match="at least one repeat"):
        translator_bench.main(TranslatorBenchCommand(games=("sudoku",)))


def test_the_plain_pix2pix_step_moves_both_players() -> None:
    torch.manual_seed(0)
    game = Pix2Pix(3, Pix2PixConfig(size=32, width=2, d_width=2, patch=16), generator=seeded(0))
    before = {key: value.clone() for key, value in game.state_dict().items()}
    batch = {"condition": noise(1, 3, 32, 32), "image": noise(1, 3, 32, 32, seed=1)}
    CASES["pix2pix"].plain(game, batch)()
    moved = {key.split(".")[0] for key, value in game.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"D", "G"}
