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
WIDTH, HEIGHT = 41, 29

around = st.tuples(st.integers(-9, WIDTH + 9), st.integers(-9, HEIGHT + 9)).map(list)
inside = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)).map(list)
codes = st.integers(-1, 3)


def operation(name: str, **values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"op": st.just(name), **values})


box = st.tuples(around, around).map(lambda corners: [*corners[0], *corners[1]])
regions = {"at": st.lists(inside, min_size=1, max_size=3), "inside": st.booleans(), "vacated": st.integers(-2, 3)}
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
    operation("recolour", cls=st.integers(0, 3), colour=st.lists(st.integers(10, 255), min_size=3, max_size=3)),
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


@needs_node
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), operations=st.lists(OPERATIONS, max_size=12))
def test_both_give_the_same_map(browser: Browser, seed: int, operations: list[dict[str, Any]]) -> None:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 4, (4, 5), dtype=np.uint8)
    index = np.kron(coarse, np.ones((8, 9), dtype=np.uint8))[:HEIGHT, :WIDTH]
    state = LayoutState(LabelMap(index, PALETTE))
    palette = [[name, list(colour)] for name, colour in zip(PALETTE.names, PALETTE.colours, strict=True)]
    browser.tell({"begin": {"width": WIDTH, "height": HEIGHT, "palette": palette,
                            "data": index.ravel().tolist(), "source": index.ravel().tolist()}})  # fmt: skip
    for operation in operations:
        if operation.get("amend") and not state.depth[0]:
            continue  # nothing to amend: Python refuses, and the editor never asks
        if operation["op"] == "recolour" and tuple(operation["colour"]) in state.palette.colours:
            continue
        state.apply(operation)
        answer = browser.tell(operation)
        assert answer["depth"] == list(state.depth), operation
        assert answer["crc"] == state.checksum, operation
        assert [tuple(colour) for _, colour in answer["palette"]] == list(state.palette.colours)


@needs_node
@pytest.mark.parametrize("name", ["layout_core", "layout_session", "layout_hand"])
def test_the_browsers_half_passes_its_own_tests(name: str) -> None:
    command = [NODE or "", "--test", str(HERE / f"{name}.test.mjs")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout[-3000:]
