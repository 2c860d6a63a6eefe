"""The rules of a game are checked before anything is trained."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

from lib.games.game import Game, GameError, Turn
from tests.training.toys import CircleGan


def test_turn_sums_its_terms_in_float32() -> None:
    turn = Turn("G", gan=torch.tensor(0.25, dtype=torch.bfloat16), l1=torch.tensor([2.0]))
    assert list(turn.terms) == ["gan", "l1"]
    assert turn.loss.dtype == torch.float32 and turn.loss.shape == ()
    assert turn.loss.item() == 2.25


@pytest.mark.parametrize("term", [torch.ones(2), 1.0, torch.tensor(1)])
def test_turn_refuses_what_is_not_a_scalar_loss(term: object) -> None:
    with pytest.raises(GameError, match=r"'l1' of player 'G' must be one floating-point number"):
        Turn("G", l1=term)  # type: ignore[arg-type]


def test_turn_without_terms() -> None:
    with pytest.raises(GameError, match="no loss terms"):
        Turn("G")


def test_every_trainable_parameter_has_one_owner() -> None:
    game = CircleGan()
    game.check_players()
    owned = [id(p) for player in game.players for p in game.parameters_of(player)]
    assert sorted(owned) == sorted(id(p) for p in game.parameters() if p.requires_grad)
    assert list(game.named_parameters_of("G"))[-1] == "scale"


def test_ownerless_parameter_is_named() -> None:
    game = CircleGan()
    game.frozen.requires_grad_(True)
    with pytest.raises(GameError, match=r"'frozen\.weight' belongs to no player"):
        game.check_players()


def test_shared_parameter_is_named() -> None:
    game = CircleGan()
    game.D.extra = game.G[0]
    with pytest.raises(GameError, match="belongs to the players 'D' and 'G'"):
        game.check_players()


def test_unknown_network_and_player() -> None:
    class Typo(Game):
        players: ClassVar = {"G": ("Gen",)}

    with pytest.raises(GameError, match="'Gen', which is no network"):
        Typo().check_players()
    with pytest.raises(GameError, match="no player 'E'; its players are 'D', 'G'"):
        CircleGan().parameters_of("E")


def test_player_with_a_string_instead_of_a_tuple() -> None:
    with pytest.raises(GameError, match="write a tuple"):

        class Wrong(Game):
            players: ClassVar = {"G": "G"}


def test_player_with_nothing_to_train_and_game_without_players() -> None:
    game = CircleGan()
    game.D.requires_grad_(False)
    with pytest.raises(GameError, match="'D' owns no trainable parameter"):
        game.check_players()
    with pytest.raises(GameError, match="has no players"):
        Game().check_players()


def test_dotted_names_and_shared_weights_within_a_player() -> None:
    class Nested(Game):
        players: ClassVar = {"G": ("net.a", "net.b")}

        def __init__(self) -> None:
            super().__init__()
            self.net = nn.ModuleDict({"a": nn.Linear(1, 1)})
            self.net["b"] = self.net["a"]

    game = Nested()
    game.check_players()
    assert list(game.named_parameters_of("G")) == ["net.a.weight", "net.a.bias"]


def test_generators_are_found_by_name() -> None:
    game = CircleGan()
    game.G[0].jitter = torch.Generator()
    assert list(game.generators()) == ["noise", "G.0.jitter"]
