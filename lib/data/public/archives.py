"""Unpack an archive that a stranger made: nothing outside the folder, nothing but files, nothing endless."""

from __future__ import annotations

import functools
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lib.data.public.error import PublicDataError

_PIECE = 1 << 20
_JUNK = ("__MACOSX", ".DS_Store")
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
_SMALL = 64 << 20  # no bomb worth the name


class ArchiveError(PublicDataError):
    """An archive is damaged, or holds what no data set needs. Nothing of it is left unpacked."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold."""

    members: int = 500_000
    """files and folders"""
    member_bytes: int = 4 << 30
    """bytes of one file"""
    total_bytes: int = 64 << 30
    """bytes of all files"""
    ratio: float = 100.0
    """unpacked bytes for each packed one; photos are near 1"""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    folder: bool
    open: Callable[[], IO[bytes] | None]


def extract(archive: str | os.PathLike[str], folder: str | os.PathLike[str], *, limits: Limits | None = None) -> Path:
    """Unpack a zip or tar archive into the new folder `folder`. Returns its path.

    The files are written beside it and the folder gets its name when all are there, so a folder that exists is
    complete. Where the archive holds one folder, that one becomes `folder`.

    Raises:
        ArchiveError: `folder` exists, the archive is damaged or encrypted, a member has an absolute path, leads
            outside, is a link or a device, appears twice, or the archive holds more than `limits`.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise ArchiveError(f"'{folder}' is there already; rename it if '{archive.name}' shall be unpacked again.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with _speaking(archive):
            _unpack(archive, workplace, limits or Limits())
        content = list(workplace.iterdir())
        if not content:
            raise ArchiveError(f"'{archive.name}' is empty.")
        alone = content[0] if len(content) == 1 and content[0].is_dir() else workplace
        alone.chmod(0o755)  # mkdtemp makes private folders
        alone.rename(folder)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return folder


def gunzip(archive: str | os.PathLike[str], path: str | os.PathLike[str], *, limits: Limits | None = None) -> Path:
    """Unpack a single ``.gz`` file to `path`, all or nothing. Returns `path`.

    Raises:
        ArchiveError: it is damaged or larger than `limits`.
    """
    archive, path, limits = Path(archive), Path(path), limits or Limits()
    packed = archive.stat().st_size
    allowed = min(limits.member_bytes, max(_SMALL, int(packed * limits.ratio)))
    temporary = path.with_name(f".{path.name}.part")
    try:
        with _speaking(archive), gzip.open(archive) as source, temporary.open("wb") as target:
            _copy(source, target, allowed, archive.name)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


@contextmanager
def _speaking(archive: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with a damaged archive."""
    try:
        yield
    except _BROKEN as error:
        raise ArchiveError(f"'{archive.name}' is damaged ({error}); delete it and fetch it again.") from error
    except RuntimeError as error:  # zipfile has no class of its own for this
        raise ArchiveError(f"'{archive.name}' cannot be unpacked: {error}.") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArchiveError(f"'{archive.name}' has a file and a folder of one name: {error.filename}.") from error
    except OSError as error:
        if error.errno is not None:  # the disk's own troubles are told as they are
            raise
        raise ArchiveError(f"'{archive.name}' is damaged ({error}); delete it and fetch it again.") from error


def _unpack(archive: Path, workplace: Path, limits: Limits) -> None:
    packed = archive.stat().st_size
    seen: set[tuple[str, ...]] = set()
    total = 0
    for count, member in enumerate(_members(archive), start=1):
        parts = _safe_parts(member.name, archive.name)
        total += member.size
        _check_limits(archive.name, member, count, total, packed, limits)
        if not parts or set(parts) & set(_JUNK):
            continue
        target = workplace.joinpath(*parts)
        if member.folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        if parts in seen:
            raise ArchiveError(f"'{archive.name}' holds '{member.name}' twice.")
        seen.add(parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        if source is not None:
            with source, target.open("xb") as file:
                _copy(source, file, member.size, archive.name)


def _members(archive: Path) -> Iterator[_Member]:
    """The members in the archive's order, each checked to be a plain file or a folder."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as box:
            for entry in box.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise ArchiveError(_not_plain(archive, entry.filename))
                yield _Member(entry.filename, entry.file_size, entry.is_dir(), functools.partial(box.open, entry))
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tape:
            for item in tape:
                if not (item.isreg() or item.isdir()) or item.issparse():
                    raise ArchiveError(_not_plain(archive, item.name))
                yield _Member(item.name, item.size, item.isdir(), functools.partial(tape.extractfile, item))
    else:
        raise ArchiveError(f"'{archive.name}' is neither a zip nor a tar archive; fetch it again.")


def _not_plain(archive: Path, name: str) -> str:
    return f"'{archive.name}' holds '{name}', a link or a device, which no data set needs; it was not unpacked."


def _safe_parts(name: str, archive: str) -> tuple[str, ...]:
    """The parts of a member's path; the same on every system, whatever slash the archive uses."""
    parts = name.replace("\\", "/").split("/")
    # A colon is a drive or a second stream on Windows.
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name or "\0" in name:
        raise ArchiveError(f"'{archive}' holds '{name}', which leads out of its folder; it was not unpacked.")
    return tuple(part for part in parts if part not in ("", "."))


def _check_limits(archive: str, member: _Member, count: int, total: int, packed: int, limits: Limits) -> None:
    ratio = total / max(packed, 1)
    excess = ""
    if count > limits.members:
        excess = f"more than {limits.members} members"
    elif member.size > limits.member_bytes:
        excess = f"'{member.name}' of {member.size} bytes, more than {limits.member_bytes}"
    elif total > limits.total_bytes:
        excess = f"more than {limits.total_bytes} bytes"
    elif total > _SMALL and ratio > limits.ratio:
        excess = f"{ratio:.0f} times its own size"
    if excess:
        raise ArchiveError(f"'{archive}' holds {excess}; it was not unpacked. Raise its limits if you trust it.")


def _copy(source: IO[bytes] | gzip.GzipFile, target: IO[bytes], allowed: int, archive: str) -> None:
    """Copy at most `allowed` bytes: what an archive says of a member's size need not be true."""
    done = 0
    while piece := source.read(_PIECE):
        done += len(piece)
        if done > allowed:
            raise ArchiveError(f"'{archive}' holds more than it says ({allowed} bytes); it was not unpacked.")
        target.write(piece)
