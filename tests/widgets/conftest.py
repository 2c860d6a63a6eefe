"""JupyterLab with a copy of the book in it, and a hand in the studio of chapter 13."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from tests.widgets.hand import CHAPTER, CHECK, SHORT, Hand
from tests.widgets.lab import ROOT, browser, open_notebook, run_cell, server

BUSY = "import time\nwhile not (root / 'enough').exists(): time.sleep(0.05)"


def code(*cells: str) -> list[Any]:
    return [nbformat.v4.new_code_cell(cell) for cell in cells]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A copy of the chapters beside the library, in JupyterLab: a page, and where it all is."""
    folder, home = tmp_path_factory.mktemp("book"), tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "chapters", folder / "chapters")
    for name in ("lib", "assets"):
        (folder / name).symlink_to(ROOT / name)
    short = nbformat.v4.new_notebook(cells=code(*SHORT))
    short.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(short, folder / "chapters" / "short.ipynb")
    with server(folder, home) as address, browser(home) as page:
        page.folder, page.home, page.address = folder, home, address
        yield page


@pytest.fixture(scope="module")
def hand(book: Any) -> Hand:
    """In chapter 13, whose studio has been opened as it stands there; cells that look at it come behind its cell."""
    file = book.folder / "chapters" / CHAPTER
    chapter = nbformat.read(file, 4)
    needed = [number for number, cell in enumerate(chapter.cells) if re.search(r"sys\.path|= Studio\(", cell.source)]
    assert len(needed) == 2, "the set-up cell and the studio's"
    for number in needed:
        chapter.cells[number].execution_count = None  # so that a number tells that it has been run here
    studio = needed[1]
    chapter.cells[studio + 1 : studio + 1] = code(CHECK, BUSY)
    nbformat.write(chapter, file)
    # As `jupyter trust` does: what a notebook that is not trusted has stored is shown as text after a reload.
    NotebookNotary(data_dir=str(book.home / "data")).sign(nbformat.read(file, 4))
    open_notebook(book, book.address, f"chapters/{CHAPTER}")
    book.wait_for_function(f"() => document.querySelectorAll('.jp-Notebook .jp-Cell').length === {len(chapter.cells)}")
    for number in needed:
        run_cell(book, number)
    book.wait_for_selector(".layout-editor .le-over")
    there = Hand(book, studio + 1)
    there.act("reset")
    there.painted()
    return there
