from __future__ import annotations

import pytest
import torch

from lib.book import check, todo
from lib.book.checks import Outcome, judge


def unwritten() -> object:
    todo("Divide by the standard deviation.")


def wrong_claim() -> None:
    assert 1 + 1 == 3, "the sum is off by one"


def broken() -> object:
    return {}["gamma"]


@pytest.mark.parametrize(
    ("condition", "line"),
    [
        (lambda: True, "✓ Exercise 1: passed"),
        (lambda: None, "✓ Exercise 1: passed"),
        (lambda: torch.tensor(True), "✓ Exercise 1: passed"),
        (lambda: False, "✗ Exercise 1: failed. Look at the sign."),
        (unwritten, "○ Exercise 1: to do. Divide by the standard deviation."),
        (broken, "✗ Exercise 1: failed. Your code raised KeyError: 'gamma'. Look at the sign."),
    ],
)
def test_check_prints_one_line(condition: object, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("Exercise 1", condition, hint="Look at the sign") is None  # type: ignore[arg-type, func-returns-value]
    assert capsys.readouterr().out == line + "\n"


def test_a_claim_that_does_not_hold_says_so_and_then_hints() -> None:
    outcome = judge("Exercise 2", wrong_claim, hint="Count again")
    assert outcome.state == "failed"
    assert "the sum is off by one" in outcome.message
    assert outcome.message.endswith("Count again.")


def test_an_ambiguous_answer_fails_instead_of_escaping() -> None:
    outcome = judge("Exercise 3", lambda: torch.ones(2))
    assert outcome.state == "failed"
    assert "RuntimeError" in outcome.message


def test_an_interrupt_is_not_an_answer() -> None:
    def interrupted() -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge("Exercise 4", interrupted)


def test_todo_raises_not_implemented_and_nothing_else() -> None:
    with pytest.raises(NotImplementedError, match="Write your code here"):
        todo()
    assert judge("Exercise 5", todo) == Outcome("Exercise 5", "to do", "Write your code here.")
