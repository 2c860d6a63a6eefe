"""Exercises in a chapter: a place to write (`todo`) and a friendly verdict (`check`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

State: TypeAlias = Literal["passed", "failed", "to do"]
_MARKS: dict[State, str] = {"passed": "✓", "failed": "✗", "to do": "○"}


@dataclass(frozen=True)
class Outcome:
    """What became of one exercise: its state and, unless it passed, what to look at."""

    name: str
    state: State
    message: str = ""

    def __str__(self) -> str:
        line = f"{_MARKS[self.state]} {self.name}: {self.state}"
        return f"{line}. {self.message}" if self.message else line


def todo(what: str = "") -> NoReturn:
    """Stand where the reader's code goes. ``check`` reports it as "to do" instead of failing.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(what or "Write your code here.")


def check(name: str, condition: Callable[[], object], *, hint: str = "") -> None:
    """Print one line that says whether an exercise is solved.

    ``condition`` returns something true when it is, or holds ``assert`` statements with messages and returns
    None. ``hint`` is shown when it is not. Errors of the reader's code do not escape: the chapter runs on.
    """
    print(judge(name, condition, hint=hint))


def judge(name: str, condition: Callable[[], object], *, hint: str = "") -> Outcome:
    """Return what ``check`` prints: for grading, and for tests that a solution does pass."""
    try:
        result = condition()
        solved = result is None or bool(result)
    except NotImplementedError as gap:
        return Outcome(name, "to do", str(gap))
    except AssertionError as claim:
        return Outcome(name, "failed", _sentences(str(claim), hint))
    except Exception as error:  # the reader's own code: whatever it raises is the answer to show
        return Outcome(name, "failed", _sentences(f"Your code raised {type(error).__name__}: {error}", hint))
    return Outcome(name, "passed") if solved else Outcome(name, "failed", _sentences(hint))


def _sentences(*parts: str) -> str:
    cleaned = [part.strip() for part in parts if part.strip()]
    return " ".join(part if part[-1] in ".!?" else f"{part}." for part in cleaned)
