"""Sliders beside a picture: styles, attributes, latent codes, anything that is a few numbers.

    sliders = {"smile": Range(-1, 1, 0), "glasses": Range(-1, 1, 0)}
    SliderBoard(lambda values: generator.paint(values["smile"], values["glasses"]), sliders)

Without a browser, ``board.set(smile=0.5)`` and ``board.picture`` do the same.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
from torch import Tensor

from lib.widgets.newest import NewestWins
from lib.widgets.pictures import enlarged, png

__all__ = ["Range", "SliderBoard", "SliderError"]


class SliderError(ValueError):
    """A slider cannot be set to a value. The message says why."""


@dataclass(frozen=True)
class Range:
    """What a slider goes through.

    Attributes:
        low, high: its ends.
        start: where it stands at first.
        step: 1 makes it a slider of whole numbers.
    """

    low: float
    high: float
    start: float
    step: float = 0.01

    def __post_init__(self) -> None:
        if not self.low <= self.start <= self.high or self.step <= 0:
            raise SliderError(f"A slider needs low <= start <= high and a step above 0, got {self}.")


class SliderBoard(widgets.VBox):  # type: ignore[misc]  # ipywidgets is not typed
    """A slider for each number and the picture that belongs to them; the newest move of a slider wins.

    Args:
        paint: values by name -> (3, H, W) in [-1, 1]; called in a thread, never twice at once.
        ranges: name -> `Range`, in the order of the sliders.
        scale: by which whole factor pixels are repeated.

    Attributes:
        picture: what was painted last.
    """

    def __init__(
        self, paint: Callable[[Mapping[str, float]], Tensor], ranges: Mapping[str, Range], *, scale: int = 3
    ) -> None:  # fmt: skip
        self.picture: Tensor | None = None
        self._scale, self._ranges = scale, dict(ranges)
        self._worker = NewestWins(paint, self._painted, self._failed)
        self._sliders = {name: _slider(name, one) for name, one in ranges.items()}
        self._image, self._said = widgets.Image(layout=widgets.Layout(flex="0 0 auto")), widgets.HTML()
        home = widgets.Button(description="reset", icon="undo")
        home.on_click(lambda _: self.set(**{name: one.start for name, one in self._ranges.items()}))
        super().__init__([widgets.HBox([widgets.VBox([*self._sliders.values(), home]), self._image]), self._said])
        for slider in self._sliders.values():
            slider.observe(lambda _: self._worker.submit(self.values), "value")
        self._worker.submit(self.values)

    @property
    def values(self) -> dict[str, float]:
        """Where the sliders stand."""
        return {name: slider.value for name, slider in self._sliders.items()}

    def set(self, **values: float) -> None:
        """Move some sliders, paint, and wait for the picture.

        Raises:
            SliderError: there is no such slider, or it does not go so far.
        """
        for name, value in values.items():
            one = self._ranges.get(name)
            if one is None or not one.low <= value <= one.high:
                known = ", ".join(f"{key} from {r.low:g} to {r.high:g}" for key, r in self._ranges.items())
                raise SliderError(f"{name} cannot be set to {value!r}; the sliders are {known}.")
        for name, value in values.items():
            self._sliders[name].value = value
        self.wait()

    def wait(self, seconds: float | None = 60) -> bool:
        """Wait for the picture; False if that takes longer."""
        return self._worker.wait(seconds)

    def _painted(self, _: Mapping[str, float], picture: Tensor, seconds: float) -> None:
        drawn = enlarged(picture, self._scale)
        self.picture = picture
        self._image.value, self._image.width, self._image.height = png(drawn), drawn.width, drawn.height
        self._said.value = f"painted in {1000 * seconds:.0f} ms"

    def _failed(self, error: Exception) -> None:
        self._said.value = html.escape(str(error) or type(error).__name__)

    def _repr_mimebundle_(self, **arguments: Any) -> dict[str, Any] | None:
        bundle: dict[str, Any] | None = super()._repr_mimebundle_(**arguments)
        self.wait()
        if bundle is None or self.picture is None:
            return bundle
        still = base64.b64encode(png(enlarged(self.picture, self._scale))).decode()
        return {**bundle, "image/png": still, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"SliderBoard({', '.join(f'{name}={value:g}' for name, value in self.values.items())})"


def _slider(name: str, one: Range) -> Any:
    whole = all(float(value).is_integer() for value in (one.low, one.high, one.start, one.step))
    kind, to = (widgets.IntSlider, int) if whole else (widgets.FloatSlider, float)
    return kind(
        min=to(one.low), max=to(one.high), value=to(one.start), step=to(one.step), description=name,
        continuous_update=True, style={"description_width": "initial"},
    )  # fmt: skip
