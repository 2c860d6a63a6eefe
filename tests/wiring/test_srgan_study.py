"""The recorded study of chapter 9 at toy size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib.games import srgan_study
from lib.games.photo_features_train import content_features
from lib.games.srgan import TABLE_1, SRGANConfig, build
from lib.games.srgan_study import BASES, MEASURES, OURS, VARIANTS, SRGANStudyCommand, study_srgan
from lib.games.study import load_study
from lib.nn.photo_features import PhotoFeatures, PhotoFeaturesConfig
from lib.runtime import Runtime

CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {"size": 32, "side": 128, "width": 4, "blocks": 1, "kernel": 3, "d_width": 2, "batch": 2,
                        "rounds": 1, "gan_rounds": 1, "feature_scale": 1.0}  # fmt: skip


def features() -> PhotoFeatures:
    torch.manual_seed(0)
    return PhotoFeatures(PhotoFeaturesConfig(("a", "b"), widths=(4, 4, 4)))


def test_a_study_runs_is_kept_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = SRGANConfig.quick(**TINY)
    monkeypatch.setattr(srgan_study, "load_photo_features", features)
    monkeypatch.setattr(SRGANStudyCommand, "settings", lambda self: chosen)
    command = SRGANStudyCommand(out=tmp_path / "s.json", seeds=(0,), variants=("SRResNet-MSE", OURS), device="cpu")
    assert srgan_study.main(command) == 0
    study = load_study(tmp_path / "s.json")
    assert [run.variant for run in study.runs] == ["SRResNet-MSE", OURS]
    assert all(set(run.values) == set(MEASURES) for run in study.runs)
    assert {"nearest", "bicubic", "truth"} == set(study.references)
    more = study_srgan(chosen, features(), seeds=(0,), variants=(OURS, "cold start"), known=study, runtime=CPU)
    assert more.runs[:2] == study.runs and [run.variant for run in more.runs[2:]] == ["cold start"]
    with pytest.raises(ValueError, match="no variant 'hot start'"):
        study_srgan(chosen, features(), variants=("hot start",), runtime=CPU)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_a_game_and_changes_something(variant: str) -> None:
    """A row whose setting the profile has already would be a second run of its base."""
    base = SRGANConfig.quick(feature_scale=1.0)
    changes = {name: value for name, value in VARIANTS[variant].items() if name not in ("row", "start")}
    config = SRGANConfig.quick(**{"feature_scale": 1.0, "width": 2, "d_width": 2} | changes)
    config = config.row(VARIANTS[variant]["row"]) if "row" in VARIANTS[variant] else config
    build(config, None if config.content == "mse" else content_features(config.content, features()))
    assert all(getattr(base, name) != value for name, value in changes.items())


def test_every_row_of_the_paper_is_there_with_a_base() -> None:
    assert set(TABLE_1) < set(VARIANTS) and set(BASES.values()) == {OURS, "SRResNet-MSE"}
    assert set(VARIANTS) - set(BASES) == {OURS, "SRResNet-MSE"}
