"""The doctor finds what is wrong, says how to mend it, and never falls over."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lib.data.photos as photos
import lib.doctor as doctor


def test_every_check_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor.run()
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.partition("] ")[2].partition(":")[0] for line in lines] == list(doctor.CHECKS)
    assert all(line.startswith(("[ok] ", "[fix] ")) for line in lines)
    broken = [line for line in lines if line.startswith("[fix]")]
    assert all(" -> " in line for line in broken)
    assert code == int(bool(broken)) and (last == "Everything is ready.") is (code == 0)


def test_something_to_fix_sets_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"tea": lambda: ("cold", "boil water"), "cup": lambda: ("here", "")})
    assert doctor.run() == 1
    assert capsys.readouterr().out == "[fix] tea: cold -> boil water\n[ok] cup: here\n1 of 2 things to fix.\n"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "the package 'torch' is missing"),
        (RuntimeError("bad\nvery bad"), r"cannot be checked (RuntimeError: bad)"),
    ],
)
def test_a_failing_check_is_a_finding(error: Exception, says: str) -> None:
    def check() -> tuple[str, str]:
        raise error

    finding = doctor.examine("device", check)
    assert str(finding) == f"[fix] device: {says} -> pip install -r requirements.txt"


def test_it_runs_where_nothing_is_installed() -> None:
    """-S leaves out every installed package: only the standard library is there."""
    code = "import sys; sys.path.insert(0, '.'); from lib.doctor import run; sys.exit(run())"
    root = Path(doctor.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=root,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("[ok] python")
    assert any(line.startswith("[fix] packages: torch") for line in lines)
    assert "[fix] device: the package 'torch' is missing -> pip install -r requirements.txt" in lines
    assert any(line.startswith("[fix] photos: the package ") for line in lines)


def test_versions_that_do_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.12.1+cpu", "torchvision": "0.26.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    says, mend = doctor._torch()
    assert says == "torch 2.12.1+cpu, torchvision 0.26.0 do not match" and "torchvision 0.27" in mend


def test_builds_that_do_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\n...")

    monkeypatch.setattr(importlib, "import_module", import_module)
    says, mend = doctor._torch()
    assert "two different builds (operator torchvision::nms does not exist)" in says and mend == doctor.INSTALL


def test_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert doctor._python() == ("3.10.4", "install Python 3.11 or newer")


def test_scarce_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_free_memory_gb", lambda: 0.5)
    monkeypatch.setattr(doctor, "_cores", lambda: 0)
    monkeypatch.setattr(doctor, "DISK_GB", 1e12)
    assert doctor._memory() == ("0.5 GB free", "close other programs until 2 GB are free")
    assert "set OMP_NUM_THREADS=0" in doctor._threads()[1]
    assert doctor._disk()[1].startswith("free 1e+12 GB")


def test_checkpoints_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    assert doctor._checkpoints() == ("can be written", "")
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    says, mend = doctor._checkpoints()
    assert says == "assets/checkpoints cannot be written (Permission denied)" and "writable" in mend


def test_photos_that_do_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_photo(name: str, *, side: int) -> None:
        raise photos.PhotoError("the package 'scikit-image' is not installed.")

    monkeypatch.setattr(photos, "photo_names", lambda: ("chelsea",))
    monkeypatch.setattr(photos, "load_photo", load_photo)
    says, mend = doctor._photos()
    assert says == "'chelsea' cannot be loaded: the package 'scikit-image' is not installed."
    assert mend.startswith(doctor.INSTALL)
    monkeypatch.setattr(photos, "photo_names", tuple)
    assert doctor._photos()[1] == "get a complete copy of the book"
