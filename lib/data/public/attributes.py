"""The 40 attributes of CelebA, and those of them that the face world has too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lib.data.public.error import PublicDataError

HAIR = ("black", "blond", "brown", "grey")
"""Values of ``hair``, as in the face world."""
_HAIR_COLUMNS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
UNKNOWN = -1
"""Value of an attribute that the annotators left open; a loss must leave such samples out."""


@dataclass(frozen=True)
class AttributeTable:
    """Names of the attributes, and file name -> row of ``values`` (N, A) uint8 of 0 and 1."""

    names: tuple[str, ...]
    rows: Mapping[str, int]
    values: Tensor

    def of(self, file: str) -> Tensor:
        """The attributes (A,) int64 of one picture.

        Raises:
            PublicDataError: it is not in the table.
        """
        if file not in self.rows:
            raise PublicDataError(f"The attribute file says nothing of '{file}'; both must be of one release.")
        return self.values[self.rows[file]].long()


def read_attributes(path: Path) -> AttributeTable:
    """Read CelebA's text format: a count, the names, then a file name and -1 or 1 for each attribute.

    Raises:
        PublicDataError: the file is missing or damaged.
    """
    if not path.is_file():
        raise PublicDataError(f"'{path}' is missing; place it there, it comes with the data set.")
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        count, names = int(lines[0]), tuple(lines[1].split())
        rows = [line.split() for line in lines[2 : 2 + count]]
        values = torch.tensor([[int(value) for value in row[1:]] for row in rows], dtype=torch.int8)
    except (ValueError, IndexError) as error:
        raise PublicDataError(f"'{path}' is damaged ({error}); fetch it again.") from error
    if values.shape != (count, len(names)) or not bool((values.abs() == 1).all()):
        raise PublicDataError(f"'{path}' does not hold {count} rows of {len(names)} values -1 or 1; fetch it again.")
    return AttributeTable(names, {row[0]: number for number, row in enumerate(rows)}, (values > 0).to(torch.uint8))


def shared_attributes(attributes: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """What the 40 attributes (A,) say in the face world's terms, as int64 scalars.

    ``hair`` is an index into `HAIR`, or `UNKNOWN` where no colour is marked or more than one. ``gender``: 0 female,
    1 male, as annotated by strangers. ``glasses``, ``beard``, ``hat``, ``smiling``, ``young``: 0 or 1.
    CelebA knows neither middle age nor any expression but the smile, so ``age`` and ``expression`` are not given.
    """

    def marked(name: str) -> Tensor:
        return attributes[list(names).index(name)]

    hair = torch.stack([marked(name) for name in _HAIR_COLUMNS])
    colour = hair.argmax() if int(hair.sum()) == 1 else torch.tensor(UNKNOWN)
    return {
        "hair": colour,
        "gender": marked("Male"),
        "glasses": marked("Eyeglasses"),
        "beard": 1 - marked("No_Beard"),
        "hat": marked("Wearing_Hat"),
        "smiling": marked("Smiling"),
        "young": marked("Young"),
    }
