"""CycleGAN's command, its measures and its recorded study, on pictures of 16 px."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib.data.unpaired_worlds import PairedPool, UnpairedPool, facade_domains, true_pairs
from lib.data.worlds.facades_scene import LABEL
from lib.games import cyclegan_study, cyclegan_train
from lib.games.cyclegan import CycleGANConfig, PairedCycleGAN, build_cyclegan
from lib.games.cyclegan_measures import measure, references
from lib.games.cyclegan_study import BASES, MEASURES, PAIRS, VARIANTS, CycleGANStudyCommand, study_cyclegan
from lib.games.cyclegan_train import CycleGANCommand, main, train_cyclegan
from lib.games.game import GameError
from lib.games.partner_measures import flat_competitors, partner_features, partner_scores
from lib.games.study import load_study
from lib.games.translator import Translator
from lib.images import to_pil
from lib.metrics.checks import MeasureError
from lib.metrics.night import lamp_agreement, lit_share, matched_colours
from lib.metrics.segmentation_score import ParserConfig, SceneParser
from lib.training.streams import Repeat
from tests.scenes import CPU, noise

SIZE = 16
TINY: dict[str, Any] = {"size": SIZE, "width": 4, "blocks": 1, "d_width": 4, "patch": 16, "buffer": 4, "rounds": 2}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's quick profile in small, and a judge that needs no file."""
    quick = CycleGANConfig.quick
    monkeypatch.setattr(CycleGANConfig, "quick", lambda **changes: quick(**TINY | changes))
    for module in (cyclegan_train, cyclegan_study):
        monkeypatch.setattr(module, "load_parser", lambda world: judge())
        monkeypatch.setattr(module, "Runtime", type("Here", (), {"detect": staticmethod(lambda name: CPU)}))


def judge() -> SceneParser:
    return SceneParser(ParserConfig("facades", tuple(LABEL), size=SIZE, widths=(4, 4)))


def pictures(folder: Path, count: int, *, bright: float) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        to_pil((bright + 0.3 * noise(3, 20, 24, seed=index)).clamp(-1, 1)).save(folder / f"{index}.png")
    return folder


def command(tmp_path: Path, **options: Any) -> CycleGANCommand:
    out = {"checkpoints": tmp_path / "weights", "results": tmp_path / "results", "profile": "quick"}
    return CycleGANCommand(**{"pairs": 4, "pool": 4, **out, **options})


# --------------------------------------------------------------------------------------------------- command


def test_the_world_gives_two_translators_and_paired_scores(tmp_path: Path) -> None:
    assert main(command(tmp_path, sheet=tmp_path / "sheet.png")) == 0
    scores = json.loads((tmp_path / "results" / "cyclegan_night.json").read_text())["measures"]
    assert {"psnr/there", "psnr/back", "miou/there", "lit/there", "lamps/rebuilt", "kid/back"} <= set(scores)
    assert {"strangeness/there", "contours/back"} <= set(scores)
    assert (tmp_path / "sheet.png").exists()
    there, back = (Translator.load(tmp_path / "weights" / f"cyclegan_night_{way}.safetensors", runtime=CPU)
                   for way in ("there", "back"))  # fmt: skip
    pairs = true_pairs(facade_domains("night"), 4, SIZE)
    again = measure(there.paint, back.paint, pairs, judge())
    assert again["psnr/there"] == pytest.approx(scores["psnr/there"], abs=1e-4)
    assert again["psnr/back"] == pytest.approx(scores["psnr/back"], abs=1e-4)
    assert again["cycle/there"] == pytest.approx(scores["cycle/there"], abs=1e-4)
    assert there.translate(noise(3, 21, 34)).shape == (3, 21, 34)  # any size


def test_the_upper_bound_learns_from_true_pairs(tmp_path: Path) -> None:
    options = command(tmp_path, partners=True)
    stream, _ = options.data(options.config(), torch.device("cpu"))
    assert isinstance(stream, PairedPool)
    assert main(options) == 0
    path = tmp_path / "weights" / "cyclegan_night_pairs_there.safetensors"
    assert "true pairs" in Translator.load(path, runtime=CPU).card["data"]
    with pytest.raises(GameError, match="leave --partners out"):
        own = command(tmp_path, partners=True, public="horse2zebra")
        own.data(own.config(), torch.device("cpu"))


def test_two_folders_of_ones_own_are_enough(tmp_path: Path) -> None:
    a, b = (pictures(tmp_path / name, 20, bright=value) for name, value in (("cats", 0.5), ("dogs", -0.5)))
    assert main(command(tmp_path, folder_a=a, folder_b=b)) == 0
    record = json.loads((tmp_path / "results" / "cyclegan_cats.json").read_text())
    assert set(record["measures"]) == {"cycle/there", "cycle/back", "kid/there", "kid/back"}
    assert len(list((tmp_path / "weights").glob("cyclegan_cats_*.safetensors"))) == 2


