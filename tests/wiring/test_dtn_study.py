"""The recorded study of chapter 8 at toy size: its rows, what they share, and its measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib.games import dtn_study
from lib.games.dtn import ABLATION, OURS, PLAIN, UNSEEN, DTNConfig
from lib.games.dtn_study import BASES, MEASURES, VARIANTS, DTNStudyCommand, main, read_scores, study_dtn
from lib.games.game import GameError
from lib.games.study import load_study
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.runtime import Runtime, seeded

CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {
    "size": 16, "f_width": 4, "code": 6, "g_width": 4, "g_widest": 8, "d_width": 4, "d_widest": 8, "pool": 40,
    "batch": 4, "rounds": 1, "f_rounds": 2,
}  # fmt: skip


def tiny_reader() -> AttributeReader:
    torch.manual_seed(0)
    config = ReaderConfig("digits", {"digit": tuple("0123456789")}, size=16, width=4, features=8)
    return AttributeReader(config).eval()


@pytest.fixture
def adapted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Stands in for the classifier of table 2, which takes longer than all the rest."""
    asked: list[bool] = []

    def adaptation(pictures: object, translator: object = None) -> float:
        asked.append(translator is not None)
        return 0.5

    monkeypatch.setattr(dtn_study, "adaptation", adaptation)
    return asked


def test_a_study_is_run_kept_and_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapted: list[bool]
) -> None:  # fmt: skip
    monkeypatch.setattr(DTNConfig, "quick", classmethod(lambda cls, **changes: cls(**TINY | changes)))
    monkeypatch.setattr(dtn_study, "load_reader", lambda world: tiny_reader())
    command = DTNStudyCommand(
        out=tmp_path / "s.json", seeds=(0,), variants=("DTN", "no GAN"), pictures=40, device="cpu", profile="quick"
    )
    assert main(command) == 0
    study = load_study(tmp_path / "s.json")
    assert adapted == [False, True]  # the reference, and DTN alone
    assert [set(run.values) for run in study.runs] == [set(MEASURES), set(MEASURES) - {"adaptation"}]
    assert set(study.references) == {"original", "handwriting"} and study.references["original"]["adaptation"] == 0.5
    assert main(DTNStudyCommand(**{**vars(command), "variants": ("DTN", "not in t")})) == 0
    assert [run.variant for run in load_study(tmp_path / "s.json").runs] == ["DTN", "no GAN", "not in t"]


def test_f_is_trained_once_for_all_who_may_see_the_same(monkeypatch: pytest.MonkeyPatch, adapted: list[bool]) -> None:
    shown: list[set[int]] = []
    real = dtn_study.train_concepts

    def train_concepts(config: DTNConfig, pictures: Any, **options: Any) -> Any:
        shown.append(set(pictures["digit"].tolist()))
        return real(config, pictures, **options)

    monkeypatch.setattr(dtn_study, "train_concepts", train_concepts)
    rows = ("no L_TID", "not in s", "not in s, t, f")
    study_dtn(DTNConfig(**TINY), rows, (0,), tiny_reader(), pictures=40, runtime=CPU)
    assert len(shown) == 2 and 3 in shown[0] and 3 not in shown[1]
    with pytest.raises(GameError, match="no variant 'no f'"):
        study_dtn(DTNConfig(**TINY), ("no f",), (0,), tiny_reader(), pictures=40, runtime=CPU)


def test_the_marks_are_taken_of_what_would_come_out_then(monkeypatch: pytest.MonkeyPatch, adapted: list[bool]) -> None:
    monkeypatch.setattr(dtn_study, "MARKS", {"first": 0.1, "last": 1.0})
    config = DTNConfig(**TINY | {"rounds": 3, "ema": 0.5, "lr": 0.05})
    study = study_dtn(config, ("DTN",), (0,), tiny_reader(), pictures=40, runtime=CPU)
    values = study.runs[0].values
    assert values["last"] == values["accuracy"] and 0 <= values["first"] <= 1


def test_the_rows_are_those_of_both_tables() -> None:
    assert set(VARIANTS) == {*ABLATION, *OURS, *PLAIN, *UNSEEN} - {"all seen"} and set(BASES.values()) == {"DTN"}
    binary = DTNConfig.quick().variant("two answers")
    assert binary.answers == "binary" and binary.target_route


def test_reading_by_hand() -> None:
    """Read as what they are read as: all right; a shifted truth: all wrong; the target itself: no distance."""
    reader = tiny_reader()
    pictures = torch.rand(40, 1, 16, 16, generator=seeded(0)) * 2 - 1
    said = reader.read(pictures).values()["digit"]
    scores = read_scores(pictures, said, reader, pictures)
    assert scores["accuracy"] == 1 and scores["kid"] < 0.1
    assert read_scores(pictures, (said + 1) % 10, reader, pictures)["accuracy"] == 0
    threes = torch.where(torch.arange(40) < 5, 3, 4)
    share = (said[:5] == 3).double().mean()
    assert read_scores(pictures, threes, reader, pictures)["threes"] == pytest.approx(float(share))
