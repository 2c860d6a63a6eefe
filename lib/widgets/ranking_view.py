"""What `lib.widgets.ranking.RankingSession` looks like: the left image, the versions, a click for each place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from lib.widgets.pictures import enlarged
from lib.widgets.question_board import QuestionBoard
from lib.widgets.ranking import RankingSession, RankShares, Sheet, shares
from lib.widgets.session_view import BACK, Shown, session_board

__all__ = ["ranking_rows", "ranking_view", "sheet_picture"]

Pictures = Callable[[str, str], Tensor]
"""(image, method) -> (3, H, W) in [-1, 1]. The view never shows the name of the method."""
Reference = Callable[[str], Tensor]
"""image -> what stands on the left, (3, H, W) in [-1, 1]."""

_GAP, _LINE = 14, 26  # px, between the pictures and for a line of text


def ranking_view(
    session: RankingSession, left: Reference, pictures: Pictures, *, scale: int = 2, save: Path | None = None
) -> QuestionBoard:  # fmt: skip
    """The session as a widget: click the letters from best to worst, then the next sheet comes.

    Args:
        session: what is ranked; it holds every answer, also without a view.
        left: the image on the left.
        pictures: the versions.
        scale: by which whole factor pixels are repeated.
        save: JSON file that is written after each answer, so that a rater can go on another day.
    """
    letters, chosen = session.items[0].letters, list[str]()

    def shown() -> Shown:
        sheet = session.current
        if sheet is None:
            rows = [*ranking_rows(shares([session])), "Done, thank you."]
            return Shown("\n".join(rows), off=frozenset(letters))
        so_far = f" So far: {' '.join(chosen)}" if chosen else " Best first."
        alt = f"Sheet {session.position + 1}: the left image and the versions {', '.join(letters)}"
        drawn = sheet_picture(sheet, left, pictures, scale=scale)
        return Shown(headline(session) + so_far, drawn, alt, frozenset(chosen))

    def press(letter: str) -> None:
        chosen.append(letter)
        if len(chosen) == len(letters) - 1:  # the last place is what is left
            order = "".join([*chosen, *(set(letters) - set(chosen))])
            chosen.clear()
            session.rank(order)

    def step_back() -> None:
        if chosen:
            chosen.pop()
        else:
            session.undo()

    acts = {letter: partial(press, letter) for letter in letters}
    return session_board(session, {**acts, BACK: step_back}, shown, save)


def headline(session: RankingSession) -> str:
    """The line above the sheet: how far, and the question."""
    sheet = session.current or session.items[-1]
    letters = f"{', '.join(sheet.letters[:-1])} and {sheet.letters[-1]}"
    number = min(session.position + 1, len(session.items))
    return f"{number} of {len(session.items)}: {session.question.format(letters=letters)}"


def sheet_picture(sheet: Sheet, left: Reference, pictures: Pictures, *, scale: int = 2) -> Image.Image:
    """The left image and the versions with their letters, as one picture."""
    drawn = [enlarged(left(sheet.image), scale)]
    drawn += [enlarged(pictures(sheet.image, method), scale) for method in sheet.methods]
    wide = sum(one.width for one in drawn) + _GAP * (len(drawn) - 1) + _GAP  # a wider gap after the left one
    page = Image.new("RGB", (wide, max(one.height for one in drawn) + _LINE), "white")
    draw, x = ImageDraw.Draw(page), 0
    for number, (one, name) in enumerate(zip(drawn, ["left image", *sheet.letters], strict=True)):
        page.paste(one, (x, _LINE))
        draw.text((x + one.width // 2, _LINE // 2), name, fill="black", font_size=16, anchor="mm")
        x += one.width + (2 if number == 0 else 1) * _GAP
    return page


def ranking_rows(table: dict[str, RankShares]) -> list[str]:
    """One line of text for each method, best first: shares of the places with their intervals."""
    width = max(map(len, table), default=0)
    return [
        f"{method:>{width}}  mean place {found.mean:.2f}  "
        + "  ".join(
            f"{place}: {share:4.0%} [{low:.0%}, {high:.0%}]"
            for place, (share, low, high) in enumerate(zip(found.share, found.low, found.high, strict=True), start=1)
        )
        for method, found in table.items()
    ]
