"""DIAT's data: people without an attribute (input set), other people with it (guided set), and where it sits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.domains import rendered
from lib.data.unpaired_worlds import ParameterDomains
from lib.data.worlds.faces import Faces
from lib.data.worlds.world import Batch, Split, WorldError

__all__ = [
    "TASKS",
    "AttributeTask",
    "FaceSets",
    "attribute_domains",
    "attribute_mask",
    "before_and_after",
    "task_named",
]

Change = Mapping[str, str]
_NONE: Change = MappingProxyType({"hat": "none"})


@dataclass(frozen=True)
class AttributeTask:
    """One attribute of the face world, and the value that it shall get."""

    attribute: str  # of the world
    before: str  # its value in the input set
    after: str  # its value in the guided set
    region: tuple[str, ...] = ()  # classes of the label map where a *local* attribute shows; none: a global one
    grow: float = 0.0  # how far the region is grown, as a share of the picture's side
    always: Change = field(default_factory=lambda: _NONE)  # what both sets have in common

    @property
    def local(self) -> bool:
        """Whether the attribute sits in one place of the face."""
        return bool(self.region)


_MOUTH = ("mouth", "u_lip", "l_lip")
TASKS: Mapping[str, AttributeTask] = MappingProxyType({
    "smile": AttributeTask("expression", "neutral", "smile", _MOUTH, 0.09),
    "mouth": AttributeTask("expression", "surprised", "neutral", _MOUTH, 0.09),
    "glasses": AttributeTask("glasses", "glasses", "none", ("eye_g",), 0.04),
    "age": AttributeTask("age", "young", "old"),
    "gender": AttributeTask("gender", "female", "male", always={"hat": "none", "beard": "none"}),
})  # fmt: skip
"""Expression (a smile; a mouth that closes), accessory removal, age, gender: the four kinds of the paper."""


def task_named(name: str) -> AttributeTask:
    """The task of that name.

    Raises:
        WorldError: there is none.
    """
    if name not in TASKS:
        raise WorldError(f"There is no attribute task {name!r}; the tasks are {', '.join(TASKS)}.")
    return TASKS[name]


def attribute_domains(task: AttributeTask) -> ParameterDomains:
    """The input set (domain 0) and the guided set (domain 1) of a task."""
    values = {"before": {task.attribute: task.before}, "after": {task.attribute: task.after}}
    return ParameterDomains(Faces(), values, task.always)


def attribute_mask(labels: Tensor, task: AttributeTask) -> Tensor:
    """m: label maps (B, H, W) -> float32 (B, 1, H, W), 1 in the grown region of a local attribute.

    Raises:
        WorldError: the attribute is global.
    """
    if not task.local:
        raise WorldError(f"{task.attribute!r} shows in the whole face and has no mask; use the blur instead.")
    classes = torch.tensor([Faces.palette.names.index(name) for name in task.region], device=labels.device)
    region = torch.isin(labels, classes.to(labels.dtype)).float()[:, None]
    reach = round(task.grow * labels.shape[-1])
    return F.max_pool2d(region, 2 * reach + 1, stride=1, padding=reach) if reach else region


def before_and_after(
    task: AttributeTask, count: int, size: int, *, split: Split = "test", seed: int = 0
) -> tuple[Batch, Batch]:
    """The answer key: people of the input set, and the same people in the same places with the attribute."""
    domains = attribute_domains(task)
    before, after = (
        rendered(domains, count, size, split=split, seed=seed, domain=torch.full((count,), index)) for index in (0, 1)
    )
    return before, after


class FaceSets:
    """Batches of both sets, no person in both; a `lib.training.streams.Stream`.

    Args:
        task: which attribute.
        count: pictures rendered beforehand, half of them in each set, and met again, mirrored half of the time.
        size: px.
        batch: pictures of each set in a batch.
        seed: of the people, and of the order.

    Raises:
        WorldError: fewer than two pictures.
    """

    def __init__(
        self, task: AttributeTask, *, count: int, size: int, batch: int, split: Split = "train", seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        if count < 2 or batch < 1:
            raise WorldError(f"Two sets need two pictures or more and batches of at least 1, not {count} and {batch}.")
        pictures = rendered(attribute_domains(task), count, size, split=split, seed=seed)
        of = [pictures["domain"] == index for index in (0, 1)]
        image = ((pictures["image"] + 1) * 127.5).round().to(torch.uint8)
        self.data = {"A": image[of[0]], "B": image[of[1]]}
        if task.local:
            self.data["mask"] = attribute_mask(pictures["labels"][of[0]], task).to(torch.uint8)
        self.data = {name: value.to(device) for name, value in self.data.items()}
        self.batch, self.generator = batch, torch.Generator().manual_seed(seed)

    def draw(self, progress: float = 0.0) -> Batch:
        """``A`` and ``B`` (B, 3, S, S) in [-1, 1]; for a local attribute ``mask`` (B, 1, S, S) of A, in {0, 1}."""
        rows = {name: self._rows(len(self.data[name])) for name in "AB"}
        turned = torch.rand(2, self.batch, 1, 1, 1, generator=self.generator) < 0.5
        flips = dict(zip("AB", turned.to(self.data["A"].device), strict=True))
        made: Batch = {}
        for name, pictures in self.data.items():
            key = "A" if name == "mask" else name
            picked = pictures[rows[key].to(pictures.device)].float()
            picked = picked if name == "mask" else picked / 127.5 - 1
            made[name] = torch.where(flips[key], picked.flip(-1), picked)
        return made

    def _rows(self, count: int) -> Tensor:
        return torch.randint(count, (self.batch,), generator=self.generator)

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.generator.set_state(state["generator"])
