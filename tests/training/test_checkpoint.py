"""Checkpoints: exact, atomic, and plain about what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import lib.training.checkpoint as checkpoint_module
from lib.training.checkpoint import (
    CheckpointError,
    load_training,
    load_weights,
    read_card,
    save_training,
    save_weights,
    weights_card,
)
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.play import NonFiniteLoss, OptimConfig, Report, play
from lib.training.state import StateError, Training, flatten, unflatten
from tests.training.toys import Circle, CircleGan

CONFIG = OptimConfig(lr={"D": 3e-3, "G": 2e-3})


def fresh(seed: int = 0, width: int = 8) -> Training:
    game = CircleGan(seed, width)
    return Training(game, CONFIG.build(game), Circle(seed + 1), EMA(game.G, 0.9), History())


def train(training: Training, rounds: int, stop_at: int | None = None, **options: Any) -> History:
    def stop(report: Report) -> None:
        # Global randomness is part of the state too.
        torch.rand(1)
        if report.rounds_done == stop_at:
            raise KeyboardInterrupt

    assert training.stream is not None
    return play(
        training.game,
        training.stream,
        rounds,
        optimisers=training.optimisers,
        schedule=lambda p: 1 - 0.5 * p,
        ema=training.ema,
        history=training.history,
        on_round=stop,
        **options,
    )


def everything(training: Training) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    tree = checkpoint_module.capture(training)
    tree["history"].pop("seconds")
    tensors["skeleton"] = torch.tensor(list(json.dumps(flatten(tree, "state", tensors)).encode()))
    return tensors


def assert_same(one: Training, other: Training) -> None:
    a, b = everything(one), everything(other)
    assert a.keys() == b.keys()
    assert all(any(part in name for name in a) for part in ("exp_avg_sq", "ema/module", "history/columns"))
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype and torch.equal(tensor, b[name]), name


def test_resume_equals_an_uninterrupted_training_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    torch.manual_seed(7)
    whole = fresh()
    train(whole, 24)
    after = torch.rand(3)

    torch.manual_seed(7)
    history = train(fresh(), 24, stop_at=12, checkpoint=path)
    assert history.interrupted
    torch.manual_seed(99)
    second = fresh(seed=5)  # other weights, noise and data: all must come from the file
    train(second, 24, checkpoint=path, resume=True)
    assert torch.equal(torch.rand(3), after)
    assert len(second.history or ()) == 24
    assert_same(whole, second)


def test_resume_continues_the_seconds_and_needs_no_file(tmp_path: Path) -> None:
    path, training = tmp_path / "a.safetensors", fresh()
    train(training, 5, checkpoint=path, resume=True)
    seconds = training.history.seconds if training.history else 0
    again = fresh()
    train(again, 6, checkpoint=path, resume=True)
    assert again.game.rounds_done == 6 and again.history is not None and again.history.seconds > seconds > 0


def test_channels_last_moments_survive(tmp_path: Path) -> None:
    """Fused Adam reads memory in order, so a restored moment needs the layout of its weight."""
    game = CircleGan()
    game.D = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Flatten(), nn.Linear(6, 1))
    game.to(memory_format=torch.channels_last)
    training = Training(game, CONFIG.build(game))
    for p in game.parameters_of("D"):
        p.grad = torch.randn_like(p)
    training.optimisers["D"].step()
    save_training(tmp_path / "a.safetensors", training)
    before = training.optimisers["D"].state[game.D[0].weight]["exp_avg"].clone()
    load_training(tmp_path / "a.safetensors", training)
    restored = training.optimisers["D"].state[game.D[0].weight]["exp_avg"]
    assert torch.equal(before, restored)
    assert restored.stride() == game.D[0].weight.stride() != restored.contiguous().stride()


def test_checkpoints_are_written_on_time_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    monkeypatch.setattr("lib.training.guard.save_training", lambda path, t: saved.append(t.game.rounds_done))
    train(fresh(), 4, checkpoint="a.safetensors", checkpoint_every_s=0)
    train(fresh(), 3, checkpoint="a.safetensors")
    assert saved == [1, 2, 3, 4, 4, 3]


def test_nan_is_never_saved(tmp_path: Path) -> None:
    path, training = tmp_path / "a.safetensors", fresh()
    train(training, 3, checkpoint=path)
    good = path.read_bytes()
    with torch.no_grad():
        training.game.D[0].weight.fill_(torch.nan)
    with pytest.raises(NonFiniteLoss):
        train(training, 4, checkpoint=path, checkpoint_every_s=0)
    assert path.read_bytes() == good
    with pytest.raises(CheckpointError, match=r"'0\.weight' holds NaN"):
        save_weights(path, training.game.D, {})


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path, training = tmp_path / "a.safetensors", fresh()
    save_training(path, training)
    old = path.read_bytes()

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    train(training, 2)
    monkeypatch.setattr(os, call, crash)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_training(path, training)
    monkeypatch.undo()
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
    load_training(path, training)
    assert training.game.rounds_done == 0


def refused(path: Path, training: Training, message: str) -> None:
    before = everything(training)
    with pytest.raises(CheckpointError, match=message):
        load_training(path, training)
    for name, tensor in everything(training).items():
        assert torch.equal(tensor, before[name]), name  # nothing was half loaded


def test_bad_files_are_explained_and_change_nothing(tmp_path: Path) -> None:
    path, training = tmp_path / "a.safetensors", fresh()
    refused(path, training, "There is no checkpoint")
    save_training(path, training)
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refused(path, training, "not a whole safetensors file")
    flipped = bytearray(content)
    flipped[-3] ^= 1
    path.write_bytes(flipped)
    refused(path, training, "damaged after it was written")
    path.write_bytes(b"PK\x03\x04 not this format" * 100)
    refused(path, training, "not a whole safetensors file")
    save_file({"w": torch.ones(2)}, path)
    refused(path, training, "not written by this library")


def test_another_architecture_or_set_up_is_explained(tmp_path: Path) -> None:
    path, training = tmp_path / "a.safetensors", fresh()
    train(training, 1)
    save_training(path, training)
    refused(path, fresh(width=9), r"'G\.0\.weight' has shape \(8, 3\) in the file, \(9, 3\) here")
    other = fresh()
    other.game.D.extra = nn.Linear(1, 1)
    refused(path, other, r"'D\.extra\.weight' and 1 other tensors are not in the file")
    other = fresh()
    del other.game.frozen
    refused(path, other, r"'frozen\.weight' and 1 other tensors have no place here")
    other = fresh()
    other.ema = None
    refused(path, other, "saved with ema, unlike this training")
    other = fresh()
    other.optimisers = {p: torch.optim.SGD(other.game.parameters_of(p), lr=0.1) for p in other.game.players}
    refused(path, other, "player 'D' used Adam, but now uses SGD")


def test_weights_round_trip_with_their_card(tmp_path: Path) -> None:
    path, game = tmp_path / "g.safetensors", CircleGan()
    card = weights_card(config=CONFIG, seed=3, data="circle", metrics={"distance": 0.25}, device="cpu", seconds=1.234)
    save_weights(path, game.G, card)
    other = CircleGan(seed=4).G
    read = load_weights(path, other)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in game.G.state_dict().items())
    assert read == read_card(path) == json.loads((tmp_path / "g.json").read_text()) and read["seed"] == 3
    assert read["config"]["lr"] == {"D": 3e-3, "G": 2e-3} and read["versions"]["torch"] == torch.__version__
    with pytest.raises(CheckpointError, match=r"holds other networks: '0\.weight' has shape"):
        load_weights(path, CircleGan(width=9).G)
    with pytest.raises(CheckpointError, match=r"holds weights, not .*; open it with load_weights"):
        load_training(path, fresh())
    save_training(path, fresh())
    with pytest.raises(CheckpointError, match=r"holds training .*; open it with load_training"):
        load_weights(path, other)
    with pytest.raises(CheckpointError, match="must end in"):
        save_weights(tmp_path / "g.pt", game.G, card)
    with pytest.raises(CheckpointError, match="not plain JSON"):
        save_weights(path, game.G, {"loss": float("nan")})


def test_a_tree_survives_flattening() -> None:
    tree: dict[Any, Any] = {
        3: ("x", {"y": torch.arange(3)}),
        "a/b": torch.ones(1),
        "a": {"b": torch.zeros(2), "c": [1, 2.5, None, True]},  # its b has the same path as "a/b"
    }
    tensors: dict[str, torch.Tensor] = {}
    back = unflatten(json.loads(json.dumps(flatten(tree, "t", tensors))), tensors)
    assert list(back) == list(tree) and back[3][0] == "x" and isinstance(back[3], tuple)
    assert back["a"]["c"] == [1, 2.5, None, True]
    assert torch.equal(back["a"]["b"], torch.zeros(2)) and torch.equal(back["a/b"], torch.ones(1))
    with pytest.raises(StateError, match="t/x holds a set"):
        flatten({"x": {1}}, "t", {})
