"""Where the book's files are, seen from the installed library."""

from __future__ import annotations

from pathlib import Path


def repository_root() -> Path:
    """Return the folder that holds ``lib/`` and ``chapters/``."""
    return Path(__file__).resolve().parents[2]


def relative(path: Path) -> str:
    """Return ``path`` as seen from the repository root; as given when it lies outside. Forward slashes."""
    try:
        return path.resolve().relative_to(repository_root()).as_posix()
    except ValueError:
        return path.as_posix()


def chapter_paths(paths: tuple[Path, ...] = ()) -> tuple[Path, ...]:
    """Return the given notebooks, or every chapter in reading order when none is given.

    Raises:
        ValueError: a given path is not an existing ``.ipynb`` file.
    """
    for path in paths:
        if path.suffix != ".ipynb" or not path.is_file():
            raise ValueError(f"{path} is not a notebook: give the path of an existing .ipynb file.")
    return paths or tuple(sorted((repository_root() / "chapters").glob("*.ipynb")))
