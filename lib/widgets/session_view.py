"""What the views of the studies with people share: a click answers, redraws, keeps, and says what went wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from PIL import Image

from lib.widgets.question_board import Choice, QuestionBoard
from lib.widgets.sessions import Session

__all__ = ["BACK", "Shown", "session_board"]

BACK = "back"
"""The button that takes the last answer back."""


class Shown(NamedTuple):
    """What a session looks like now."""

    line: str
    picture: Image.Image | None = None  # None: the last one stays
    alt: str = ""
    off: frozenset[str] = frozenset()  # buttons that do nothing now


def session_board(
    session: Session[Any, Any], acts: Mapping[str, Callable[[], None]], shown: Callable[[], Shown], save: Path | None
) -> QuestionBoard:
    """The session as a widget. At its end a link saves the table; before that it would tell who painted what.

    Args:
        session: what is answered.
        acts: label of a button -> the change that it makes. Its key is its first character, that of `BACK` Backspace.
        shown: how the session looks after a change.
        save: JSON file that is written after each change, or None.
    """
    lock = Lock()  # two clicks may arrive in two threads
    keys = {label: "Backspace" if label == BACK else label[0].lower() for label in acts}

    def redraw() -> None:
        now = shown()
        board.line = now.line
        board.offer([Choice(label, key, label in now.off) for label, key in keys.items()])
        if now.picture is not None:
            board.show(now.picture, now.alt)
        board.table = "" if session.current is not None else session.to_csv()

    def press(label: str) -> None:
        with lock:
            acts[label]()
            redraw()
            if save is not None:
                session.save(save)

    board = QuestionBoard([Choice(label, key) for label, key in keys.items()], press)
    board.table_name = re.sub(r"\W+", "_", f"{session.kind} {session.rater}") + ".csv"
    redraw()
    return board
