from __future__ import annotations

import re
import subprocess
import sys
import types
from dataclasses import dataclass

import pytest

from lib import cli
from lib.book.paths import repository_root

Capture = pytest.CaptureFixture[str]


class ImageError(ValueError):
    """Stands in for the library's own errors."""


class CheckpointError(RuntimeError):
    """An error of the library that is no ValueError."""


CheckpointError.__module__ = "lib.training.checkpoint"


@dataclass(frozen=True)
class PaintConfig:
    """Paint something."""

    colour: str = "red"
    """Which colour."""
    twice: bool = False


@pytest.fixture
def fake_command(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A command ``paint`` whose module is made here."""
    module = types.ModuleType("painting")

    def main(config: PaintConfig) -> None:
        print(f"painted {config.colour} {config.twice}")

    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "painting", module)
    monkeypatch.setattr(cli, "COMMANDS", (cli.Command(("paint",), "paint", "painting", "main"),))
    return module


def test_flags_come_from_the_dataclass(fake_command: types.ModuleType, capsys: Capture) -> None:
    assert cli.main(["paint", "--colour", "blue", "--twice"]) == 0
    assert capsys.readouterr().out == "painted blue True\n"


@pytest.mark.parametrize(
    "error",
    [
        ImageError("photo.png is cut off: copy it again."),
        CheckpointError("run.safetensors is cut off."),
        FileNotFoundError(2, "No such file", "a.png"),
    ],
)
def test_an_expected_error_is_one_sentence(error: Exception, fake_command: types.ModuleType, capsys: Capture) -> None:
    def fail(config: PaintConfig) -> None:
        raise error

    fake_command.main = fail  # type: ignore[attr-defined]
    assert cli.main(["paint"]) == 2
    assert capsys.readouterr().err == f"error: {error}\n"
    assert cli.main(["paint", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(fake_command: types.ModuleType, capsys: Capture) -> None:
    def fail(config: PaintConfig) -> None:
        raise KeyError("gamma")

    fake_command.main = fail  # type: ignore[attr-defined]
    assert cli.main(["paint"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_package_says_how_to_install_it(fake_command: types.ModuleType, capsys: Capture) -> None:
    def fail(config: PaintConfig) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    fake_command.main = fail  # type: ignore[attr-defined]
    assert cli.main(["paint"]) == 2
    assert "'torch': run `pip install -r requirements.txt`" in capsys.readouterr().err


def test_an_interrupt_is_quiet(fake_command: types.ModuleType, capsys: Capture) -> None:
    def stop(config: PaintConfig) -> None:
        raise KeyboardInterrupt

    fake_command.main = stop  # type: ignore[attr-defined]
    assert cli.main(["paint"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["-h"], 0), ([], 0), (["book", "--help"], 0), (["book"], 2)]
)
def test_help_lists_the_commands(words: list[str], code: int, capsys: Capture) -> None:
    assert cli.main(words) == code
    shown = capsys.readouterr().out
    assert re.search(r"book publish +execute chapters", shown)
    assert ("doctor" in shown.split("`")[0]) is (words[:1] != ["book"])


@pytest.mark.parametrize(("words", "near"), [(["docter"], "doctor"), (["book", "lnt"], "book lint")])
def test_a_misspelt_command_is_answered_with_the_nearest(words: list[str], near: str, capsys: Capture) -> None:
    assert cli.main(words) == 2
    assert f"Did you mean `{near}`?" in capsys.readouterr().err


def test_a_command_without_options_refuses_them(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("plain")
    module.run = lambda: 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plain", module)
    monkeypatch.setattr(cli, "COMMANDS", (cli.Command(("doctor",), "look", "plain", "run"),))
    assert cli.main(["doctor"]) == 1
    assert cli.main(["doctor", "--fast"]) == 2
    assert "takes no options" in capsys.readouterr().err
    assert cli.main(["doctor", "--help"]) == 0


def test_the_command_line_starts_without_torch_and_tyro() -> None:
    program = (
        "import sys; sys.modules['torch'] = sys.modules['tyro'] = None\n"
        "from lib.cli import main; sys.exit(main(['--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repository_root(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


@pytest.mark.parametrize(
    "command", [c for c in cli.COMMANDS if c.words[0] != "analogy"], ids=lambda c: " ".join(c.words)
)
def test_every_command_answers_to_help(command: cli.Command, capsys: Capture) -> None:
    try:
        code = cli.main([*command.words, "--help"])
    except SystemExit as end:  # tyro's own way to end after help
        code = int(end.code or 0)
    assert code == 0
    assert f"usage: python -m lib {' '.join(command.words)}" in capsys.readouterr().out
