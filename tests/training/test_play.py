"""The promises of the training loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from lib.games.game import Game, GameError, Turn
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.play import (
    Cycle,
    NonFiniteLoss,
    OptimConfig,
    Repeat,
    Report,
    StaleGraph,
    play,
    play_round,
)
from tests.training.toys import Circle, CircleGan

SGD = OptimConfig(lr=1e-2)


class Two(Game):
    """Two numbers, w and v, each one player's."""

    players: ClassVar = {"W": ("w",), "V": ("v",)}

    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(2.0))

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        yield Turn("W", loss=self.w * self.v)
        yield Turn("V", loss=self.w * self.v)


def sgd(game: Game, lr: float = 0.1) -> dict[str, torch.optim.Optimizer]:
    return {player: torch.optim.SGD(game.parameters_of(player), lr=lr) for player in game.players}


def test_code_after_a_yield_sees_the_update() -> None:
    game = Two()
    play(game, Repeat({}), 1, optimisers=sgd(game))
    assert game.w.item() == pytest.approx(1 - 0.1 * 2)
    assert game.v.item() == pytest.approx(2 - 0.1 * 0.8)  # the gradient is the new w


def test_gradients_flow_to_the_acting_player_only() -> None:
    game = CircleGan()
    turns = play_round(game, Circle().draw(0), SGD.build(game))
    assert next(turns).player == "D"
    assert all(p.grad is not None for p in game.parameters_of("D"))
    assert all(p.grad is None for p in game.parameters_of("G"))
    gradients = [p.grad.clone() for p in game.parameters_of("D") if p.grad is not None]
    assert next(turns).player == "G"
    assert all(p.grad is not None for p in game.parameters_of("G"))
    now = [p.grad for p in game.parameters_of("D")]
    assert all(torch.equal(a, b) for a, b in zip(gradients, now, strict=True) if b is not None)


def test_history_counts_rounds_and_keeps_every_term() -> None:
    game = CircleGan()
    history = play(game, Circle(), 30, optimisers=SGD, guard_every=7)
    assert history.names == ("D/real", "D/fake", "G/gan", "G/size")
    assert len(history) == 30 == game.rounds_done
    assert history.rounds("G/gan").tolist() == list(range(30))
    assert game.progress == 1 and not history.interrupted and history.seconds > 0


def test_training_reaches_its_goal() -> None:
    """The distance of the fakes to the circle falls: the loop really descends the losses."""
    game = CircleGan(width=16)
    history = play(game, Circle(), 150, optimisers=OptimConfig(lr={"D": 5e-3, "G": 5e-3}))
    distance = history.values("G/size")
    assert distance[-20:].mean() < 0.3 * distance[:5].mean()


def test_playing_a_finished_game_again_says_so() -> None:
    game = CircleGan()
    play(game, Circle(), 2, optimisers=SGD)
    with pytest.warns(UserWarning, match="has 2 rounds behind it and 2 were asked for"):
        assert len(play(game, Circle(), 2, optimisers=SGD)) == 0


def test_the_average_moves_once_after_each_round() -> None:
    game, weights = CircleGan(), []
    ema, copy = EMA(game.G, 0.5), EMA(game.G, 0.5)
    play(game, Circle(), 3, optimisers=SGD, ema=ema, on_round=lambda _: weights.append(copy.update()))
    assert ema.updates == 3 == len(weights)
    assert_equal_state(ema.module, copy.module)


def test_schedule_multiplies_every_learning_rate() -> None:
    game, seen = CircleGan(), []
    optimisers = OptimConfig(lr={"D": 1.0, "G": 0.5}).build(game)

    def note(report: Report) -> None:
        seen.append([o.param_groups[0]["lr"] for o in optimisers.values()])

    play(game, Circle(), 4, optimisers=optimisers, schedule=lambda p: 1 - p, on_round=note)
    assert seen == [[1.0, 0.5], [0.75, 0.375], [0.5, 0.25], [0.25, 0.125]]


def test_progress_reaches_the_stream_and_the_game() -> None:
    asked: list[float] = []

    class Listening(Circle):
        def draw(self, progress: float) -> dict[str, Any]:
            asked.append(progress)
            return super().draw(progress)

    play(CircleGan(), Listening(), 4, optimisers=SGD)
    assert asked == [0, 0.25, 0.5, 0.75]


