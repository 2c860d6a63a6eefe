"""The one form in which an executed chapter is stored, and what must be true of it.

Timestamps, widget models, memory addresses and progress bars would change with every run; in canonical form a
second run of a chapter whose results are the same changes no byte.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from nbformat import NotebookNode

from lib.book.figures import MIN_ALT_LENGTH
from lib.book.source import stale_source

MAX_BYTES = 1_000_000
MAX_PNG_BYTES = 100_000
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_KEPT_CELL_METADATA = frozenset({"tags", "nbgrader", "slideshow", "jupyter"})
_KEPT_IMAGE_METADATA = frozenset({"width", "height"})
_WIDGET = "application/vnd.jupyter.widget-view+json"
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_DEFAULT_TEXT = re.compile(r"<(Figure|IPython|PIL|lib)\b.*>|<.*0x….*>", re.DOTALL)
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/-])/(?:home|root|tmp|var|usr|opt|mnt|work|Users|content|private)/[\w.-]|\b[A-Za-z]:\\\w|file://"
)


def canonical(notebook: NotebookNode) -> NotebookNode:
    """Return a copy in canonical form; applying it twice changes nothing more.

    Dropped: stderr, live widgets (their picture stays), run times and other metadata. Execution counts are
    kept as they are, so that ``output_problems`` can see a chapter that was not run from top to bottom.
    """
    clean = copy.deepcopy(notebook)
    clean.metadata = NotebookNode(METADATA)
    clean.nbformat, clean.nbformat_minor = 4, 5
    for position, cell in enumerate(clean.cells):
        cell.id = cell.get("id") or f"cell-{position}"
        cell.source = cell.source.rstrip()
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in _KEPT_CELL_METADATA and v})
        if cell.cell_type == "code":
            cell.outputs = _merged([_output(output) for output in cell.outputs])
    return clean


def stderr_lines(notebook: NotebookNode) -> list[str]:
    """Return the lines the canonical form drops, so that whoever publishes sees warnings before they go."""
    outputs = [output for _, output in _outputs(notebook) if output.get("name") == "stderr"]
    return [line for output in outputs for line in output.text.splitlines() if line.strip()]


def output_problems(notebook: NotebookNode, size: int) -> list[str]:
    """Return what is wrong with the stored outputs of a chapter of ``size`` bytes, one sentence each."""
    problems = [f"{size / 1e6:.2f} MB is more than {MAX_BYTES / 1e6:.0f} MB"] if size > MAX_BYTES else []
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        problems.append("not executed from top to bottom: run `python -m lib book publish` on it")
    for position, output in _outputs(notebook):
        problems += [f"cell {position}: {problem}" for problem in _one_output(output)]
    return problems


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    for position, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield position, output


def _output(output: NotebookNode) -> NotebookNode | None:
    """Return one output in canonical form, or None when nothing of it is kept."""
    if output.output_type == "stream":
        if output.name == "stderr":
            return None
        output.text = _ADDRESS.sub("0x…", output.text)
    elif output.output_type == "error":
        output.traceback = []
    else:
        live = output.data.pop(_WIDGET, None)
        if live is not None and set(output.data) <= {"text/plain"}:
            return None  # a widget without a fallback picture has nothing to show in a stored page
        if "text/plain" in output.data:
            output.data["text/plain"] = _ADDRESS.sub("0x…", output.data["text/plain"])
        output.metadata = NotebookNode(_image_sizes(output.metadata))
    return output


def _image_sizes(metadata: NotebookNode) -> dict[str, dict[str, int]]:
    kept = {
        mime: {name: value for name, value in about.items() if name in _KEPT_IMAGE_METADATA}
        for mime, about in metadata.items()
        if mime.startswith("image/") and isinstance(about, dict)
    }
    return {mime: about for mime, about in kept.items() if about}


def _merged(outputs: list[NotebookNode | None]) -> list[NotebookNode]:
    """Join neighbouring chunks of the same stream: how print is cut into chunks is chance."""
    merged: list[NotebookNode] = []
    for output in outputs:
        if output is None:
            continue
        last = merged[-1] if merged else None
        if last is not None and last.output_type == output.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def _one_output(output: NotebookNode) -> Iterator[str]:
    if output.output_type == "error":
        yield f"holds an error ({output.ename}: {output.evalue})"
        return
    if output.output_type == "stream":
        yield from _path_problem(output.text)
        return
    data: dict[str, Any] = output.data
    text = str(data.get("text/plain", ""))
    yield from _path_problem(text + str(data.get("text/markdown", "")) + str(data.get("text/html", "")))
    if any(mime.startswith("image/") for mime in data) and (
        len(text.strip()) < MIN_ALT_LENGTH or _DEFAULT_TEXT.fullmatch(text.strip())
    ):
        yield "an image without alt text: use show_images or show_figure, which ask for it"
    # base64 holds 3 bytes in 4 characters
    png_bytes = len(str(data.get("image/png", ""))) * 3 // 4
    if png_bytes > MAX_PNG_BYTES:
        yield f"a PNG of {png_bytes // 1000} KB: pictures with photos are stored as JPEG (kind='jpeg')"
    stale = stale_source(str(data.get("text/markdown", "")))
    if stale is not None:
        yield f"{stale}: run `python -m lib book publish` on it"


def _path_problem(text: str) -> Iterator[str]:
    found = ABSOLUTE_PATH.search(text)
    if found is not None:
        yield f"an absolute path of one machine in the output, near {text[found.start() :][:30]!r}"
