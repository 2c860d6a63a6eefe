"""The files of trained judges: weights with a card that says how to build the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from lib.book.paths import repository_root
from lib.training.checkpoint import CheckpointError, load_weights, read_card

Judge = TypeVar("Judge", bound=nn.Module)


def judge_path(kind: str, world: str) -> Path:
    """Where the book ships a judge of a world; `kind` is ``reader`` or ``parser``."""
    return repository_root() / "assets" / "checkpoints" / f"{kind}_{world}.safetensors"


def load_judge(path: str | Path, kind: str, build: Callable[[Mapping[str, Any]], Judge]) -> Judge:
    """Read a judge in evaluation mode.

    Args:
        path: the safetensors file.
        kind: the key under which its card keeps the judge's config.
        build: makes the untrained network from that config.

    Raises:
        CheckpointError: the file is missing, damaged or holds something else.
    """
    if not Path(path).is_file():
        raise CheckpointError(
            f"There is no {kind} at {path}; train one with `python -m lib train {kind} --world WORLD`."
        )
    card = read_card(path)
    try:
        judge = build(card[kind])
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} holds no {kind} ({error}); use a file of `python -m lib train {kind}`."
        ) from error
    load_weights(path, judge)
    return judge.eval().requires_grad_(False)
