"""A small good chapter, to be spoilt by each test in its own way."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.book.lint import SETUP_SOURCE


@pytest.fixture
def chapter() -> NotebookNode:
    setup = new_code_cell(SETUP_SOURCE, id="setup", metadata={"tags": ["setup"]})
    return new_notebook(
        cells=[
            new_markdown_cell("# 12 · A title\n\nOne idea.", id="title"),
            setup,
            new_markdown_cell("## A section\n\n![a grey square](figure.png) and [itself](12_good.ipynb#a).", id="s"),
            new_code_cell("total = 6 * 7\nprint(total)", id="answer"),
        ]
    )


@pytest.fixture
def folder(tmp_path: Path, chapter: NotebookNode) -> Path:
    """A folder inside a stand-in for the repository, with the chapter and its figure."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").touch()
    chapters = tmp_path / "chapters"
    chapters.mkdir()
    (chapters / "figure.png").write_bytes(b"")
    nbformat.write(chapter, chapters / "12_good.ipynb")
    return chapters
