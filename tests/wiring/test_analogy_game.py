"""The game of semantic image analogy: which terms each mode has, what they weigh and whom they move."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lib.data.single_photo import MODES, SinglePhoto, StreamConfig
from lib.games.analogy import Analogy, AnalogyConfig, LossWeights
from lib.games.game import Turn
from lib.losses.adversarial import feature_matching, lsgan_fake, lsgan_real
from lib.losses.analogy import correspondence, fixed_point, reconstruction, semantic_alignment
from lib.losses.patches import patch_coherence
from lib.runtime import Runtime
from lib.training.audit import assert_alive, gradient_audit
from lib.training.optim import OptimConfig
from lib.training.play import play_round
from tests.scenes import generator, photo, tiny

ALIKE = ["gan", "features", "matches", "rebuild"]
TERMS = {
    "warp": [*ALIKE, "patches", "semantics"],
    "move": [*ALIKE, "patches", "semantics"],
    "warp back": [*ALIKE, "patches", "semantics"],
    "reconstruct": [*ALIKE, "fixed_point"],
}
Batch = dict[str, Any]


def batch_of(mode: str, *, progress: float = 1.0, hole: bool = False) -> Batch:
    """An analogy of the given mode; with ``hole`` one that has unknown pixels."""
    image, own = photo()
    stream = SinglePhoto(image, own.one_hot(), StreamConfig(), generator=generator())
    for _ in range(100):
        batch = stream.draw(progress)
        if batch["mode"] == mode and (not hole or batch["valid"].mean() < 0.99):
            return batch
    raise AssertionError(f"the stream never gave {mode}")


def play_once(game: Analogy, batch: Batch, runtime: Runtime | None = None) -> dict[str, Turn]:
    """One round with Adam steps for everybody: player -> turn."""
    optimisers = OptimConfig(lr=game.config.lr, betas=(0.5, 0.99)).build(game)
    return {turn.player: turn for turn in play_round(game, batch, optimisers, runtime=runtime)}


def values(turn: Turn) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in turn.terms.items()}


# ------------------------------------------------------------------------------------------------- terms


@pytest.mark.parametrize("mode", sorted(set(MODES)))
def test_terms_of_each_mode(mode: str) -> None:
    """(12.17): the objective is the weighted sum of the equations, term by term and player by player."""
    weights = LossWeights(gan=0.5, features=4.0, rebuild=3.0, rebuild_same=6.0, patches=1.5, semantics=0.7,
                          matches=0.4, fixed_point=2.0)  # fmt: skip
    game = Analogy(3, tiny(weights=weights), generator=generator(7)).eval()  # eval: spectral norm stands still
    batch = batch_of(mode)
    turns = list(game.round(batch))
    assert [turn.player for turn in turns] == ["D", "S", "G"]
    assert [list(turn.terms) for turn in turns] == [["real", "fake"], ["labels"], TERMS[mode]]

    target, valid = batch["target_layout"], batch["valid"]
    painting = game.G(batch["image"], batch["layout"], target, consensus=game.config.consensus)
    fake = painting.image
    truth = torch.where(valid > 0.5, batch["target_image"], fake)
    logits, hidden = game.D(fake, target)
    same = mode == "reconstruct"
    expected = {
        "D": {
            "real": lsgan_real(game.D(batch["real_image"], batch["real_layout"])[0]),
            "fake": lsgan_fake(logits),
        },
        "S": {"labels": semantic_alignment(game.S(batch["real_image"]), batch["real_layout"])},
        "G": {
            "gan": 0.5 * lsgan_real(logits),
            "features": 4.0 * feature_matching(hidden, game.D(truth, target)[1]),
            "matches": 0.4 * correspondence(painting.logits, batch["matches"]),
            "rebuild": 6.0 * reconstruction(fake, truth) if same else 3.0 * reconstruction(fake, truth, valid, scale=4),
            "fixed_point": 2.0 * fixed_point(painting.modulation),
            "semantics": 0.7 * semantic_alignment(game.S(fake), target),
            "patches": 1.5 * patch_coherence(fake, batch["image"], sizes=(5,), levels=(1, 2), subset=32,
                                             generator=generator(7)),
        },
    }  # fmt: skip
    for turn in turns:
        for name, term in turn.terms.items():
            torch.testing.assert_close(term, expected[turn.player][name], atol=1e-5, rtol=1e-4, msg=name)
        torch.testing.assert_close(turn.loss, torch.stack(list(turn.terms.values())).sum())


@pytest.mark.parametrize("name", [field.name for field in fields(LossWeights)])
def test_a_weight_of_0_switches_its_term_off(name: str) -> None:
    mode = "reconstruct" if name in ("rebuild_same", "fixed_point") else "warp"
    game = Analogy(3, tiny(weights=replace(LossWeights(), **{name: 0.0})))
    *_, turn = game.round(batch_of(mode))
    gone = "rebuild" if name == "rebuild_same" else name
    assert list(turn.terms) == [term for term in TERMS[mode] if term != gone]


def test_a_weight_scales_its_term_and_no_other() -> None:
    batch = batch_of("warp")
    results = []
    for weight in (2.0, 6.0):
        torch.manual_seed(0)  # the same networks
        game = Analogy(3, tiny(weights=LossWeights(patches=weight)))
        results.append(values(list(game.round(batch))[2]))
    before, after = results
    assert after.pop("patches") == pytest.approx(3 * before.pop("patches"), rel=1e-5)
    assert after == pytest.approx(before, rel=1e-5)


def test_an_unknown_place_has_no_wish() -> None:
    """Whatever the picture holds where a region was taken away, no loss may depend on it."""
    batch = batch_of("move", hole=True)
    nonsense = batch | {"target_image": torch.where(batch["valid"] > 0.5, batch["target_image"], 1.0)}
    assert not torch.equal(nonsense["target_image"], batch["target_image"])
    game = Analogy(3, tiny()).eval()
    results = []
    for one in (batch, nonsense):
        game.generator.manual_seed(3)
        results.append([values(turn) for turn in game.round(one)])
    assert results[0] == results[1]


def test_the_discriminator_judges_the_layout_too() -> None:
    """The official code leaves the labels out: then a right picture of a wrong layout is real."""
    game, batch = Analogy(3, tiny()).eval(), batch_of("warp")
    with torch.no_grad():
        right = game.D(batch["real_image"], batch["real_layout"])[0]
        wrong = game.D(batch["real_image"], batch["real_layout"].roll(1, 1))[0]
    assert (right - wrong).abs().mean() > 0.01


# --------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("mode", sorted(set(MODES)))
def test_every_term_moves_its_player(mode: str) -> None:
    """After one step of everybody: at the very start some terms are exactly at their optimum."""
    game, batch = Analogy(3, tiny()), batch_of(mode)
    play_once(game, batch)
    rows = assert_alive(game, batch, ["D/real", "D/fake", "S/labels", *(f"G/{name}" for name in TERMS[mode])])
    assert len(rows) == 3 + len(TERMS[mode])
    unreached = {row.name: {name.split(".")[1] for name in row.unreached} for row in rows}
    assert all(not unreached[name] for name in ("D/real", "D/fake", "S/labels"))  # the networks are used in full
    # The copy is chosen by argmax, so only the correspondence teaches the matcher, and it teaches nothing else.
    painter = {"sft", "head", "down", "bottom", "up", "tail"}
    assert painter <= unreached["G/matches"] and "matcher" not in unreached["G/matches"]
    for name in TERMS[mode]:
        if name == "fixed_point":
            assert unreached["G/fixed_point"] >= painter - {"sft"} and "sft" not in unreached["G/fixed_point"]
        elif name != "matches":
            assert unreached[f"G/{name}"] == {"matcher"} | ({"encoder_seg"} & unreached[f"G/{name}"])
    together = set.intersection(*(set(row.unreached) for row in rows if row.player == "G"))
    # Levels of E_seg deeper than the painter's are read by the matcher alone; no weight is idle.
    assert together == set()


def test_semantic_alignment_reaches_the_generator_through_the_segmenter() -> None:
    """The term that is inert in the official code."""
    game, batch = Analogy(3, tiny()), batch_of("warp")
    play_once(game, batch)
    (row,) = [row for row in gradient_audit(game, batch) if row.name == "G/semantics"]
    assert row.norm > 1e-4 and row.value > 0


def test_nobody_else_moves_in_the_turn_of_one_player() -> None:
    game, batch = Analogy(3, tiny()), batch_of("warp")
    optimisers = OptimConfig(lr=1e-3).build(game)

    def weights(player: str) -> list[Tensor]:
        return [p.detach().clone() for p in game.parameters_of(player)]

    def gradients(player: str) -> list[Tensor | None]:
        return [None if p.grad is None else p.grad.clone() for p in game.parameters_of(player)]

    before = {player: (weights(player), gradients(player)) for player in game.players}
    for turn in play_round(game, batch, optimisers):
        after = {player: (weights(player), gradients(player)) for player in game.players}
        for player in game.players:
            moved = not all(map(torch.equal, before[player][0], after[player][0]))
            assert moved == (player == turn.player)
            if player != turn.player:
                assert str(before[player][1]) == str(after[player][1])  # not even a gradient was computed
        before = after


def test_playing_lowers_the_losses_that_have_a_known_answer() -> None:
    game, batch = Analogy(3, tiny()), batch_of("reconstruct")
    optimisers = OptimConfig(lr=3e-3, betas=(0.5, 0.99)).build(game)
    history: list[Mapping[str, float]] = []
    for _ in range(25):
        history.append({k: v for turn in play_round(game, batch, optimisers) for k, v in values(turn).items()})
    for name in ("labels", "rebuild", "fixed_point", "matches"):
        assert history[-1][name] < 0.8 * history[0][name], name


def test_a_round_in_bfloat16_stays_finite() -> None:
    game = Analogy(3, tiny())
    turns = play_once(game, batch_of("move"), Runtime(torch.device("cpu"), torch.bfloat16, False))
    assert all(torch.isfinite(torch.tensor(list(values(turn).values()))).all() for turn in turns.values())
    assert all(bool(p.isfinite().all()) for p in game.parameters())


def test_batches_of_several_analogies_play() -> None:
    image, own = photo()
    stream = SinglePhoto(image, own.one_hot(), StreamConfig(batch=2), generator=generator())
    game = Analogy(3, tiny())
    for _ in range(len(MODES)):
        turns = play_once(game, stream.draw(1.0))
    assert list(turns) == ["D", "S", "G"]


def test_without_alignment_the_matcher_learns_on_the_side() -> None:
    game = Analogy(3, tiny(aligned=False))
    turns = play_once(game, batch_of("warp"))
    assert list(turns["G"].terms) == TERMS["warp"]


# ------------------------------------------------------------------------------------------------ config


@pytest.mark.parametrize("config", [AnalogyConfig.quick(), AnalogyConfig.full(), tiny()], ids=["quick", "full", "tiny"])
def test_a_config_survives_its_card(config: AnalogyConfig) -> None:
    assert AnalogyConfig.from_dict(asdict(config)) == config
    assert AnalogyConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config  # lists back to tuples


def test_a_card_with_another_field_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        AnalogyConfig.from_dict(asdict(AnalogyConfig()) | {"colour": 1})


def test_the_learning_rate_falls_over_the_second_half() -> None:
    rate = AnalogyConfig().learning_rate
    assert rate(0.0) == rate(0.25) == rate(0.5) == 1.0
    assert rate(0.75) == pytest.approx(0.52) and rate(1.0) == pytest.approx(0.02)


@pytest.mark.parametrize("config", [AnalogyConfig.quick(), AnalogyConfig.full()], ids=["quick", "full"])
def test_every_parameter_has_an_owner(config: AnalogyConfig) -> None:
    game = Analogy(4, config)
    game.check_players()
    assert len(config.layout_widths) > len(config.widths)  # the matcher reads wider than the painter
    assert list(game.generators()) == ["generator"]  # kept in checkpoints
