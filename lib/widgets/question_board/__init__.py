"""A picture, a question about it, and buttons and keys that answer."""

from lib.widgets.question_board.board import Choice, QuestionBoard

__all__ = ["Choice", "QuestionBoard"]
