"""Columns, smoothing and JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.games.game import Turn
from lib.training.history import History

numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60)


def recorded(values: list[float], every: int = 1) -> History:
    history = History()
    for index, value in enumerate(values):
        history.record(index * every, Turn("G", gan=torch.tensor(value)))
    return history


@given(numbers, st.integers(1, 70))
def test_smoothing_is_the_trailing_mean(values: list[float], window: int) -> None:
    expected = [np.mean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))]
    np.testing.assert_allclose(recorded(values).smoothed("G/gan", window), expected, rtol=1e-7, atol=1e-5)


@given(numbers, st.integers(0, 130))
def test_truncate_forgets_later_rounds(values: list[float], done: int) -> None:
    history = recorded(values, every=2)
    history.truncate(done)
    kept = [value for index, value in enumerate(values) if 2 * index < done]
    assert (history.values("G/gan").tolist() if kept else []) == kept
    assert len(history) == max(0, 2 * len(kept) - 1)


def test_terms_that_skip_rounds_keep_their_own_rounds() -> None:
    history = History()
    for index in range(4):
        history.record(index, Turn("G", **{"rec" if index % 2 else "gan": torch.tensor(float(index))}))
    assert history.rounds("G/gan").tolist() == [0, 2] and history.rounds("G/rec").tolist() == [1, 3]
    assert history.tail(1) == {"G/gan": 2.0, "G/rec": 3.0}
    with pytest.raises(KeyError, match="has G/gan, G/rec"):
        history.values("G/seg")


def test_recording_does_not_wait_for_the_device() -> None:
    """A meta tensor has no value to read, so a record that read it would raise."""
    history = History()
    history.record(0, Turn("G", gan=torch.zeros((), device="meta")))


def test_non_finite_is_found_named_and_forgotten() -> None:
    history = recorded([1.0, math.inf, 2.0, math.nan])
    bad = history.non_finite()
    assert bad is not None and (bad.player, bad.term, bad.round) == ("G", "gan", 1)
    assert json.loads(history.to_json())["columns"]["G/gan"]["values"] == [1.0, None, 2.0, None]
    history.truncate(1)
    assert history.non_finite() is None


def test_state_round_trip_is_exact() -> None:
    history = recorded([0.1, 1e-30, 3.0])
    history.seconds = 1.5
    other = History()
    other.load_state_dict(history.state_dict())
    assert other.to_json() == history.to_json() and "3 rounds: G/gan" in repr(other)
    other.record(3, Turn("G", gan=torch.tensor(4.0)))
    assert len(other) == 4 and len(history) == 3
