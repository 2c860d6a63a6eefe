"""What the tests of the studies with people share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from lib.widgets.sessions import Session

Paint = Callable[[str, str], Tensor]


def broken_after_one(session: Session[Any, Any], paint: Paint) -> Paint:
    """Paints until the first answer is given; then its file is gone."""

    def broken(image: str, method: str) -> Tensor:
        if session.position:
            raise OSError("no such picture")
        return paint(image, method)

    return broken
