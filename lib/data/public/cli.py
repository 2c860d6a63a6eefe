"""``python -m lib data``: list the public data sets, fetch one."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from lib.data.public.catalogue import SOURCES, source_named
from lib.data.public.install import install
from lib.data.public.transfer import Progress


@dataclass(frozen=True)
class FetchCommand:
    """Download a public data set, verify it and unpack it. A broken download goes on where it stopped."""

    name: Positional[str]
    """a data set; `python -m lib data list` shows them"""
    root: Path = Path("data")
    """folder for all data sets"""
    trust: str | None = None
    """the checksum (sha256:…) you expect, for an archive without a published one"""


@dataclass(frozen=True)
class ListCommand:
    """List the public data sets with size, licence, citation and homepage."""

    name: Positional[str] = ""
    """only this one"""


def main(config: FetchCommand) -> int:
    """Show licence and citation, then fetch."""
    source = source_named(config.name)
    print(source.card(), flush=True)
    folder = install(source, config.root, trust=config.trust, progress=progress_line)
    print(f"ready     {folder}")
    return 0


def catalogue(config: ListCommand) -> int:
    """Print the catalogue."""
    sources = [source_named(config.name)] if config.name else list(SOURCES.values())
    for source in sources:
        print(f"{source.name}\n  " + source.card().replace("\n", "\n  "))
    return 0


def progress_line(name: str) -> Progress:
    """A callback that keeps one line up to date on a terminal, and is silent where nobody looks."""
    if not sys.stderr.isatty():
        return lambda done, total: None
    start, shown, before = time.monotonic(), 0.0, -1

    def show(done: int, total: int | None) -> None:
        nonlocal shown, before
        now = time.monotonic()
        before = done if before < 0 else before  # what an earlier call brought says nothing about the speed
        if now - shown < 0.2 and done != total:
            return
        shown = now
        share = f"{done / total:4.0%} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        rate = (done - before) / 1e6 / max(now - start, 1e-6)
        print(f"\r{name}  {share}  {rate:.1f} MB/s ", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show
