"""Sliders paint the newest values, say what went wrong, and show what an output sees."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from lib.nn.receptive_field import Layer
from lib.widgets.field_explorer import field_explorer, field_picture
from lib.widgets.sliders import Range, SliderBoard, SliderError

RANGES = {"smile": Range(-1, 1, 0), "age": Range(0, 5, 2, 1)}


def paint(values: Mapping[str, float]) -> Tensor:
    if values["age"] == 5:
        raise RuntimeError("too old")
    return torch.full((3, 8, 8), values["smile"]) + 0.1 * values["age"]


def test_a_slider_moves_the_picture() -> None:
    board = SliderBoard(paint, RANGES, scale=2)
    assert board.wait(5) and board.picture is not None and float(board.picture[0, 0, 0]) == pytest.approx(0.2)
    before = board.shown
    board.set_state({"values": {"smile": 0.5, "age": 2}})  # as a hand does
    assert board.wait(5) and float(board.picture[0, 0, 0]) == pytest.approx(0.7)
    assert board.shown != before and board.size == [16, 16]
    board.set(age=0, smile=-1)
    assert float(board.picture[0, 0, 0]) == -1 and board.values == {"smile": -1, "age": 0}


def test_errors_are_shown_inside_and_the_next_value_is_painted() -> None:
    board = SliderBoard(paint, RANGES)
    board.set(age=5)
    assert board.caption == "too old"
    board.set(age=1)
    assert "painted" in board.caption


def test_a_front_end_may_send_anything() -> None:
    board = SliderBoard(paint, RANGES)
    board.set_state({"values": {"smile": 99, "age": 2.7, "frown": 1}})
    assert board.values == {"smile": 1.0, "age": 3} and isinstance(board.values["age"], int)
    board.set_state({"values": {}})
    assert board.values == {"smile": 0, "age": 2}


def test_places_have_names() -> None:
    hair = Range.of("as it is", "blond", "black")
    assert (hair.low, hair.high, hair.start, hair.step) == (0, 2, 0, 1)
    assert SliderBoard(lambda _: torch.zeros(3, 4, 4), {"hair": hair}).ranges["hair"]["names"] == hair.names
    assert repr(SliderBoard(lambda _: torch.zeros(3, 4, 4), {"hair": hair})) == "SliderBoard(hair as it is)"


@pytest.mark.parametrize("values", [{"smile": 2}, {"frown": 0}])
def test_values_outside_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(SliderError, match="smile from -1 to 1, age from 0 to 5"):
        SliderBoard(paint, RANGES).set(**values)


def test_ranges_without_sense_are_refused() -> None:
    for low, high, start, step in ((0, 1, 2, 0.1), (1, 0, 0.5, 0.1), (0, 1, 0, 0)):
        with pytest.raises(SliderError):
            Range(low, high, start, step)


def test_a_picture_stands_in_where_widgets_are_not_shown() -> None:
    bundle = SliderBoard(paint, RANGES)._repr_mimebundle_()
    assert bundle is not None and bundle[0]["image/jpeg"]
    assert bundle[0]["text/plain"] == "The picture of these values: smile 0, age 2"


STRIDED = [Layer(4, 2, 1), Layer(4, 2, 1)]  # sees 10 px, one output every 4


def test_the_window_of_an_output_is_in_full_light() -> None:
    image = torch.zeros(3, 40, 40)
    shown = field_picture(image, STRIDED, 4, 5)
    lit = shown[2] > -0.5  # the photo (0) and the frame (-0.2) against the dark (-0.65)
    rows, columns = lit.any(1).nonzero()[:, 0], lit.any(0).nonzero()[:, 0]
    assert (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1) == (13, 23, 17, 27)
    assert torch.equal(shown[:, 14:22, 18:26], image[:, 14:22, 18:26])
    assert torch.allclose(field_picture(image, STRIDED, 99, 0), torch.full_like(image, -0.65))  # outside: nothing


def test_the_explorer_keeps_the_place_when_the_network_changes() -> None:
    board = field_explorer(torch.zeros(3, 40, 40), {"small": [Layer(3, 1, 1)], "large": STRIDED}, scale=1)
    board.set(row=20, column=24)

    def lit() -> tuple[float, float, int]:
        assert board.picture is not None
        places = (board.picture[2] > -0.5).nonzero().float()
        return float(places[:, 0].mean()), float(places[:, 1].mean()), len(places)

    row, column, size = lit()
    board.set(network=1)
    larger = lit()
    assert size == 9 and larger[2] == 100
    assert abs(larger[0] - row) < 4 and abs(larger[1] - column) < 4
