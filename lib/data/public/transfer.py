"""One HTTP transfer into a ``.part`` file, continued from where an earlier one broke off."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[int, "int | None"], None]
"""Called with the bytes that lie in the ``.part`` file and, where known, those of the whole file."""

_PIECE = 1 << 16
_BREAKS = (OSError, http.client.HTTPException)  # of the network; an OSError of the disk is the caller's
_PASSING = {408, 425, 429}  # "not now"; every 5xx as well


class InterruptedTransfer(Exception):
    """The transfer broke off; another attempt may go on. `reached` is False where no server answered."""

    def __init__(self, reason: str, *, reached: bool = True) -> None:
        super().__init__(reason)
        self.reached = reached


class RefusedTransfer(Exception):
    """This address will not give the file, however often it is asked."""


@dataclass(frozen=True)
class PartFile:
    """A file on its way, and a note beside it on which version of which address it is a part of."""

    path: Path

    @property
    def length(self) -> int:
        """Bytes already here."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def note(self) -> dict[str, Any]:
        """``url``, ``validator`` (ETag or date) and ``total``; empty where there is no sound note."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._note_path.read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        return {}

    def write_note(self, url: str, validator: str, total: int | None) -> None:
        """Remember what the bytes belong to, before the first of them is written."""
        self._note_path.write_text(json.dumps({"url": url, "validator": validator, "total": total}), encoding="utf-8")

    def discard(self) -> None:
        """Start from nothing."""
        self.path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)

    def finish(self, path: Path) -> None:
        """Give the complete file its own name, at once."""
        self.path.replace(path)
        self._note_path.unlink(missing_ok=True)

    @property
    def _note_path(self) -> Path:
        return self.path.with_name(self.path.name + ".json")


def transfer(
    url: str,
    part: PartFile,
    *,
    verifiable: bool,
    limit: int | None = None,
    timeout: float = 30.0,
    progress: Progress | None = None,
) -> None:
    """Bring `part` to its full length, asking only for the bytes that are missing.

    Args:
        verifiable: a checksum will judge the whole file, so bytes of another address may be continued.
            Otherwise only an unchanged ETag or date of the same address allows it.
        limit: more bytes than this are refused.
        timeout: seconds without a byte after which the connection counts as stalled.

    Raises:
        InterruptedTransfer: broken off, stalled, or the server is busy. What arrived is kept.
        RefusedTransfer: the address does not exist, is forbidden, or sends something else.
        OSError: the disk does not take the bytes; whatever the network does is an InterruptedTransfer.
    """
    note, offset = part.note, part.length
    same = note.get("url") == url and bool(note.get("validator"))
    if offset and not (same or verifiable):
        part.discard()
        offset = 0
    request = urllib.request.Request(url, headers=_headers(offset, str(note["validator"]) if same else ""))
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        return _explain_status(error, url, part, offset)
    except urllib.error.URLError as error:
        raise InterruptedTransfer(f"{url}: {error.reason}", reached=False) from error
    except _BREAKS as error:
        raise InterruptedTransfer(f"{url}: {error or type(error).__name__} after {offset} bytes") from error
    with response:
        total = _accept(response, url, part, offset, limit)
        if total is None or part.length < total:
            _copy(response, part, total, limit, progress)


def _headers(offset: int, validator: str) -> dict[str, str]:
    # identity: a server that compresses on the way would shift every offset.
    headers = {"User-Agent": "drawing-by-analogy", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator  # the rest only if the file is still the same, else all of it
    return headers


def _accept(response: http.client.HTTPResponse, url: str, part: PartFile, offset: int, limit: int | None) -> int | None:
    """Look at the answer's head; cut `part` to where the body begins. Returns the length of the whole file."""
    if response.headers.get_content_type() == "text/html":
        raise RefusedTransfer(f"{url} sent a web page instead of the file")
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    begin = 0
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        begin = int(match[1]) if match else -1
        total = int(match[2]) if match and match[2] != "*" else None
        known = part.note.get("total")
        if begin != offset or (known is not None and total is not None and known != total):
            part.discard()
            raise InterruptedTransfer(f"{url} answered with bytes of another place or version; starting again")
    if limit is not None and total is not None and total > limit:
        raise RefusedTransfer(f"{url} is {total} bytes long, more than the {limit} expected")
    if begin == 0:
        part.discard()
    part.write_note(url, _validator(response.headers), total)
    return total


def _validator(headers: http.client.HTTPMessage) -> str:
    """A strong ETag, else the date. A weak ETag promises the same meaning, not the same bytes."""
    etag = str(headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(headers.get("Last-Modified", ""))


def _copy(
    response: http.client.HTTPResponse, part: PartFile, total: int | None, limit: int | None, progress: Progress | None
) -> None:
    done = part.length
    with part.path.open("ab") as file:
        while piece := _piece(response, done):
            done += len(piece)
            bound = total if total is not None else limit
            if bound is not None and done > bound:
                raise RefusedTransfer(f"{response.url} sends more than the {bound} bytes expected")
            file.write(piece)
            if progress is not None:
                progress(done, total)
            if done == total:
                break  # a server that keeps the connection open would make us wait for nothing
    if total is not None and done < total:
        raise InterruptedTransfer(f"{response.url} broke off after {done} of {total} bytes")


def _piece(response: http.client.HTTPResponse, done: int) -> bytes:
    """The next bytes from the network. TLS breaks and lost routes are no ConnectionErrors, yet may pass as well."""
    try:
        return response.read1(_PIECE)
    except _BREAKS as error:
        raise InterruptedTransfer(f"{response.url}: {error or type(error).__name__} after {done} bytes") from error


def _explain_status(error: urllib.error.HTTPError, url: str, part: PartFile, offset: int) -> None:
    """Turn a status of 400 and above into one of our errors, or return where the file is complete."""
    with error:
        if error.code == 416 and offset:
            whole = re.fullmatch(r"bytes \*/(\d+)", str(error.headers.get("Content-Range", "")).strip())
            if whole and int(whole[1]) == offset:
                return
            part.discard()
            raise InterruptedTransfer(f"{url} is shorter than what is here; starting again") from error
        reason = f"{url} answered {error.code} {error.reason}"
        if error.code in _PASSING or error.code >= 500:
            raise InterruptedTransfer(reason) from error
        raise RefusedTransfer(reason) from error
