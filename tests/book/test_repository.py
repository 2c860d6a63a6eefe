"""What the README, the requirements and the test command promise to a reader on a fresh machine."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise

import pytest

from lib.book.paths import repository_root

ROOT = repository_root()
README = (ROOT / "README.md").read_text(encoding="utf-8")
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_requirement_says_why_and_the_library_comes_last() -> None:
    lines = [line for line in REQUIREMENTS if line]
    assert lines[-1] == "-e ."
    for above, line in pairwise(lines):
        assert line.startswith("#") or above.startswith("#"), f"{line}: say in a comment above why it is needed"


def test_no_upper_pin_but_the_explained_ones() -> None:
    pinned = {re.split(r"[<>=]", line)[0] for line in REQUIREMENTS if not line.startswith("#") and "<" in line}
    assert pinned == {"torch", "torchvision", "ipykernel"}


@pytest.mark.parametrize(
    "command",
    [
        "pip install -r requirements.txt && jupyter lab chapters",
        "pip install -r requirements.txt && pytest",
        "python -m lib doctor",
    ],
)
def test_the_readme_holds_the_commands(command: str) -> None:
    assert command in README


def test_the_readme_leads_nowhere_but_to_files_that_exist() -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert missing == []
    assert all(alt for alt in re.findall(r"!\[([^\]]*)\]", README)), "every picture of the README needs alt text"


def test_plain_pytest_runs_the_chapters_too() -> None:
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests", "chapters"]
    assert "--nbval-lax" in options["addopts"] and "--nbval-current-env" in options["addopts"]
    assert "chapters/assignments" in options["norecursedirs"]


def test_the_continuous_check_ends_in_the_readme_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'step "tests" pytest\n' in script
    assert "set -euo pipefail" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111, ".ci/run must be executable"
