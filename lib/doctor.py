"""Check that this machine can run the book: one line per thing, each with its mend.

Only the standard library is imported at the top, so that the doctor still speaks when a package is missing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

INSTALL = "pip install -r requirements.txt"
ROOT = Path(__file__).resolve().parents[1]
PYTHON = (3, 11)
MEMORY_GB, DISK_GB = 2.0, 1.0
"""What a chapter needs free: the largest quick training stays below both."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True)
class Finding:
    """What one check found. ``mend`` is empty when there is nothing to fix."""

    name: str
    says: str
    mend: str = ""

    def __str__(self) -> str:
        line = f"[{'fix' if self.mend else 'ok'}] {self.name}: {self.says}"
        return f"{line} -> {self.mend}" if self.mend else line


def run() -> int:
    """Print one line per check; return 0 if there is nothing to fix, else 1."""
    findings = [examine(name, check) for name, check in CHECKS.items()]
    for finding in findings:
        print(finding)
    to_fix = sum(bool(finding.mend) for finding in findings)
    print("Everything is ready." if to_fix == 0 else f"{to_fix} of {len(findings)} things to fix.")
    return int(to_fix > 0)


def examine(name: str, check: Callable[[], tuple[str, str]]) -> Finding:
    """Run one check; a check that fails itself becomes a finding, so the others still run."""
    try:
        return Finding(name, *check())
    except ModuleNotFoundError as error:
        return Finding(name, f"the package '{error.name}' is missing", INSTALL)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        return Finding(name, f"cannot be checked ({type(error).__name__}: {reason})", INSTALL)


def _python() -> tuple[str, str]:
    found, wanted = ".".join(map(str, sys.version_info[:3])), ".".join(map(str, PYTHON))
    return found, "" if sys.version_info >= PYTHON else f"install Python {wanted} or newer"


def _packages() -> tuple[str, str]:
    """Look for every package of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [match[0] for line in lines if (match := re.match(r"[A-Za-z][\w.-]*", line))]
    missing = [name for name in names if not _version(name)]
    if missing:
        return f"{', '.join(missing)} not installed", INSTALL
    return f"all {len(names)} of requirements.txt are installed", ""


def _torch() -> tuple[str, str]:
    """Compare the versions (torch 2.N goes with torchvision 0.(N + 15)) and load the compiled operators."""
    torch_version, vision_version = _version("torch"), _version("torchvision")
    if not torch_version or not vision_version:
        return f"torch {torch_version or 'missing'}, torchvision {vision_version or 'missing'}", INSTALL
    says = f"torch {torch_version}, torchvision {vision_version}"
    major, minor = _numbers(torch_version)
    vision = _numbers(vision_version)
    if major == 2 and vision != (0, minor + 15):
        return f"{says} do not match", f"{INSTALL} (torch 2.{minor} needs torchvision 0.{minor + 15})"
    try:
        importlib.import_module("torchvision.ops")  # registers the operators, which fails on another build
    except (RuntimeError, OSError) as error:
        return f"{says} are two different builds ({str(error).partition(chr(10))[0]})", INSTALL
    return says, ""


def _device() -> tuple[str, str]:
    from lib.runtime import choose_device, device_name

    device = choose_device()
    says = f"{device} ({device_name(device)})"
    if device.type == "cpu" and shutil.which("nvidia-smi"):
        return (
            f"{says}, though this machine has an NVIDIA driver",
            "install a CUDA build of torch (pytorch.org)",
        )
    return says, ""


def _dtype() -> tuple[str, str]:
    from lib.runtime import choose_device, fast_dtype, memory_format

    device = choose_device()
    layout = str(memory_format(device)).removeprefix("torch.").replace("_format", "")
    return f"{str(fast_dtype(device)).removeprefix('torch.')}, {layout}", ""


def _threads() -> tuple[str, str]:
    import torch

    threads, cores = torch.get_num_threads(), _cores()
    if threads > cores:
        return f"torch uses {threads} threads on {cores} cores", f"set OMP_NUM_THREADS={cores}"
    return f"torch uses {threads} of {cores} cores", ""


def _memory() -> tuple[str, str]:
    free = _free_memory_gb()
    if free is None:
        return f"cannot be read on this system; a chapter needs {MEMORY_GB:g} GB", ""
    mend = "" if free >= MEMORY_GB else f"close other programs until {MEMORY_GB:g} GB are free"
    return f"{free:.1f} GB free", mend


def _disk() -> tuple[str, str]:
    free = shutil.disk_usage(ROOT).free / 1e9
    return f"{free:.1f} GB free", "" if free >= DISK_GB else f"free {DISK_GB:g} GB where the book is"


def _photos() -> tuple[str, str]:
    """Load every photo the chapters use: its pixels lie in other packages, its layouts in the book."""
    from lib.data.photos import load_photo, photo_names

    names = photo_names()
    if not names:
        return "there are no layouts in assets/layouts", "get a complete copy of the book"
    for name in names:
        try:
            load_photo(name, side=64)
        except (ValueError, ImportError) as error:
            return f"'{name}' cannot be loaded: {error}", f"{INSTALL} --force-reinstall"
    return f"all {len(names)} load ({', '.join(names)})", ""


def _checkpoints() -> tuple[str, str]:
    """Write into the checkpoints' folder, or the nearest one above it that exists; leave nothing."""
    folder = wanted = ROOT / "assets" / "checkpoints"
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"1")
    except OSError as error:
        place = wanted.relative_to(ROOT).as_posix()
        return (
            f"{place} cannot be written ({error.strerror})",
            f"make {place} writable, or copy the book elsewhere",
        )
    return "can be written", ""


def _browser() -> tuple[str, str]:
    found = next((name for name in BROWSERS if shutil.which(name)), None)
    return found or "none found; optional, only the layout editor's browser tests need one", ""


def _version(package: str) -> str:
    """Return the installed version, or "" if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, int]:
    """Return major and minor of a version such as ``2.12.1+cpu``."""
    major, minor = re.findall(r"\d+", version)[:2]
    return int(major), int(minor)


def _cores() -> int:
    """Return the cores this process may use, which a container can limit below those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_memory_gb() -> float | None:
    table = Path("/proc/meminfo")
    if not table.exists():
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", table.read_text(), re.MULTILINE)
    return int(match[1]) * 1024 / 1e9 if match else None


CHECKS: dict[str, Callable[[], tuple[str, str]]] = {
    "python": _python,
    "packages": _packages,
    "torch and torchvision": _torch,
    "device": _device,
    "fast dtype": _dtype,
    "threads": _threads,
    "memory": _memory,
    "disk": _disk,
    "photos": _photos,
    "checkpoints": _checkpoints,
    "browser": _browser,
}
