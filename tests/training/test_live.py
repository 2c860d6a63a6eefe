"""The live board: one picture at the end, no clock in it, and no effect on the training."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from PIL import Image

import lib.training.live as live
from lib.training.history import History
from lib.training.live import LiveBoard, ProgressPrinter, watch
from lib.training.play import OptimConfig, Report, play
from tests.training.toys import Circle, CircleGan

CONFIG = OptimConfig(lr=1e-3)


class Handle:
    """Stands in for IPython's display handle."""

    shown: list[Any] = []  # noqa: RUF012 - reset by each test

    def display(self, board: LiveBoard) -> None:
        Handle.shown.append(("display", board._repr_mimebundle_()))

    def update(self, board: LiveBoard) -> None:
        Handle.shown.append(("update", board._repr_mimebundle_()))


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> type[Handle]:
    Handle.shown = []
    monkeypatch.setattr(live, "in_notebook", lambda: True)
    monkeypatch.setattr(live, "DisplayHandle", Handle)
    return Handle


def trained(board: Any, rounds: int = 12, stop_at: int | None = None) -> tuple[CircleGan, History]:
    def stop(report: Report) -> None:
        if report.rounds_done == stop_at:
            raise KeyboardInterrupt

    game = CircleGan()
    return game, play(game, Circle(), rounds, optimisers=CONFIG, on_round=[board, stop])


def test_one_display_then_updates_and_a_last_picture(notebook: type[Handle]) -> None:
    board = LiveBoard(title="Circle", every=1000)
    trained(board)
    assert [kind for kind, _ in notebook.shown] == ["display", "update"]  # the first round and the last
    bundle = notebook.shown[-1][1]
    assert Image.open(io.BytesIO(bundle["image/png"])).size[0] > 300
    assert bundle["text/plain"].startswith("Circle: round 12 of 12. Loss curves; at the end: D/real 0.")
    assert "so far" in notebook.shown[0][1]["text/plain"]
    assert repr(board).startswith("LiveBoard('Circle: round 12 of 12") and "0x" not in repr(board)


def test_the_last_picture_is_reproducible(notebook: type[Handle]) -> None:
    def sample() -> torch.Tensor:
        return torch.linspace(-1, 1, 3 * 16 * 24).view(3, 16, 24)

    bundles = []
    for _ in range(2):
        board = LiveBoard(sample, every=1000)
        trained(board)
        bundles.append(board._repr_mimebundle_())
    assert bundles[0] == bundles[1] and bundles[0]["image/jpeg"][:2] == b"\xff\xd8"
    assert "and a sample picture" in bundles[0]["text/plain"]


def test_watching_does_not_change_the_training(notebook: type[Handle]) -> None:
    games: list[CircleGan] = []

    def sample() -> torch.Tensor:
        fake = games_in_play[0].draw(192) + torch.rand(192, 2)
        assert not games_in_play[0].G.training and not torch.is_grad_enabled()
        return fake.reshape(3, 8, 16)

    for sampler in (None, sample):
        game = CircleGan()
        games_in_play = [game]
        torch.manual_seed(0)
        play(game, Circle(), 3, optimisers=CONFIG, on_round=LiveBoard(sampler, every=0))
        assert game.G.training
        games.append(game)
    for (name, a), b in zip(games[0].state_dict().items(), games[1].state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_an_interrupt_leaves_the_picture_and_says_so(notebook: type[Handle]) -> None:
    board = LiveBoard(title="Circle", every=1000)
    _, history = trained(board, stop_at=5)
    assert history.interrupted
    assert "round 5 of 12 (interrupted)" in notebook.shown[-1][1]["text/plain"]
    assert "image/png" in notebook.shown[-1][1]


def test_a_terminal_gets_lines() -> None:
    file = io.StringIO()
    printer = ProgressPrinter(title="Circle", every=1000, file=file)
    trained(printer)
    first, last = file.getvalue().splitlines()
    assert first.startswith("Circle: round 1 of 12, 8 %, 0:00 so far, 0:0") and "D/real" in first
    assert last.startswith("Circle: round 12 of 12  D/real")
    assert isinstance(watch(), ProgressPrinter)


def test_a_notebook_gets_a_board(notebook: type[Handle]) -> None:
    assert isinstance(watch(), LiveBoard)


def test_a_sample_of_the_wrong_shape_is_explained(notebook: type[Handle]) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(3, H, W\), not \(1, 3, 4, 4\)"):
        trained(LiveBoard(lambda: torch.zeros(1, 3, 4, 4)))
