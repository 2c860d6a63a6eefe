"""How long the hand waits: a real JupyterLab, a headless Chromium, real strokes with the mouse, a trained model.

    python -m tests.widgets.measure_latency

from the book's folder, with nothing else running, writes ``assets/results/studio_latency.json``. The clocks of browser
and kernel are those of one machine. "On screen" is the frame after the browser has decoded the picture.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import torch

from lib.runtime import device_name
from tests.widgets.lab import ROOT, browser, open_notebook, run_cell, server

OUT = ROOT / "assets" / "results" / "studio_latency.json"
STUDIO = """
import time
from lib.widgets.studio import Studio

class Timed(Studio):
    def _edited(self):
        times.append(("edited", 1000 * time.time()))
        super()._edited()
    def _work(self, job):
        times.append(("begun", 1000 * time.time()))
        picture = super()._work(job)
        times.append(("painted", 1000 * time.time()))
        return picture

times = []
studio = Timed({photo!r}, refine_after=None)
studio.wait()
studio
"""
TIMES = "import torch; print((times, torch.get_num_threads())); times.clear()"
WATCH = """() => {
  window.strokes = [];
  const now = () => performance.timeOrigin + performance.now(), picture = document.querySelector(".pb-after");
  let up = 0;
  document.addEventListener("pointerup", () => { up = now(); }, true);
  picture.addEventListener("load", () => requestAnimationFrame(() => {
    const after = new MessageChannel();
    after.port1.onmessage = () => window.strokes.push([up, now()]);
    after.port2.postMessage(0);
  }));
}"""


def strokes(page: Any, count: int) -> list[tuple[float, float]]:
    """Draw overlapping strokes of two classes in turn, each of which changes the map; the first may not.

    Returns:
        Milliseconds when each was finished and when its picture was there, the first left out.
    """
    page.evaluate(WATCH)
    page.locator("[data-tool=brush]").click()
    canvas = page.locator(".le-over")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + 0.1 * box["width"], box["y"] + 0.3 * box["height"]
    for number in range(count + 1):
        page.locator(f"[data-cls='{1 + number % 2}']").click()
        before = page.evaluate("() => window.strokes.length")
        page.mouse.move(x, y + number % 5)
        page.mouse.down()
        page.mouse.move(x + 60, y + 8, steps=8)
        page.mouse.up()
        if number == 0:
            page.wait_for_timeout(3000)  # cold, and perhaps of the class that was there
            page.evaluate("() => { window.strokes.length = 0; }")
            continue
        page.wait_for_function("n => window.strokes.length > n", arg=before)
        page.wait_for_timeout(300)
    return [(up, shown) for up, shown in page.evaluate("() => window.strokes")]


def summary(values: Iterable[float]) -> dict[str, float]:
    """Median, least and most, in whole tenths of a millisecond."""
    known = sorted(values)
    figures = {"median": statistics.median(known), "min": known[0], "max": known[-1]}
    return {name: round(value, 1) for name, value in figures.items()}


def measure(photo: str, count: int) -> dict[str, Any]:
    """The record that a chapter shows."""
    with tempfile.TemporaryDirectory() as name:
        folder, home = Path(name) / "book", Path(name) / "home"
        folder.mkdir()
        home.mkdir()
        cells = [nbformat.v4.new_code_cell(cell) for cell in (STUDIO.replace("{photo!r}", repr(photo)), TIMES)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, folder / "story.ipynb")
        with server(folder, home) as address, browser(home) as page:
            open_notebook(page, address, "story.ipynb")
            run_cell(page, 0)
            page.wait_for_selector(".layout-editor .le-over")
            load, seen = os.getloadavg()[0], strokes(page, count)
            log, threads = ast.literal_eval(run_cell(page, 1))
    return {
        "photo": photo, "strokes": len(seen), "milliseconds": stages(log, seen),
        "machine": device_name("cpu"), "cores": len(os.sched_getaffinity(0)), "threads": threads,
        "load_before": round(load, 2), "torch": torch.__version__,
    }  # fmt: skip


def stages(log: Iterable[tuple[str, float]], seen: Iterable[tuple[float, float]]) -> Mapping[str, dict[str, float]]:
    """From pointer up to the map in Python, the painting alone, and from pointer up to the picture on the screen."""
    entries = list(log)

    def first(what: str, since: float) -> float:
        return min(when for name, when in entries if name == what and when >= since - 1)

    rows = [(up, first("edited", up), first("begun", up), first("painted", up), shown) for up, shown in seen]
    return {
        "stroke_to_python": summary(edited - up for up, edited, _, _, _ in rows),
        "painting": summary(painted - begun for _, _, begun, painted, _ in rows),
        "pointer_up_to_picture": summary(shown - up for up, _, _, _, shown in rows),
    }


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--photo", default="flower")
    reader.add_argument("--strokes", type=int, default=31)
    reader.add_argument("--out", type=Path, default=OUT)
    asked = reader.parse_args()
    record = measure(asked.photo, asked.strokes)
    asked.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