def test_a_time_budget_ends_the_training_and_drives_progress() -> None:
    game = CircleGan()
    reports: list[Report] = []
    history = play(game, Circle(), None, optimisers=SGD, budget_s=0.15, on_round=reports.append)
    assert 0.15 <= history.seconds < 1.5
    fractions = [report.progress for report in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    with pytest.raises(ValueError, match="needs an end"):
        play(game, Circle(), None, optimisers=SGD)


def test_autocast_covers_the_round_but_not_the_step() -> None:
    class Bf16:
        def autocast(self) -> AbstractContextManager[Any]:
            return torch.autocast("cpu", dtype=torch.bfloat16)

    dtypes: list[torch.dtype] = []

    class Watching(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            for turn in super().round(batch):
                dtypes.append(self.D(batch["x"]).dtype)
                yield turn
                dtypes.append(self.D(batch["x"]).dtype)

    game = Watching()
    for _ in play_round(game, Circle().draw(0), SGD.build(game), runtime=Bf16()):
        assert not torch.is_autocast_enabled("cpu")
    assert dtypes == [torch.bfloat16] * 4
    assert all(p.dtype == torch.float32 for p in game.parameters())


def test_clip_bounds_the_gradient_of_a_turn() -> None:
    game = CircleGan()
    for turn in play_round(game, {"x": 1e4 * torch.ones(4, 2)}, SGD.build(game), clip=1e-3):
        norms = [p.grad.norm() for p in game.parameters_of(turn.player) if p.grad is not None]
        assert torch.stack(norms).norm().item() <= 1.0001e-3


def test_ctrl_c_ends_after_the_round() -> None:
    def press(report: Report) -> None:
        if report.rounds_done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    game, before = CircleGan(), signal.getsignal(signal.SIGINT)
    history = play(game, Circle(), 50, optimisers=SGD, on_round=press)
    assert history.interrupted and game.rounds_done == 5 == len(history)
    assert signal.getsignal(signal.SIGINT) is before
    history = play(game, Circle(), 8, optimisers=SGD, history=history)
    assert not history.interrupted and game.rounds_done == 8 == len(history)


def test_ctrl_c_during_a_round_waits_for_its_end() -> None:
    class Pressing(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            for turn in super().round(batch):
                if self.rounds_done == 2 and turn.player == "D":
                    os.kill(os.getpid(), signal.SIGINT)
                yield turn

    game, twin = Pressing(), CircleGan()
    history = play(game, Circle(), 50, optimisers=SGD)
    play(twin, Circle(), 3, optimisers=SGD)
    assert history.interrupted and game.rounds_done == 3
    assert_equal_state(game, twin)


def test_a_round_cut_in_half_is_undone() -> None:
    class Cut(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            for turn in super().round(batch):
                if self.rounds_done == 5 and turn.player == "G":
                    raise KeyboardInterrupt
                yield turn

    game, twin = Cut(), CircleGan()
    history = play(game, Circle(), 50, optimisers=SGD, guard_every=1)
    play(twin, Circle(), 5, optimisers=SGD)
    assert history.interrupted and game.rounds_done == 5 == len(history)
    assert_equal_state(game, twin)


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_nan_is_named_and_the_last_good_state_restored(fault: str) -> None:
    class Sick(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            for turn in super().round(batch):
                if self.rounds_done >= 13 and turn.player == "G":
                    nothing = 0 * self.scale.sum()
                    sick = nothing / nothing.detach() if fault == "loss" else nothing.square().sqrt()
                    yield Turn("G", **turn.terms, sick=sick)
                else:
                    yield turn

    game, twin = Sick(), CircleGan()
    ema, twin_ema, history = EMA(game.G), EMA(twin.G), History()
    with pytest.raises(NonFiniteLoss, match="learning rate") as caught:
        play(game, Circle(), 100, optimisers=SGD, ema=ema, history=history, guard_every=5)
    play(twin, Circle(), 10, optimisers=SGD, ema=twin_ema)
    if fault == "loss":
        assert (caught.value.player, caught.value.term, caught.value.round) == ("G", "sick", 13)
    assert game.rounds_done == 10 == len(history) and history.non_finite() is None
    assert_equal_state(game, twin)
    assert_equal_state(ema.module, twin_ema.module)


def test_a_nan_gradient_is_seen_in_the_weights() -> None:
    class Root(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            yield Turn("G", root=(0 * self.draw(4).sum()).square().sqrt())  # the slope of a root at 0

    with pytest.raises(NonFiniteLoss, match=r"made the weight 'G\.0\.weight' NaN"):
        play(Root(), Circle(), 10, optimisers=SGD, guard_every=1)


@pytest.mark.parametrize("through", ["D", "G"])
def test_a_stale_graph_is_explained(through: str) -> None:
    """Autograd would give a wrong gradient here: a turn reuses a score from before the weights changed."""

    class Stale(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            fake = self.draw(4)
            score = self.D(fake).mean()
            yield Turn("D", real=self.D(batch["x"]).mean())
            if through == "G":
                yield Turn("G", gan=-self.D(fake).mean())
                score = self.D(fake).mean()
            yield Turn("G", gan=-score)

    with pytest.raises(StaleGraph, match="'G' runs through a graph"):
        play(Stale(), Circle(), 1, optimisers=SGD)


def test_a_loss_without_parameters_is_explained() -> None:
    class Detached(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            yield Turn("G", gan=self.D(self.draw(4)).mean().detach())

    with pytest.raises(GameError, match="does not depend on any parameter"):
        play(Detached(), Circle(), 1, optimisers=SGD)


def test_wrong_turns_and_optimisers_are_explained() -> None:
    class Stranger(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            yield Turn("E", loss=self.scale.sum())

    class Returned(CircleGan):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            return [Turn("G", loss=self.scale.sum())]  # type: ignore[return-value]

    with pytest.raises(GameError, match=r"yield a Turn of one of \['D', 'G'\]"):
        play(Stranger(), Circle(), 1, optimisers=SGD)
    with pytest.raises(GameError, match="must yield its turns"):
        play(Returned(), Circle(), 1, optimisers=SGD)
    game = CircleGan()
    with pytest.raises(GameError, match="must hold exactly"):
        play(game, Circle(), 1, optimisers={**SGD.build(game), "G": SGD.build(game)["D"]})
    with pytest.raises(GameError, match=r"learning rates are for the players \['G'\]"):
        OptimConfig(lr={"G": 1e-3}).build(game)


def test_callbacks_are_told_and_finished_once() -> None:
    class Spy:
        def __init__(self) -> None:
            self.calls: list[int] = []
            self.finishes: list[bool] = []

        def __call__(self, report: Report) -> None:
            self.calls.append(report.rounds_done)

        def finish(self, report: Report) -> None:
            self.finishes.append(report.finished)

    one, two = Spy(), Spy()
    play(CircleGan(), Circle(), 3, optimisers=SGD, on_round=[one, two])
    assert one.calls == two.calls == [1, 2, 3] and one.finishes == two.finishes == [True]


def test_a_follower_hears_every_turn_while_its_gradients_are_there() -> None:
    class Follower:
        def __init__(self) -> None:
            self.log: list[str] = []

        @contextmanager
        def follow(self, game: Game) -> Iterator[Callable[[Turn], None]]:
            def tell(turn: Turn) -> None:
                assert all(p.grad is not None for p in game.parameters_of(turn.player))
                self.log.append(turn.player)

            yield tell
            self.log.append("closed")

        def __call__(self, report: Report) -> None:
            self.log.append("round")

        def finish(self, report: Report) -> None:
            self.log.append("finished")

    follower = Follower()
    play(CircleGan(), Circle(), 2, optimisers=SGD, on_round=[lambda report: None, follower])
    assert follower.log == ["D", "G", "round", "D", "G", "round", "closed", "finished"]


def test_cycle_starts_again_and_keeps_its_place() -> None:
    stream = Cycle([{"i": 0}, {"i": 1}, {"i": 2}])
    assert [stream.draw(0)["i"] for _ in range(5)] == [0, 1, 2, 0, 1]
    other = Cycle([{"i": 0}, {"i": 1}, {"i": 2}])
    other.load_state_dict(stream.state_dict())
    assert [other.draw(0)["i"] for _ in range(3)] == [2, 0, 1]
    with pytest.raises(ValueError, match="no batch to draw"):
        Cycle([]).draw(0)


def assert_equal_state(one: nn.Module, other: nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
