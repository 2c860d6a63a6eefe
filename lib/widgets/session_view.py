"""What the views of the studies with people share: a click answers, redraws, keeps, and says what went wrong."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import ipywidgets as widgets

from lib.widgets.sessions import Session

__all__ = ["answering"]

Click = Callable[[Any], None]


def answering(
    session: Session[Any, Any], redraw: Callable[[], None], said: widgets.HTML, save: Path | None
) -> Callable[[Callable[[], None]], Click]:
    """Turns a change of the session into what a button calls.

    Args:
        session: what is changed.
        redraw: shows it as it is after the change.
        said: where an error is shown: a widget's exceptions are seen by nobody.
        save: JSON file that is written after each change, or None.
    """
    lock = Lock()  # two clicks may arrive in two threads

    def after(change: Callable[[], None]) -> Click:
        def act(_: Any) -> None:
            with lock:
                try:
                    change()
                    redraw()
                    if save is not None:
                        session.save(save)
                except Exception as error:
                    said.value = html.escape(f"{type(error).__name__}: {error}")

        return act

    return after