def test_a_public_data_set_is_one_argument_away(tmp_path: Path) -> None:
    """horse2zebra's format on disk: trainA, trainB, testA, testB."""
    for name, count in (("trainA", 3), ("trainB", 4), ("testA", 2), ("testB", 2)):
        pictures(tmp_path / "horse2zebra" / name, count, bright=0.0)
    options = command(tmp_path, public="horse2zebra", root=tmp_path)
    stream, held_out = options.data(options.config(), torch.device("cpu"))
    assert held_out["A"].shape == (2, 3, SIZE, SIZE) and stream.draw(0.0)["B"].shape == (1, 3, SIZE, SIZE)
    assert options.name == "horse2zebra"
    with pytest.raises(GameError, match="together"):
        command(tmp_path, folder_a=tmp_path).data(options.config(), torch.device("cpu"))
    with pytest.raises(GameError, match="or --public alone"):
        both = command(tmp_path, public="horse2zebra", folder_a=tmp_path, folder_b=tmp_path)
        both.data(options.config(), torch.device("cpu"))


def test_the_commands_wishes_reach_the_config(tmp_path: Path) -> None:
    assert command(tmp_path, rounds=7, width=6, identity=5.0, cycle=4.0).config() == replace(
        CycleGANConfig.quick(), rounds=7, width=6, identity=5.0, forward_cycle=4.0, backward_cycle=4.0
    )
    full = command(tmp_path, profile="full", rounds=3).config()
    assert full == replace(CycleGANConfig.full(), rounds=3)


def test_a_training_moves_both_translators() -> None:
    config = CycleGANConfig(**TINY)
    trained = train_cyclegan(config, Repeat({"A": noise(1, 3, SIZE, SIZE), "B": noise(1, 3, SIZE, SIZE)}), runtime=CPU)
    before = build_cyclegan(config)
    for mine, first in ((trained.there.G, before.G), (trained.back.G, before.F)):
        assert not all(torch.equal(a, b) for a, b in zip(mine.parameters(), first.parameters(), strict=True))
    assert len(trained.history) == 2


# -------------------------------------------------------------------------------------------------- measures


def house() -> Tensor:
    """Labels (1, 8, 8): walls with two windows of two columns each."""
    labels = torch.full((1, 8, 8), LABEL["wall"], dtype=torch.uint8)
    labels[:, 2:6, 1:3] = labels[:, 2:6, 5:7] = LABEL["window"]
    return labels


def evening(*lamps: float) -> Tensor:
    """A dark picture of `house` whose two windows have the given brightness."""
    picture = torch.full((1, 3, 8, 8), -0.8)
    for place, value in zip((1, 5), lamps, strict=True):
        picture[:, :, 2:6, place : place + 2] = value
    return picture


def test_lit_windows_are_brighter_than_the_walls() -> None:
    assert [lit_share(evening(*lamps), house()) for lamps in ((-0.8, -0.8), (0.5, -0.8), (0.5, 0.5))] == [0, 0.5, 1]
    assert lit_share(evening(0.5, -0.8) + 0.4, house()) == 0.5  # a brighter picture has no more of them
    with pytest.raises(MeasureError, match="no window"):
        lit_share(evening(0, 0), torch.zeros_like(house()))


def test_lamps_agree_where_the_same_ones_are_lit() -> None:
    left, right = evening(0.5, -0.6), evening(-0.6, 0.5)
    assert lamp_agreement(left, evening(0.1, -0.8), house()) == pytest.approx(1)
    assert lamp_agreement(left, right, house()) == pytest.approx(-1)
    with pytest.raises(MeasureError, match="all alike"):
        lamp_agreement(left, evening(0.3, 0.3), house())


