"""The files of trained judges: weights with a card that says how to build the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import nn

from lib.book.paths import repository_root
from lib.training.checkpoint import CheckpointError, load_weights, read_card, save_weights

__all__ = ["StoredJudge", "judge_path"]


def judge_path(kind: str, world: str) -> Path:
    """Where the book ships a judge of a world; `kind` is ``reader`` or ``parser``."""
    return repository_root() / "assets" / "checkpoints" / f"{kind}_{world}.safetensors"


class StoredJudge(nn.Module):
    """A trained judge that is kept in a file and shipped with the book.

    Attributes:
        kind: ``reader`` or ``parser``: in the file's name, in its card, and in the command that trains it.
        config_type: the dataclass of its config, with a ``from_dict``.
        config: what the network was built from, the only argument of a subclass.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[Any]]
    config: Any

    def save(self, path: str | Path, card: Mapping[str, Any]) -> None:
        """Write the weights with their card; see `lib.training.checkpoint.save_weights`."""
        save_weights(path, self, {**card, self.kind: asdict(self.config)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote, in evaluation mode.

        Raises:
            CheckpointError: the file is missing, damaged or holds something else.
        """
        if not Path(path).is_file():
            raise CheckpointError(
                f"There is no {cls.kind} at {path}; train one with `python -m lib train {cls.kind} --world WORLD`."
            )
        card = read_card(path)
        try:
            judge = cls(cls.config_type.from_dict(card[cls.kind]))
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} holds no {cls.kind} ({error}); use a file of `python -m lib train {cls.kind}`."
            ) from error
        load_weights(path, judge)
        return judge.eval().requires_grad_(False)

    @classmethod
    def shipped(cls, world: str) -> Self:
        """The one that the book ships for a world.

        Raises:
            CheckpointError: there is none.
        """
        return cls.load(judge_path(cls.kind, world))
