r"""Which function is which numbered equation, and which test holds it to that.

A chapter numbers an equation with ``\tag{12.3}``; the function that computes it carries
``@equation("12.3", tests="tests/equations/test_sft.py::test_closed_form")``.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import lib
from lib.book.paths import repository_root

F = TypeVar("F", bound=Callable[..., Any])
_NUMBER = re.compile(r"\d{1,2}\.\d{1,2}[a-z]?")
_TAG = re.compile(r"\\tag\*?\{([^}]*)\}")


@dataclass(frozen=True)
class Equation:
    """One numbered equation: the function that computes it and the pytest id that checks it."""

    number: str
    module: str
    function: str
    tests: str

    @property
    def chapter(self) -> int:
        """The chapter it stands in: 12 for 12.3."""
        return int(self.number.partition(".")[0])

    @property
    def order(self) -> tuple[int, int, str]:
        """Key that sorts 12.2 before 12.10."""
        digits = re.findall(r"\d+", self.number)
        return int(digits[0]), int(digits[1]), self.number


_registry: dict[str, Equation] = {}


def equation(number: str, *, tests: str) -> Callable[[F], F]:
    """Mark a function or class of the library as equation ``number``; it is returned unchanged.

    ``tests`` is the pytest id of its test, ``path::function`` or ``path::Class::method``.

    Raises:
        ValueError: the number is not like 12.3, the id is not like above, or another function has the number.
    """
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"An equation number looks like 12.3 (chapter, dot, count), got {number!r}.")
    if not re.fullmatch(r"tests/\S+\.py(::\w+)+", tests):
        raise ValueError(f"Equation {number}: tests must be like tests/area/test_x.py::test_y, got {tests!r}.")

    def register(function: F) -> F:
        entry = Equation(number, function.__module__, function.__qualname__, tests)
        other = _registry.get(number, entry)
        if (other.module, other.function) != (entry.module, entry.function):
            raise ValueError(
                f"Equation {number} is already {other.module}.{other.function}: "
                f"give {entry.module}.{entry.function} another number."
            )
        _registry[number] = entry
        return function

    return register


def registered_equations() -> tuple[Equation, ...]:
    """Return every numbered equation of the library, in order. Imports all of ``lib`` to find them."""
    for module in pkgutil.walk_packages(lib.__path__, "lib."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return tuple(sorted(_registry.values(), key=lambda entry: entry.order))


@dataclass(frozen=True)
class EquationTable:
    """A table equation → function → test, as Markdown with links that work from ``chapters/``."""

    equations: tuple[Equation, ...]

    def __repr__(self) -> str:
        return "\n".join(f"({e.number}) {e.module}.{e.function} <- {e.tests}" for e in self.equations)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = [
            f"| ({e.number}) | [`{e.module}.{e.function}`](../{_module_file(e.module)}) "
            f"| [`{e.tests.rpartition('::')[2]}`](../{e.tests.partition('::')[0]}) |"
            for e in self.equations
        ]
        table = "\n".join(["| equation | computed by | held to it by |", "|---|---|---|", *rows])
        return {"text/markdown": table, "text/plain": repr(self)}


def equation_table(chapter: int | None = None) -> EquationTable:
    """Return the equations of one chapter, or of the book, as a table."""
    return EquationTable(tuple(e for e in registered_equations() if chapter in (None, e.chapter)))


def equation_problems(
    chapters: Iterable[tuple[int, Iterable[str]]], equations: Iterable[Equation], root: Path | None = None
) -> list[str]:
    r"""Return what is wrong between chapters, registry and tests, one sentence each; empty when all agree.

    ``chapters`` gives each chapter's number and the text of its Markdown cells. Problems are a tag without a
    function, a tag used twice or in the wrong chapter, an equation whose test does not exist or stands in a file
    that never names the function, and an equation that its (existing) chapter does not print.
    """
    known = {entry.number: entry for entry in equations}
    problems = [problem for entry in known.values() for problem in _test_problem(entry, root)]
    for chapter, cells in chapters:
        tags = [tag for text in cells for tag in _TAG.findall(text)]
        problems += [f"chapter {chapter}: ({tag}) is printed twice" for tag in _repeated(tags)]
        for tag in dict.fromkeys(tags):
            if not _NUMBER.fullmatch(tag) or int(tag.partition(".")[0]) != chapter:
                problems.append(f"chapter {chapter}: ({tag}) is not a number of this chapter")
            elif tag not in known:
                problems.append(f"chapter {chapter}: ({tag}) has no function marked @equation({tag!r})")
        unprinted = [e.number for e in known.values() if e.chapter == chapter and e.number not in tags]
        problems += [f"chapter {chapter}: ({number}) is registered but not printed" for number in unprinted]
    return problems


def names_a_test(test_id: str, root: Path | None = None) -> bool:
    """Return whether a pytest id names a function or method that is really in the file."""
    path, *names = test_id.split("::")
    file = (root or repository_root()) / path
    if not file.is_file():
        return False
    body: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8")).body
    for depth, name in enumerate(names, start=1):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef) if depth == len(names) else (ast.ClassDef,)
        found = next((node for node in body if isinstance(node, kinds) and node.name == name), None)
        if found is None:
            return False
        body = found.body
    return True


def _test_problem(entry: Equation, root: Path | None) -> Iterator[str]:
    if not names_a_test(entry.tests, root):
        yield f"({entry.number}) {entry.tests}: no such test"
        return
    path = entry.tests.partition("::")[0]
    text = ((root or repository_root()) / path).read_text(encoding="utf-8")
    # A method is reached through its class, so one part of the name is enough.
    if not any(re.search(rf"\b{re.escape(name)}\b", text) for name in entry.function.split(".")):
        yield f"({entry.number}) {path} never names {entry.function}: what does the test hold it to?"


def _repeated(tags: list[str]) -> Iterator[str]:
    return (tag for tag in dict.fromkeys(tags) if tags.count(tag) > 1)


def _module_file(module: str) -> str:
    path = module.replace(".", "/")
    is_package = (repository_root() / path / "__init__.py").is_file()
    return f"{path}/__init__.py" if is_package else f"{path}.py"
