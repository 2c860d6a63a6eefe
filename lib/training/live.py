"""Watching a training: a live figure in a notebook, a line now and then elsewhere."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import torch
from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lib.training.distributed import rank
from lib.training.history import History
from lib.training.play import Report
from lib.training.state import undisturbed

# Okabe and Ito's palette for colour-blind readers; dashes tell its second use from the first.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
_MAX_POINTS = 400

Sample = Callable[[], Any]


def watch(sample: Sample | None = None, *, title: str = "Training") -> LiveBoard | ProgressPrinter:
    """The observer that fits the place: a `LiveBoard` in a notebook, a `ProgressPrinter` elsewhere."""
    return LiveBoard(sample, title=title) if in_notebook() else ProgressPrinter(title=title)


def in_notebook() -> bool:
    """True inside a Jupyter kernel."""
    return getattr(get_ipython(), "kernel", None) is not None


class LiveBoard:
    """Loss curves of every player and a sample picture, updated in place while `play` runs.

    Give it to ``play(..., on_round=board)``. It ends as one ordinary picture (JPEG with a sample, else PNG)
    with its description as text, without clock times: the same training gives the same bytes. An interrupt
    leaves the picture in place.

    Args:
        sample: called at each update, without gradients and without disturbing the training; returns an
            image as a tensor (3, H, W) in [-1, 1], a uint8 array (H, W, 3) or a PIL image.
        title: what is trained, for the figure's heading and description.
        every: the least number of seconds between two updates.
    """

    def __init__(self, sample: Sample | None = None, *, title: str = "Training", every: float = 0.75) -> None:
        self.sample, self.title, self.every = sample, title, every
        self._handle: DisplayHandle | None = None
        self._next = 0.0
        self._report: Report | None = None
        self._picture: npt.NDArray[np.uint8] | None = None
        self._bundle: dict[str, Any] = {"text/plain": f"{title}: not started"}

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
        self._bundle = render(report, self._picture, self.title)
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


def heading(report: Report) -> str:
    """Rounds, progress and times in one line, as in ``round 120 of 400, 30 %, 0:12 so far, 0:28 left``."""
    words = f"round {report.rounds_done}" + (f" of {report.rounds}" if report.rounds else "")
    if report.history.interrupted:
        words += " (interrupted)"
    if report.finished:
        return words
    left = report.seconds_left
    clock = f", {_clock(report.seconds)} so far" + ("" if left is None else f", {_clock(left)} left")
    return f"{words}, {100 * report.progress:.0f} %{clock}"


def render(report: Report, picture: npt.NDArray[np.uint8] | None, title: str) -> dict[str, Any]:
    """The board as a display bundle: one image and the text that describes it."""
    by_player = _columns_by_player(report.history)
    widths = [2.9 * max(len(by_player), 1)]
    if picture is not None:
        widths.append(min(max(2.9 * picture.shape[1] / picture.shape[0], 1.5), 4.5))
    figure = Figure(figsize=(max(sum(widths), 4.5), 3.4), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}: {heading(report)}", fontsize=11)
    curves, *rest = figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)[0]
    if by_player:
        axes: Sequence[Axes] = curves.subplots(1, len(by_player), squeeze=False)[0]
        for ax, (player, names) in zip(axes, by_player.items(), strict=True):
            _plot_player(ax, report.history, player, names)
        axes[0].set_ylabel("loss, smoothed", fontsize=9)
    for side in rest:
        frame = side.subplots()
        frame.imshow(picture, interpolation="nearest")
        frame.axis("off")
    buffer = io.BytesIO()
    kind = "png" if picture is None else "jpeg"
    if picture is None:
        figure.savefig(buffer, format=kind, metadata={"Software": None})  # no version: bytes stay the same
    else:
        figure.savefig(buffer, format=kind, pil_kwargs={"quality": 88})
    return {f"image/{kind}": buffer.getvalue(), "text/plain": describe(report, picture is not None, title)}


def describe(report: Report, with_picture: bool, title: str) -> str:
    """The board in words, for readers who cannot see it."""
    history = report.history
    losses = ", ".join(f"{name} {history.smoothed(name)[-1]:.3g}" for name in history.names)
    picture = " and a sample picture" if with_picture else ""
    return f"{title}: {heading(report)}. Loss curves{picture}; at the end: {losses or 'no losses yet'}."


def _columns_by_player(history: History) -> Mapping[str, Sequence[str]]:
    by_player: dict[str, list[str]] = {}
    for name in history.names:
        by_player.setdefault(name.partition("/")[0], []).append(name)
    return by_player


def _plot_player(ax: Axes, history: History, player: str, names: Sequence[str]) -> None:
    """Smoothed curves of one player's terms; a logarithmic axis where they span more than a factor of 30."""
    lowest, highest = np.inf, -np.inf
    for index, name in enumerate(names):
        rounds, values = history.rounds(name) + 1, history.smoothed(name)
        kept = np.unique(np.linspace(0, len(values) - 1, _MAX_POINTS).round().astype(int))
        label = f"{name.partition('/')[2]}  {values[-1]:.3g}"
        style = "-" if index < len(_COLOURS) else "--"
        marker = "o" if len(values) == 1 else ""  # a line through one point cannot be seen
        colour = _COLOURS[index % len(_COLOURS)]
        ax.plot(rounds[kept], values[kept], style + marker, color=colour, lw=1.4, label=label)
        # The start is often far off; the scale follows what most of the training does.
        settled = values[len(values) // 20 :]
        lowest, highest = min(lowest, settled.min()), max(highest, settled.max())
    if lowest > 0 and highest > 30 * lowest:
        ax.set_yscale("log")
    ax.set_title(f"player {player}", fontsize=10)
    ax.set_xlabel("round", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8, frameon=False, columnspacing=1.2)


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


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
