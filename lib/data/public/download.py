"""Fetch one file from the network: resumed, verified, and given its name only when it is whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.data.public.error import PublicDataError
from lib.data.public.transfer import InterruptedTransfer, PartFile, Progress, RefusedTransfer, transfer

_LONGEST_PAUSE = 60.0  # seconds


class DownloadError(PublicDataError):
    """No address gave the right file. The message lists what each of them did."""


class OfflineError(DownloadError):
    """No server could be reached. The message says which file to place where."""


class UnverifiedError(DownloadError):
    """The file is here, but no checksum is known that it could be compared with.

    Attributes:
        checksum: what was computed, as ``sha256:…``; pass it to `fetch` if you trust the file.
    """

    def __init__(self, path: Path, checksum: str) -> None:
        super().__init__(
            f"'{path}' was downloaded, but nobody published a checksum for it. Its own is {checksum}; "
            "if it is the one you expect, run the command again with --trust and this value."
        )
        self.checksum = checksum


@dataclass(frozen=True)
class _Task:
    """What `fetch` was asked for."""

    path: Path
    urls: tuple[str, ...]
    checksum: str | None
    size: int | None
    timeout: float
    patience: int
    pause: float
    progress: Progress | None

    @property
    def part(self) -> PartFile:
        return PartFile(self.path.with_name(self.path.name + ".part"))

    def problem(self, path: Path) -> str:
        """What is wrong with a file, or an empty string. The length is looked at first: that costs nothing."""
        length = path.stat().st_size
        if self.size is not None and length != self.size:
            return f"it has {length} bytes instead of {self.size}"
        if self.checksum is None:
            return ""
        found = checksum_of(path, self.checksum.partition(":")[0])
        return "" if found == self.checksum.lower() else f"its checksum is {found} instead of {self.checksum}"


def fetch(
    urls: Sequence[str],
    path: str | os.PathLike[str],
    *,
    checksum: str | None,
    size: int | None = None,
    timeout: float = 30.0,
    patience: int = 4,
    pause: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Download a file to `path`, or find it there. Returns the path of the complete, verified file.

    The bytes go to ``<path>.part``. A broken download goes on where it stopped, at the same address or at a
    mirror, also in a later call. The file gets its name only after its checksum is right, so whatever lies at
    `path` is whole. A file already there with another checksum is renamed, never deleted.

    Args:
        urls: addresses (http or https) of the same file, the preferred one first.
        checksum: ``sha256:<hex>`` or ``md5:<hex>``; None where none is known.
        size: the length in bytes, where known.
        timeout: seconds without a byte after which a connection counts as stalled.
        patience: attempts in a row at one address that may bring nothing new.
        pause: seconds before the second attempt; doubled for each further one.
        progress: called with (bytes here, bytes in all or None).

    Raises:
        UnverifiedError: `checksum` is None; the message holds the one computed.
        OfflineError: no server was reached.
        DownloadError: every address failed, the disk is full, or another process is at the same file.
    """
    path = Path(path).expanduser().absolute()
    _check_arguments(urls, checksum)
    path.parent.mkdir(parents=True, exist_ok=True)
    task = _Task(path, tuple(urls), checksum, size, timeout, patience, pause, progress)
    with _alone(path):
        return _found(task) or _fetched(task)


def checksum_of(path: Path, algorithm: str) -> str:
    """``sha256:<hex>`` or ``md5:<hex>`` of a file."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, lambda: _new_hash(algorithm)).hexdigest()}"


def set_aside(path: Path) -> Path:
    """Rename a file that is not what it should be; it may be somebody's work. Returns its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.wrong-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _new_hash(algorithm: str) -> hashlib._Hash:
    return hashlib.new(algorithm, usedforsecurity=False)  # md5 is what some publishers give, where no better is known


