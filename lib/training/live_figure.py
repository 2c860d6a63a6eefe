"""The live board as one picture: loss curves of every player, the judge's outputs, gradient norms, a sample."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image

from lib.training.history import History
from lib.training.play import Report
from lib.training.probe import TURNS, Reading

# Okabe and Ito's palette for colour-blind readers; dashes tell its second use from the first.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
_MAX_POINTS = 400

# Inches: the width of a plot; above the first row; above, below and left of axes.
_PLOT, _HEADING, _TITLE, _LABELS, _TICKS = 2.9, 0.35, 0.3, 0.45, 0.58
_GAP = 0.4  # inches between the plots and the sample, for a wide legend


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


def render(
    report: Report, reading: Reading | None, picture: npt.NDArray[np.uint8] | None, title: str
) -> dict[str, Any]:  # fmt: skip
    """The board as a display bundle: one image and the text that describes it."""
    by_player = _columns_by_player(report.history)
    entries = max([2, *map(len, by_player.values())])
    rows = [_Row(len(by_player), 1.9, entries)] + ([] if reading is None else [_Row(2, 1.5, 3)])
    plots = _PLOT * max(1, *(row.plots for row in rows))
    sample = 0.0 if picture is None else min(max(2.9 * picture.shape[1] / picture.shape[0], 1.5), 4.5)
    left = plots if picture is None else plots + _GAP
    figure = Figure(figsize=(max(left + sample, 4.5), _HEADING + sum(row.height for row in rows)), dpi=90)
    figure.suptitle(f"{title}: {heading(report)}", fontsize=11, y=1 - 0.06 / figure.get_figheight(), va="top")
    axes = _plots(figure, rows, plots)
    for ax, (player, names) in zip(axes, by_player.items(), strict=False):
        _plot_player(ax, report.history, player, names)
    if reading is not None:
        _plot_outputs(axes[-2], reading)
        _plot_norms(axes[-1], reading)
    if picture is not None:
        frame = figure.add_axes((left / (left + sample), 0.02, 0.98 * sample / (left + sample), 0.9))
        frame.imshow(picture, interpolation="nearest")
        frame.axis("off")
    return {**_packed(figure, photo=picture is not None), "text/plain": describe(report, reading, picture, title)}


@dataclass(frozen=True)
class _Row:
    """A row of plots, in inches: all plots of a row are equally high and have room for a legend below."""

    plots: int
    axes: float  # the height of the axes
    entries: int  # of the longest legend

    @property
    def below(self) -> float:
        """The height of the legend."""
        return 0.18 * -(-self.entries // 2) + 0.1

    @property
    def height(self) -> float:
        return _TITLE + self.axes + _LABELS + self.below


def _plots(figure: Figure, rows: Sequence[_Row], width: float) -> list[Axes]:
    """The axes of all rows, placed by hand: letting matplotlib find the places would double the time of drawing."""
    whole_width, whole_height = figure.get_size_inches()
    axes, top = [], whole_height - _HEADING
    for row in rows:
        bottom, plot = top - _TITLE - row.axes, width / max(row.plots, 1)
        for column in range(row.plots):
            left = column * plot + _TICKS
            place = (left / whole_width, bottom / whole_height, (plot - _TICKS - 0.15) / whole_width)
            axes.append(figure.add_axes((*place, row.axes / whole_height)))
        top -= row.height
    return axes


def _packed(figure: Figure, *, photo: bool) -> dict[str, bytes]:
    """The figure by its MIME type: JPEG where it holds a photo, else PNG with 256 colours, a third of the bytes."""
    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if photo:
        image.save(buffer, "JPEG", quality=82)
        return {"image/jpeg": buffer.getvalue()}
    image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return {"image/png": buffer.getvalue()}


def describe(report: Report, reading: Reading | None, picture: npt.NDArray[np.uint8] | None, title: str) -> str:
    """The board in words, for readers who cannot see it."""
    history = report.history
    losses = ", ".join(f"{name} {history.smoothed(name)[-1]:.3g}" for name in history.names)
    sample = "" if picture is None else " and a sample picture"
    words = f"{title}: {heading(report)}. Loss curves{sample}; at the end: {losses or 'no losses yet'}."
    if reading is None:
        return words
    return (
        f"{words} {reading.judge}'s outputs: {reading.real.mean():.3g} on real and {reading.fake.mean():.3g} on fake, "
        f"{reading.in_order:.0%} of pairs in order. Gradient norm of {reading.painter} over that of {reading.judge}: "
        f"{reading.ratio[-1]:.2g}."
    )


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
        _scale_by_decades(ax)
    _dress(ax, f"player {player}: losses, smoothed", "round")


def _plot_outputs(ax: Axes, reading: Reading) -> None:
    """What the judge says of real data and of fakes, as shares of each; outliers are counted at the ends."""
    low, high = np.percentile(np.concatenate([reading.real, reading.fake]), [0.5, 99.5])
    margin = 0.05 * (high - low) or 0.5  # all outputs equal: still a histogram
    edges = np.linspace(low - margin, high + margin, 31)
    for colour, line, name, values in (
        (_COLOURS[0], "-", "on real", reading.real),
        (_COLOURS[1], "--", "on fake", reading.fake),
    ):
        shares = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
        ax.stairs(shares, edges, fill=True, color=colour, alpha=0.3)
        ax.stairs(shares, edges, color=colour, ls=line, lw=1.4, label=f"{name}, mean {values.mean():.3g}")
    ax.set_yticks([])
    _dress(ax, f"{reading.judge}'s outputs: {reading.in_order:.0%} of pairs in order", f"output, last {TURNS} turns")
    ax.spines["left"].set_visible(False)


def _plot_norms(ax: Axes, reading: Reading) -> None:
    """Gradient norms of both players, and their ratio, over the rounds."""
    kept = np.unique(np.linspace(0, len(reading.rounds) - 1, _MAX_POINTS).round().astype(int))
    marker = "o" if len(kept) == 1 else ""
    for colour, width, name, values in (
        (_COLOURS[0], 1.0, reading.judge, reading.judge_norm),
        (_COLOURS[1], 1.0, reading.painter, reading.painter_norm),
        ("black", 1.8, f"{reading.painter} over {reading.judge}", reading.ratio),
    ):
        label = f"{name}  {values[-1]:.2g}"
        ax.plot(reading.rounds[kept] + 1, values[kept], marker=marker, color=colour, lw=width, label=label)
    _scale_by_decades(ax)
    _dress(ax, "gradient norms, smoothed", "round")


def _scale_by_decades(ax: Axes) -> None:
    """A logarithmic axis with few ticks, written as plain numbers."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")


def _dress(ax: Axes, title: str, xlabel: str) -> None:
    """What all plots have in common; the legend stands below, where it hides nothing."""
    ax.set_title(title, fontsize=10)
    ax.set_xlabel(xlabel, fontsize=9)
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    height = ax.get_position().height * ax.figure.get_figheight()  # type: ignore[union-attr]
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -_LABELS / height), borderaxespad=0, ncols=2, fontsize=8,
        frameon=False, columnspacing=1.2,
    )  # fmt: skip


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
