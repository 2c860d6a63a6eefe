"""Unpaired problems whose answer is known: two domains of a world, and labelled pictures of several data sets.

Training shows every layout in one domain only. The test set shows the same layouts in both, so a translation
that was learned without pairs gets a score that only pairs can give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from lib.data.domains import Domains, Pool, rendered
from lib.data.label_space import LabelError, LabelSpace
from lib.data.shuffled import Shuffled
from lib.data.worlds.facades import Facades
from lib.data.worlds.world import Batch, Parameters, Split, World, WorldError, split_generator

__all__ = [
    "TASKS", "Alternating", "LabelledPool", "PairedPool", "ParameterDomains", "UnpairedPool", "facade_domains",
    "labelled_pictures", "true_pairs",
]  # fmt: skip

Change = Mapping[str, str | int]

TASKS: Mapping[str, Mapping[str, Change]] = MappingProxyType({
    "night": {"day": {"time": "day"}, "night": {"time": "night"}},
    "winter": {"summer": {"season": "summer"}, "winter": {"season": "winter"}},
    "brick": {"plaster": {"material": "plaster"}, "brick": {"material": "brick"}},
    "gable": {"flat roof": {"roof": 0}, "gable": {"roof": 3}},
    "arches": {"straight": {"arches": 0}, "arched": {"arches": 2}},
})  # fmt: skip
"""Task -> its two domains of façades, with what defines them. The last two change shapes, the others surfaces."""


class ParameterDomains(Domains):
    """Domains that are defined by some parameters of a world, attributes or not; all else is left as drawn.

    Args:
        domains: name -> parameter -> value, as `World.changed` takes them. All name the same parameters.
        always: parameter -> its value in every domain.

    Raises:
        WorldError: fewer than two domains, or domains that name different parameters.
    """

    def __init__(self, world: World, domains: Mapping[str, Change], always: Change | None = None) -> None:
        super().__init__(world, list(domains))
        self.changes, self.always = list(domains.values()), dict(always or {})
        if len(self.changes) < 2 or len({frozenset(change) for change in self.changes}) > 1:
            raise WorldError("Give at least two domains, and in each a value for the same parameters.")

    def put(self, parameters: Parameters, domain: Tensor) -> Parameters:
        """The same pictures in the given domains."""
        result = self.world.changed(parameters, **self.always)
        versions = [self.world.changed(result, **change) for change in self.changes]
        for name in self.changes[0]:
            choices = torch.stack([version[name] for version in versions])  # (D, B, …)
            result[name] = choices[domain, torch.arange(len(domain), device=domain.device)]
        return result


def facade_domains(task: str = "night", always: Change | None = None) -> ParameterDomains:
    """The two domains of a task in `TASKS`.

    Args:
        always: fix what is not to vary, ``{"weather": "clear"}``; what training never shows, ``{"tree": 0}``.

    Raises:
        WorldError: there is no such task.
    """
    if task not in TASKS:
        raise WorldError(f"There is no task {task!r}; the tasks are {', '.join(TASKS)}.")
    return ParameterDomains(Facades(), TASKS[task], always)


class UnpairedPool:
    """Batches of two domains that never show one layout in both; a `lib.training.streams.Stream`.

    Args:
        domains: two of them.
        count: pictures rendered beforehand, half in each domain, each of another layout.
        size: px.
        batch: pictures of each domain in a batch.
        seed: of the layouts, and of the order.
        mirror: turn half of the pictures left to right.

    Raises:
        WorldError: not two domains, or fewer pictures than domains.
    """

    def __init__(
        self, domains: Domains, *, count: int, size: int, batch: int = 1, split: Split = "train", seed: int = 0,
        mirror: bool = True, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        if len(domains) != 2 or count < 2:
            raise WorldError(f"Unpaired pictures come from two domains, not {len(domains)}, and from 2 pictures on.")
        pictures = rendered(domains, count, size, split=split, seed=seed)
        image, domain = pictures["image"].to(device), pictures["domain"].to(device)
        self.pool = Pool(image, domain, batch=2 * batch, seed=seed, mirror=mirror)

    def draw(self, progress: float = 0.0) -> Batch:
        """``A`` and ``B``, each (B, 3, S, S) in [-1, 1]."""
        first, second = self.pool.draw(progress)["image"].chunk(2)
        return {"A": first, "B": second}

    def state_dict(self) -> dict[str, Any]:
        """The state of the pool."""
        return self.pool.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.pool.load_state_dict(state)


class PairedPool:
    """What `UnpairedPool` must not be: batches of true pairs, for the upper bound; a `lib.training.streams.Stream`.

    Args:
        count: pictures rendered beforehand, half in each domain: half as many layouts as an `UnpairedPool` has.
        size, batch, split, seed, mirror, device: as there.
    """

    def __init__(
        self, domains: Domains, *, count: int, size: int, batch: int = 1, split: Split = "train", seed: int = 0,
        mirror: bool = True, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        pairs = true_pairs(domains, count // 2, size, split=split, seed=seed)
        both = torch.cat([pairs["A"], pairs["B"]], dim=1).to(device)  # (N, 6, S, S): mirrored together
        self.pool = Pool(both, torch.zeros(len(both), dtype=torch.int64), batch=batch, seed=seed, mirror=mirror)

    def draw(self, progress: float = 0.0) -> Batch:
        """``A`` and ``B``, each (B, 3, S, S) in [-1, 1], partners in the same rows."""
        first, second = self.pool.draw(progress)["image"].chunk(2, dim=1)
        return {"A": first, "B": second}

    def state_dict(self) -> dict[str, Any]:
        """The state of the pool."""
        return self.pool.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.pool.load_state_dict(state)


def true_pairs(domains: Domains, count: int, size: int, *, split: Split = "test", seed: int = 0) -> Batch:
    """The answer key: `count` layouts drawn in both domains, ``A`` and ``B``, and ``A_labels``, ``B_labels``."""
    pairs: Batch = {}
    for index, name in enumerate("AB"):
        wanted = torch.full((count,), index)
        pictures = rendered(domains, count, size, split=split, seed=seed, domain=wanted)
        pairs |= {name: pictures["image"], f"{name}_labels": pictures["labels"]}
    return pairs


@torch.no_grad()
def labelled_pictures(
    world: World, space: LabelSpace, index: int, count: int, size: int, *, split: Split = "train", seed: int = 0,
    always: Change | None = None,
) -> Batch:  # fmt: skip
    """Pictures as data set `index` would hold them: parameters, ``image``, ``labels``, and ``label`` (count, n_i).

    Args:
        seed: give the data sets different ones, and no person is in two.
        always: parameter -> its value in every picture.
    """
    parameters = world.sample(count, generator=split_generator(split, seed))
    parameters = world.changed(parameters, **(always or {}))
    parts = [
        world.render({name: value[start : start + 32] for name, value in parameters.items()}, size)
        for start in range(0, count, 32)
    ]
    pictures = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {**parameters, **pictures, "label": space.encode(world, parameters, index)}


class LabelledPool:
    """Batches of labelled pictures that lie in memory, half of them mirrored; a `lib.training.streams.Stream`.

    Args:
        images: (N, 3, H, W) in [-1, 1]; kept as bytes.
        labels: (N, n) in {0, 1}.
        batch: pictures in a batch.
        seed: of the order and the mirroring.

    Raises:
        LabelError: a label is the same in every picture, so nothing can be learned about it.
    """

    def __init__(self, images: Tensor, labels: Tensor, *, batch: int, seed: int = 0) -> None:
        constant = torch.nonzero((labels == labels[:1]).all(dim=0))[:, 0].tolist()
        if constant:
            raise LabelError(
                f"The labels number {', '.join(map(str, constant))} are the same in all {len(labels)} pictures; "
                "leave them out, or give pictures that differ in them."
            )
        self.generator = torch.Generator().manual_seed(seed)
        data = {"image": ((images + 1) * 127.5).round().to(torch.uint8), "label": labels}
        self.rows = Shuffled(data, batch=batch, generator=self.generator)

    def draw(self, progress: float = 0.0) -> Batch:
        """``image`` (B, 3, H, W) in [-1, 1] and ``label`` (B, n)."""
        batch = self.rows.draw(progress)
        image = batch["image"].float() / 127.5 - 1
        turned = torch.rand(len(image), 1, 1, 1, generator=self.generator) < 0.5
        return {"image": torch.where(turned.to(image.device), image.flip(-1), image), "label": batch["label"]}

    def state_dict(self) -> dict[str, Any]:
        """The place in the pictures and the state of the generator."""
        return self.rows.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.rows.load_state_dict(state)


class Alternating:
    """One batch of each data set in turn, with its number as ``set``; a `lib.training.streams.Stream`.

    Args:
        streams: of the data sets, in the order of the label space.
    """

    def __init__(self, streams: Sequence[LabelledPool]) -> None:
        self.streams, self.turn = list(streams), 0

    def draw(self, progress: float = 0.0) -> dict[str, Any]:
        """The next batch."""
        index = self.turn % len(self.streams)
        self.turn += 1
        return {**self.streams[index].draw(progress), "set": index}

    def state_dict(self) -> dict[str, Any]:
        """Whose turn it is, and the states of the streams."""
        return {"turn": self.turn, "streams": [stream.state_dict() for stream in self.streams]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.turn = int(state["turn"])
        for stream, saved in zip(self.streams, state["streams"], strict=True):
            stream.load_state_dict(saved)
