"""The smaller widgets in a real JupyterLab: people vote, go on another day, move sliders, and save their answers."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.widgets.hand import barriers
from tests.widgets.lab import CHROMIUM, browser, open_notebook, run_cell, server

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="pip install playwright drives Chromium"),
]
STUDIES = (
    """
import torch
from pathlib import Path
from lib.widgets.mos import RatingSession
from lib.widgets.mos_view import rating_view
from lib.widgets.ranking import RankingSession
from lib.widgets.ranking_view import ranking_view
def paint(image, method="left"): return torch.full((3, 24, 32), 0.1 * len(image + method) - 1)
def again(kind, file, *about):
    return kind.load(file) if Path(file).exists() else kind(*about, seed=1, rater="Ann Bo")""",
    "rating = again(RatingSession, 'rating.json', ['cat', 'brick'], ['nearest', 'SRGAN'])\n"
    "rating_view(rating, paint, save=Path('rating.json'))",
    "ranking = again(RankingSession, 'ranking.json', ['cat', 'brick'], ['SinGAN', 'SPADE', 'ours'])\n"
    "ranking_view(ranking, paint, paint, save=Path('ranking.json'))",
    "import json; print(json.dumps([[score for _, score in rating.ratings], [who for _, who in ranking.rankings]]))",
    "from lib.widgets.sliders import Range, SliderBoard\n"
    "ranges = {'light': Range(-1, 1, 0, 0.1), 'hair': Range.of('grey', 'blond')}\n"
    "board = SliderBoard(lambda at: torch.full((3, 8, 8), at['light'] / 2), ranges)\nboard",
    "board.wait(); print(json.dumps([board.values, board.picture.mean().item()]))",
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A notebook with a rating and a ranking."""
    folder, home = tmp_path_factory.mktemp("book"), tmp_path_factory.mktemp("home")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in STUDIES])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "studies.ipynb")
    with server(folder, home) as address, browser(home) as own:
        open_notebook(own, address, "studies.ipynb")
        for number in range(3):
            run_cell(own, number)
        own.folder = folder
        own.rating, own.ranking = (own.locator(".question-board").nth(number) for number in (0, 1))
        yield own


def says(board: Any, text: str) -> None:
    board.locator(".qb-line", has_text=text).wait_for()


def test_raters_vote_with_mouse_and_keys(study: Any) -> None:
    study.rating.get_by_role("button", name="4 good").click()
    says(study.rating, "2 of 4")
    for key, text in (("2", "3 of 4"), ("Backspace", "2 of 4"), ("Enter", "1 of 4"), ("5", "2 of 4")):
        study.keyboard.press(key)  # Enter presses the button in focus, which is "back"
        says(study.rating, text)
    study.ranking.locator("img").click()
    for key, text in (("b", "So far: B"), ("a", "2 of 2"), ("c", "So far: C"), ("d", "So far: C"), ("d", "So far: C")):
        study.keyboard.press(key)
        says(study.ranking, text)
    assert study.locator(".jp-Notebook .jp-Cell").count() == len(STUDIES)  # no key has reached the notebook
    assert not barriers(study, ".question-board")
    assert [len(given) for given in json.loads(run_cell(study, 3))] == [1, 1]


def test_sliders_move_with_keys_and_repaint(study: Any) -> None:
    run_cell(study, 4)
    light, hair = study.get_by_label("light"), study.get_by_label("hair")
    light.focus()
    for key in ("ArrowRight", "ArrowRight", "d", "d"):
        study.keyboard.press(key)
    hair.press("ArrowRight")
    assert hair.get_attribute("aria-valuetext") == "blond" and not barriers(study, ".slider-board")
    values, mean = json.loads(run_cell(study, 5))
    assert values == {"light": 0.2, "hair": 1} and round(mean, 4) == 0.1
    study.get_by_role("button", name="reset").click()
    assert json.loads(run_cell(study, 5))[0] == {"light": 0, "hair": 0}
    assert study.locator(".jp-Notebook .jp-Cell").count() == len(STUDIES)


def test_raters_go_on_another_day_and_save_their_answers(study: Any, tmp_path: Path) -> None:
    for number in (1, 2):
        run_cell(study, number)  # the answers are read from the files
    says(study.rating, "2 of 4")
    assert not study.get_by_role("link", name="Save the answers").count()  # it would tell who painted what
    for text in ("3 of 4", "4 of 4", "SRGAN"):
        study.rating.get_by_role("button", name="1 bad").click()
        says(study.rating, text)
    says(study.ranking, "2 of 2")
    for letter in "AC":
        study.ranking.get_by_role("button", name=letter, exact=True).click()
    says(study.ranking, "Done")
    scores, orders = json.loads(run_cell(study, 3))
    assert scores == [5, 1, 1, 1] and len(orders) == 2
    for board, kind, rows in ((study.rating, "rating", 4), (study.ranking, "ranking", 6)):
        with study.expect_download() as found:
            board.get_by_role("link", name="Save the answers as CSV").click()
        found.value.save_as(tmp_path / kind)
        assert found.value.suggested_filename == f"{kind}_session_Ann_Bo.csv"
        assert len((tmp_path / kind).read_text().splitlines()) == rows + 1


def test_a_picture_of_each_is_saved_with_the_notebook(study: Any) -> None:
    study.locator(".jp-InputPrompt").first.click()
    study.keyboard.press("Control+s")

    def pictures() -> list[list[str]]:
        text = (study.folder / "studies.ipynb").read_text() or '{"cells": []}'  # empty while it is being written
        cells = json.loads(text)["cells"]
        return [sorted(output.get("data", {})) for cell in cells for output in cell["outputs"]]

    for _ in range(600):
        if sum("image/jpeg" in kinds for kinds in pictures()) == 3:  # rating, ranking and sliders
            return
        study.wait_for_timeout(100)
    raise AssertionError(pictures())
