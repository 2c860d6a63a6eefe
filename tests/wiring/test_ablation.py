"""The ablation takes away what it says, measures what it says, and loses no finished run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib import cli
from lib.data.photos import Photo, load_photo
from lib.data.single_photo import IGNORE, StreamConfig
from lib.games.analogist import untrained
from lib.games.analogy import AnalogyConfig, LossWeights
from lib.games.analogy_ablation import VARIANTS, AblationConfig, bases, run_ablation
from lib.games.analogy_measures import (
    HELD_OUT_SEED,
    MEASURES,
    Answer,
    appearance,
    critic_accuracy,
    held_out,
    layout_fidelity,
    match_error,
    rebuild_errors,
    reference_rows,
    same_layout_errors,
)
from lib.games.study import Run, Study, StudyError, continued, load_study
from lib.metrics.layout import PatchJudge
from lib.nn.alignment import Aligned
from lib.nn.analogy_generator import Painting
from lib.runtime import Runtime
from lib.training.play import turns_of

TINY = AnalogyConfig(
    side=48, rounds=2, widths=(4, 8, 8, 8), layout_widths=(4, 8, 8, 8, 8), residual_blocks=1, d_width=4, s_width=4,
    patch_subset=16,
)  # fmt: skip
SETTINGS = AblationConfig(TINY, draws=5)
BEST = {name: measure.best for name, measure in MEASURES.items()}
CPU = Runtime(torch.device("cpu"))
TERMS = set(LossWeights.__dataclass_fields__)


@pytest.fixture(scope="module")
def photo() -> Photo:
    return load_photo("flower", side=48)


@pytest.fixture(scope="module")
def batches(photo: Photo) -> list[dict[str, Any]]:
    return held_out(photo.image, photo.layout.one_hot(), StreamConfig(), 5)


def answers_with(batches: list[dict[str, Any]], **parts: Any) -> list[Answer]:
    """Answers whose parts are functions of the batch; the defaults are perfect."""

    def painting(batch: dict[str, Any]) -> Painting:
        image = parts.get("image", lambda b: b["target_image"])(batch)
        logits = parts.get("logits", lambda b: torch.zeros(1, 1, 1))(batch)
        modulation = parts.get("modulation", lambda b: [(torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))])(batch)
        return Painting(
            image, modulation, logits, Aligned(image, batch["layout"], torch.zeros(0), torch.zeros(0)), image[:, :1]
        )

    return [Answer(batch, painting(batch)) for batch in batches]


# ------------------------------------------------------------------------------------------------ variants


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_from_its_base_in_one_thing(name: str) -> None:
    variant = VARIANTS[name]
    base = VARIANTS[variant.base]
    if name == "full":
        assert variant.apply(TINY) == TINY and variant.base == name
        return
    changed = {k for k in TERMS if getattr(variant.apply(TINY).weights, k) != getattr(base.apply(TINY).weights, k)}
    if name == "paper":
        assert changed == {"matches"} and not variant.apply(TINY).aligned
    else:
        assert variant.aligned == base.aligned
        assert changed == set(variant.off) ^ set(base.off) != set()
        assert (set(variant.off) > set(base.off)) == (name != "features-alone")  # that one has a teacher more
    assert {k for k in TERMS if getattr(variant.apply(TINY).weights, k) == 0} == set(variant.off)


def test_every_term_is_taken_away_once_and_has_a_number() -> None:
    removed = [term for name, v in VARIANTS.items() if v.aligned for term in v.off]
    assert sorted(removed) == sorted(TERMS)
    measured = {term for measure in MEASURES.values() for term in measure.terms}
    assert measured == {term.removesuffix("_same") for term in TERMS}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_game_lacks_the_term_in_every_mode(name: str, photo: Photo, batches: list[dict[str, Any]]) -> None:
    game = untrained(photo.layout.classes, VARIANTS[name].apply(TINY), seed=0, runtime=CPU)
    off = VARIANTS[name].off
    for batch in batches[:1] + batches[4:]:
        same = batch["mode"] == "reconstruct"
        weight_of = {term: term for term in ("gan", "features", "matches", "rebuild")}
        weight_of |= {"rebuild": "rebuild_same", "fixed_point": "fixed_point"} if same else {}
        weight_of |= {} if same else {"patches": "patches", "semantics": "semantics"}
        *_, turn = turns_of(game, batch, None)
        assert set(turn.terms) == {term for term, weight in weight_of.items() if weight not in off}


# ------------------------------------------------------------------------------------------------ measures


def test_held_out_analogies_are_always_the_same_and_show_every_mode(
    photo: Photo, batches: list[dict[str, Any]]
) -> None:
    again = held_out(photo.image, photo.layout.one_hot(), StreamConfig(), 5)
    assert [b["mode"] for b in batches] == ["warp", "move", "warp back", "move", "reconstruct"]
    assert all(torch.equal(a["target_image"], b["target_image"]) for a, b in zip(again, batches, strict=True))
    assert not torch.equal(batches[0]["target_image"], batches[0]["image"])


def test_rebuild_errors_count_known_pixels_only(batches: list[dict[str, Any]]) -> None:
    assert rebuild_errors(answers_with(batches)) == {"error": 0.0, "colour_error": 0.0}

    def off_by_a_tenth(batch: dict[str, Any]) -> Tensor:
        return batch["target_image"] + torch.where(batch["valid"] > 0, 0.1, 9.0)  # type: ignore[no-any-return]

    assert min(float(b["valid"].mean()) for b in batches) < 1, "no held-out analogy uncovers anything"
    errors = rebuild_errors(answers_with(batches, image=off_by_a_tenth))
    assert errors == pytest.approx({"error": 0.1, "colour_error": 0.1}, abs=1e-5)


def test_fine_noise_is_an_error_but_hardly_one_of_colour(batches: list[dict[str, Any]]) -> None:
    noise = 0.2 * torch.randn(1, 3, *batches[0]["image"].shape[-2:], generator=torch.Generator().manual_seed(0))
    errors = rebuild_errors(answers_with(batches, image=lambda b: b["target_image"] + noise))
    assert errors["colour_error"] < 0.4 * errors["error"]


def test_same_layout_errors_look_at_reconstructions_only(batches: list[dict[str, Any]]) -> None:
    assert same_layout_errors(answers_with(batches)) == {"fixed_point_gap": 0.0, "identity_error": 0.0}

    def modulation(batch: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
        gap = 0.5 if batch["mode"] == "reconstruct" else 7.0
        return [(torch.full((1, 2, 4, 4), 1 - gap), torch.full((1, 2, 4, 4), -gap / 2))]

    assert same_layout_errors(answers_with(batches, modulation=modulation))["fixed_point_gap"] == pytest.approx(0.75)


def test_match_error_is_in_pixels(batches: list[dict[str, Any]]) -> None:
    cells = (batches[0]["image"].shape[-2] // 4) * (batches[0]["image"].shape[-1] // 4)

    columns = batches[0]["image"].shape[-1] // 4

    def logits(batch: dict[str, Any], step: int) -> Tensor:
        true = batch["matches"].clamp(min=0)
        wanted = torch.where(true + step < cells, true + step, true - step)  # a step up, or down from the last row
        return torch.nn.functional.one_hot(wanted, cells).float()

    assert match_error(answers_with(batches, logits=lambda b: logits(b, 0))) == 0.0
    assert match_error(answers_with(batches, logits=lambda b: logits(b, columns))) == 4.0
    assert match_error(answers_with(batches, logits=lambda b: logits(b, 2 * columns))) == 8.0


def test_match_error_ignores_unknown_cells(batches: list[dict[str, Any]]) -> None:
    cells = batches[0]["matches"].shape[1]
    unknown = [b | {"matches": torch.full_like(b["matches"], IGNORE)} for b in batches[:1]]
    known = [b | {"matches": torch.zeros_like(b["matches"])} for b in batches[1:2]]
    first = torch.nn.functional.one_hot(torch.zeros(1, cells, dtype=torch.long), cells).float()
    assert match_error(answers_with(unknown + known, logits=lambda b: first)) == 0.0


def test_the_critic_tells_noise_from_photos_and_equals_from_nothing(photo: Photo) -> None:
    many = held_out(photo.image, photo.layout.one_hot(), StreamConfig(), 10)
    assert critic_accuracy(answers_with(many)) == pytest.approx(0.5)
    noise = 0.3 * torch.randn(1, 3, *photo.image.shape[-2:], generator=torch.Generator().manual_seed(0))
    assert critic_accuracy(answers_with(many, image=lambda b: b["target_image"] + noise)) >= 0.9


def test_the_photo_itself_looks_perfect_and_obeys_its_layout(photo: Photo) -> None:
    image, layout = photo.image.unsqueeze(0), photo.layout.one_hot()
    values = appearance(image, layout, image, layout)
    assert values == pytest.approx({"coherence": 0, "completeness": 0, "sharpness": 1, "texture": 0}, abs=1e-3)
    blurred = torch.nn.functional.avg_pool2d(image, 5, 1, 2, count_include_pad=False)
    worse = appearance(blurred, layout, image, layout)
    assert worse["coherence"] > 0.01 and worse["sharpness"] < 0.8 and worse["texture"] > 0.01
    assert layout_fidelity(image, layout, PatchJudge(image, layout))["accuracy"] > 0.95


def test_the_references_are_what_they_are_called(photo: Photo) -> None:
    rows = reference_rows(photo, PatchJudge(photo.image.unsqueeze(0), photo.layout.one_hot()), CPU.device)
    assert rows["copy"]["coherence"] == pytest.approx(0, abs=1e-3)
    assert rows["copy"]["accuracy"] < rows["copy-paste"]["accuracy"]
    assert set(rows["ceiling"]) == {"accuracy", "miou"}


# ------------------------------------------------------------------------------------------------ the run


@pytest.fixture(scope="module")
def small() -> Iterator[Study]:
    yield run_ablation(
        "flower", config=SETTINGS, seeds=(3, 4), variants=("full", "paper"), runtime=CPU,
        command="make it",
    )  # fmt: skip


def test_every_variant_has_every_measure(small: Study) -> None:
    assert [(run.seed, run.variant) for run in small.runs] == [
        (seed, variant) for seed in (3, 4) for variant in ("full", "paper")
    ]
    for run in small.runs:
        assert set(run.values) == set(MEASURES)
        assert {k for k, v in run.values.items() if not math.isfinite(v)} == (
            {"match_error"} if run.variant == "paper" else set()
        )
    assert small.card["command"] == "make it" and torch.__version__.startswith(small.card["torch_version"])


def test_a_run_depends_on_its_seed_alone(small: Study) -> None:
    again = run_ablation("flower", config=SETTINGS, seeds=(4,), variants=("full",), runtime=CPU)
    assert again.runs[0].values == small.runs[2].values
    assert again.runs[0].values != small.runs[0].values


def test_json_round_trip(small: Study, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    small.save(path)
    assert "NaN" not in path.read_text()
    loaded = load_study(path)
    assert loaded.variants == small.variants and loaded.bases == bases()
    assert continued(small, loaded).runs == loaded.runs, "the config survives the file"
    assert loaded.rows["full"]["coherence"].mean == pytest.approx(small.rows["full"]["coherence"].mean, abs=1e-6)
    assert math.isnan(loaded.rows["paper"]["match_error"].mean)
    assert json.loads(path.read_text())["rows"]["paper"]["match_error"]["mean"] is None


def test_finished_runs_are_not_repeated(small: Study, tmp_path: Path) -> None:
    small.save(tmp_path / "r.json")
    seen: list[str] = []
    more = run_ablation(
        "flower", config=SETTINGS, seeds=(3, 4), variants=("full", "no-gan"), runtime=CPU,
        known=load_study(tmp_path / "r.json"),
        on_progress=lambda p: seen.append(f"{p.run.variant} {p.run.seed} {p.done}/{p.total}"),
    )  # fmt: skip
    assert seen == ["no-gan 3 5/6", "no-gan 4 6/6"]
    assert len(more.runs) == 6


def test_another_config_is_refused(small: Study) -> None:
    other = replace(SETTINGS, training=replace(TINY, rounds=3))
    with pytest.raises(StudyError, match="write to a new file"):
        run_ablation("flower", config=other, seeds=(3,), variants=("full",), runtime=CPU, known=small)
    unreadable = replace(small, config={"draws": 5})
    with pytest.raises(StudyError, match="write to a new file"):
        run_ablation("flower", config=SETTINGS, seeds=(3,), variants=("full",), runtime=CPU, known=unreadable)


def test_an_interrupted_training_is_dropped(small: Study) -> None:
    def interrupt(report: Any) -> None:
        raise KeyboardInterrupt

    options: dict[str, Any] = {"config": SETTINGS, "runtime": CPU, "on_round": interrupt}
    kept = run_ablation("flower", seeds=(5,), variants=("full",), known=small, **options)
    assert kept.runs == small.runs
    with pytest.raises(KeyboardInterrupt):
        run_ablation("flower", seeds=(5,), variants=("full",), **options)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"variants": ("no-gam",)}, "no variant 'no-gam'"),
        ({"variants": ()}, "nothing to run"),
        ({"seeds": ()}, "nothing to run"),
        ({"seeds": (HELD_OUT_SEED,)}, "held-out"),
    ],
)
def test_wrong_requests_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        run_ablation("flower", config=SETTINGS, runtime=CPU, **wrong)


# ------------------------------------------------------------------------------------------------ the table


def table(**columns: tuple[list[float], list[float]]) -> Study:
    """A result of the variants full and no-gan with the given measures for seeds 0, 1, ..."""
    count = len(next(iter(columns.values()))[0])
    runs = tuple(
        Run(variant, seed, 1.0, {name: pair[which][seed] for name, pair in columns.items()})
        for seed in range(count)
        for which, variant in enumerate(("full", "no-gan"))
    )
    return Study("flower", {}, BEST, {"no-gan": "full"}, runs, {"copy": {"accuracy": 0.5}})


def test_effects_are_paired_and_know_what_is_better() -> None:
    result = table(
        accuracy=([0.9, 0.5, 0.7], [0.8, 0.4, 0.61]), coherence=([0.2, 0.3, 0.4], [0.1, 0.2, 0.31]),
        sharpness=([0.8, 0.8, 0.8], [1.1, 1.1, 1.1]), error=([0.1, 0.1, 0.1], [0.2, 0.3, 0.5]),
    )  # fmt: skip
    accuracy, coherence, sharpness, error = (
        result.effect("no-gan", name) for name in ("accuracy", "coherence", "sharpness", "error")
    )
    assert accuracy is not None and coherence is not None and sharpness is not None and error is not None
    assert accuracy.mean == pytest.approx(-0.29 / 3) and accuracy.worse and accuracy.clear
    assert coherence.mean == pytest.approx(-0.29 / 3) and not coherence.worse and coherence.clear
    assert not sharpness.worse, "1.1 is nearer to 1 than 0.8"
    assert error.worse and not error.clear, "differences of 0.1, 0.2 and 0.4: the 95 % interval holds 0"
    assert result.effect("full", "accuracy") is None and result.effect("no-gan", "miou") is None


def test_the_table_marks_clear_effects() -> None:
    lines = table(accuracy=([0.9, 0.5], [0.8, 0.4]), coherence=([0.2, 0.3], [0.1, 0.2])).markdown_table(
        ["accuracy", "coherence", "match_error"], digits=2
    )
    assert lines.splitlines() == [
        "| variant | accuracy ↑ | coherence ↓ | match_error ↓ |",
        "| --- | ---: | ---: | ---: |",
        "| copy | 0.50 |  |  |",
        "| full | 0.70 ± 0.28 | 0.25 ± 0.07 |  |",
        "| no-gan | **0.60 ± 0.28** | *0.15 ± 0.07* |  |",
    ]


def test_one_seed_claims_nothing() -> None:
    result = table(accuracy=([0.9], [0.1]))
    effect = result.effect("no-gan", "accuracy")
    assert effect is not None and not effect.clear and math.isnan(effect.spread)
    assert "±" not in result.markdown_table() and "**" not in result.markdown_table()


@pytest.mark.parametrize("text", ["", "[]", '{"name": "flower"}', '{"runs": [1]}'])
def test_files_that_are_no_ablation(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(StudyError, match="python -m lib ablate"):
        load_study(path)
    with pytest.raises(StudyError, match="There is no study"):
        load_study(tmp_path / "missing.json")


# ------------------------------------------------------------------------------------------------ the command


def test_the_command_writes_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(AblationConfig, "quick", classmethod(lambda cls: SETTINGS))
    out = tmp_path / "flower.json"
    words = [
        "ablate",
        "analogy",
        "--photo",
        "flower",
        "--out",
        str(out),
        "--side",
        "48",
        "--rounds",
        "1",
        "--device",
        "cpu",
    ]
    assert cli.main([*words, "--seeds", "0", "--variants", "full"]) == 0
    first = capsys.readouterr().out
    assert "run 1 of 1: full, seed 0" in first and "| full |" in first
    assert cli.main([*words, "--seeds", "0", "1", "--variants", "full"]) == 0
    assert "its 1 runs are kept" in capsys.readouterr().out
    result = load_study(out)
    assert [run.seed for run in result.runs] == [0, 1]
    assert result.card["command"] == (
        "python -m lib ablate analogy --photo flower --side 48 --rounds 1 --out flower.json --profile quick "
        "--seeds 0 1 --variants full"
    )
    assert cli.main([*words[:-4], "--rounds", "2"]) == 2
    assert "write to a new file" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "value"), [("--side", "16"), ("--rounds", "0"), ("--photo", "cat")])
def test_the_command_refuses_nonsense(
    flag: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"--photo": "flower", "--out": str(tmp_path / "r.json")} | {flag: value}
    assert cli.main(["ablate", "analogy", *[word for pair in words.items() for word in pair]]) == 2
    assert value in capsys.readouterr().err


def test_an_older_result_learns_what_new_variants_are_compared_with(small: Study) -> None:
    older = replace(small, bases={name: base for name, base in small.bases.items() if name != "no-gan"})
    newer = run_ablation("flower", config=SETTINGS, seeds=(3,), variants=("no-gan",), runtime=CPU, known=older)
    assert newer.bases["no-gan"] == "full"
