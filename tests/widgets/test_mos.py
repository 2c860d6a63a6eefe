"""The rating session: blind, complete, resumable, and honest about its interval; and the view on it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lib.widgets.mos import SCALE, RatingError, RatingSession, summarise
from lib.widgets.mos_view import headline, opinion_rows, rating_view, static_view
from tests.blind_views import broken_after_one

IMAGES, METHODS = ["cat", "face", "brick"], ["nearest", "bicubic", "SRGAN", "truth"]
answers = st.lists(st.integers(1, 5), max_size=12)


def session(seed: int = 0, calibration: tuple[str, ...] = ("roof",)) -> RatingSession:
    return RatingSession(IMAGES, METHODS, calibration=calibration, seed=seed, rater="ann")


def paint(image: str, method: str) -> Tensor:
    return torch.full((3, 6, 8), 0.1 * len(image + method) - 1)


@given(st.integers(0, 10_000))
def test_every_version_comes_once_in_an_order_of_the_seed(seed: int) -> None:
    items = session(seed).items
    assert [(item.method, item.told) for item in items[:2]] == [("nearest", 1), ("truth", 5)]
    asked = items[2:]
    assert Counter((item.image, item.method) for item in asked) == Counter((i, m) for i in IMAGES for m in METHODS)
    assert all(item.told is None for item in asked) and items == session(seed).items


def test_raters_see_different_orders() -> None:
    assert len({session(seed).items for seed in range(20)}) == 20
    first = Counter(session(seed).items[2].method for seed in range(200))
    assert all(20 < first[method] < 90 for method in METHODS)  # nobody's favourite comes first


@given(answers, st.integers(1, 5))
def test_undo_takes_exactly_one_answer_back(scores: list[int], score: int) -> None:
    there = session()
    for value in scores:
        there.rate(value)
    before = there.as_dict()
    there.rate(score)
    assert there.position == len(scores) + 1
    there.undo()
    assert there.as_dict() == before
    for _ in range(len(scores) + 2):
        there.undo()
    assert there.position == 0 and there.current == there.items[0]


@settings(deadline=None)
@given(scores=answers, seed=st.integers(0, 50))
def test_a_session_goes_on_where_it_was_left(tmp_path_factory: pytest.TempPathFactory, scores: list[int],
                                             seed: int) -> None:  # fmt: skip
    there, path = session(seed), tmp_path_factory.mktemp("mos") / "ann.json"
    for value in scores:
        there.rate(value)
    there.save(path)
    again = RatingSession.load(path)
    assert again.as_dict() == there.as_dict() and again.current == there.current and again.items == there.items


def test_the_calibration_is_told_and_never_counted() -> None:
    there = session()
    there.rate(4)  # says 4 to the nearest neighbour
    assert there.as_dict()["scores"] == [1] and there.ratings == []
    with pytest.raises(RatingError, match="Nothing is rated"):
        there.summary()


@pytest.mark.parametrize("score", [0, 6, 2.5, "3", True, None])
def test_other_scores_are_refused(score: object) -> None:
    with pytest.raises(RatingError, match="whole numbers"):
        session().rate(score)  # type: ignore[arg-type]


def test_after_the_last_there_is_nothing_to_rate() -> None:
    there = session()
    for _ in there.items:
        there.rate(3)
    assert there.current is None and headline(there).endswith("done")
    with pytest.raises(RatingError, match="Everything is rated"):
        there.rate(3)


def test_the_table_holds_every_rating() -> None:
    there = session()
    for number in range(9):
        there.rate(1 + number % 5)
    lines = list(csv.DictReader(io.StringIO(there.to_csv())))
    assert [(x["image"], x["method"], int(x["score"])) for x in lines] == [(i.image, i.method, s)
                                                                         for i, s in there.ratings]  # fmt: skip
    assert len(lines) == 7 and {line["rater"] for line in lines} == {"ann"}


def test_the_mean_and_its_interval() -> None:
    worth = {"nearest": 1, "bicubic": 2, "SRGAN": 4, "truth": 5}
    raters = [session(seed) for seed in range(5)]
    for rater in raters:
        while rater.current is not None:
            rater.rate(worth[rater.current.method])
    found = summarise(raters)
    assert list(found) == ["truth", "SRGAN", "bicubic", "nearest"]
    assert {name: opinion.mean for name, opinion in found.items()} == worth
    assert all(opinion.low == opinion.mean == opinion.high and opinion.ratings == 15 for opinion in found.values())


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 5), min_size=14, max_size=14))
def test_the_mean_lies_in_its_interval_and_on_the_scale(scores: list[int]) -> None:
    there = session()
    for value in scores:
        there.rate(value)
    for opinion in there.summary(resamples=200).values():
        assert min(SCALE) <= opinion.low <= opinion.mean <= opinion.high <= max(SCALE)


def test_two_raters_of_one_picture_do_not_narrow_the_interval_as_two_pictures_do() -> None:
    """Six pictures once against two pictures three times, with the same scores in each."""

    def asked(images: int, raters: int) -> float:
        sessions = [RatingSession([f"p{n}" for n in range(images)], ["SRGAN"], seed=n) for n in range(raters)]
        for rater in sessions:
            while rater.current is not None:
                rater.rate(2 if int(rater.current.image[1:]) % 2 else 4)
        opinion = summarise(sessions)["SRGAN"]
        return opinion.high - opinion.low

    assert asked(6, 1) < asked(2, 3)


@pytest.mark.parametrize(
    ("images", "methods", "calibration"),
    [([], ["a"], []), (["x"], [], []), (["x", "x"], ["a"], []), (["x"], ["a", "a"], []), (["x"], ["a"], ["x"])],
)
def test_sessions_without_sense_are_refused(images: list[str], methods: list[str], calibration: list[str]) -> None:
    with pytest.raises(RatingError, match="each named once"):
        RatingSession(images, methods, calibration=calibration)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": ["a"], "methods": ["b"], "calibration": [], "seed": 0, '
                                  '"rater": "x", "scores": [9]}'])  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(RatingError, match="begin a new one"):
        RatingSession.load(tmp_path / "x.json")


def test_the_view_is_blind_and_follows_the_clicks(tmp_path: Path) -> None:
    there = session(calibration=())
    view = rating_view(there, paint, save=tmp_path / "ann.json")
    buttons, shown = [choice["label"] for choice in view.choices], [view.picture]
    assert [choice["key"] for choice in view.choices] == ["1", "2", "3", "4", "5", "Backspace"]
    for label in buttons[:3]:
        view._hear(None, {"type": "press", "label": label}, [])
        shown.append(view.picture)
    assert [score for _, score in there.ratings] == [1, 2, 3] and len(set(shown)) > 1
    assert not any(method in view.line + view.alt + view.table for method in METHODS)
    assert json.loads((tmp_path / "ann.json").read_text())["scores"] == [1, 2, 3]
    view.click("back")
    assert there.position == 2 and view.picture == shown[2]
    while there.current is not None:
        view.click("5 excellent")
    assert [choice["off"] for choice in view.choices] == 5 * [True] + [False] and "truth" in view.line  # now it is told
    assert view.table == there.to_csv() and view.table_name == "rating_session_ann.csv"
    view.click("4 good")  # a button that does nothing
    assert there.current is None
    view.click("back")
    assert view.table == "" and there.position == len(there.items) - 1  # blind again


def test_errors_of_a_click_are_shown_in_the_view() -> None:
    there = session()
    view = rating_view(there, broken_after_one(there, paint))
    view.click("1 bad")
    assert view.line == "OSError: no such picture" and repr(view).startswith("QuestionBoard(1 bad, 2 poor")


def test_the_still_picture_shows_the_present_item() -> None:
    there = session(calibration=())
    assert there.current is not None
    still = static_view(there, paint, scale=3)
    assert still.width > 24 and still.height > 18
    middle = still.getpixel((still.width // 2, 8 + 34 + 9))
    level = round((float(paint(there.current.image, there.current.method)[0, 0, 0]) + 1) * 127.5)
    assert middle == (level,) * 3
    assert "how good" in headline(there) and "stands" not in headline(session())
    assert "This is a 1" in headline(session())
    there.rate(5)
    assert opinion_rows(there.summary())[0].split()[1] == "5.00"
