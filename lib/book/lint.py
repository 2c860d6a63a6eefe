"""``python -m lib book lint``: the rules that make a chapter easy to read, to run anywhere and to keep."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import nbformat
import tyro
from nbformat import NotebookNode

from lib.book.canonical import ABSOLUTE_PATH, output_problems
from lib.book.paths import chapter_paths, relative

MAX_CELLS = 110
MAX_CODE_LINES = 25
MAX_CODE_RUN = 3
SETUP_TAG = "setup"
SETUP_SOURCE = """\
import sys
from pathlib import Path

here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "lib" / "__init__.py").exists())
sys.path.insert(0, str(root))"""

_SHELL = re.compile(r"^\s*(?:!|%%?(?:!|bash|sh|script|sx|system|pip|conda|mamba|uv)\b|%%!)", re.MULTILINE)
_STALE_GRAPH = re.compile(r"\bretain_graph\s*=\s*True\b")
_UNSAFE_LOAD = re.compile(r"\btorch\.load\((?![^)]*weights_only\s*=\s*True)")
_FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_HEADING = re.compile(r"^(#{1,6})\s+\S", re.MULTILINE)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)[^)]*\)")
_IMG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True)
class LintConfig:
    """Check chapters against the book's rules, without executing them."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Notebooks to check; all chapters when none is given."""


def main(config: LintConfig) -> int:
    """Print one line per broken rule, of what is written and of what was run. Return 1 if there is one, else 0."""
    broken = 0
    for path in chapter_paths(config.paths):
        notebook = nbformat.read(path, as_version=4)
        problems = [
            *name_problems(notebook, path.name),
            *lint(notebook, path.parent),
            *output_problems(notebook, path.stat().st_size),
        ]
        broken += len(problems)
        for problem in problems:
            print(f"{relative(path)}: {problem}", file=sys.stderr)
    return int(broken > 0)


def lint(notebook: NotebookNode, folder: Path) -> list[str]:
    """Return every broken rule of one chapter, one sentence each, in reading order.

    ``folder`` is where the chapter lies: its links and images are looked up from there.
    """
    problems = [*_whole(notebook), *_setup(notebook), *_headings(notebook)]
    for position, cell in enumerate(notebook.cells):
        rules = _code(cell.source) if cell.cell_type == "code" else _prose(cell.source, folder)
        problems += [f"cell {position}: {problem}" for problem in rules]
    return problems


def name_problems(notebook: NotebookNode, file: str) -> list[str]:
    """Return what is wrong between a chapter's title and the name of its file, ``NN_slug.ipynb``."""
    if not re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", file):
        return [f"the file is called {file}: a chapter is called NN_slug.ipynb, as in 07_diat.ipynb"]
    title = notebook.cells[0].source.partition("\n")[0] if notebook.cells else ""
    if not re.match(rf"#\s*{file[:2]}\b", title):
        return [f"the title {title!r} does not begin with the chapter's number, {file[:2]}"]
    return []


def _whole(notebook: NotebookNode) -> Iterator[str]:
    cells = notebook.cells
    if len(cells) > MAX_CELLS:
        yield f"{len(cells)} cells, at most {MAX_CELLS}: split the chapter"
    ids = Counter(cell.get("id") for cell in cells)
    for name, count in ids.items():
        if name is None:
            yield f"{count} cells without an id: publish the chapter"
        elif count > 1:
            yield f"{count} cells share the id {name!r}"
    run = 0
    for position, cell in enumerate(cells):
        run = run + 1 if cell.cell_type == "code" else 0
        if run == MAX_CODE_RUN + 1:
            yield f"cell {position}: more than {MAX_CODE_RUN} code cells in a row: say in between why"
        if not cell.source.strip():
            yield f"cell {position}: empty"


def _setup(notebook: NotebookNode) -> Iterator[str]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if SETUP_TAG in cell.metadata.get("tags", [])]
    if not code or tagged != code[:1]:
        yield f"the first code cell, and only that, carries the tag {SETUP_TAG!r}"
    elif code[0].source.rstrip() != SETUP_SOURCE:
        yield "the setup cell differs from lib.book.lint.SETUP_SOURCE: it is the same in all chapters"


def _headings(notebook: NotebookNode) -> Iterator[str]:
    prose = [(i, cell.source) for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"]
    levels = [(i, len(found[1])) for i, text in prose for found in _HEADING.finditer(_FENCED.sub("", text))]
    if [position for position, level in levels if level == 1] != [0]:
        yield "one heading of level 1, at the start of the first cell, is the chapter's title"
    for (_, above), (position, level) in pairwise(levels):
        if level > above + 1:
            yield f"cell {position}: a heading of level {level} below one of level {above} skips a level"


def _code(source: str) -> Iterator[str]:
    lines = len(source.splitlines())
    if lines > MAX_CODE_LINES:
        yield f"{lines} lines of code, at most {MAX_CODE_LINES}: move some into lib or split the cell"
    if _SHELL.search(source):
        yield "a shell or install command: requirements.txt installs, Python does the rest"
    if _STALE_GRAPH.search(source):
        yield "retain_graph=True keeps a graph across an update: compute the forward pass again after the turn"
    if _UNSAFE_LOAD.search(source):
        yield "torch.load without weights_only=True runs any code that the file holds"
    yield from _absolute(source)


def _prose(source: str, folder: Path) -> Iterator[str]:
    yield from _absolute(source)
    text = _INLINE_CODE.sub("", _FENCED.sub("", source))
    for link in _LINK.finditer(text):
        if link["image"]:
            yield from _image(link["target"], link["text"], folder)
        elif _is_local(link["target"]) and not (folder / link["target"].partition("#")[0]).exists():
            yield f"the link to {link['target']} leads nowhere"
    for tag in _IMG.findall(text):
        attributes = {name.lower(): double or single for name, double, single in _ATTRIBUTE.findall(tag)}
        yield from _image(attributes.get("src", ""), attributes.get("alt", ""), folder)


def _image(target: str, alt: str, folder: Path) -> Iterator[str]:
    if not alt.strip():
        yield f"the image {target[:60]} has no alt text"
    if target.startswith(("data:", "attachment:")):
        yield "an image inside the text: store it in assets/figures"
    elif not _is_local(target):
        yield f"the image {target} is not local: the book works offline"
    elif not (folder / target).is_file():
        yield f"the image {target} does not exist"


def _is_local(target: str) -> bool:
    return not re.match(r"[a-z][a-z+.-]*:|//|#", target)


def _absolute(source: str) -> Iterator[str]:
    found = ABSOLUTE_PATH.search(source)
    if found is not None:
        yield f"an absolute path of one machine, near {source[found.start() :][:30]!r}"
