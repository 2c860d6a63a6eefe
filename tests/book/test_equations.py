from __future__ import annotations

from collections.abc import Iterator

import pytest

from lib.book import equations
from lib.book.equations import (
    Equation,
    EquationTable,
    equation,
    equation_problems,
    equation_table,
    names_a_test,
    registered_equations,
)
from lib.book.equations_cli import printed_chapters

THIS = "tests/book/test_equations.py"
GOOD = f"{THIS}::test_a_marked_function_is_the_function_itself"


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Equation]]:
    registry: dict[str, Equation] = {}
    registered_equations()  # imports the library: none of its own equations may register in the empty one later
    monkeypatch.setattr(equations, "_registry", registry)
    yield registry


def test_a_marked_function_is_the_function_itself(empty_registry: dict[str, Equation]) -> None:
    def double(x: float) -> float:
        return 2 * x

    assert equation("12.3", tests=GOOD)(double) is double
    assert empty_registry["12.3"].function.endswith("double")
    assert equation("12.3", tests=GOOD)(double) is double, "marking again, as a reload does, is no clash"


def test_one_number_is_one_function(empty_registry: dict[str, Equation]) -> None:
    equation("12.3", tests=GOOD)(test_one_number_is_one_function)
    with pytest.raises(ValueError, match=r"Equation 12\.3 is already .*give .* another number"):
        equation("12.3", tests=GOOD)(test_a_marked_function_is_the_function_itself)


@pytest.mark.parametrize("number", ["12", "12.", "twelve.3", "12.3.4", "(12.3)", ""])
def test_a_malformed_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match=r"looks like 12\.3"):
        equation(number, tests=GOOD)


@pytest.mark.parametrize("tests", ["test_x", "tests/x.py", "lib/x.py::test_y", ""])
def test_a_malformed_test_id_is_refused(tests: str) -> None:
    with pytest.raises(ValueError, match="tests must be like"):
        equation("12.3", tests=tests)


class TestInAClass:
    def test_method(self) -> None:
        assert names_a_test(f"{THIS}::TestInAClass::test_method")


@pytest.mark.parametrize(
    ("test_id", "exists"),
    [
        (GOOD, True),
        (f"{THIS}::TestInAClass::test_method", True),
        (f"{THIS}::TestInAClass", False),
        (f"{THIS}::TestInAClass::test_other", False),
        (f"{THIS}::test_other", False),
        ("tests/book/none.py::test_x", False),
    ],
)
def test_only_tests_that_exist_count(test_id: str, exists: bool) -> None:
    assert names_a_test(test_id) is exists


def entry(number: str, tests: str = GOOD) -> Equation:
    return Equation(number, "lib.book.checks", "judge", tests)


@pytest.mark.parametrize(
    ("cells", "registered", "problem"),
    [
        ([r"$$x = y \tag{12.1}$$"], [entry("12.1")], None),
        ([r"no equation"], [entry("11.1")], None),
        ([r"\tag{12.1}"], [], "(12.1) has no function"),
        ([r"\tag{12.1}", r"\tag{12.1}"], [entry("12.1")], "(12.1) is printed twice"),
        ([r"\tag{11.1}"], [entry("11.1")], "(11.1) is not a number of this chapter"),
        ([r"\tag{*}"], [], "(*) is not a number of this chapter"),
        ([r"text"], [entry("12.1")], "(12.1) is registered but not printed"),
        ([r"\tag{12.1}"], [entry("12.1", f"{THIS}::test_gone")], "test_gone: no such test"),
        ([r"\tag{12.1}"], [entry("12.1", "tests/book/test_checks.py::test_gone")], "test_gone: no such test"),
        (
            [r"\tag{12.1}"],
            [entry("12.1", "tests/book/test_cli.py::test_a_bug_keeps_its_traceback")],
            "never names judge",
        ),
    ],
)
def test_chapter_registry_and_tests_must_agree(
    cells: list[str], registered: list[Equation], problem: str | None
) -> None:
    problems = equation_problems([(12, cells)], registered)
    assert len(problems) == (problem is not None), problems
    assert problem is None or problem in problems[0]


def test_the_table_is_sorted_and_links_to_the_files(empty_registry: dict[str, Equation]) -> None:
    for number in ("12.10", "12.2", "3.1"):
        empty_registry[number] = entry(number)
    assert [row.number for row in registered_equations()] == ["3.1", "12.2", "12.10"]
    table = equation_table(12)
    assert isinstance(table, EquationTable)
    rows = table._repr_mimebundle_()["text/markdown"].splitlines()
    assert len(rows) == 4
    assert rows[2].startswith("| (12.2) | [`lib.book.checks.judge`](../lib/book/checks.py) | [`test_a_marked")


def test_every_equation_of_the_book_has_a_function_and_a_test() -> None:
    assert equation_problems(printed_chapters(), registered_equations()) == []
