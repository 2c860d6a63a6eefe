"""Show the source of the object that a chapter runs, so that there is no second copy to drift."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lib.book.paths import repository_root

_LEFT_OUT = " · docstrings left out"
_SHOWN = re.compile(
    r"\*\*(?P<name>[^*]+)\*\* · `(?P<path>[^`]+)` · lines (?P<first>\d+)–(?P<last>\d+)"
    rf"(?P<left_out>{re.escape(_LEFT_OUT)})?\n\n(?P<fence>`{{3,}})python\n(?P<code>.*)\n(?P=fence)",
    re.DOTALL,
)


@dataclass(frozen=True)
class SourceView:
    """The source of one object, displayed as a highlighted code block with a caption.

    ``path`` is relative to the repository root; ``first`` and ``last`` are its line numbers, counted from 1.
    """

    name: str
    path: str
    first: int
    last: int
    code: str
    docstrings: bool = True

    @property
    def caption(self) -> str:
        """Name, file and lines, as Markdown."""
        left_out = "" if self.docstrings else _LEFT_OUT
        return f"**{self.name}** · `{self.path}` · lines {self.first}–{self.last}{left_out}"

    def __repr__(self) -> str:
        return f"{self.caption.replace('*', '').replace('`', '')}\n\n{self.code}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # Markdown, not styled HTML: Jupyter and GitHub highlight it in the reader's own theme.
        fence = "````" if "```" in self.code else "```"
        return {
            "text/markdown": f"{self.caption}\n\n{fence}python\n{self.code}\n{fence}",
            "text/plain": repr(self),
        }


def show_source(obj: Callable[..., Any] | type | ModuleType, *, docstring: bool = True) -> SourceView:
    """Return the source of a function, class or module of the library, to be the last line of a cell.

    ``docstring=False`` leaves the docstrings out, for a page whose text already says the same.

    Raises:
        ValueError: the object has no Python source inside the repository (an instance, a builtin, a name
            defined in the notebook, a function of another package).
    """
    name = str(getattr(obj, "__qualname__", None) or getattr(obj, "__name__", type(obj).__name__))
    try:
        lines, first = inspect.getsourcelines(obj)
        file = Path(inspect.getsourcefile(inspect.unwrap(obj) if callable(obj) else obj) or "").resolve()
    except (TypeError, OSError) as error:
        raise ValueError(f"{name} has no Python source to show: pass a function, a class or a module.") from error
    if not file.is_relative_to(repository_root()):
        raise ValueError(f"{name} is not part of this repository: show_source shows what lives in lib/.")
    first = max(first, 1)  # inspect counts a module's first line as 0
    code = _clean("".join(lines), docstring)
    path = file.relative_to(repository_root()).as_posix()
    return SourceView(name, path, first, first + len(lines) - 1, code, docstring)


def without_docstrings(code: str) -> str:
    """Return ``code`` without its docstrings and the blank line that follows each. Comments stay."""
    lines = code.splitlines()
    dropped: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is None or len(node.body) == 1:
            continue  # a body that is only a docstring would no longer be Python without it
        text = node.body[0]
        dropped.update(range(text.lineno - 1, text.end_lineno or text.lineno))
        after = text.end_lineno or text.lineno
        if after < len(lines) and not lines[after].strip():
            dropped.add(after)
    return "\n".join(line for i, line in enumerate(lines) if i not in dropped)


def stale_source(markdown: str, root: Path | None = None) -> str | None:
    """Say how a stored source view differs from the file it shows, or None when it is current (or none).

    This is what keeps a published chapter honest without executing it again.
    """
    shown = _SHOWN.fullmatch(markdown.strip())
    if shown is None:
        return None
    file = (root or repository_root()) / shown["path"]
    if not file.is_file():
        return f"shows {shown['path']}, which no longer exists"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    now = "".join(lines[int(shown["first"]) - 1 : int(shown["last"])])
    try:
        current = _clean(now, shown["left_out"] is None)
    except SyntaxError:  # the lines moved, so they no longer hold one whole object
        current = ""
    return None if current == shown["code"] else f"shows an old {shown['name']} of {shown['path']}"


def _clean(code: str, docstrings: bool) -> str:
    code = textwrap.dedent(code).rstrip()
    return code if docstrings else without_docstrings(code)
