"""``python -m lib book equations``: every numbered equation with its function and its test, as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import nbformat

from lib.book.equations import Equation, equation_problems, registered_equations
from lib.book.paths import chapter_paths


@dataclass(frozen=True)
class EquationsCommand:
    """Print the table equation -> function -> test, and check that chapters, registry and tests agree."""

    chapter: int | None = None
    """only this chapter's equations"""


def main(config: EquationsCommand) -> int:
    """Print the table to stdout and what is wrong to stderr. Return 1 when something is wrong, else 0."""
    equations = [e for e in registered_equations() if config.chapter in (None, e.chapter)]
    print(table(equations))
    chapters = [(number, cells) for number, cells in printed_chapters() if config.chapter in (None, number)]
    problems = equation_problems(chapters, equations)
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def table(equations: list[Equation]) -> str:
    """The equations, in order, as one Markdown section with one table for each chapter."""
    parts = [f"# Equations\n\n{len(equations)} numbered equations, each with its function and its test."]
    for chapter, group in groupby(equations, key=lambda entry: entry.chapter):
        rows = [f"| ({e.number}) | `{e.module}.{e.function}` | `{e.tests}` |" for e in group]
        head = [f"## Chapter {chapter}", "", "| equation | computed by | held to it by |", "|---|---|---|"]
        parts.append("\n".join([*head, *rows]))
    return "\n\n".join(parts)


def printed_chapters(paths: tuple[Path, ...] = ()) -> Iterator[tuple[int, list[str]]]:
    """The number and the texts of the Markdown cells of the given chapters, or of all."""
    for path in chapter_paths(paths):
        cells = nbformat.read(path, as_version=4).cells
        yield int(path.name[:2]), [cell.source for cell in cells if cell.cell_type == "markdown"]
