"""Who needs whom: the study of chapter 10 at toy size, its sheet of pictures, and what is recorded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from lib.book.paths import repository_root
from lib.data.worlds.world import one_hot
from lib.games import maskface_study, maskface_terms
from lib.games.maskface import TERMS, MaskFaceConfig, build_maskface
from lib.games.maskface_terms import START, TERMS_PLAN, MaskFaceTermsCommand, cells, place_strip, strip
from lib.games.maskface_train import MASKS, held_out_faces
from lib.games.study import load_study
from lib.images import read_image
from lib.runtime import seeded
from lib.training.play import play
from lib.training.streams import Repeat
from tests.face_judges import untrained_judges

TINY: dict[str, Any] = {
    "size": 32, "width": 4, "widest": 6, "halvings": 2, "middle": 1, "latent": 4, "style": 5, "mapping": 8,
    "judge_width": 4, "batch": 2, "rounds": 1, "pool": 4,
}  # fmt: skip


def config(**changes: Any) -> MaskFaceConfig:
    return MaskFaceConfig.quick(**{**START, **TINY, **changes})


@pytest.mark.parametrize("variant", TERMS_PLAN.variants)
def test_every_variant_has_the_terms_in_its_name(variant: str) -> None:
    played = build_maskface(MASKS.channels, config(**TERMS_PLAN.variants[variant]))
    faces = held_out_faces(config(), 2)
    batch = {"condition": one_hot(faces["labels"].long(), MASKS.channels), "image": faces["image"]}
    turns = {turn.player: set(turn.terms) for turn in played.round(batch)}
    words = {"adv": "gan", "recon": "style", "div": "diversity"}
    named = {words[word] for word in ("adv+recon+div" if variant == "all" else variant).split("+")}
    assert turns["G"] == named
    assert ("D" in turns) == ("gan" in named)
    before = {name: value.clone() for name, value in played.D.state_dict().items()}
    play(played, Repeat(batch), 1, optimisers=played.config.optimisers(played))
    moved = any(not torch.equal(value, before[name]) for name, value in played.D.state_dict().items())
    assert moved == ("gan" in named), "an absent D stands still"


def test_all_is_the_base_and_the_paths_of_true_faces_are_closed() -> None:
    assert set(TERMS_PLAN.variants) - set(TERMS_PLAN.bases) == {"all"} and set(TERMS) < set(TERMS_PLAN.variants)
    chosen = config()
    assert chosen.flat and chosen.rebuild == chosen.follow == 0


def test_a_strip_shows_two_masks_their_styles_and_the_re_readings() -> None:
    model, faces = build_maskface(MASKS.channels, config()).model.eval(), held_out_faces(config(), 6)
    shown = cells(strip(model, faces, seed=3), 32)[0]
    assert len(shown) == 14
    second = one_hot(faces["labels"][[3]].long(), MASKS.channels)
    styles = model.S(model.draw(4, seeded(3)))
    torch.testing.assert_close(shown[7], model(second, style=styles[[1]]).detach()[0])
    torch.testing.assert_close(shown[11], model(second, style=model.R(shown[2][None])).detach()[0])
    assert torch.equal(shown[5], MASKS.show(second[0]).to_rgb())  # type: ignore[union-attr]


def test_rows_of_a_sheet_stay_when_another_is_written(tmp_path: Path) -> None:
    path, rows = tmp_path / "s.jpg", torch.rand(3, 3, 16, 48, generator=seeded(0)).mul(0.4)
    place_strip(path, rows[0], 0, 3)
    first = read_image(path)
    assert first.shape == (3, 48, 48) and (first[:, 16:] - 0.8).abs().max() < 0.02, "what is to come is grey"
    place_strip(path, rows[2], 2, 3)
    again = read_image(path)
    assert (again[:, :16] - first[:, :16]).abs().max() < 0.03
    assert (again[:, 32:] - rows[2]).abs().mean() < 0.06
    with pytest.raises(ValueError, match="another form"):
        place_strip(path, rows[0], 0, 4)


def test_the_command_measures_and_draws_the_first_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maskface_study, "load_parser", lambda world: untrained_judges().parser)
    monkeypatch.setattr(maskface_study, "load_reader", lambda world: untrained_judges().reader)
    row = dict.fromkeys(maskface_study.MEASURES, 0.5)  # test_maskface_study.py measures
    monkeypatch.setattr(maskface_study, "verdicts", lambda *_, **__: (row, row))
    monkeypatch.setattr(MaskFaceTermsCommand, "settings", lambda self: config())
    command = MaskFaceTermsCommand(
        out=tmp_path / "s.json", sheet=tmp_path / "s.jpg", seeds=(0, 1), variants=("adv",), faces=6, device="cpu"
    )
    drawn: list[int] = []

    def place(path: Path, row: torch.Tensor, number: int, rows: int) -> None:
        drawn.append(number)
        place_strip(path, row, number, rows)

    monkeypatch.setattr(maskface_terms, "place_strip", place)
    assert maskface_terms.main(command) == 0
    study = load_study(tmp_path / "s.json")
    assert [(run.variant, run.seed) for run in study.runs] == [("adv", 0), ("adv", 1)] and drawn == [0]
    assert "maskface-terms" in study.card["command"] and (tmp_path / "s.jpg").exists()


def test_what_is_recorded_is_of_todays_game() -> None:
    """The chapter asserts what the file says."""
    assets = repository_root() / "assets"
    study = load_study(assets / "results" / "maskface_terms.json")
    options = {name: study.config[name] for name in ("rounds", "faces")}
    assert study.config == {**asdict(MaskFaceConfig.quick(**START)), **options}
    assert set(study.variants) == set(TERMS_PLAN.variants) and study.bases == TERMS_PLAN.bases
    sheet = read_image(assets / "figures" / "maskface_terms.jpg")
    assert len(cells(sheet, 32)) == len(TERMS_PLAN.variants) and len(cells(sheet, 32)[0]) == 14
