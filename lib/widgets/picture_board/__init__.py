"""The picture that a studio paints, beside what it was made from."""

from lib.widgets.picture_board.board import PictureBoard

__all__ = ["PictureBoard"]
