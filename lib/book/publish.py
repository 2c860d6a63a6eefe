"""``python -m lib book publish``: execute chapters and store them in canonical form, or verify them."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import tyro
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from lib.book.canonical import canonical, output_problems, stderr_lines
from lib.book.paths import chapter_paths, relative


@dataclass(frozen=True)
class PublishConfig:
    """Execute chapters top to bottom and store them in canonical form."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Notebooks to publish; all chapters when none is given."""
    check: bool = False
    """Only verify what is stored, without executing anything."""
    timeout: float = 600.0
    """Longest time one cell may take, in seconds."""


def main(config: PublishConfig) -> int:
    """Publish or check; print one line per chapter and problem. Return 1 when there is a problem, else 0."""
    failed = False
    chapters = chapter_paths(config.paths)
    if not chapters:
        print("There is no notebook in chapters/.")
    for path in chapters:
        started = time.monotonic()
        problems = check(path) if config.check else publish(path, timeout=config.timeout)
        failed = failed or bool(problems)
        for problem in problems:
            print(f"{relative(path)}: {problem}", file=sys.stderr)
        if not problems:
            done = "canonical" if config.check else f"published in {time.monotonic() - started:.1f} s"
            print(f"{relative(path)}: {done}, {path.stat().st_size / 1000:.0f} KB")
    return int(failed)


def check(path: Path) -> list[str]:
    """Return what is wrong with a stored chapter, one sentence each; nothing is executed."""
    stored = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(stored, as_version=4)
    problems = output_problems(notebook, len(stored.encode()))
    if serialised(canonical(notebook)) != stored:
        problems.insert(0, "not in canonical form: run `python -m lib book publish` on it")
    return problems


def publish(path: Path, *, timeout: float = 600.0) -> list[str]:
    """Execute one chapter in its own folder and store it; return its problems.

    The file is replaced in one step, and only when every cell ran: a failing or interrupted run leaves it as
    it was. ``timeout`` is in seconds per cell.
    """
    notebook = nbformat.read(path, as_version=4)
    try:
        execute(notebook, path.parent, timeout=timeout)
    except CellExecutionError as error:
        return [f"not published, {_failed_cell(notebook)} raised {error.ename}: {error.evalue}"]
    except CellTimeoutError:
        return [f"not published, {_failed_cell(notebook)} took longer than {timeout:g} s (--timeout)"]
    except DeadKernelError:
        return [f"not published, the kernel died in {_failed_cell(notebook)} (out of memory?)"]
    dropped = stderr_lines(notebook)
    if dropped:
        print(
            f"{relative(path)}: {len(dropped)} lines of stderr dropped, the first: {dropped[0]}",
            file=sys.stderr,
        )
    text = serialised(canonical(notebook))
    _replace(path, text)
    return output_problems(nbformat.reads(text, as_version=4), len(text.encode()))


def execute(notebook: NotebookNode, folder: Path, *, timeout: float) -> None:
    """Run every cell in place, in a fresh kernel of this environment that starts in ``folder``."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()


def serialised(notebook: NotebookNode) -> str:
    """Return the exact text to store; raises nbformat's ValidationError when it is not a valid notebook."""
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook, version=4)).rstrip("\n") + "\n"


def _failed_cell(notebook: NotebookNode) -> str:
    """Name the last cell that was started: nbclient stops there."""
    started = [
        position
        for position, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and (cell.execution_count is not None or cell.outputs)
    ]
    return f"cell {started[-1]}" if started else "the first code cell"


def _replace(path: Path, text: str) -> None:
    """Write next to the target, then rename: a reader never sees half a notebook."""
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
