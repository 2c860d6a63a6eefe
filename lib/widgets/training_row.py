"""The row of a studio that shows a training: progress, what is going on, and buttons to begin and to stop."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

__all__ = ["TrainingRow"]


class TrainingRow(widgets.HBox):  # type: ignore[misc]  # ipywidgets is not typed
    """Hidden while there is nothing to train.

    Args:
        begin: called when "Train" is pressed.
        stop: called when "Stop training" is pressed.
    """

    def __init__(self, begin: Callable[[Any], None], stop: Callable[[Any], None]) -> None:
        self.progress = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="220px"))
        self.stop = widgets.Button(description="Stop training", icon="stop")
        self.train = widgets.Button(description="Train", icon="play")
        self._said = widgets.HTML()
        super().__init__([self.progress, self.stop, self.train, self._said])
        self.stop.on_click(stop)
        self.train.on_click(begin)

    @property
    def words(self) -> str:
        """What the row says, as it is written in the page."""
        return str(self._said.value)

    def hide(self) -> None:
        """There is nothing to train."""
        self.layout.display = "none"

    def run(self, progress: float, words: str) -> None:
        """A training goes on; ``progress`` lies in [0, 1]."""
        self._show(progress, words, running=True)

    def wait(self, words: str, progress: float = 0.0) -> None:
        """A training can be begun."""
        self._show(progress, words, running=False)

    def _show(self, progress: float, words: str, *, running: bool) -> None:
        self.layout.display = "flex"
        self.progress.value, self._said.value = progress, html.escape(words)
        self.stop.disabled, self.train.disabled = not running, running
