"""What the chapters use to show code, pictures and exercises, and what keeps the published chapters sound.

The names are imported on first use: a network that marks its equation must not load matplotlib for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lib.book.checks import check, todo
    from lib.book.equations import equation, equation_table
    from lib.book.figures import show_figure, show_images
    from lib.book.source import show_source

__all__ = ["check", "equation", "equation_table", "show_figure", "show_images", "show_source", "todo"]

_HOME = {
    "check": "checks", "todo": "checks", "equation": "equations", "equation_table": "equations",
    "show_figure": "figures", "show_images": "figures", "show_source": "source",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
