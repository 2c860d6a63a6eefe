"""From a name to a folder that the readers understand: fetch, verify, unpack."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lib.data.public.archives import Limits, extract, gunzip
from lib.data.public.catalogue import RemoteFile, Source
from lib.data.public.download import fetch
from lib.data.public.error import PublicDataError
from lib.data.public.transfer import Progress

_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")


def install(
    source: Source,
    root: str | os.PathLike[str],
    *,
    trust: str | None = None,
    limits: Limits | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> Path:
    """Bring a data set into ``root/source.folder`` and return that folder.

    What is there already is neither fetched again nor changed. Archives stay in ``root/archives``.

    Args:
        trust: the checksum you expect of an archive for which nobody published one.
        limits: how much an archive may hold.
        progress: given a file's name, returns the callback for its download.

    Raises:
        PublicDataError: it must be placed by hand, or trusted first; or fetching or unpacking failed.
    """
    root = Path(root).expanduser().absolute()
    folder = root / source.folder
    if not source.files:
        if folder.is_dir():
            return folder
        raise PublicDataError(f"'{source.name}' cannot be fetched. {source.by_hand.format(folder=folder)}")
    unknown = [file for file in source.files if file.checksum is None]
    if trust is not None and not unknown:
        raise PublicDataError(f"The checksum of '{source.name}' is known, so there is nothing to trust; leave it out.")
    for file in source.files:
        _bring(replace(file, checksum=file.checksum or trust), root, folder, limits, progress)
    return folder


def _bring(
    file: RemoteFile, root: Path, folder: Path, limits: Limits | None, progress: Callable[[str], Progress] | None
) -> None:
    """Fetch one file and unpack it, unless what it gives is already there."""
    path = root / file.path
    archive = path.name.endswith(_ARCHIVES)
    product = folder if archive else path.with_suffix("") if path.suffix == ".gz" else path
    if product.exists() and product != path:
        return
    report = progress(path.name) if progress is not None else None
    fetch(file.urls, path, checksum=file.checksum, size=file.size, progress=report)
    if archive:
        extract(path, product, limits=limits)
    elif product != path:
        gunzip(path, product, limits=limits)
