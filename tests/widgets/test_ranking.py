"""The ranking study: blind, complete, resumable, and honest about its interval; and the view on it."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from lib.widgets.ranking import APPEARANCE, RankingError, RankingSession, Sheet, shares
from lib.widgets.ranking_view import headline, ranking_rows, ranking_view, sheet_picture
from tests.blind_views import broken_after_one

IMAGES, METHODS = ["flower", "china", "astronaut", "cat"], ["SinGAN", "SPADE", "ours"]
orders = st.permutations("ABC").map("".join)


def session(seed: int = 0, images: list[str] = IMAGES) -> RankingSession:
    return RankingSession(images, METHODS, seed=seed, rater="ann")


def by_worth(there: RankingSession, worth: dict[str, float]) -> RankingSession:
    while (sheet := there.current) is not None:
        there.rank("".join(sorted(sheet.letters, key=lambda c: -worth[sheet.methods[sheet.letters.index(c)]])))
    return there


@given(st.integers(0, 10_000))
def test_each_picture_comes_once_with_every_method(seed: int) -> None:
    sheets = session(seed).sheets
    assert Counter(sheet.image for sheet in sheets) == Counter(IMAGES)
    assert all(sorted(sheet.methods) == sorted(METHODS) for sheet in sheets) and sheets == session(seed).sheets


def test_no_method_has_a_letter_of_its_own() -> None:
    first = Counter(sheet.methods[0] for seed in range(100) for sheet in session(seed).items)
    assert all(100 < first[method] < 170 for method in METHODS)
    assert len({session(seed).items for seed in range(20)}) == 20


@settings(deadline=None)
@given(answers=st.lists(orders, max_size=4), seed=st.integers(0, 50))
def test_a_session_goes_on_where_it_was_left(
    tmp_path_factory: pytest.TempPathFactory, answers: list[str], seed: int
) -> None:
    there, path = session(seed), tmp_path_factory.mktemp("rank") / "ann.json"
    for order in answers:
        there.rank(order)
    there.save(path)
    again = RankingSession.load(path)
    assert again.as_dict() == there.as_dict() and again.items == there.items and again.current == there.current
    if answers:
        there.undo()
        assert there.position == len(answers) - 1
        there.rank(answers[-1].lower())
        assert there.as_dict() == again.as_dict()


@pytest.mark.parametrize("order", ["", "AB", "AAB", "ABCD", "abd", 3, None])
def test_other_rankings_are_refused(order: object) -> None:
    there = session()
    with pytest.raises(RankingError, match="each of A, B, C once"):
        there.rank(order)  # type: ignore[arg-type]
    assert there.position == 0


def test_after_the_last_there_is_nothing_to_rank() -> None:
    there = by_worth(session(), {"SinGAN": 1, "SPADE": 2, "ours": 3})
    with pytest.raises(RankingError, match="Everything is ranked"):
        there.rank("ABC")


def test_letters_are_turned_back_into_methods() -> None:
    there = session()
    sheet = there.items[0]
    there.rank("CAB")
    assert there.rankings == [(sheet.image, (sheet.methods[2], sheet.methods[0], sheet.methods[1]))]
    lines = list(csv.DictReader(io.StringIO(there.to_csv())))
    assert [(x["rank"], x["letter"], x["method"]) for x in lines] == [
        ("1", "C", sheet.methods[2]), ("2", "A", sheet.methods[0]), ("3", "B", sheet.methods[1])]  # fmt: skip


def test_shares_of_a_unanimous_study() -> None:
    raters = [by_worth(session(seed), {"SinGAN": 1, "SPADE": 2, "ours": 3}) for seed in range(4)]
    table = shares(raters, resamples=200)
    assert list(table) == ["ours", "SPADE", "SinGAN"]
    assert table["ours"].share == table["ours"].low == table["ours"].high == (1.0, 0.0, 0.0)
    assert table["SPADE"].mean == 2.0 and table["SPADE"].rankings == 16


@settings(deadline=None, max_examples=25)
@given(st.lists(orders, min_size=4, max_size=4))
def test_shares_add_up_and_lie_in_their_intervals(answers: list[str]) -> None:
    there = session(3)
    for order in answers:
        there.rank(order)
    table = shares([there], resamples=200)
    places = np.array([found.share for found in table.values()])
    assert np.allclose(places.sum(axis=0), 1) and np.allclose(places.sum(axis=1), 1)
    for found in table.values():
        assert all(low <= share <= high for share, low, high in zip(found.share, found.low, found.high, strict=True))


def test_raters_of_one_picture_do_not_count_as_pictures() -> None:
    """Eight answers, half for and half against, about eight pictures or twice four times about two."""

    def width(images: int, raters: int) -> float:
        given = []
        for rater in range(raters):
            there = session(rater, [f"p{n}" for n in range(images)])
            while (sheet := there.current) is not None:
                good = int(sheet.image[1:]) % 2 == 0
                best = sheet.letters[sheet.methods.index("ours")]
                rest = sheet.letters.replace(best, "")
                there.rank(best + rest if good else rest + best)
            given.append(there)
        found = shares(given)["ours"]
        return found.high[0] - found.low[0]

    assert width(8, 1) < width(2, 4)


@pytest.mark.parametrize(("images", "methods"), [([], ["a", "b"]), (["x"], ["a"]), (["x", "x"], ["a", "b"]),
                                                 (["x"], ["a", "a"])])  # fmt: skip
def test_sessions_without_sense_are_refused(images: list[str], methods: list[str]) -> None:
    with pytest.raises(RankingError, match="each named once"):
        RankingSession(images, methods)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": ["x"], "methods": ["a", "b"], "question": "?", '
                                  '"seed": 0, "rater": "r", "answers": ["AA"]}'])  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(RankingError, match="begin a new one"):
        RankingSession.load(tmp_path / "x.json")


def test_different_studies_are_not_mixed() -> None:
    with pytest.raises(RankingError, match="Nothing is ranked"):
        shares([session()])
    one, other = session(), RankingSession(["x"], ["a", "b"])
    one.rank("ABC")
    with pytest.raises(RankingError, match="different methods"):
        shares([one, other])


# -------------------------------------------------------------------------------------------------- view


def paint(image: str, method: str) -> Tensor:
    return torch.full((3, 10, 12), 0.1 * METHODS.index(method) + 0.2)


def left(image: str) -> Tensor:
    return torch.full((3, 10, 12), 0.05 * IMAGES.index(image))


def test_the_view_is_blind_and_follows_the_clicks(tmp_path: Path) -> None:
    there = session()
    view = ranking_view(there, left, paint, save=tmp_path / "ann.json")
    before = view.picture
    view.click("B")
    assert [choice["off"] for choice in view.choices] == [False, True, False, False]
    view.click("B")  # once is enough
    assert there.position == 0 and view.line.endswith("So far: B")
    view._hear(None, {"type": "press", "label": "C"}, [])  # A is what is left
    assert there.rankings[0][1] == tuple(there.items[0].methods[k] for k in (1, 2, 0))
    assert not any(choice["off"] for choice in view.choices) and view.picture != before
    assert json.loads((tmp_path / "ann.json").read_text())["answers"] == ["BCA"]
    assert not any(method in view.line + view.alt + view.table for method in METHODS)
    view.click("back")
    assert there.position == 0 and view.picture == before
    while there.current is not None:
        view.click("A")
        view.click("B")
    assert "mean place" in view.line and "ours" in view.line and view.choices[0]["off"]  # now it is told
    assert view.table == there.to_csv()


def test_a_half_given_ranking_is_taken_back_first() -> None:
    there = session()
    there.rank("ABC")
    view = ranking_view(there, left, paint)
    view.click("A")
    view.click("back")
    assert "So far" not in view.line and there.position == 1


def test_errors_of_a_click_are_shown_in_the_view() -> None:
    there = session()
    view = ranking_view(there, left, broken_after_one(there, paint))
    view.click("A")
    view.click("B")
    assert "no such picture" in view.line


def test_the_sheet_shows_the_left_image_and_every_version() -> None:
    sheet = Sheet("flower", ("ours", "SinGAN", "SPADE"))
    page = sheet_picture(sheet, left, paint, scale=3)
    assert page.size == (4 * 36 + 4 * 14, 30 + 26)
    row = [page.getpixel((x, 40)) for x in (18, 36 + 28 + 18, 36 + 28 + 50 + 18)]
    assert row == [(128,) * 3, (178,) * 3, (153,) * 3]
    assert headline(session()).endswith(APPEARANCE.format(letters="A, B and C"))
    table = shares([by_worth(session(), {"SinGAN": 1, "SPADE": 2, "ours": 3})])
    assert ranking_rows(table)[0].split()[0] == "ours" and "100%" in ranking_rows(table)[0]


def test_its_sheet_stands_in_where_widgets_are_not_shown() -> None:
    there = session()
    view = ranking_view(there, left, paint)
    bundle = view._repr_mimebundle_()
    assert bundle is not None and "application/vnd.jupyter.widget-view+json" in bundle[0]
    still = Image.open(io.BytesIO(base64.b64decode(bundle[0]["image/jpeg"])))
    assert list(still.size) == view.size and view.line in bundle[0]["text/plain"]
    assert not any(method in bundle[0]["text/plain"] for method in METHODS)  # the study is blind
