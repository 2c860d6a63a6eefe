"""The layout editor: paint a label map over its photo, in a notebook."""

from lib.widgets.layout_editor.editor import LayoutEditor

__all__ = ["LayoutEditor"]
