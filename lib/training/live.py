"""Watching a training: a live figure in a notebook, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import torch
from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle

from lib.games.game import Game, Turn
from lib.training.distributed import rank
from lib.training.live_figure import heading, render
from lib.training.play import Report
from lib.training.probe import Probe, Reading
from lib.training.state import undisturbed

Sample = Callable[[], Any]


def watch(sample: Sample | None = None, *, title: str = "Training") -> LiveBoard | ProgressPrinter:
    """The observer that fits the place: a `LiveBoard` in a notebook, a `ProgressPrinter` elsewhere."""
    return LiveBoard(sample, title=title) if in_notebook() else ProgressPrinter(title=title)


def in_notebook() -> bool:
    """True inside a Jupyter kernel."""
    return getattr(get_ipython(), "kernel", None) is not None


class LiveBoard:
    """Loss curves, D's outputs, gradient norms and a sample picture, updated in place while `play` runs.

    Where one player judges what another paints, a second row shows a histogram of the judge's last outputs on real
    data and on fakes, and the painter's gradient norm over the judge's (see `lib.training.probe`).

    Give it to ``play(..., on_round=board)``. It ends as one ordinary picture (JPEG with a sample, else PNG)
    with its description as text, without clock times: the same training gives the same bytes. An interrupt
    leaves the picture in place.

    Args:
        sample: called at each update, without gradients and without disturbing the training; returns an
            image as a tensor (3, H, W) in [-1, 1], a uint8 array (H, W, 3) or a PIL image.
        title: what is trained, for the figure's heading and description.
        every: the least number of seconds between two updates.

    Attributes:
        reading: the numbers behind the second row, as of the last update; None where the game has no such row.
    """

    def __init__(self, sample: Sample | None = None, *, title: str = "Training", every: float = 0.75) -> None:
        self.sample, self.title, self.every = sample, title, every
        self._handle: DisplayHandle | None = None
        self._next = 0.0
        self.reading: Reading | None = None
        self._probe: Probe | None = None
        self._picture: npt.NDArray[np.uint8] | None = None
        self._bundle: dict[str, Any] = {"text/plain": f"{title}: not started"}

    @contextmanager
    def follow(self, game: Game) -> Iterator[Callable[[Turn], None]]:
        """Measure each turn of `game` until the context ends; only the rank that draws does it."""
        if rank() != 0:
            yield lambda turn: None
            return
        self._probe = Probe(game)
        with self._probe.follow() as after:
            yield after

    def __call__(self, report: Report) -> None:
        """Redraw if it is time to."""
        if time.monotonic() >= self._next:
            self._show(report)

    def finish(self, report: Report) -> None:
        """Draw the last state."""
        self._show(report)
        self._handle = None

    def _show(self, report: Report) -> None:
        if rank() != 0:
            return
        started = time.monotonic()
        self._picture = None if self.sample is None else _as_picture(self.sample, report)
        self.reading = None if self._probe is None else self._probe.read(report.rounds_done)
        self._bundle = render(report, self.reading, self._picture, self.title)
        if in_notebook():
            if self._handle is None:
                self._handle = DisplayHandle()
                self._handle.display(self)
            else:
                self._handle.update(self)
        now = time.monotonic()
        # On a slow machine drawing takes at most a twentieth of the time.
        self._next = now + max(self.every, 19 * (now - started))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._bundle

    def __repr__(self) -> str:
        return f"LiveBoard({self._bundle['text/plain']!r})"


class ProgressPrinter:
    """One line with the losses and the time left every few seconds, for terminals and logs."""

    def __init__(self, *, title: str = "Training", every: float = 5.0, file: TextIO | None = None) -> None:
        self.title, self.every, self.file = title, every, file
        self._next = 0.0

    def __call__(self, report: Report) -> None:
        """Print a line if it is time to."""
        if time.monotonic() >= self._next:
            self._print(report)

    def finish(self, report: Report) -> None:
        """Print the last line."""
        self._print(report)

    def _print(self, report: Report) -> None:
        if rank() == 0:
            losses = "  ".join(f"{name} {value:.3g}" for name, value in report.history.tail(20).items())
            line = f"{self.title}: {heading(report)}  {losses}"
            print(line, file=self.file or sys.stdout, flush=True)
        self._next = time.monotonic() + self.every

    def __repr__(self) -> str:
        return f"ProgressPrinter({self.title!r})"


def _as_picture(sample: Sample, report: Report) -> npt.NDArray[np.uint8]:
    """What `sample` returns, as a uint8 array (H, W, 3)."""
    with undisturbed(report.game), torch.no_grad():
        report.game.eval()
        image = sample()
    if isinstance(image, torch.Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"The sample must have shape (3, H, W), not {tuple(image.shape)}.")
        bytes_ = ((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        image = bytes_.permute(1, 2, 0).numpy()
    return np.asarray(image.convert("RGB") if hasattr(image, "convert") else image, dtype=np.uint8)
