"""What the live board measures: D's outputs, gradient norms, and nothing at all where nobody watches."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lib.games.game import Game, Turn
from lib.games.gan import GAN, GANConfig
from lib.games.spade import over_scales
from lib.losses import verdicts
from lib.losses.adversarial import critic_fake, critic_real, hinge_fake, hinge_real, lsgan_real
from lib.losses.ternary import FROM_SOURCE, FROM_TARGET, REAL, minus_log
from lib.losses.verdicts import overhear
from lib.training.guard import NonFiniteLoss
from lib.training.live import LiveBoard
from lib.training.play import OptimConfig, Repeat, Report, play
from lib.training.probe import Probe, _thinned, in_order

X = torch.tensor([1.0, 2.0, 3.0, 6.0])


class Tiny(Game):
    """D(x) = w x and G = g. On X, with g = 1 and w = 1/2, D's slope at w is -2 and G's at g is -1/2."""

    players: ClassVar = {"D": ("w",), "G": ("g",)}

    def __init__(self, critic_turns: int = 1) -> None:
        super().__init__()
        self.w, self.g = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(1.0))
        self.critic_turns = critic_turns
        self.heard: list[bool] = []

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        fake = self.g.expand(4)
        for turn in range(self.critic_turns):
            x = X * (1 + turn)
            yield Turn("D", real=critic_real(self.w * x), fake=critic_fake(self.w * fake.detach()))
        self.heard.append(verdicts._listener.get() is not None)
        yield Turn("G", gan=critic_real(self.w * fake))


class Keeping(LiveBoard):
    """A board that keeps its last reading, and draws at the end at most."""

    def __init__(self, *, draws: bool = True) -> None:
        super().__init__(every=1000)
        self.draws, self.rounds_done, self._next = draws, 0, float("inf")

    def finish(self, report: Report) -> None:
        self.rounds_done = report.rounds_done
        if self.draws:
            super().finish(report)
        else:
            assert self._probe is not None
            self.reading = self._probe.read(report.rounds_done)

    @property
    def words(self) -> str:
        return str(self._repr_mimebundle_()["text/plain"])


def watched(game: Game, rounds: int = 3, *, draws: bool = False) -> Keeping:
    """The board after a training in which nothing moves."""
    board = Keeping(draws=draws)
    optimisers = {player: torch.optim.SGD(game.parameters_of(player), lr=0.0) for player in game.players}
    play(game, Repeat({}), rounds, optimisers=optimisers, on_round=[board])
    return board


def test_outputs_and_ratio_by_hand() -> None:
    board = watched(Tiny(), draws=True)
    reading = board.reading
    assert reading is not None and (reading.judge, reading.painter) == ("D", "G")
    np.testing.assert_allclose(reading.real, np.tile([0.5, 1.0, 1.5, 3.0], 3))
    np.testing.assert_allclose(reading.fake, np.full(12, 0.5))
    np.testing.assert_allclose(reading.judge_norm, [2, 2, 2], rtol=1e-6)
    np.testing.assert_allclose(reading.painter_norm, [0.5, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(reading.ratio, 0.25, rtol=1e-6)
    assert reading.rounds.tolist() == [0, 1, 2] and reading.in_order == (0.5 + 3) / 4
    assert board.words.endswith(
        "D's outputs: 1.5 on real and 0.5 on fake, 88% of pairs in order. Gradient norm of G over that of D: 0.25."
    )


def test_each_turn_of_a_round_counts_in_the_mean() -> None:
    reading = watched(Tiny(critic_turns=2)).reading
    assert reading is not None and reading.rounds.tolist() == [0, 1, 2]
    np.testing.assert_allclose(reading.judge_norm, np.sqrt(2 * 5), rtol=1e-6)  # slopes -3 + 1 and -6 + 1
    assert len(reading.real) == 3 * 2 * 4


def test_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0.3, 1, 41).round(1), rng.normal(0, 1, 31).round(1)
    gaps = real[:, None] - fake[None]
    assert (gaps == 0).any()
    assert in_order(real, fake) == pytest.approx((gaps > 0).mean() + (gaps == 0).mean() / 2)
    assert in_order(np.ones(3), np.ones(5)) == 0.5 and in_order(np.ones(3), np.zeros(5)) == 1


def test_only_the_last_turns_are_pooled() -> None:
    reading = watched(Tiny(), 50).reading
    assert reading is not None and len(reading.real) == 20 * 4 and len(reading.rounds) == 50


def test_nobody_listens_where_no_board_watches() -> None:
    game = Tiny()
    play(game, Repeat({}), 2, optimisers=OptimConfig(lr=0.1), on_round=lambda report: None)
    assert game.heard == [False, False]
    game = Tiny()
    watched(game, 2)
    assert game.heard == [True, True]
    assert verdicts._listener.get() is None


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_nobody_listens_after_a_failure(fault: type[BaseException]) -> None:
    class Failing(Tiny):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            yield from super().round(batch)
            if self.rounds_done == 2:
                raise fault

    if fault is RuntimeError:
        with pytest.raises(RuntimeError):
            watched(Failing(), 5)
    else:
        board = watched(Failing(), 5)
        assert board.rounds_done == 0 and board.reading is None  # the cut round was undone, back to the last good one
    assert verdicts._listener.get() is None


def test_a_nan_leaves_the_board_with_what_was_finite() -> None:
    class Sick(Tiny):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            if self.rounds_done == 2:
                self.g.data.fill_(torch.nan)
            yield from super().round(batch)

    board, game = Keeping(), Sick()  # draws what was undone, too
    with pytest.raises(NonFiniteLoss):
        play(game, Repeat({}), 9, optimisers=OptimConfig(lr=1e-9), on_round=board, guard_every=2)
    reading = board.reading
    assert game.rounds_done == 2 and reading is not None
    assert reading.rounds.tolist() == [0, 1] and np.isfinite(reading.fake).all() and np.isfinite(reading.ratio).all()


def test_watching_changes_no_weight() -> None:
    def game() -> GAN:
        torch.manual_seed(0)
        return GAN(nn.Linear(4, 2), nn.Linear(2, 1), GANConfig(latent=4, key="x", n_critic=2))

    batch = Repeat({"x": torch.linspace(-1, 1, 16).view(8, 2)})
    free, seen = game(), game()
    play(free, batch, 5, optimisers=OptimConfig(lr=0.1))
    play(seen, batch, 5, optimisers=OptimConfig(lr=0.1), on_round=Keeping(draws=False))
    for (name, a), b in zip(free.state_dict().items(), seen.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_smoothed_label_does_not_make_a_real_output_fake() -> None:
    torch.manual_seed(0)
    game = GAN(nn.Linear(4, 2), nn.Linear(2, 1), GANConfig(latent=4, key="x", smooth=0.1))
    probe = Probe(game)
    optimisers = OptimConfig(lr=0.0).build(game)

    class Listening:
        def follow(self, game: Game) -> Any:
            return probe.follow()

        def __call__(self, report: Report) -> None: ...

    play(game, Repeat({"x": torch.ones(6, 2)}), 1, optimisers=optimisers, on_round=Listening())
    reading = probe.read(1)
    assert reading is not None and len(reading.real) == len(reading.fake) == 6
    np.testing.assert_allclose(reading.real, game.D(torch.ones(1, 2)).item(), rtol=1e-6)


def test_a_game_without_a_judge_has_no_second_row() -> None:
    class Alone(Game):
        players: ClassVar = {"E": ("e",), "F": ("f",)}

        def __init__(self) -> None:
            super().__init__()
            self.e, self.f = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))

        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            yield Turn("E", fit=self.e.square())
            yield Turn("F", fit=lsgan_real(self.f))  # one side only: nothing is told apart

    board = watched(Alone(), draws=True)
    assert board.reading is None and "Gradient norm" not in board.words
    assert height(board) < height(watched(Tiny(), draws=True))


def test_all_scales_count_and_heads_for_classes_do_not() -> None:
    maps = [[torch.zeros(1), torch.full((2, 1, 4, 4), 1.0)], [torch.zeros(1), torch.full((2, 1, 2, 2), 2.0)]]
    with overhear() as heard:
        over_scales(hinge_real, maps)
        over_scales(hinge_fake, maps[:1])
        nn.functional.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1]))
    assert [(side, logits.numel()) for side, logits in heard] == [("real", 32), ("real", 8), ("fake", 32)]
    assert not any(logits.requires_grad for _, logits in heard)


def test_three_answers_become_the_log_odds_of_real() -> None:
    logits = torch.tensor([[0.0, 1.0, 3.0]], requires_grad=True)
    with overhear() as heard:
        for answer in (FROM_SOURCE, FROM_TARGET, REAL):
            minus_log(logits, answer)
    assert [side for side, _ in heard] == ["fake", "fake", "real"]
    share = torch.softmax(logits, 1)[0, REAL]
    torch.testing.assert_close(heard[-1][1][0], torch.logit(share).detach())


def test_listeners_may_be_nested_and_end_with_an_error() -> None:
    with overhear() as outer, pytest.raises(ZeroDivisionError), overhear() as inner:
        critic_real(X)
        raise ZeroDivisionError
    assert len(inner) == 1 and not outer and verdicts._listener.get() is None


@pytest.mark.parametrize("count", [1, 1024, 1025, 16384, 100_000])
def test_a_large_map_is_thinned_evenly(count: int) -> None:
    thin = _thinned(torch.arange(float(count)))
    assert min(count, 300) <= len(thin) <= 1024
    if count == 16384:  # a map with sides of a power of two: no column is preferred
        assert len(torch.unique(thin % 128)) == 128


@pytest.mark.parametrize("said", [torch.zeros(4), torch.tensor([0.0, 0.0, 0.0, 1e6])])
def test_equal_or_extreme_outputs_can_be_drawn(said: Tensor) -> None:
    class Constant(Tiny):
        def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
            yield Turn("D", real=critic_real(said + 0 * self.w), fake=critic_fake(said + 0 * self.w))
            yield Turn("G", gan=self.g * 1.0)

    board = watched(Constant(), 1, draws=True)
    assert board.reading is not None and board.reading.in_order == 0.5
    assert board.reading.ratio.item() == pytest.approx(1e8)  # D's gradient is 0 and counts as 1e-8
    assert height(board) > 400


def height(board: LiveBoard) -> int:
    return Image.open(io.BytesIO(board._repr_mimebundle_()["image/png"])).height
