"""What `lib.widgets.mos.RatingSession` looks like: a picture, five buttons, and "back"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from lib.widgets.mos import SCALE, Opinion, RatingSession
from lib.widgets.pictures import enlarged
from lib.widgets.question_board import QuestionBoard
from lib.widgets.session_view import BACK, Shown, session_board

__all__ = ["opinion_rows", "rating_view", "static_view"]

Pictures = Callable[[str, str], Tensor]
"""(image, method) -> (3, H, W) in [-1, 1]. The view never shows the name of the method."""

_BAR, _EDGE = 34, 8  # px, height of the row of buttons in the static picture, and its margin


def rating_view(
    session: RatingSession, pictures: Pictures, *, scale: int = 2, save: Path | None = None
) -> QuestionBoard:  # fmt: skip
    """The session as a widget that goes on to the next picture with each score.

    Args:
        session: what is rated; it holds every answer, also without a view.
        pictures: what to show.
        scale: by which whole factor pixels are repeated.
        save: JSON file that is written after each answer, so that a rater can go on another day.
    """
    scores = {f"{score} {word}": partial(session.rate, score) for score, word in SCALE.items()}

    def shown() -> Shown:
        item = session.current
        if item is None:
            rows = opinion_rows(session.summary()) if session.ratings else ["Nothing was rated."]
            return Shown("\n".join(rows), off=frozenset(scores))
        drawn = enlarged(pictures(item.image, item.method), scale)
        return Shown(headline(session), drawn, f"Picture {session.position + 1} of {len(session.items)}")

    return session_board(session, {**scores, BACK: session.undo}, shown, save)


def static_view(session: RatingSession, pictures: Pictures, *, scale: int = 2) -> Image.Image:
    """What the widget shows now, as a still picture; at the end of a session its last item."""
    item = session.current or session.items[-1]
    shown = enlarged(pictures(item.image, item.method), scale)
    wide = max(shown.width, 90 * len(SCALE))
    sheet = Image.new("RGB", (wide + 2 * _EDGE, shown.height + 2 * _BAR + 3 * _EDGE), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_EDGE, _EDGE + 8), headline(session), fill="black", font_size=15)
    sheet.paste(shown, (_EDGE + (wide - shown.width) // 2, _EDGE + _BAR))
    top, step = shown.height + _BAR + 2 * _EDGE, wide // len(SCALE)
    for place, (score, word) in enumerate(SCALE.items()):
        left = _EDGE + place * step
        draw.rounded_rectangle((left, top, left + step - 6, top + _BAR), 4, fill="#e4e4e4", outline="#999999")
        draw.text((left + step // 2 - 3, top + _BAR // 2), f"{score} {word}", fill="black", font_size=14, anchor="mm")
    return sheet


def headline(session: RatingSession) -> str:
    """The line above the picture: how far, and in the calibration what the picture stands for."""
    item = session.current
    if item is None:
        return f"{len(session.items)} of {len(session.items)}: done"
    line = f"{session.position + 1} of {len(session.items)}: "
    if item.told is None:
        return line + "how good is this picture?"
    return line + f"calibration. This is a {item.told} ({SCALE[item.told]}); any button goes on"


def opinion_rows(opinions: dict[str, Opinion]) -> list[str]:
    """One line of text for each method, best first."""
    return [
        f"{method:>12}  {opinion.mean:.2f}  [{opinion.low:.2f}, {opinion.high:.2f}]  {opinion.ratings} ratings"
        for method, opinion in opinions.items()
    ]
