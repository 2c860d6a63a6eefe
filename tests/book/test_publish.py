from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

from lib.book.canonical import MAX_BYTES, MAX_PNG_BYTES, canonical, output_problems, stderr_lines
from lib.book.paths import chapter_paths
from lib.book.publish import PublishConfig, check, main, publish, serialised

NOISY = """\
import sys, warnings
print("first", object(), flush=True)
print("second")
warnings.warn("this is told on publishing")
from IPython.display import display
class Widget:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "Widget()"}
display(Widget())
{"threads": 1}"""
WIDGET = "application/vnd.jupyter.widget-view+json"


def with_output(chapter: NotebookNode, kind: str = "display_data", **fields: Any) -> NotebookNode:
    """The chapter as if it had been executed, with one output in its last cell."""
    code = [cell for cell in chapter.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    code[-1].outputs = [new_output(kind, **fields)]
    return chapter


def problems_of(chapter: NotebookNode) -> list[str]:
    return output_problems(chapter, size=1000)


def test_publishing_twice_changes_no_byte(
    chapter: NotebookNode, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "12_good.ipynb"
    chapter.cells.append(new_code_cell(NOISY, id="noisy"))
    chapter.metadata["widgets"] = {"state": {}}
    nbformat.write(chapter, path)
    assert any("canonical form" in problem for problem in check(path))

    assert publish(path, timeout=60) == []
    first = path.read_bytes()
    told = capsys.readouterr().err
    assert publish(path, timeout=60) == []

    assert path.read_bytes() == first
    assert "this is told on publishing" in told or "stderr dropped" in told
    assert check(path) == []
    stored = nbformat.reads(first.decode(), as_version=4)
    assert [cell.execution_count for cell in stored.cells if cell.cell_type == "code"] == [1, 2, 3]
    stream, result = stored.cells[-1].outputs
    assert stream.text == "first <object object at 0x…>\nsecond\n"
    assert result.data["text/plain"] == "{'threads': 1}"
    assert not list(folder.glob(".*.part"))


def test_a_failing_chapter_is_left_as_it_was(
    chapter: NotebookNode, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "12_good.ipynb"
    chapter.cells.append(new_code_cell("1 / 0", id="bad"))
    chapter.cells.append(new_code_cell("while True: pass", id="never"))
    nbformat.write(chapter, path)
    before = path.read_bytes()
    assert main(PublishConfig((path,), timeout=60)) == 1
    assert path.read_bytes() == before
    assert "cell 4 raised ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_canonical_form_is_stable_and_valid(chapter: NotebookNode) -> None:
    chapter.cells[3].metadata = {"tags": ["a"], "execution": {"iopub.status.busy": "now"}, "collapsed": True}
    chapter.cells[3].outputs = [
        new_output("stream", name="stdout", text="a at 0x7fffdeadbeef\n"),
        new_output("stream", name="stderr", text="50%|#####     |\n"),
        new_output("stream", name="stdout", text="b\n"),
        new_output("display_data", {WIDGET: {}, "image/png": "AAAA", "text/plain": "A picture"}),
        new_output("display_data", {WIDGET: {}, "text/plain": "Widget()"}),
    ]
    once = canonical(chapter)
    assert serialised(canonical(once)) == serialised(once)
    assert once.cells[3].metadata == {"tags": ["a"]}
    assert [output.output_type for output in once.cells[3].outputs] == ["stream", "display_data"]
    assert once.cells[3].outputs[0].text == "a at 0x…\nb\n"
    assert set(once.cells[3].outputs[1].data) == {"image/png", "text/plain"}
    assert len(chapter.cells[3].outputs) == 5, "the notebook passed in must stay as it was"
    assert stderr_lines(chapter) == ["50%|#####     |"]


def test_only_the_size_of_an_image_is_kept_of_its_metadata(chapter: NotebookNode) -> None:
    about = {"image/png": {"width": 40, "unconfined": True}, "isolated": True}
    with_output(chapter, data={"image/png": "AAAA", "text/plain": "A grey square"}, metadata=about)
    assert canonical(chapter).cells[3].outputs[0].metadata == {"image/png": {"width": 40}}


def test_good_outputs_have_no_problem(chapter: NotebookNode) -> None:
    assert problems_of(with_output(chapter, "stream", name="stdout", text="42\n")) == []
    jpeg = base64.b64encode(bytes(MAX_PNG_BYTES * 2)).decode()
    data = {"image/jpeg": jpeg, "text/plain": "A photo of a roof and its layout"}
    assert problems_of(with_output(chapter, data=data)) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"data": {"image/png": "AAAA"}}, "without alt text"),
        (
            {"data": {"image/png": "AAAA", "text/plain": "<Figure size 640x480 with 1 Axes>"}},
            "without alt text",
        ),
        (
            {"data": {"image/jpeg": "AAAA", "text/plain": "<PIL.Image.Image image mode=RGB>"}},
            "without alt text",
        ),
        ({"data": {"image/svg+xml": "<svg/>", "text/plain": "<Plot at 0x…>"}}, "without alt text"),
        (
            {
                "data": {
                    "image/png": base64.b64encode(bytes(MAX_PNG_BYTES + 3)).decode(),
                    "text/plain": "A cat asleep",
                }
            },
            "a PNG of 100 KB",
        ),
        (
            {"kind": "error", "ename": "ValueError", "evalue": "no", "traceback": []},
            "holds an error (ValueError: no)",
        ),
        ({"kind": "stream", "name": "stdout", "text": "saved /home/reader/x.png"}, "absolute path"),
        ({"data": {"text/plain": "PosixPath('/home/reader/x')"}}, "absolute path"),
        (
            {"data": {"text/markdown": "**f** · `lib/gone.py` · lines 1–2\n\n```python\ndef f():\n    pass\n```"}},
            "no longer exists",
        ),
    ],
)
def test_each_bad_output_is_reported(output: dict[str, Any], message: str, chapter: NotebookNode) -> None:
    fields = dict(output)
    problems = problems_of(with_output(chapter, fields.pop("kind", "display_data"), **fields))
    assert len(problems) == 1, problems
    assert message in problems[0]


@pytest.mark.parametrize("counts", [(None, None), (2, 1), (1, 3), (1, None)])
def test_counts_other_than_one_to_n_are_reported(counts: tuple[int | None, int | None], chapter: NotebookNode) -> None:
    with_output(chapter, "stream", name="stdout", text="42\n")
    chapter.cells[1].execution_count, chapter.cells[3].execution_count = counts
    assert problems_of(chapter) == ["not executed from top to bottom: run `python -m lib book publish` on it"]


def test_a_chapter_over_the_size_limit_is_reported(chapter: NotebookNode) -> None:
    with_output(chapter, "stream", name="stdout", text="42\n")
    assert output_problems(chapter, MAX_BYTES) == []
    assert "1.20 MB is more than 1 MB" in output_problems(chapter, 1_200_000)[0]


@pytest.mark.parametrize("path", chapter_paths(), ids=lambda path: path.stem)
def test_the_chapters_are_published(path: Path) -> None:
    assert check(path) == []
