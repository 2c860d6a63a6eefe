from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from lib.book.lint import MAX_CELLS, LintConfig, lint, main, name_problems
from lib.book.paths import chapter_paths


def add_prose(text: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells.append(new_markdown_cell(text, id="new"))


def add_code(text: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells.append(new_code_cell(text, id="new"))


def no_ids(notebook: NotebookNode) -> None:
    del notebook.cells[0]["id"]


def many_cells(notebook: NotebookNode) -> None:
    notebook.cells += [new_markdown_cell("text", id=f"m{i}") for i in range(MAX_CELLS)]


def code_run(notebook: NotebookNode) -> None:
    notebook.cells += [new_code_cell("x = 1", id=f"c{i}") for i in range(3)]


def same_id(notebook: NotebookNode) -> None:
    notebook.cells[3]["id"] = "title"


def untagged(notebook: NotebookNode) -> None:
    notebook.cells[1].metadata = {}


def other_setup(notebook: NotebookNode) -> None:
    notebook.cells[1].source += "\nimport torch"


def late_setup(notebook: NotebookNode) -> None:
    notebook.cells.insert(1, new_code_cell("x = 1", id="early"))


def untitled(notebook: NotebookNode) -> None:
    notebook.cells[0].source = "A chapter without a title"


BAD: dict[str, tuple[Callable[[NotebookNode], None], str]] = {
    "long cell": (add_code("x = 1\n" * 26), "26 lines of code"),
    "shell": (add_code("!pip install torch"), "shell or install"),
    "pip magic": (add_code("x = 1\n%pip install torch"), "shell or install"),
    "bash magic": (add_code("%%bash\nls"), "shell or install"),
    "kept graph": (add_code("loss.backward(retain_graph = True)"), "retain_graph=True keeps"),
    "unsafe load": (add_code("torch.load(path, map_location='cpu')"), "weights_only=True"),
    "path in code": (add_code("open('/home/reader/photo.png')"), "absolute path"),
    "windows path": (add_code(r"open(r'C:\Users\reader\photo.png')"), "absolute path"),
    "path in prose": (add_prose("It lies in `/home/reader/book`."), "absolute path"),
    "no alt": (add_prose("![](figure.png)"), "no alt text"),
    "html without alt": (add_prose('<img src="figure.png" width="40">'), "no alt text"),
    "remote image": (add_prose("![a cat](https://example.org/cat.png)"), "not local"),
    "remote html image": (add_prose('<img alt="a cat" src="https://example.org/cat.png">'), "not local"),
    "missing image": (add_prose("![a cat](cat.png)"), "does not exist"),
    "inlined image": (add_prose("![a cat](attachment:cat.png)"), "assets/figures"),
    "dead link": (add_prose("See [the next](13_none.ipynb)."), "leads nowhere"),
    "second title": (add_prose("# Another"), "level 1"),
    "skipped level": (add_prose("#### Deep"), "skips a level"),
    "empty cell": (add_prose("  "), "empty"),
    "no title": (untitled, "level 1"),
    "no id": (no_ids, "without an id"),
    "same id": (same_id, "share the id"),
    "many cells": (many_cells, f"at most {MAX_CELLS}"),
    "code run": (code_run, "in a row"),
    "untagged setup": (untagged, "tag 'setup'"),
    "other setup": (other_setup, "setup cell differs"),
    "late setup": (late_setup, "tag 'setup'"),
}


def test_a_good_chapter_has_no_problem(chapter: NotebookNode, folder: Path) -> None:
    assert lint(chapter, folder) == []


@pytest.mark.parametrize("name", BAD)
def test_each_broken_rule_is_reported_once(name: str, chapter: NotebookNode, folder: Path) -> None:
    spoil, message = BAD[name]
    spoil(chapter)
    problems = lint(chapter, folder)
    assert len(problems) == 1, problems
    assert message in problems[0]


@pytest.mark.parametrize(
    "cell",
    [
        add_prose("```bash\n# not a heading\n![](none.png)\n```"),
        add_prose("An index is written `a[i](x)`, see [the question](https://example.org) and [below](#here)."),
        add_prose("A ratio a/b, a set \\{x \\mid x \\neq y\\}, and the file `assets/layouts/china/source.png`."),
        add_code("%matplotlib inline\nhigh = 1 if 2 != 3 else 0\npath = root / 'assets' / 'tmp'"),
        add_prose('<img src="figure.png" alt="a grey square">'),
        add_prose("Never pass `retain_graph=True`: the second turn would see the first turn's weights."),
        add_code("torch.load(path, weights_only=True)\nloss.backward(retain_graph=False)"),
    ],
)
def test_what_only_looks_like_a_broken_rule_is_fine(
    cell: Callable[[NotebookNode], None], chapter: NotebookNode, folder: Path
) -> None:
    cell(chapter)
    assert lint(chapter, folder) == []


def test_the_command_names_the_file_and_fails(
    folder: Path, chapter: NotebookNode, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "12_good.ipynb"
    chapter.cells[1].execution_count, chapter.cells[3].execution_count = 1, 2
    nbformat.write(chapter, path)
    assert main(LintConfig((path,))) == 0
    add_code("!ls")(chapter)
    chapter.cells[4].execution_count = 3
    nbformat.write(chapter, path)
    assert main(LintConfig((path,))) == 1
    assert "12_good.ipynb: cell 4: a shell" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda cells: cells[3].update(execution_count=1), "not executed from top to bottom"),
        (lambda cells: cells[3].update(execution_count=None), "not executed from top to bottom"),
        (lambda cells: cells[3].outputs.append(new_output("stream", text="x" * 1_100_000)), "more than 1 MB"),
        (lambda cells: cells[3].outputs.append(new_output("display_data", {"image/png": "AAAA"})), "without alt text"),
        (lambda cells: cells[3].outputs.append(new_output("error", ename="E", evalue="no")), "holds an error"),
        (lambda cells: cells[0].update(source="# 11 · A title"), "does not begin with the chapter's number, 12"),
    ],
)
def test_the_command_also_looks_at_what_was_run(
    spoil: Callable[[list[NotebookNode]], None],
    message: str,
    folder: Path,
    chapter: NotebookNode,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chapter.cells[1].execution_count, chapter.cells[3].execution_count = 1, 2
    spoil(chapter.cells)
    nbformat.write(chapter, folder / "12_good.ipynb")
    assert main(LintConfig((folder / "12_good.ipynb",))) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert message in told


def test_a_chapter_is_called_by_its_number(chapter: NotebookNode) -> None:
    assert name_problems(chapter, "12_good.ipynb") == []
    assert "as in 07_diat.ipynb" in name_problems(chapter, "good.ipynb")[0]


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_the_chapters_keep_the_rules(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert [*name_problems(notebook, path.name), *lint(notebook, path.parent)] == []


@pytest.mark.parametrize("wrong", ["missing.ipynb", "."])
def test_a_wrong_path_is_refused_in_one_sentence(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a notebook"):
        chapter_paths((tmp_path / wrong,))
