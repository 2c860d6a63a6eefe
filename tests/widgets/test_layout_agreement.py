"""The browser's copy of the operations and Python's give the same map, pixel for pixel, whatever is done."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.labelmaps import LabelMap, Palette
from lib.widgets.layout_state import LayoutState

HERE = Path(__file__).parent
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed: the browser's half cannot be run here")
PALETTE = Palette(("sky", "ground", "ball", "bud"), ((70, 130, 220), (60, 160, 60), (220, 60, 40), (9, 9, 9)))
SIZES = ((41, 29), (64, 40), (17, 60), (22, 3))

around = st.tuples(st.integers(-9, 73), st.integers(-9, 69)).map(list)
inside = st.tuples(st.integers(0, 63), st.integers(0, 59)).map(list)  # brought into a smaller map by `fitting`
codes = st.integers(-1, 6)
names = st.text("abc", min_size=1, max_size=2)
colours = st.lists(st.integers(10, 255), min_size=3, max_size=3)


def operation(kind: str, /, **values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"op": st.just(kind), **values})


box = st.tuples(around, around).map(lambda corners: [*corners[0], *corners[1]])
regions = {"at": st.lists(inside, min_size=1, max_size=3), "inside": st.booleans(), "vacated": st.integers(-2, 6)}
OPERATIONS = st.one_of(
    operation("brush", points=st.lists(around, min_size=1, max_size=6), radius=st.integers(0, 7),
              square=st.booleans(), cls=codes),
    operation("fill", at=inside, cls=codes),
    operation("polygon", points=st.lists(around, min_size=1, max_size=8), cls=codes),
    operation("rectangle", box=box, cls=codes),
    operation("ellipse", box=box, cls=codes),
    operation("move", **regions, dx=st.integers(-20, 20), dy=st.integers(-20, 20), scale=st.floats(0.2, 4.0),
              angle=st.one_of(st.floats(-360, 360), st.sampled_from([0.0, 30.0, 45.0, 60.0, 90.0, 180.0, -90.0])),
              flip=st.lists(st.booleans(), min_size=2, max_size=2), copy=st.booleans(), amend=st.booleans()),
    operation("delete", **regions),
    operation("add", name=names, colour=colours),
    operation("rename", cls=st.integers(0, 6), name=names),
    operation("recolour", cls=st.integers(0, 6), colour=colours),
    operation("undo"), operation("redo"), operation("reset"),
)  # fmt: skip


class Browser:
    """The layout of the browser, in node."""

    def __init__(self) -> None:
        assert NODE is not None
        self.process = subprocess.Popen(
            [NODE, str(HERE / "replay_layout.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    there = Browser()
    yield there
    there.process.kill()
    there.process.communicate()


def fitting(operation: dict[str, Any], state: LayoutState) -> dict[str, Any] | None:
    """The operation with classes and pixels of the map; None for what Python refuses and the editor never asks."""
    made = dict(operation)
    for key in {"cls", "vacated"} & made.keys():
        made[key] = made[key] if made[key] < 0 else made[key] % len(state.palette)
    if made["op"] in ("fill", "move", "delete"):
        points = [made["at"]] if made["op"] == "fill" else made["at"]
        points = [[x % state.width, y % state.height] for x, y in points]
        made["at"] = points[0] if made["op"] == "fill" else points
    if made.get("amend") and not state.depth[0]:
        return None
    if made.get("name") in state.palette.names or tuple(made.get("colour", ())) in state.palette.colours:
        return None
    return made


@needs_node
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), size=st.sampled_from(SIZES), operations=st.lists(OPERATIONS, max_size=14))
def test_both_give_the_same_map(
    browser: Browser, seed: int, size: tuple[int, int], operations: list[dict[str, Any]]
) -> None:
    width, height = size
    coarse = np.random.default_rng(seed).integers(0, 4, (8, 8), dtype=np.uint8)
    index = np.kron(coarse, np.ones((8, 9), dtype=np.uint8))[:height, :width]
    state = LayoutState(LabelMap(index, PALETTE))
    palette = [[name, list(colour)] for name, colour in zip(PALETTE.names, PALETTE.colours, strict=True)]
    browser.tell({"begin": {"width": width, "height": height, "palette": palette,
                            "data": index.ravel().tolist(), "source": index.ravel().tolist()}})  # fmt: skip
    for asked in operations:
        operation = fitting(asked, state)
        if operation is None:
            continue
        state.apply(operation)
        answer = browser.tell(operation)
        assert answer["depth"] == list(state.depth), operation
        assert answer["crc"] == state.checksum, operation
        assert answer["palette"] == [
            [name, list(colour)] for name, colour in zip(state.palette.names, state.palette.colours, strict=True)
        ]


@needs_node
@pytest.mark.parametrize("name", ["layout_core", "layout_session", "layout_hand", "layout_keys"])
def test_the_browsers_half_passes_its_own_tests(name: str) -> None:
    command = [NODE or "", "--test", str(HERE / f"{name}.test.mjs")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout[-3000:]
