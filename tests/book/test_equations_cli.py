"""The command that prints the equations, and its refusal of one without a function or a test."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from lib.book import equations_cli
from lib.book.checks import judge
from lib.book.equations import Equation
from lib.book.equations_cli import EquationsCommand, main, printed_chapters, table

THIS = "tests/book/test_equations_cli.py"
HELD = Equation("12.2", "lib.book.checks", judge.__qualname__, f"{THIS}::test_the_table_names_function_and_test")
LOOSE = Equation("12.3", "lib.book.checks", "judge", f"{THIS}::test_that_nobody_wrote")


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, *entries: Equation) -> None:
    monkeypatch.setattr(equations_cli, "registered_equations", lambda: entries)
    monkeypatch.setattr(equations_cli, "chapter_paths", lambda paths=(): (folder / "12_good.ipynb",))


def print_in_chapter(folder: Path, chapter: NotebookNode, *numbers: str) -> None:
    chapter.cells += [new_markdown_cell(rf"$$a = b \tag{{{number}}}$$", id=f"e{i}") for i, number in enumerate(numbers)]
    nbformat.write(chapter, folder / "12_good.ipynb")


def test_the_table_names_function_and_test() -> None:
    rows = table([Equation("1.3", "lib.a", "f", "tests/t.py::test_f"), HELD]).splitlines()
    assert "## Chapter 1" in rows and "## Chapter 12" in rows
    assert "| (1.3) | `lib.a.f` | `tests/t.py::test_f` |" in rows
    assert f"| (12.2) | `lib.book.checks.judge` | `{HELD.tests}` |" in rows


def test_an_equation_with_function_test_and_print_is_fine(
    folder: Path, chapter: NotebookNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_in_chapter(folder, chapter, "12.2")
    use(monkeypatch, folder, HELD)
    assert main(EquationsCommand()) == 0
    told = capsys.readouterr()
    assert "1 numbered equations" in told.out and told.err == ""


@pytest.mark.parametrize(
    ("printed", "entries", "problem"),
    [
        (("12.2", "12.3"), (HELD, LOOSE), "(12.3) tests/book/test_equations_cli.py::test_that_nobody_wrote: no such"),
        (("12.2", "12.4"), (HELD,), "(12.4) has no function"),
        ((), (HELD,), "(12.2) is registered but not printed"),
    ],
)
def test_a_loose_equation_fails_the_command(
    printed: tuple[str, ...],
    entries: tuple[Equation, ...],
    problem: str,
    folder: Path,
    chapter: NotebookNode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_in_chapter(folder, chapter, *printed)
    use(monkeypatch, folder, *entries)
    assert main(EquationsCommand()) == 1
    assert problem in capsys.readouterr().err
    assert main(EquationsCommand(chapter=11)) == 0, "other chapters are not asked"


def test_chapters_are_read_with_their_number(folder: Path) -> None:
    ((number, cells),) = printed_chapters((folder / "12_good.ipynb",))
    assert number == 12 and cells[0].startswith("# 12")
