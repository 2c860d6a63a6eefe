"""Labels of several data sets in one vector, with a mask that says which are known (Choi et al. 2018, sec. 3.2).

One data set names hair, gender and age; another the expression. No picture has both. StarGAN's unified label is

    c~ = [c_1, ..., c_n, m]

with c_i the labels of data set i, zeros for those that are unknown, and m the one-hot number of the data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.data.worlds.world import World

__all__ = ["ATTRIBUTES", "EXPRESSIONS", "LOOKS", "LabelError", "LabelGroup", "LabelSpace"]


class LabelError(ValueError):
    """Labels that contradict their space: no such data set, the wrong length, groups without values."""


@dataclass(frozen=True)
class LabelGroup:
    """One property. Several values exclude each other (one-hot); a single value is true or not."""

    attribute: str
    values: tuple[str, ...]

    @property
    def exclusive(self) -> bool:
        """Whether exactly one of the values holds."""
        return len(self.values) > 1


ATTRIBUTES = (
    LabelGroup("hair", ("black", "blond", "brown", "grey")),
    LabelGroup("gender", ("male",)),
    LabelGroup("age", ("young",)),
)
"""What the paper takes from CelebA, in our world: hair colour, gender, age. Grey hair is ours."""

LOOKS = (
    LabelGroup("hair", ("black", "blond", "brown", "grey")),
    LabelGroup("glasses", ("none", "glasses")),
)
"""What the book's model is trained on. Both answers have an entry, so that zeros are free to mean "as it is"."""

EXPRESSIONS = (LabelGroup("expression", ("neutral", "smile", "sad", "surprised", "angry")),)
"""What the paper takes from RaFD: the expression, five of its eight."""


class LabelSpace:
    """Which labels each data set gives, and where they are in the unified vector.

    Args:
        sets: the groups of each data set.

    Attributes:
        classified: entries of all data sets together: what D's classifier answers.
        width: of the unified vector: `classified`, and the mask where there are several data sets.

    Raises:
        LabelError: a data set without labels, or a group without values.
    """

    def __init__(self, *sets: Sequence[LabelGroup]) -> None:
        if not sets or not all(sets) or not all(group.values for groups in sets for group in groups):
            raise LabelError("A label space needs at least one data set, each with groups that have values.")
        self.sets = tuple(tuple(groups) for groups in sets)
        self._sizes = [sum(len(group.values) for group in groups) for groups in self.sets]
        self.classified = sum(self._sizes)
        self.width = self.classified + (len(self.sets) if len(self.sets) > 1 else 0)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the entries that are classified, as "hair blond"."""
        return tuple(f"{g.attribute} {value}" for groups in self.sets for g in groups for value in g.values)

    def block(self, index: int) -> slice:
        """Where the labels of data set `index` are."""
        if not 0 <= index < len(self.sets):
            raise LabelError(f"There is no data set {index}; they are numbered 0 to {len(self.sets) - 1}.")
        start = sum(self._sizes[:index])
        return slice(start, start + self._sizes[index])

    @equation("6.7", tests="tests/equations/test_domain_labels.py::test_unified_label")
    def unified(self, labels: Tensor, index: int = 0) -> Tensor:
        """c~: the labels (B, n_i) of data set `index` in the unified vector (B, width), all unknown ones 0.

        Raises:
            LabelError: labels of another length.
        """
        place = self.block(index)
        if labels.ndim != 2 or labels.shape[1] != place.stop - place.start:
            raise LabelError(
                f"Data set {index} has {place.stop - place.start} labels, not {tuple(labels.shape[1:])}; "
                "encode them with LabelSpace.encode."
            )
        vector = F.pad(labels, (place.start, self.width - place.stop))
        if len(self.sets) > 1:
            vector[:, self.classified + index] = 1
        return vector

    def encode(self, world: World, parameters: Mapping[str, Tensor], index: int = 0) -> Tensor:
        """The labels (B, n_i) float32 that data set `index` gives to pictures of a world.

        Raises:
            WorldError: the world has no such attribute or value.
        """
        columns = [
            parameters[group.attribute] == world.value(group.attribute, value)
            for group in self.sets[index]
            for value in group.values
        ]
        return torch.stack(columns, dim=1).float()

    def asked(self, labels: Tensor, index: int = 0, **values: str) -> Tensor:
        """Labels (B, n_i) with some groups set: ``asked(labels, hair="blond", gender="not male")``.

        Raises:
            LabelError: no such group or value in the data set.
        """
        result, start = labels.clone(), 0
        groups = {group.attribute: group for group in self.sets[index]}
        for name, value in values.items():
            known = groups[name].values if name in groups else ()
            if value not in known and not (len(known) == 1 and value == f"not {known[0]}"):
                raise LabelError(f"Data set {index} has no label {name} {value!r}; it has {self._listed(index)}.")
        for group in self.sets[index]:
            stop = start + len(group.values)
            if group.attribute in values:
                wanted = [float(value == values[group.attribute]) for value in group.values]
                result[:, start:stop] = torch.tensor(wanted, device=labels.device)
            start = stop
        return result

    def opened(self, labels: Tensor, left: Tensor, index: int = 0) -> Tensor:
        """Labels (B, n_i) with the groups where ``left`` (B, groups) is true set to 0: "leave that as it is"."""
        sizes = torch.tensor([len(group.values) for group in self.sets[index]], device=labels.device)
        return labels.masked_fill(left.to(labels.device).repeat_interleave(sizes, dim=1), 0.0)

    def home(self, attribute: str) -> int:
        """The number of the data set that knows an attribute.

        Raises:
            LabelError: none does.
        """
        for index, groups in enumerate(self.sets):
            if attribute in (group.attribute for group in groups):
                return index
        raise LabelError(
            f"No data set knows {attribute!r}; they know "
            f"{', '.join(group.attribute for groups in self.sets for group in groups)}."
        )

    def as_lists(self) -> list[list[list[Any]]]:
        """Plain values for a card; ``LabelSpace.from_lists`` reads them."""
        return [[[group.attribute, list(group.values)] for group in groups] for groups in self.sets]

    @classmethod
    def from_lists(cls, sets: Sequence[Sequence[Sequence[Any]]]) -> LabelSpace:
        """What `as_lists` gave, also after JSON."""
        return cls(*[[LabelGroup(name, tuple(values)) for name, values in groups] for groups in sets])

    def _listed(self, index: int) -> str:
        return "; ".join(f"{group.attribute}: {', '.join(group.values)}" for group in self.sets[index])
