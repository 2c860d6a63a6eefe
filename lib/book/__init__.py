"""What the chapters use to show code, pictures and exercises, and what keeps the published chapters sound."""

from __future__ import annotations

from lib.book.checks import check, todo
from lib.book.equations import equation, equation_table
from lib.book.figures import show_figure, show_images
from lib.book.source import show_source

__all__ = ["check", "equation", "equation_table", "show_figure", "show_images", "show_source", "todo"]
