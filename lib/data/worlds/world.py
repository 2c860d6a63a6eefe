"""What all worlds share: parameters in, pictures with their answer key out, and seeded streams of them.

A world has two halves. `World.sample` draws *parameters*, everything that determines a picture: identity,
attributes, pose, light, the seeds of the textures. `World.render` is a function of the parameters and the
size alone. So an attribute can change while all else stays, the same layout can be drawn by day and by night,
and an unpaired problem keeps its hidden true partner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lib.labelmaps import Palette

Parameters = dict[str, Tensor]
Batch = dict[str, Tensor]
Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
MIN_SIZE, MAX_SIZE = 16, 1024
_SEEDS_PER_SPLIT = 2**30  # torch's CPU generator looks at the lowest 32 bits of a seed only


class WorldError(ValueError):
    """A world cannot draw what was asked for. The message says why and how to mend it."""


class World(ABC):
    """A source of pictures with known parameters.

    Attributes:
        name: short name, as in ``python -m lib data preview --world faces``.
        palette: classes of the label maps.
        attributes: categorical parameter -> the names of its values, in the order of their indices.
    """

    name: ClassVar[str]
    palette: ClassVar[Palette]
    attributes: ClassVar[Mapping[str, tuple[str, ...]]]

    @abstractmethod
    def sample(self, count: int, *, generator: torch.Generator) -> Parameters:
        """Draw the parameters of `count` pictures: name -> (count, …) tensors on the generator's device.

        Each name in `attributes` is an int64 tensor (count,) of indices into its values.
        """

    @abstractmethod
    def render(self, parameters: Parameters, size: int) -> Batch:
        """Draw pictures: ``image`` (B, 3, size, size) in [-1, 1] and ``labels`` (B, size, size) uint8.

        The same parameters give the same picture, on the device where they lie, at any size.
        """

    def draw(self, count: int, size: int, *, generator: torch.Generator) -> Batch:
        """Sample and render: ``image``, ``labels`` and every parameter."""
        parameters = self.sample(count, generator=generator)
        return {**parameters, **self.render(parameters, size)}

    def value(self, attribute: str, name: str) -> int:
        """The index of an attribute's value: ``faces.value("hair", "grey")``.

        Raises:
            WorldError: there is no such attribute or value.
        """
        values = self.attributes.get(attribute)
        if values is None:
            raise WorldError(f"{self.name} has no attribute {attribute!r}; it has {', '.join(self.attributes)}.")
        if name not in values:
            raise WorldError(f"{attribute!r} has no value {name!r}; its values are {', '.join(values)}.")
        return values.index(name)

    def changed(self, parameters: Parameters, **values: str | int | Tensor) -> Parameters:
        """The same pictures with some parameters changed and everything else fixed.

        Args:
            values: an attribute -> the name or the index of its value; any parameter -> a number or a tensor (B, …).

        Raises:
            WorldError: there is no such parameter or value.
        """
        result = dict(parameters)
        for name, value in values.items():
            if name not in parameters:
                raise WorldError(f"{self.name} has no parameter {name!r}; it has {', '.join(parameters)}.")
            old = parameters[name]
            if isinstance(value, str):
                value = self.value(name, value)
            elif name in self.attributes:
                self._check_indices(name, value)
            result[name] = torch.as_tensor(value, dtype=old.dtype, device=old.device).expand_as(old).clone()
        return result

    def _check_indices(self, attribute: str, value: int | Tensor) -> None:
        values = self.attributes[attribute]
        given = torch.as_tensor(value)  # a number makes no GPU wait, only a tensor that lies there does
        if not bool(((given >= 0) & (given < len(values))).all()):
            raise WorldError(
                f"The values of {attribute!r} are {', '.join(values)}: give a name, or indices from 0 to "
                f"{len(values) - 1}, not {given.min().item()} to {given.max().item()}."
            )


def split_generator(split: Split, seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one split. Two splits never share a seed, whatever `seed` is.

    Raises:
        WorldError: an unknown split, or a seed outside [0, 2^30).
    """
    if split not in SPLITS:
        raise WorldError(f"There is no split {split!r}; the splits are {', '.join(SPLITS)}.")
    if not 0 <= seed < _SEEDS_PER_SPLIT:
        raise WorldError(f"The seed of a stream must lie in [0, {_SEEDS_PER_SPLIT}), not {seed}.")
    return torch.Generator(device).manual_seed(SPLITS.index(split) * _SEEDS_PER_SPLIT + seed)


class WorldStream:
    """An infinite, seeded stream of batches from a world; a `lib.training.streams.Stream`.

    Args:
        world: where the pictures come from.
        batch: pictures in a batch.
        size: their side in pixels.
        split: train, val or test; their pictures never meet, for their seeds differ.
        seed: which stream of the split, in [0, 2^30).
        device: where the pictures are drawn and stay.
        always: parameter -> its value in every picture, as `World.changed` takes it.
    """

    def __init__(
        self,
        world: World,
        *,
        batch: int,
        size: int,
        split: Split = "train",
        seed: int = 0,
        device: torch.device | str = "cpu",
        always: Mapping[str, str | int] | None = None,
    ) -> None:
        if batch < 1 or not MIN_SIZE <= size <= MAX_SIZE:
            raise WorldError(
                f"A stream needs a batch of at least 1 and a size from {MIN_SIZE} to {MAX_SIZE} pixels, "
                f"not {batch} and {size}."
            )
        self.world, self.batch, self.size, self.device = world, batch, size, torch.device(device)
        self.always = dict(always or {})
        # Parameters are few: drawn on the CPU, they are the same for every device.
        self.generator = split_generator(split, seed)

    @torch.no_grad()
    def draw(self, progress: float = 0.0) -> Batch:
        """The next batch: ``image``, ``labels`` and every parameter, on the stream's device."""
        parameters = self.world.changed(self.world.sample(self.batch, generator=self.generator), **self.always)
        parameters = {name: value.to(self.device, non_blocking=True) for name, value in parameters.items()}
        return {**parameters, **self.world.render(parameters, self.size)}

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.generator.set_state(state["generator"])


def collect(stream: WorldStream, count: int) -> Batch:
    """Draw a finite data set of `count` pictures: every key of a batch with `count` rows."""
    batches = [stream.draw() for _ in range(-(-count // stream.batch))]
    return {name: torch.cat([batch[name] for batch in batches])[:count] for name in batches[0]}


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Class indices (B, H, W) -> (B, classes, H, W) float32, as networks take label maps."""
    return torch.zeros(
        (labels.shape[0], classes, *labels.shape[1:]), device=labels.device, dtype=torch.float32
    ).scatter_(1, labels.long()[:, None], 1.0)