def _check_arguments(urls: Sequence[str], checksum: str | None) -> None:
    foreign = [url for url in urls if not url.startswith(("https://", "http://"))]
    if foreign:
        raise DownloadError(f"'{foreign[0]}' is no web address; it must begin with https:// or http://.")
    digits = {"sha256": 64, "md5": 32}
    name, _, value = (checksum or "sha256:" + 64 * "0").lower().partition(":")
    if len(value) != digits.get(name) or set(value) - set("0123456789abcdef"):
        raise DownloadError(f"'{checksum}' is no checksum; write sha256: and 64 hexadecimal digits.")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep a second process away from the same file, where the system can lock files."""
    try:
        import fcntl
    except ImportError:  # Windows refuses to open the .part twice for writing anyway
        yield
        return
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadError(f"Another process is fetching '{path}'; wait for it, then try again.") from error
        yield  # closing the file releases the lock, also when the process is killed


def _check_space(task: _Task) -> None:
    folder = task.path.parent
    needed, free = (task.size or 0) - task.part.length, shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"'{task.path.name}' needs {needed / 1e6:.0f} MB more, but '{folder}' has {free / 1e6:.0f} MB free; "
            "make room or choose another folder."
        )


def _found(task: _Task) -> Path | None:
    """The file, if it is already here, complete under its own name or under that of the part."""
    if task.path.exists():
        if task.checksum is None:
            raise UnverifiedError(task.path, checksum_of(task.path, "sha256"))
        if not task.problem(task.path):
            return task.path
        set_aside(task.path)
    if task.checksum is not None and task.part.length and not task.problem(task.part.path):
        return _publish(task)
    return None


def _fetched(task: _Task) -> Path:
    """Try one address after the other."""
    _check_space(task)
    failures: list[InterruptedTransfer | RefusedTransfer] = []
    for url in task.urls:
        try:
            _download(url, task)
        except (InterruptedTransfer, RefusedTransfer) as failure:
            failures.append(failure)
            continue
        if task.checksum is None:
            raise UnverifiedError(task.part.path, checksum_of(task.part.path, "sha256"))
        return _publish(task)
    raise _defeat(task, failures)


def _download(url: str, task: _Task) -> None:
    """Bring the right file from one address, if need be a second time from nothing."""
    glued = task.part.length > 0
    for last in (False, True):
        glued = _insist(url, task) or glued
        problem = task.problem(task.part.path)
        if not problem:
            return
        task.part.discard()
        if last or not glued:  # only where pieces of two versions may have met is it worth another attempt
            raise RefusedTransfer(f"{url} gave another file: {problem}")


def _insist(url: str, task: _Task) -> bool:
    """Ask as often as it brings something new. Returns whether the file came in several pieces."""
    attempts, vain, most = 0, 0, task.part.length
    while True:
        attempts += 1
        try:
            transfer(
                url, task.part, verifiable=task.checksum is not None, limit=task.size, timeout=task.timeout,
                progress=task.progress,
            )  # fmt: skip
            return attempts > 1
        except InterruptedTransfer:
            vain = 0 if task.part.length > most else vain + 1
            most = max(most, task.part.length)
            if vain >= task.patience:
                raise
            time.sleep(min(task.pause * 2**vain, _LONGEST_PAUSE))
        except OSError as error:
            raise _disk_error(error, task.part) from error


def _disk_error(error: OSError, part: PartFile) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(f"The disk is full after {part.length} bytes of '{part.path}'; make room and try again.")
    return error


def _publish(task: _Task) -> Path:
    """Give the verified file its name. It reaches the disk first, so a power cut leaves no hollow file."""
    with task.part.path.open("rb+") as file:
        os.fsync(file.fileno())
    task.part.finish(task.path)
    return task.path


def _defeat(task: _Task, failures: Sequence[InterruptedTransfer | RefusedTransfer]) -> DownloadError:
    """The one error for everything that went wrong, with what to do by hand."""
    name, address = task.path.name, task.urls[0] if task.urls else "no address is known"
    size = f", {task.size / 1e6:.1f} MB" if task.size else ""
    checksum = f", {task.checksum}" if task.checksum else ""
    by_hand = f"Or bring '{name}' ({address}{size}{checksum}) by other means and place it at '{task.path}'."
    if all(isinstance(failure, InterruptedTransfer) and not failure.reached for failure in failures):
        return OfflineError(f"No server could be reached; check the network and try again. {by_hand}")
    return DownloadError(f"'{name}' could not be downloaded: {'; '.join(map(str, failures))}. {by_hand}")
