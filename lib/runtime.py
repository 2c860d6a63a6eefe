"""Where and how the book computes: device, dtype, memory format, profile, seeds and run cards.

Everything here is decided by asking the hardware. A bf16 convolution is several times faster than an fp32 one
on a CPU with AMX, and hundreds of times slower on a CPU without it.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

Profile = Literal["quick", "full"]
Placed = TypeVar("Placed", nn.Module, Tensor)

_BF16_FLAGS = ("amx_bf16", "avx512_bf16")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, see malloc.h
_KEPT, _PIECE = 256 << 20, 32 << 20  # bytes that may stay unused, and the largest piece that is kept


def choose_device(name: str | None = None) -> torch.device:
    """Return the device called ``name`` ("cuda", "cuda:1", "mps", "cpu"), or the fastest one present.

    Raises ``ValueError`` for an unknown name and for a device that this machine or this torch does not have.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"There is no device called {name!r}; use 'cuda', 'cuda:1', 'mps' or 'cpu'.") from error
    if device.type not in ("cuda", "mps", "cpu"):
        raise ValueError(f"The book does not run on {name!r}; use 'cuda', 'mps' or 'cpu'.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"{name!r} was asked for, but torch finds no CUDA GPU here; use 'cpu', or install a CUDA build of torch."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"{name!r} was asked for, but the last GPU here is 'cuda:{torch.cuda.device_count() - 1}'.")
    if device.type == "mps" and not _has_mps():
        raise ValueError("'mps' was asked for, but torch finds no Apple GPU here; use 'cpu'.")
    return device


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """Return ``bfloat16`` where ``device`` multiplies it in hardware, else ``float32``.

    That is CUDA from compute capability 8 on, and CPUs with AMX or AVX512-BF16.
    """
    kind = torch.device(device).type
    if kind == "cuda" and torch.cuda.is_available():
        major, _ = torch.cuda.get_device_capability(torch.device(device))
        return torch.bfloat16 if major >= 8 or torch.version.hip else torch.float32
    return torch.bfloat16 if kind == "cpu" and _cpu_multiplies_bf16() else torch.float32


def memory_format(device: torch.device | str) -> torch.memory_format:
    """Return the faster layout of ``(B, C, H, W)`` tensors on ``device``.

    Channels-last pays on CUDA and with bf16. For fp32 with few channels on a CPU it is slower.
    """
    fast = torch.device(device).type == "cuda" or fast_dtype(device) is torch.bfloat16
    return torch.channels_last if fast else torch.contiguous_format


@dataclass(frozen=True)
class Runtime:
    """A device with the dtype its networks run in and the layout of its image tensors."""

    device: torch.device
    dtype: torch.dtype = torch.float32  # of the matrix products; weights and losses stay float32
    channels_last: bool = False

    @classmethod
    def detect(cls, name: str | None = None) -> Runtime:
        """Return the fast settings of the device called ``name``, or of the fastest one present."""
        device = choose_device(name)
        return cls(device, fast_dtype(device), memory_format(device) is torch.channels_last)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context in which convolutions and matrix products run in ``dtype``; empty for fp32."""
        if self.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def place(self, what: Placed) -> Placed:
        """Move a module or a tensor to the device, four-dimensional tensors in the runtime's layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        if isinstance(what, nn.Module):
            # Module.to gives the layout to four-dimensional parameters only; torch's stubs do not list it.
            return cast(Any, what).to(self.device, memory_format=layout)  # type: ignore[no-any-return]
        if what.ndim == 4:
            return what.to(self.device, memory_format=layout)
        return what.to(self.device)


def profile() -> Profile:
    """Return the profile of the whole book, from the environment variable ``BOOK_PROFILE`` (default "quick").

    Raises ``ValueError`` for another value than "quick" or "full".
    """
    value = os.environ.get("BOOK_PROFILE", "quick").strip().lower() or "quick"
    if value not in ("quick", "full"):
        raise ValueError(f"BOOK_PROFILE is {value!r}; set it to 'quick' or 'full', or remove it.")
    return cast(Profile, value)


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new random generator on ``device`` that starts from ``seed``."""
    return torch.Generator(device=device).manual_seed(seed)


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, up to 256 MB, for its next request.

    A painting asks for some tens of megabytes in pieces and frees them again. By default the C library of Linux gives
    large pieces back to the system at once, which clears each page anew when the next painting asks for it.

    Returns:
        Whether the C library could be asked: only that of most Linux systems (glibc) can. Elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _PIECE))


@dataclass
class RunCard:
    """Measure a block of code and say what it ran on: ``with RunCard("training", seed=0) as card: ...``.

    ``peak_memory_mb`` is the most GPU memory allocated in the block; on a CPU, the largest resident memory of
    the whole process so far, which the system does not reset. CPU seconds add up over all threads.
    """

    title: str = "run"
    seed: int | None = None
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    wall_seconds: float | None = field(default=None, init=False)
    cpu_seconds: float | None = field(default=None, init=False)
    peak_memory_mb: float | None = field(default=None, init=False)
    device_name: str = field(default="", init=False)
    threads: int = field(default=0, init=False)
    profile: str = field(default="", init=False)
    python_version: str = field(default="", init=False)
    torch_version: str = field(default="", init=False)
    torchvision_version: str = field(default="", init=False)

    def __enter__(self) -> RunCard:
        self.device = torch.device(self.device)
        self.device_name, self.threads, self.profile = (
            device_name(self.device),
            torch.get_num_threads(),
            profile(),
        )
        self.python_version = platform.python_version()
        self.torch_version, self.torchvision_version = _version("torch"), _version("torchvision")
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._wall, self._cpu = _now(self.device), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall_seconds = _now(torch.device(self.device)) - self._wall
        self.cpu_seconds = time.process_time() - self._cpu
        self.peak_memory_mb = _peak_memory_mb(torch.device(self.device))

    def as_dict(self) -> dict[str, str | int | float | None]:
        """Return every field, ready for JSON; seconds and megabytes are rounded.

        Raises ``RuntimeError`` while the block has not finished.
        """
        if self.wall_seconds is None:
            raise RuntimeError("This run card is still open: use it in a `with` block and read it after the block.")
        card: dict[str, str | int | float | None] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, torch.dtype | torch.device):
                value = str(value).removeprefix("torch.")
            card[entry.name] = round(value, 3) if isinstance(value, float) else value
        return card

    def _repr_markdown_(self) -> str:
        card = self.as_dict()
        memory = "not measured" if card["peak_memory_mb"] is None else f"{card['peak_memory_mb']:.0f} MB"
        rows = (
            ("wall time", f"{card['wall_seconds']:.1f} s"),
            ("CPU time", f"{card['cpu_seconds']:.1f} s"),
            ("peak memory", memory),
            (
                "device",
                f"{card['device_name']} ({card['device']}, {card['dtype']}, {card['threads']} threads)",
            ),
            ("profile", str(card["profile"])),
            ("seed", "none" if card["seed"] is None else str(card["seed"])),
            ("Python", self.python_version),
            ("torch, torchvision", f"{self.torch_version}, {self.torchvision_version}"),
        )
        lines = [f"| {name} | {value} |" for name, value in rows]
        return "\n".join([f"| {card['title']} | |", "| --- | --- |", *lines])


def device_name(device: torch.device | str) -> str:
    """Return what the maker calls the device, such as "NVIDIA H100" or "AMD EPYC"."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(torch.device(device))
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _cpu_multiplies_bf16() -> bool:
    asked = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
    if any(supported is not None for supported in asked):
        return any(supported is not None and bool(supported()) for supported in asked)
    flags = _cpuinfo("flags").split()  # these functions of torch are private: do without them if they go
    return any(flag in flags for flag in _BF16_FLAGS)


def _cpuinfo(key: str) -> str:
    """Return the first value of ``key`` in Linux's /proc/cpuinfo, or "" elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    for line in path.read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _now(device: torch.device) -> float:
    """Seconds on the wall once the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def _peak_memory_mb(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return None
    import resource  # the module exists on Unix only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6  # bytes on macOS, KiB on Linux
