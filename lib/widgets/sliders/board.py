"""Sliders beside a picture: styles, attributes, latent codes, anything that is a few numbers.

    sliders = {"smile": Range(-1, 1, 0), "hair": Range.of("as it is", "blond", "black")}
    SliderBoard(lambda values: generator.paint(values["smile"], values["hair"]), sliders)

Without a browser, ``board.set(smile=0.5)`` and ``board.picture`` do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import anywidget
import traitlets
from torch import Tensor

from lib.images import to_pil
from lib.widgets.newest import NewestWins
from lib.widgets.pictures import enlarged, png, still_bundle

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
        names: of its places, from the first to the last; () shows the numbers.
    """

    low: float
    high: float
    start: float
    step: float = 0.01
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.low <= self.start <= self.high or self.step <= 0:
            raise SliderError(f"A slider needs low <= start <= high and a step above 0, got {self}.")

    @classmethod
    def of(cls, *names: str, start: int = 0) -> Range:
        """A slider whose places have names; its values are 0, 1, 2, ..."""
        return cls(0, len(names) - 1, start, 1, names)

    def nearest(self, value: Any) -> float:
        """The value where a slider with these ends can stand; a whole number where it counts in whole numbers."""
        inside = min(max(float(value), self.low), self.high)
        whole = all(float(v).is_integer() for v in (self.low, self.step))
        return round(inside) if whole else inside

    def words(self, value: float) -> str:
        """A value as it is shown."""
        return self.names[round((value - self.low) / self.step)] if self.names else f"{value:g}"


class SliderBoard(anywidget.AnyWidget):
    """A slider for each number and the picture that belongs to them; the newest move of a slider wins.

    Args:
        paint: values by name -> (3, H, W) in [-1, 1]; called in a thread, never twice at once.
        ranges: name -> `Range`, in the order of the sliders.
        scale: how many screen pixels a pixel of the picture is wide.
        alt: what the picture shows, for those who do not see it.

    Attributes:
        values: where the sliders stand.
        picture: what was painted last.
        caption: the line below, read aloud by screen readers.
    """

    _esm = (files(__package__) / "sliders.js").read_text(encoding="utf-8")
    _css = (files(__package__) / "sliders.css").read_text(encoding="utf-8")

    ranges = traitlets.Dict().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    shown = traitlets.Bytes(b"").tag(sync=True)
    size = traitlets.List([0, 0]).tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self, paint: Callable[[Mapping[str, float]], Tensor], ranges: Mapping[str, Range], *, scale: int = 3,
        alt: str = "The picture of these values",
    ) -> None:  # fmt: skip
        self.picture: Tensor | None = None
        self._scale, self._ranges = scale, dict(ranges)
        self._worker = NewestWins(paint, self._painted, self._failed)
        super().__init__(
            ranges={name: asdict(one) for name, one in ranges.items()}, alt=alt,
            values={name: one.start for name, one in ranges.items()},
        )  # fmt: skip
        self.observe(lambda _: self._worker.submit(dict(self.values)), "values")
        self._worker.submit(dict(self.values))

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
        self.values = {**self.values, **values}
        self.wait()

    def wait(self, seconds: float | None = 60) -> bool:
        """Wait for the picture; False if that takes longer."""
        return self._worker.wait(seconds)

    @traitlets.validate("values")
    def _checked(self, proposal: Mapping[str, Any]) -> dict[str, float]:
        """Every slider, within its ends: a front end may send anything."""
        return {name: one.nearest(proposal["value"].get(name, one.start)) for name, one in self._ranges.items()}

    def _painted(self, _: Mapping[str, float], picture: Tensor, seconds: float) -> None:
        drawn = to_pil(picture)
        self.picture = picture
        self.size = [side * self._scale for side in drawn.size]
        self.shown = png(drawn)
        self.caption = f"painted in {1000 * seconds:.0f} ms"

    def _failed(self, error: Exception) -> None:
        self.caption = str(error) or type(error).__name__

    def _repr_mimebundle_(self, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle: Any = super()._repr_mimebundle_(**arguments)
        self.wait()
        if bundle is None or self.picture is None:
            return bundle  # type: ignore[no-any-return]
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return still_bundle(data, enlarged(self.picture, self._scale), f"{self.alt}: {self._words()}"), metadata

    def __repr__(self) -> str:
        return f"SliderBoard({self._words()})"

    def _words(self) -> str:
        """Where the sliders stand, in words."""
        return ", ".join(f"{name} {self._ranges[name].words(value)}" for name, value in self.values.items())