def test_matched_colours_have_the_targets_mean_and_spread() -> None:
    source, target = 0.4 * noise(4, 3, 8, 8, seed=1) + 0.3, 0.2 * noise(4, 3, 8, 8, seed=2) - 0.5
    moved = matched_colours(source, source, target)
    torch.testing.assert_close(moved.mean(dim=(0, 2, 3)), target.mean(dim=(0, 2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.std(dim=(0, 2, 3)), target.std(dim=(0, 2, 3)), atol=1e-5, rtol=0)


def test_measures_of_known_translators() -> None:
    """The truth itself as a translator: a perfect score, no error of the cycle, and lamps that nobody was told."""
    pairs = true_pairs(facade_domains("night"), 4, SIZE)
    answers = {name: pairs[name] for name in "AB"}

    def oracle(source: str, target: str) -> Any:
        def paint(x: Tensor) -> Tensor:
            assert torch.equal(x, answers[source])
            return answers[target]

        return paint

    scores = measure(oracle("A", "B"), oracle("B", "A"), pairs)
    assert scores["psnr/there"] > 60 and scores["cycle/there"] == scores["cycle/back"] == 0
    assert scores["lamps/rebuilt"] == pytest.approx(1, abs=1e-5)
    rows = references(pairs, UnpairedPool(facade_domains("night"), count=4, size=SIZE, batch=2).draw(), judge())
    assert rows["copy"]["cycle/there"] == 0 and rows["copy"]["kid/there"] > scores["kid/there"] + 1
    assert rows["colours matched"]["psnr/there"] > rows["copy"]["psnr/there"] + 2
    assert rows["truth"]["lit/there"] > rows["truth"]["lit/back"] and "psnr/there" not in rows["truth"]


def test_no_flat_picture_passes_for_the_partner() -> None:
    """The mean of all nights wins decibels; neither contours nor features take it for the partner."""
    pairs = true_pairs(facade_domains("night"), 12, 32)
    pile = true_pairs(facade_domains("night"), 24, 32, split="train")["B"]
    candidates = {"copy": pairs["A"], **flat_competitors(pile, 12)}
    assert candidates["mean colour"].flatten(2).std(dim=2).max() == 0
    maps, truth = partner_features(), pairs["B"]
    rows = {name: partner_scores(picture, truth, maps) for name, picture in candidates.items()}
    near = partner_scores(0.9 * truth, truth, maps)
    assert rows["mean picture"]["psnr"] > rows["copy"]["psnr"] + 2
    for row in rows.values():
        assert row["strangeness"] > near["strangeness"] + 0.3 and row["contours"] < near["contours"] - 0.3


# ----------------------------------------------------------------------------------------------------- study


def test_pairs_come_together_and_are_mirrored_together() -> None:
    pool = PairedPool(facade_domains("night"), count=4, size=SIZE, batch=2, seed=3)
    key = true_pairs(facade_domains("night"), 2, SIZE, split="train", seed=3)
    for _ in range(4):
        batch = pool.draw()
        for a, b in zip(batch["A"], batch["B"], strict=True):
            found = torch.cat([a, b])
            partners = torch.cat([key["A"], key["B"]], dim=1)  # (N, 6, S, S)
            both = torch.cat([partners, partners.flip(-1)])
            assert float((both - found).abs().amax(dim=(1, 2, 3)).min()) < 0.01


def test_the_paired_game_pays_for_the_distance_to_the_partner() -> None:
    game = build_cyclegan(CycleGANConfig(**TINY), kind=PairedCycleGAN)
    batch = {"A": noise(1, 3, SIZE, SIZE, seed=1), "B": noise(1, 3, SIZE, SIZE, seed=2)}
    _, turn = game.round(batch)
    assert set(turn.terms) == {"gan_x", "gan_y", "pair_x", "pair_y"}
    torch.testing.assert_close(turn.terms["pair_y"], 10 * (game.G(batch["A"]) - batch["B"]).abs().mean())
    torch.testing.assert_close(turn.terms["pair_x"], 10 * (game.F(batch["B"]) - batch["A"]).abs().mean())


def test_a_study_compares_variants_that_start_alike(tmp_path: Path) -> None:
    out = tmp_path / "study.json"
    options = CycleGANStudyCommand(out=out, seeds=(0,), variants=("CycleGAN", PAIRS), profile="quick")
    small: dict[str, Any] = {"config": CycleGANConfig(**TINY), "parser": judge(), "runtime": CPU, "pool": 4, "test": 4}
    options.conduct(
        lambda report: study_cyclegan(variants=("CycleGAN", PAIRS), seeds=(0,), on_progress=report, **small)
    )
    study = load_study(out)
    assert study.variants == ("CycleGAN", PAIRS) and set(study.runs[0].values) == set(MEASURES)
    assert set(study.references) == {"copy", "colours matched", "truth"}
    more = study_cyclegan(variants=("no buffer",), seeds=(0,), known=study, **small)
    assert more.runs[:2] == study.runs and more.runs[2].variant == "no buffer"
    same = study_cyclegan(variants=("CycleGAN",), seeds=(0,), **small)
    assert same.runs[0].values == pytest.approx(study.runs[0].values, abs=1e-4)  # whatever ran before
    with pytest.raises(ValueError, match="no variant 'half a cycle'"):
        study_cyclegan(variants=("half a cycle",), seeds=(0,), **small)


def test_every_variant_is_a_config_and_has_a_base() -> None:
    for changes in VARIANTS.values():
        replace(CycleGANConfig.quick(), **changes).check()
    assert set(BASES) == set(VARIANTS) - {"CycleGAN"} and set(BASES.values()) == {"CycleGAN"}


def test_a_skip_shows_the_last_layer_the_first() -> None:
    """With a dead middle, only a skip lets anything of the picture arrive."""
    for skip in (False, True):
        G: Any = build_cyclegan(CycleGANConfig(**TINY | {"skip": skip})).G
        torch.nn.init.zeros_(G.layers[1].conv.weight)
        assert (float(G(noise(1, 3, SIZE, SIZE)).detach().std()) > 1e-3) == skip
