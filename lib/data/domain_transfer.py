"""DTN's data: a source and a target domain without pairs, with the classes that an unseen-class study leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lib.data.worlds.digits import HandwrittenDigits
from lib.data.worlds.street_digits import StreetDigits
from lib.data.worlds.world import Batch, Split, World, WorldError, split_generator
from lib.training.streams import Stream

__all__ = ["SourceAndTarget", "handwritten_target", "street_digits", "world_pictures"]

_RENDER_BATCH = 64  # pictures rendered at a time: what fits a processor's cache


@torch.no_grad()
def world_pictures(
    world: World, count: int, size: int, *, split: Split = "train", seed: int = 0, keep: Sequence[str] = (),
) -> Batch:  # fmt: skip
    """`count` pictures of a world as bytes, ``image`` (count, 3, size, size) uint8, and the parameters in `keep`."""
    parameters = world.sample(count, generator=split_generator(split, seed))
    parts = []
    for start in range(0, count, _RENDER_BATCH):
        rows = {name: value[start : start + _RENDER_BATCH] for name, value in parameters.items()}
        parts.append(((world.render(rows, size)["image"] + 1) * 127.5).round().to(torch.uint8))
    return {"image": torch.cat(parts), **{name: parameters[name] for name in keep}}


def street_digits(
    count: int, size: int = 32, *, split: Split = "train", seed: int = 0, unseen: Sequence[int] = ()
) -> Batch:
    """Street numbers as bytes: ``image`` (N, 3, size, size) uint8 and ``digit`` (N,); without the `unseen` digits.

    N is less than `count` by the pictures that were left out.
    """
    pictures = world_pictures(StreetDigits(), count, size, split=split, seed=seed, keep=("digit",))
    kept = ~torch.isin(pictures["digit"], torch.tensor(list(unseen), dtype=torch.long))
    return {name: value[kept] for name, value in pictures.items()}


def handwritten_target(
    *, batch: int, size: int = 32, jitter: float = 0.5, seed: int = 0, unseen: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> HandwrittenDigits:  # fmt: skip
    """A stream of real handwritten digits (B, 1, size, size) without the `unseen` ones. Never mirrored.

    Raises:
        WorldError: nothing is left.
    """
    stream = HandwrittenDigits(batch=batch, size=size, jitter=jitter, seed=seed, device=device)
    kept = ~torch.isin(stream.digits.cpu(), torch.tensor(list(unseen), dtype=torch.long))
    if not bool(kept.any()):
        raise WorldError("Every digit is left out; leave some to learn from.")
    rows = kept.to(stream.digits.device)
    stream.images, stream.digits = stream.images[rows], stream.digits[rows]
    stream.order = torch.randperm(len(stream.digits), generator=stream.generator)
    return stream


class SourceAndTarget:
    """One batch of each domain, drawn independently: nothing ties row i of one to row i of the other.

    Args:
        source, target: streams of batches with ``image``; bytes are brought to [-1, 1].
        mirror: seed of a generator that mirrors half of the pictures; None never does, as digits need it.
    """

    def __init__(self, source: Stream, target: Stream, *, mirror: int | None = None) -> None:
        self.streams: dict[str, Stream] = {"source": source, "target": target}
        self.generator = None if mirror is None else torch.Generator().manual_seed(mirror)

    def draw(self, progress: float = 0.0) -> Batch:
        """``source`` and ``target``, (B, C, S, S) in [-1, 1]."""
        return {name: self._picture(stream.draw(progress)["image"]) for name, stream in self.streams.items()}

    def _picture(self, image: Tensor) -> Tensor:
        if image.dtype == torch.uint8:
            image = image.float() / 127.5 - 1
        if self.generator is None:
            return image
        turned = torch.rand(len(image), 1, 1, 1, generator=self.generator) < 0.5
        return torch.where(turned.to(image.device), image.flip(-1), image)

    def state_dict(self) -> dict[str, Any]:
        """The states of both streams and of the mirroring."""
        state: dict[str, Any] = {name: stream.state_dict() for name, stream in self.streams.items()}
        return state if self.generator is None else {**state, "mirror": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        for name, stream in self.streams.items():
            stream.load_state_dict(state[name])
        if self.generator is not None:
            self.generator.set_state(state["mirror"])
