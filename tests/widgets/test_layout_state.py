"""The operations of the layout editor, by examples and by properties, without a browser."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from lib.images import ImageError
from lib.labelmaps import LabelError, LabelMap, Palette, read_label_map
from lib.widgets.layout_shapes import brushed, ellipse, healed, polygon
from lib.widgets.layout_state import HISTORY, SOURCE, LayoutEditError, LayoutState
from tests.scenes import PALETTE, labels

Rows = list[str]


def state(*rows: str) -> LayoutState:
    return LayoutState(LabelMap(np.array([list(row) for row in rows]).astype(np.uint8), PALETTE))


def shown(there: LayoutState) -> Rows:
    return ["".join(map(str, row)) for row in there.map.index.tolist()]


def scene() -> LayoutState:
    return LayoutState(LabelMap(labels(32, 48), PALETTE))


# ------------------------------------------------------------------------------------------------ painting


def test_each_brush_size_has_its_shape() -> None:
    disc = brushed((7, 9), [(4, 3)], 2)
    assert disc.sum() == 21 and not disc[1, 2] and disc[1, 3]
    assert brushed((7, 9), [(4, 3)], 0).sum() == 1
    assert brushed((7, 9), [(4, 3)], 2, square=True).sum() == 25
    assert brushed((7, 9), [(-20, 3)], 2).sum() == 0  # all of it off the map


def test_a_stroke_has_no_gaps() -> None:
    line = brushed((50, 50), [(2, 3), (45, 31), (7, 40)], 0)
    assert line[3, 2] and line[31, 45] and line[40, 7]
    assert ndimage.label(line, np.ones((3, 3)))[1] == 1


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 29)), min_size=1, max_size=5), st.integers(0, 6))
def test_a_stroke_is_what_lies_within_its_radius(points: list[tuple[int, int]], radius: int) -> None:
    line = np.argwhere(brushed((30, 40), points, 0))
    rows, columns = np.indices((30, 40))
    nearest = ((rows[..., None] - line[:, 0]) ** 2 + (columns[..., None] - line[:, 1]) ** 2).min(axis=2)
    assert np.array_equal(brushed((30, 40), points, radius), nearest <= radius * radius + radius)


def test_bucket_eraser_and_eyedropper() -> None:
    there = state("00200", "00200", "00200")
    there.fill((0, 0), "ground")
    assert shown(there) == ["11200", "11200", "11200"]
    there.erase([(0, 0), (0, 2)], radius=0)
    assert shown(there) == ["01200", "01200", "01200"]
    assert there.pick((2, 1)) == "ball" and there.pick((4, 2)) == "sky"
    there.fill((2, 0), SOURCE)
    assert shown(there) == ["01200", "01200", "01200"]


def test_shapes() -> None:
    there = state(*["000000"] * 5)
    there.rectangle((3, 3), (1, 1), "ball")
    assert shown(there) == ["000000", "022200", "022200", "022200", "000000"]
    there.reset()
    there.polygon([(0, 0), (4, 0), (0, 4)], 1)
    assert shown(there) == ["111110", "111100", "111000", "110000", "100000"]
    square = polygon((20, 20), [(2, 2), (12, 2), (12, 12), (2, 12)])
    assert square.sum() == 121
    round_ = ellipse((60, 60), (5, 10, 54, 39))
    assert abs(round_.sum() / (np.pi * 25 * 15) - 1) < 0.02 and round_[10].any() and not round_[9].any()


# ------------------------------------------------------------------------------------------------- regions


def test_a_move_carries_what_is_enclosed_and_heals_its_place() -> None:
    there = state("00000000", "01110000", "01210000", "01110000", "00000000")
    ring = there.select((1, 1))
    assert there.mask(ring).sum() == 9 and there.mask(there.select((1, 1), inside=False)).sum() == 8
    there.move(ring, dx=4)
    assert shown(there) == ["00000000", "00000111", "00000121", "00000111", "00000000"]
    there.move(ring, dx=1, amend=True)  # on second thoughts: from where it was at first
    assert shown(there)[2] == "00121000" and there.depth == (1, 0)
    there.undo()
    assert shown(there)[2] == "01210000"


def test_copies_turns_flips_and_scales() -> None:
    there = state("00000", "01110", "01000", "01000", "00000")
    hook = there.select((1, 1), inside=False)
    there.move(hook, angle=90)
    assert shown(there) == ["00000", "01110", "00010", "00010", "00000"]
    there.undo()
    there.move(hook, flip=(False, True))
    assert shown(there) == ["00000", "01000", "01000", "01110", "00000"]
    there.reset()
    there.duplicate(hook, dx=1, dy=1)
    assert shown(there) == ["00000", "01110", "01111", "01100", "00100"]
    grown = scene()
    ball = grown.select((14, 17))
    before = grown.mask(ball).sum()
    grown.move(ball, scale=1.5, dy=-2)
    assert 2.0 < grown.map.shares()[2] * 32 * 48 / before < 2.5  # 1.5 squared


@pytest.mark.parametrize(
    ("vacated", "row"), [("nearest", "0000111"), ("sky", "0000011"), (1, "0011111"), (SOURCE, "0022211")]
)
def test_a_deleted_region_becomes_what_is_asked(vacated: int | str, row: str) -> None:
    there = state("0022211")
    there.delete(there.select((3, 0)), vacated=vacated)
    assert shown(there) == [row]


@given(st.integers(0, 1000))
def test_healing_takes_a_nearest_class(seed: int) -> None:
    random = np.random.default_rng(seed)
    index = random.integers(0, 3, (9, 11), dtype=np.uint8)
    hole = random.random((9, 11)) < 0.6
    hole[0, 0] = False
    found = healed(index, hole)
    assert np.array_equal(found[~hole], index[~hole])
    outside = np.argwhere(~hole)
    for row, column in np.argwhere(hole):
        distance = ((outside - (row, column)) ** 2).sum(axis=1)
        classes = index[tuple(outside[distance == distance.min()].T)]
        assert found[row, column] == classes.min()


@given(dx=st.integers(-10, 10), dy=st.integers(-8, 8))
def test_a_region_that_stays_inside_keeps_its_size_and_comes_back(dx: int, dy: int) -> None:
    index = np.zeros((40, 40), np.uint8)
    index[15:22, 12:25] = 1
    index[17:19, 15:20] = 2
    there = LayoutState(LabelMap(index, PALETTE))
    box = there.select((12, 15))
    there.move(box, dx=dx, dy=dy)
    assert np.array_equal(there.map.index, np.roll(index, (dy, dx), (0, 1)))
    there.move(there.select((12 + dx, 15 + dy)), dx=-dx, dy=-dy)
    assert np.array_equal(there.map.index, index)


# ------------------------------------------------------------------------------------------------- history


def scribble(there: LayoutState, seed: int, steps: int) -> list[npt.NDArray[np.uint8]]:
    random, seen = np.random.default_rng(seed), [there.map.index]
    for _ in range(steps):
        at = int(random.integers(48)), int(random.integers(32))
        there.brush([at], int(random.integers(3)), radius=int(random.integers(1, 6)))
        if not np.array_equal(seen[-1], there.map.index):
            seen.append(there.map.index)
    return seen


@given(st.integers(0, 10_000))
def test_undo_and_redo_walk_the_same_path(seed: int) -> None:
    there = scene()
    seen = scribble(there, seed, 12)
    for index in reversed(seen[:-1]):
        assert there.undo() and np.array_equal(there.map.index, index)
    assert not there.undo()
    for index in seen[1:]:
        assert there.redo() and np.array_equal(there.map.index, index)
    assert not there.redo()


def test_more_than_a_hundred_steps_are_kept_and_not_without_end() -> None:
    there = state("0" * 60, "0" * 60, "0" * 60, "0" * 60, "0" * 60)
    for number in range(300):
        there.brush([(number % 60, number // 60)], 1, radius=0)
    assert there.depth == (HISTORY, 0) and HISTORY >= 100
    while there.undo():
        pass
    assert there.map.index.sum() == 300 - HISTORY


def test_an_edit_ends_the_redo_and_nothing_is_no_step() -> None:
    there = state("0022")
    there.fill((0, 0), 0)
    assert there.depth == (0, 0)
    there.fill((0, 0), 1)
    there.undo()
    there.fill((3, 0), 1)
    assert there.depth == (1, 0) and shown(there) == ["0011"]
    there.reset()
    there.undo()
    assert shown(there) == ["0011"]  # a reset is a step like any other


# ------------------------------------------------------------------------------------------------- palette


def test_classes_are_added_renamed_and_recoloured_and_all_of_it_is_undone() -> None:
    there = scene()
    number = there.add_class("boat", (1, 2, 3))
    there.rectangle((0, 0), (9, 9), "boat")
    there.rename_class("boat", "ship")
    there.recolour_class(number, (200, 200, 0))
    assert there.map.palette.names == ("sky", "ground", "ball", "ship")
    assert there.palette.colours[3] == (200, 200, 0) and there.pick((4, 4)) == "ship"
    for _ in range(4):
        there.undo()
    assert there.palette == PALETTE and there.depth == (0, 4)


@pytest.mark.parametrize("name", ["sky", "", "   ", "x" * 61, "line\nbreak"])
def test_bad_names_are_refused(name: str) -> None:
    there = scene()
    with pytest.raises(LayoutEditError):
        there.add_class(name, (1, 2, 3))
    assert there.palette == PALETTE and there.depth == (0, 0)


# --------------------------------------------------------------------------------------------------- files


def test_export_and_import_are_exact_and_one_step() -> None:
    there, other = scene(), scene()
    there.brush([(3, 3), (30, 20)], "ball", radius=3)
    data = there.export_map()
    assert Image.open(io.BytesIO(data)).mode == "P"
    assert np.array_equal(read_label_map(data).index, there.map.index)
    assert other.import_map(data) == "" and np.array_equal(other.map.index, there.map.index)
    assert other.depth == (1, 0)


def test_other_files_are_resized_cleaned_or_refused() -> None:
    there = scene()
    large = there.map.resized(96, 144).to_pil().convert("RGB")
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=70)
    note = there.import_map(buffer.getvalue())
    assert "snapped" in note and np.mean(there.map.index != labels(32, 48)) < 0.01
    before = there.map.index
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(LabelError, match="photo"):
        there.import_map(noise)
    with pytest.raises(ImageError):
        there.import_map(b"no picture")
    stranger = Palette((*PALETTE.names, "boat"), (*PALETTE.colours, (250, 0, 250)))
    index = labels(32, 48)
    index[:10, :20] = 3
    with pytest.raises(LabelError, match="unseen"):
        there.import_map(LabelMap(index, stranger).to_pil().convert("RGB"))
    assert np.array_equal(there.map.index, before)


# -------------------------------------------------------------------------------------------------- errors

BRUSH: dict[str, Any] = {"op": "brush", "points": [[1, 1]], "radius": 2, "square": False, "cls": 1}
MOVE: dict[str, Any] = {"op": "move", "at": [[3, 3]], "inside": True, "dx": 0, "dy": 0, "scale": 1.0, "angle": 0,
                        "flip": [False, False], "copy": False, "vacated": -2, "amend": False}  # fmt: skip


@pytest.mark.parametrize(
    "operation",
    [
        {}, {"op": "explode"}, {"op": 3}, BRUSH | {"points": []}, BRUSH | {"points": [[1]]},
        BRUSH | {"points": [[1, float("nan")]]}, BRUSH | {"points": [[1e9, 1]]}, BRUSH | {"points": "ab"},
        BRUSH | {"points": [[0.5, 1]]}, BRUSH | {"radius": -1}, BRUSH | {"radius": 999}, BRUSH | {"cls": 3},
        BRUSH | {"cls": -2}, BRUSH | {"cls": True}, BRUSH | {"square": 1}, BRUSH | {"points": [[1, 1]] * 20_001},
        MOVE | {"scale": 0}, MOVE | {"scale": float("inf")}, MOVE | {"at": [[99, 0]]}, MOVE | {"flip": [True]},
        MOVE | {"amend": True}, MOVE | {"dx": "1"}, {"op": "rename", "cls": -1, "name": "x"},
        {"op": "add", "name": "boat", "colour": [1, 2, 300]}, {"op": "recolour", "cls": 0, "colour": [60, 160, 60]},
        {"op": "rectangle", "box": [1, 2, 3], "cls": 0},
    ],
)  # fmt: skip
def test_operations_that_make_no_sense_change_nothing(operation: dict[str, Any]) -> None:
    there = scene()
    before = there.map
    with pytest.raises(LayoutEditError) as caught:
        there.apply(operation)
    assert there.map.palette == before.palette and np.array_equal(there.map.index, before.index)
    assert there.depth == (0, 0) and "\n" not in str(caught.value)


def test_numbers_of_numpy_and_names_of_classes_are_welcome() -> None:
    there = scene()
    there.brush(np.array([[1, 2], [5, 6]]).tolist(), np.uint8(2), radius=np.int64(1))  # type: ignore[arg-type]
    assert there.pick((1, 2)) == "ball"
    with pytest.raises(LayoutEditError, match="the classes are sky, ground, ball"):
        there.fill((0, 0), "clouds")


def test_a_source_of_another_size_is_refused() -> None:
    with pytest.raises(LayoutEditError, match="size"):
        LayoutState(LabelMap(labels(32, 48), PALETTE), source=LabelMap(labels(32, 40), PALETTE))
