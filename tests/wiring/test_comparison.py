"""The comparison: cases with answers, every competitor on the same inputs, one table that grows run by run."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import torch

from lib.baselines import spade
from lib.baselines.cases import Case, photo_case, scene_case, scene_names
from lib.baselines.comparison import CASES, MEASURES, TRUE_MEASURES, ComparisonCommand, compare, main, measure_case
from lib.baselines.inputs import PaintError
from lib.baselines.painters import PAINTERS
from lib.games.analogy import AnalogyConfig
from lib.games.singan import SinGANConfig
from lib.games.spade import SpadeConfig
from lib.games.study import load_study
from lib.metrics.segmenter import SegmenterConfig
from tests.scenes import CPU, layout, photo, tiny

MAIN = ("copy", "copy-paste")


@pytest.fixture(autouse=True)
def judge_in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network that judges is trained for each case: three steps are enough to see that it is asked."""
    monkeypatch.setattr("lib.metrics.segmenter.SegmenterConfig", functools.partial(SegmenterConfig, steps=3))


@pytest.fixture(scope="module")
def scene() -> Case:
    return scene_case("portrait-1", 64)


def small_case() -> Case:
    image, own = photo(64, 64)
    return Case("ball", image, own, {"right": layout(64, 64, ball=(0.4, 0.7)), "left": layout(64, 64, ball=(0.3, 0.3))})


@pytest.mark.parametrize("name", scene_names())
def test_every_scene_shows_all_that_its_edits_ask_for(name: str) -> None:
    case = scene_case(name, 64)
    assert min(case.layout.shares()) > 0 and case.targets.keys() == case.truths.keys() and len(case.targets) >= 3
    for target in case.targets.values():
        changed = (target.index != case.layout.index).mean()
        assert 0.002 < changed < 0.7, "an edit changes something, and not everything"


def test_only_the_edit_changes_in_a_scene(scene: Case) -> None:
    where = (scene.truths["serious"] != scene.image).any(dim=0)
    rows = where.any(dim=1).nonzero()
    assert 0 < where.float().mean() < 0.25 and rows.min() > 16  # the mouth and what moves with it; never the bun
    again = scene_case("portrait-1", 64)
    assert torch.equal(scene.image, again.image)


def test_unknown_scenes_are_refused() -> None:
    with pytest.raises(PaintError, match="no scene 'portrait-9'; choose one of portrait-1"):
        scene_case("portrait-9")


@pytest.mark.parametrize("method", PAINTERS)
def test_every_competitor_paints_every_target(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spade, "photo_settings", lambda: SpadeConfig(rounds=1, width=8, hidden=8, d_width=8))
    monkeypatch.setattr(SinGANConfig, "quick", classmethod(lambda cls: cls(side=64, rounds=1)))
    monkeypatch.setattr(AnalogyConfig, "quick", classmethod(lambda cls: tiny(rounds=1)))
    case = small_case()
    pictures = PAINTERS[method](case, CPU)
    assert list(pictures) == list(case.targets)
    for picture in pictures.values():
        assert picture.shape == case.image.shape and picture.isfinite().all() and picture.abs().max() <= 1.001
    if method != "copy":  # a copy shows the same picture for every layout; nobody else does
        assert not torch.equal(pictures["right"], pictures["left"])


def test_the_true_picture_wins_and_the_copy_does_not_obey(scene: Case) -> None:
    true = measure_case(scene, scene.truths, 8.0)
    copy = measure_case(scene, dict.fromkeys(scene.targets, scene.image), 0.0)
    assert true.keys() == {*MEASURES, *TRUE_MEASURES}
    assert true["psnr"] == 100 and true["strangeness"] == 0 and true["contours"] == pytest.approx(1, abs=1e-5)
    assert true["seconds"] == 8 / len(scene.targets)
    assert copy["coherence@1"] < 1e-3 and copy["strangeness"] > 0.05 and copy["contours"] < 0.9
    assert copy["accuracy/patches"] < true["accuracy/patches"] - 0.02


def test_missing_and_wrong_pictures_are_refused(scene: Case) -> None:
    with pytest.raises(PaintError, match=r"'turned': the picture is None, not \(3, 64, 64\)"):
        measure_case(scene, {}, 0.0)
    with pytest.raises(PaintError, match=r"the picture is \(3, 32, 32\)"):
        measure_case(scene, dict.fromkeys(scene.targets, torch.zeros(3, 32, 32)), 0.0)


def test_the_command_measures_writes_pictures_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lib.baselines.comparison.scene_case", lambda name: scene_case(name, 64))
    monkeypatch.setitem(CASES, "scenes", scene_names()[:2])
    out = tmp_path / "scenes.json"
    command = ComparisonCommand(out=out, kind="scenes", cases=("portrait-2",), methods=MAIN, pictures=tmp_path)
    assert main(command) == 0
    study = load_study(out)
    assert [(run.variant, run.seed) for run in study.runs] == [("copy", 1), ("copy-paste", 1)]
    assert study.references["ceiling"]["accuracy/patches"] > study.rows["copy"]["accuracy/patches"].mean
    assert (tmp_path / "scenes" / "portrait-2" / "copy-paste" / "turned.png").is_file()
    assert (tmp_path / "scenes" / "portrait-2" / "sheet.png").is_file()
    before = out.read_bytes()
    assert main(command) == 0 and out.read_bytes() == before and "2 runs are kept" in capsys.readouterr().out
    assert json.loads(before)["card"]["command"].startswith("python -m lib evaluate analogy --kind scenes")


def test_photos_and_scenes_are_compared_by_their_own_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CASES, "photos", ("flower",))
    study = compare("photos")
    assert "psnr" not in study.measures and set(study.bases.values()) == {"ours"} and "ours" not in study.bases
    assert 0.8 < study.references["ceiling"]["accuracy/patches"] <= 1
    assert photo_case("flower").image.shape == (3, 80, 128)
