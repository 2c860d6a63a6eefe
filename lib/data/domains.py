"""Domains of a world: the sets of pictures between which chapter 3 translates, and batches balanced over them.

A domain is what a label says about a picture (all women, all blond men, all pictures of one person). Because
the pictures are rendered, the same picture in another domain exists too: the answer that no unpaired method is
shown.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from lib.data.worlds.world import Batch, Parameters, Split, World, WorldError, split_generator

__all__ = ["AttributeDomains", "Domains", "PersonDomains", "Pool", "rendered"]

_RENDER_BATCH = 32  # pictures rendered at a time: what fits a processor's cache


class Domains(ABC):
    """Names of the domains, and how a picture's parameters are moved into one.

    Attributes:
        world: whose pictures they are.
        names: of the domains, in the order of their indices.
    """

    def __init__(self, world: World, names: Sequence[str]) -> None:
        self.world, self.names = world, tuple(names)

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def put(self, parameters: Parameters, domain: Tensor) -> Parameters:
        """The same pictures in the given domains (B,): only what defines a domain changes."""


class AttributeDomains(Domains):
    """Every combination of the values of some attributes is a domain: ``("gender",)`` makes two.

    Args:
        attributes: of the world; the last one varies fastest.
        always: attribute -> the value that it has in every domain, to leave it out of the game.
    """

    def __init__(self, world: World, attributes: Sequence[str], always: Mapping[str, str] | None = None) -> None:
        unknown = [name for name in (*attributes, *(always or {})) if name not in world.attributes]
        if unknown or not attributes:
            raise WorldError(
                f"Domains of {world.name} need attributes among {', '.join(world.attributes)}, "
                f"not {', '.join(unknown) or 'none at all'}."
            )
        self.attributes, self.always = tuple(attributes), dict(always or {})
        values = [world.attributes[name] for name in attributes]
        super().__init__(world, [" ".join(combination) for combination in product(*values)])
        self._sizes = [len(value) for value in values]

    def values(self, domain: Tensor) -> dict[str, Tensor]:
        """Attribute -> its values (B,) in the given domains (B,)."""
        strides = [math.prod(self._sizes[place + 1 :]) for place in range(len(self._sizes))]
        return {
            name: domain // stride % size
            for name, stride, size in zip(self.attributes, strides, self._sizes, strict=True)
        }

    def put(self, parameters: Parameters, domain: Tensor) -> Parameters:
        """The same people with the attributes of the given domains."""
        return self.world.changed(parameters, **self.values(domain), **self.always)


class PersonDomains(Domains):
    """Each domain is one person: what defines them is fixed, all else (pose, light, place) is free.

    Args:
        seeds: a person for each, drawn from the world.
        keeps: the parameters that make up a person.
        looks: attribute -> one value for each person, where the draw is not to decide.
    """

    def __init__(
        self, world: World, seeds: Sequence[int], keeps: Sequence[str],
        looks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(world, [f"person {chr(ord('A') + place)}" for place in range(len(seeds))])
        people = [world.sample(1, generator=split_generator("train", seed)) for seed in seeds]
        for attribute, values in (looks or {}).items():
            people = [world.changed(person, **{attribute: value}) for person, value in zip(people, values, strict=True)]
        self.kept = {name: torch.cat([person[name] for person in people]) for name in keeps}

    def put(self, parameters: Parameters, domain: Tensor) -> Parameters:
        """The given persons in the pose, light and place of each picture."""
        kept = {name: values.to(domain.device)[domain] for name, values in self.kept.items()}
        return self.world.changed(parameters, **kept)


@torch.no_grad()
def rendered(
    domains: Domains, count: int, size: int, *, split: Split = "train", seed: int = 0,
    domain: Tensor | None = None,
) -> Batch:  # fmt: skip
    """Draw `count` pictures, the domains taking turns (or as given): parameters, ``image``, ``labels``, ``domain``.

    The same split and seed give the same people in the same places whatever the domain, so two calls with
    different ``domain`` (count,) are true pairs.
    """
    world = domains.world
    parameters = world.sample(count, generator=split_generator(split, seed))
    wanted = torch.arange(count) % len(domains) if domain is None else domain
    parameters = domains.put(parameters, wanted)
    parts = [
        world.render({name: value[start : start + _RENDER_BATCH] for name, value in parameters.items()}, size)
        for start in range(0, count, _RENDER_BATCH)
    ]
    pictures = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {**parameters, **pictures, "domain": wanted}


class Pool:
    """Batches from pictures rendered once, with equal shares of every domain; a `lib.training.streams.Stream`.

    A network with few multiply-adds trains faster than a face is drawn; so a few thousand faces are drawn once
    and met again. Each is mirrored half of the time.

    Args:
        images: (N, 3, H, W) in [-1, 1]; kept as bytes, so values beyond are clamped.
        domain: (N,) int64.
        batch: pictures in a batch, a multiple of the number of domains.
        seed: of the order and the mirroring.
        mirror: False for pictures with a left and a right.
    """

    def __init__(
        self, images: Tensor, domain: Tensor, *, batch: int, seed: int = 0, mirror: bool = True
    ) -> None:  # fmt: skip
        domains = int(domain.max()) + 1
        if batch < domains or batch % domains:
            raise WorldError(f"A balanced batch over {domains} domains needs a multiple of {domains}, not {batch}.")
        self.bytes = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        self.rows = [torch.nonzero(domain == index)[:, 0] for index in range(domains)]
        if min(len(rows) for rows in self.rows) == 0:
            raise WorldError("A domain has no picture; draw more of them.")
        self.batch, self.mirror = batch, mirror
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, progress: float = 0.0) -> Batch:
        """``image`` (B, 3, H, W) in [-1, 1] and ``domain`` (B,), the domains in blocks of equal size."""
        share = self.batch // len(self.rows)
        picked = [rows[torch.randint(len(rows), (share,), generator=self.generator)] for rows in self.rows]
        image = self.bytes[torch.cat(picked).to(self.bytes.device)].float() / 127.5 - 1
        if self.mirror:
            turned = torch.rand(self.batch, 1, 1, 1, generator=self.generator) < 0.5
            image = torch.where(turned.to(image.device), image.flip(-1), image)
        domain = torch.arange(len(self.rows), device=image.device).repeat_interleave(share)
        return {"image": image, "domain": domain}

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.generator.set_state(state["generator"])
