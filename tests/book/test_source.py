from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lib.book.checks
import lib.book.lint
from lib.book import show_source
from lib.book.paths import repository_root
from lib.book.source import SourceView, stale_source, without_docstrings

ROOT = repository_root()


def markdown(view: SourceView) -> str:
    return view._repr_mimebundle_()["text/markdown"]


def test_the_view_is_the_text_of_the_file() -> None:
    view = show_source(lib.book.checks.check)
    assert view.path == "lib/book/checks.py"
    lines = (ROOT / view.path).read_text(encoding="utf-8").splitlines()
    assert "\n".join(lines[view.first - 1 : view.last]) == view.code
    assert view.code.startswith("def check(")
    assert markdown(view).startswith(
        f"**check** · `lib/book/checks.py` · lines {view.first}–{view.last}\n\n```python\n"
    )
    assert str(ROOT) not in markdown(view) + repr(view)


def test_a_method_is_dedented_and_keeps_its_class_in_the_name() -> None:
    view = show_source(lib.book.checks.Outcome.__str__)
    assert view.name == "Outcome.__str__"
    assert view.code.startswith("def __str__(")


def test_a_decorated_class_and_a_module_are_shown_whole() -> None:
    assert show_source(lib.book.checks.Outcome).code.startswith("@dataclass(frozen=True)\nclass Outcome:")
    module = show_source(lib.book.checks)
    assert (module.first, module.code) == (1, (ROOT / module.path).read_text(encoding="utf-8").rstrip())


def test_docstrings_are_left_out_only_when_asked_and_nothing_else_is() -> None:
    full, short = (show_source(lib.book.checks, docstring=keep) for keep in (True, False))
    assert '"""' in full.code and '"""' not in short.code
    assert "# the reader's own code" in short.code
    assert "docstrings left out" in short.caption
    statements = [type(node) for node in ast.walk(ast.parse(full.code)) if isinstance(node, ast.stmt | ast.arg)]
    kept = [type(node) for node in ast.walk(ast.parse(short.code)) if isinstance(node, ast.stmt | ast.arg)]
    assert len(statements) - len(kept) == full.code.count('"""') // 2


def test_the_blank_line_after_a_docstring_goes_with_it() -> None:
    code = 'def f():\n    """Doubles.\n\n    Twice.\n    """\n\n    # why\n    x = 2\n\n    return x'
    assert without_docstrings(code) == "def f():\n    # why\n    x = 2\n\n    return x"


def test_a_body_that_is_only_a_docstring_stays() -> None:
    code = 'class E(ValueError):\n    """Says why."""'
    assert without_docstrings(code) == code


def test_code_with_a_fence_gets_a_longer_one() -> None:
    view = SourceView("f", "lib/x.py", 1, 1, 'def f(): return "```"')
    assert "````python" in markdown(view)


@pytest.mark.parametrize("obj", [3, len, Path, pytest.fixture])
def test_what_cannot_be_shown_is_refused_in_one_sentence(obj: object) -> None:
    with pytest.raises(ValueError, match=r"no Python source to show|not part of this repository"):
        show_source(obj)  # type: ignore[arg-type]


@pytest.mark.parametrize("docstring", [True, False])
def test_a_stored_view_is_stale_once_the_file_changes(docstring: bool, tmp_path: Path) -> None:
    view = show_source(lib.book.lint.lint, docstring=docstring)
    stored = markdown(view)
    assert stale_source(stored) is None
    assert stale_source("**just** text") is None

    copy = tmp_path / view.path
    copy.parent.mkdir(parents=True)
    original = (ROOT / view.path).read_text(encoding="utf-8")
    for edited in ("\n" + original, original.replace("problems = [*_whole", "problems = [*_setup")):
        assert edited != original
        copy.write_text(edited, encoding="utf-8")
        assert stale_source(stored, tmp_path) == "shows an old lint of lib/book/lint.py"
    copy.write_text(original, encoding="utf-8")
    assert stale_source(stored, tmp_path) is None
