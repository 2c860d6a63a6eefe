"""The recorded study of chapter 10 at toy size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lib.games import maskface_study
from lib.games.maskface import MaskFaceConfig, build_maskface
from lib.games.maskface_measures import measure
from lib.games.maskface_study import (
    BASES,
    MEASURES,
    OURS,
    VARIANTS,
    MaskFaceStudyCommand,
    code_gap,
    study_maskface,
)
from lib.games.maskface_train import MASKS, held_out_faces
from lib.games.study import load_study
from lib.runtime import Runtime
from tests.face_judges import untrained_judges

CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {
    "size": 32, "width": 4, "widest": 6, "halvings": 2, "middle": 1, "latent": 4, "style": 5, "mapping": 8,
    "judge_width": 4, "batch": 2, "rounds": 1, "pool": 4,
}  # fmt: skip


def test_a_study_runs_is_kept_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = MaskFaceConfig.quick(**TINY)
    monkeypatch.setattr(maskface_study, "load_parser", lambda world: untrained_judges().parser)
    monkeypatch.setattr(maskface_study, "load_reader", lambda world: untrained_judges().reader)
    monkeypatch.setattr(maskface_study, "measure", partial(measure, masks=2))
    monkeypatch.setattr(MaskFaceStudyCommand, "settings", lambda self: chosen)
    command = MaskFaceStudyCommand(
        out=tmp_path / "s.json", seeds=(0,), variants=("all", OURS), faces=6, device="cpu"
    )  # fmt: skip
    assert maskface_study.main(command) == 0
    study = load_study(tmp_path / "s.json")
    assert [run.variant for run in study.runs] == ["all", OURS]
    assert all(set(run.values) == set(MEASURES) for run in study.runs)
    assert study.references["truth"]["variety"] == 1 and set(study.references["untrained"]) == set(MEASURES)
    more = study_maskface(
        chosen, untrained_judges(), seeds=(0,), variants=(OURS, "no flat"), faces=6, known=study, runtime=CPU
    )
    assert more.runs[:2] == study.runs and [run.variant for run in more.runs[2:]] == ["no flat"]
    with pytest.raises(ValueError, match="no variant 'no nose'"):
        study_maskface(chosen, untrained_judges(), variants=("no nose",), faces=6, runtime=CPU)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_a_game_and_changes_something(variant: str) -> None:
    """A row whose setting the profile has already would be a second run of its base."""
    base, changes = MaskFaceConfig.quick(**TINY), dict(VARIANTS[variant])
    build_maskface(MASKS.channels, MaskFaceConfig.quick(**TINY | changes))
    assert all(getattr(base, name) != value for name, value in changes.items())


def test_every_row_has_a_base_but_the_last() -> None:
    assert set(VARIANTS) - set(BASES) == {OURS}
    assert set(BASES.values()) == {"all", OURS}


def test_codes_from_elsewhere_are_far() -> None:
    """The control: S moved away makes the gap, whatever the scale."""
    model = build_maskface(MASKS.channels, MaskFaceConfig.quick(**TINY)).model
    image = held_out_faces(MaskFaceConfig.quick(**TINY), 8)["image"]
    near, last = code_gap(model, image), model.S[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias.add_(100.0)
    assert code_gap(model, image) > near + 10
