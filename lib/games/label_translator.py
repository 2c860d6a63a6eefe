"""A trained StarGAN behind one call: a picture and a wish in, a picture out.

    translator = LabelTranslator.load("assets/checkpoints/stargan_faces.safetensors")
    picture = translator.translate("portrait.png", hair="blond", expression="smile")

What is not named is left open: its labels are zeros, and the generator has learned to keep it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lib.data.conditions import Condition
from lib.data.label_space import LabelError, LabelSpace
from lib.games.translator import Translator
from lib.runtime import Runtime

__all__ = ["LabelTranslator"]


class LabelTranslator(Translator):
    """A `LabelGenerator`, and the labels that it knows.

    Args:
        G: (pictures, unified labels) -> pictures.
        condition: what it reads; pictures.
        space: the labels; None takes them from the card.
    """

    def __init__(
        self, G: nn.Module, condition: Condition | None = None, space: LabelSpace | None = None, *,
        noisy: bool = False, runtime: Runtime | None = None, card: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(G, condition or Condition("picture"), noisy=noisy, runtime=runtime, card=card)
        if space is None:
            try:
                space = LabelSpace.from_lists(self.card["translator"]["labels"])
            except KeyError as error:
                raise LabelError(f"Its card names no labels ({error}); load it with Translator instead.") from error
        self.space = space

    def paint(
        self, x: Tensor, *, seed: int | None = None, label: Tensor | None = None, **wishes: str
    ) -> Tensor:  # fmt: skip
        """Translate pictures (B, 3, H, W): the same shape, in [-1, 1], on G's device.

        Wishes that belong to several data sets are fulfilled one after the other, for the mask names one.

        Args:
            seed: without effect; this G has no noise.
            label: a finished unified label, (n,) or (B, n), instead of wishes.
            wishes: attribute=value.

        Raises:
            LabelError: no data set knows an attribute or its value; or there is no wish.
        """
        if label is not None:
            return super().paint(x, seed=None, label=label.to(self.runtime.device).expand(len(x), -1))
        if not wishes:
            raise LabelError(f"Say what to change, as in {self._example()}.")
        for index in sorted({self.space.home(attribute) for attribute in wishes}):
            ours = {name: value for name, value in wishes.items() if self.space.home(name) == index}
            x = self.paint(x, label=self.vector(index, **ours))
        return x

    def vector(self, index: int, **wishes: str) -> Tensor:
        """The unified label (1, n) of wishes that data set `index` knows; all else is left open."""
        block = self.space.block(index)
        zeros = torch.zeros(1, block.stop - block.start)
        return self.space.unified(self.space.asked(zeros, index, **wishes), index)

    def facts(self) -> dict[str, Any]:
        """The labels, for the card."""
        return {"labels": self.space.as_lists()}

    def _example(self) -> str:
        group = self.space.sets[0][0]
        return f"{group.attribute}={group.values[-1]!r}"
