"""The study of DIAT: its variants, its references, its file; and a denoiser that is given to the command."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch

from lib.data.worlds.faces import Faces
from lib.games import diat, diat_study, diat_train
from lib.games.diat import DIATConfig
from lib.games.diat_study import (
    BASES,
    SWEEP,
    SWEEP_A,
    VARIANTS,
    DIATStudyCommand,
    School,
    main,
    reference_rows,
    study_diat,
)
from lib.games.diat_train import DIATCommand, train_transform
from lib.games.study import load_study
from lib.metrics.identity import FaceIdentifier, IdentifierConfig
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.nn.denoiser import Denoiser
from lib.runtime import Runtime
from lib.training.streams import Repeat

CPU, SIZE = Runtime(torch.device("cpu")), 16


def config(**changes: object) -> DIATConfig:
    tiny: dict[str, object] = {
        "size": SIZE, "width": 4, "blocks": 1, "d_width": 4, "d_stages": 2, "d_hidden": 8, "pool": 8, "batch": 2,
        "layers": ("stages.0", "stages.1"), "rounds": 1, "f_width": 4, "f_rounds": 1, "e_width": 4, "e_rounds": 1,
        "betas": (1.0, 0.1), "every": 1, "warm": 0,
    }  # fmt: skip
    return DIATConfig.quick(**tiny | changes)


def identifier() -> FaceIdentifier:
    torch.manual_seed(0)
    return FaceIdentifier(IdentifierConfig(size=SIZE, width=4, features=8, code=6)).eval()


def reader() -> AttributeReader:
    torch.manual_seed(0)
    attributes = {"glasses": Faces.attributes["glasses"]}
    return AttributeReader(ReaderConfig("faces", attributes, {}, size=SIZE, width=4, features=8)).eval()


def school() -> School:
    return School(config(), identifier(), identifier(), reader(), Denoiser(4), CPU, test=4)


def test_a_name_means_the_same_in_the_command_and_in_the_study() -> None:
    shared = set(VARIANTS) & set(diat.VARIANTS)
    assert shared >= {"DIAT", "DIAT-A", "DIAT-A, as printed", "no identity"}
    assert all(VARIANTS[name] == diat.VARIANTS[name] for name in shared)


def test_every_variant_is_a_game() -> None:
    for name, changes in VARIANTS.items():
        replace(DIATConfig.quick(), **changes).check()
        replace(DIATConfig.full(), **changes).check()
        assert BASES.get(name, "DIAT") in VARIANTS
    assert set(SWEEP) | set(SWEEP_A) < set(VARIANTS) and "DIAT" not in BASES


def test_the_references_frame_the_measures() -> None:
    rows = reference_rows(school())
    assert rows["copy"]["identity"] == pytest.approx(1) and rows["copy"]["rank1"] == 1
    assert rows["true answer"]["psnr"] == 100 > rows["copy"]["psnr"] > rows["somebody else"]["psnr"]


def test_variants_differ_and_are_measured(tmp_path: Path) -> None:
    study = study_diat(school(), ["DIAT", "no identity", "lambda x 16"], (0,))
    assert study.variants == ("DIAT", "no identity", "lambda x 16") and study.bases == BASES
    values = [dict(run.values) for run in study.runs]
    assert all(set(each) == set(study.measures) for each in values)
    again = study_diat(school(), ["DIAT", "no identity", "lambda x 16"], (0,))
    assert [dict(run.values) for run in again.runs] == values, "the same seed gives the same numbers"
    for one, other in combinations(values, 2):
        gap = max(abs(one[name] - other[name]) for name in ("psnr", "sharpness"))
        assert gap > 1e-4, "another loss, another picture"
    study.save(tmp_path / "study.json")
    assert load_study(tmp_path / "study.json").rows.keys() == study.rows.keys()
    with pytest.raises(ValueError, match="no variant 'DIAT-B'"):
        study_diat(school(), ["DIAT-B"], (0,))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DIATConfig, "quick", classmethod(lambda cls: config_of(cls)))
    monkeypatch.setattr(diat_study, "load_identifier", lambda name: identifier())
    monkeypatch.setattr(diat_study, "load_reader", lambda world: reader())
    monkeypatch.setattr(diat_study, "load_denoiser", lambda: Denoiser(4))
    monkeypatch.setattr(diat_study, "TEST", 4)
    options = DIATStudyCommand(
        out=tmp_path / "s.json", seeds=(1,), variants=("DIAT-A",), rounds=1, device="cpu", profile="quick"
    )
    assert main(options) == 0
    assert [(run.variant, run.seed) for run in load_study(tmp_path / "s.json").runs] == [("DIAT-A", 1)]


def config_of(cls: type[DIATConfig]) -> DIATConfig:
    """The tiny one, built without the replaced constructor."""
    return replace(cls.shipped(), **{name: getattr(TINY, name) for name in TINY.__dataclass_fields__})


TINY = config()


def test_a_given_denoiser_is_used_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Denoiser(4)
    monkeypatch.setattr(DIATConfig, "shipped", classmethod(lambda cls, **changes: replace(TINY, **changes)))
    monkeypatch.setattr(diat_train, "load_reader", lambda world: reader())
    monkeypatch.setattr(diat_train, "load_identifier", lambda name: identifier())
    monkeypatch.setattr(diat_train, "load_denoiser", lambda path: seen)
    command = DIATCommand(
        checkpoints=tmp_path, results=tmp_path / "results", pairs=4, device="cpu", profile="quick",
        denoiser=tmp_path / "given.safetensors",
    )  # fmt: skip
    assert diat_train.main(command) == 0
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["diat_glasses.safetensors"]
    assert not any(weight.requires_grad for weight in seen.parameters())


def test_the_average_of_t_is_what_is_kept() -> None:
    """A heavy average stays near the start; without one the last weights are kept."""
    picture = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    stream = Repeat({"A": picture, "B": -picture})
    rules = config(features="none", gamma=0.0, rounds=6, lr=1e-2)
    starts = [train_transform(replace(rules, rounds=1, lr=0.0), stream, runtime=CPU)[0].T]
    kept = [train_transform(replace(rules, ema=ema), stream, runtime=CPU)[0].T for ema in (0.0, 0.9)]

    @torch.no_grad()
    def away(T: torch.nn.Module) -> float:
        pairs = zip(T.parameters(), starts[0].parameters(), strict=True)
        return float(sum((a - b).abs().sum() for a, b in pairs))

    assert 0 < away(kept[1]) < 0.98 * away(kept[0])
