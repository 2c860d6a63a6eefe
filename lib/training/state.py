"""The whole state of a training as plain data: what a snapshot in memory and a checkpoint on disk hold.

A state is a nest of dicts, lists, tuples, numbers, strings and tensors. `flatten` splits it into named
tensors and a JSON-able skeleton, so no pickle is ever written or read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lib.games.game import Game
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.streams import Stream


class StateError(ValueError):
    """A state cannot be saved, or does not fit what it is loaded into."""


@dataclass
class Training:
    """Everything that takes part in a training and must survive it being cut off."""

    game: Game
    optimisers: Mapping[str, Optimizer] = field(default_factory=dict)
    stream: Stream | None = None
    ema: EMA | None = None
    history: History | None = None


def flatten(tree: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Move the tensors of `tree` into `tensors` and return the JSON-able rest.

    Raises:
        StateError: `tree` holds something that is neither data nor a tensor.
    """
    if isinstance(tree, Tensor):
        key = name if name not in tensors else f"{name}#{len(tensors)}"
        tensors[key] = tree.detach()
        return {"tensor": key}
    if isinstance(tree, Mapping):
        pairs = [[flatten(k, name, tensors), flatten(v, f"{name}/{k}", tensors)] for k, v in tree.items()]
        return {"dict": pairs}
    if isinstance(tree, list | tuple):
        kind = "list" if isinstance(tree, list) else "tuple"
        return {kind: [flatten(value, f"{name}/{i}", tensors) for i, value in enumerate(tree)]}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise StateError(
        f"{name} holds a {type(tree).__name__}, which cannot be saved; keep only tensors, numbers, strings, "
        "lists and dicts in a state_dict."
    )


def unflatten(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `flatten` split."""
    if not isinstance(skeleton, dict):
        return skeleton
    ((kind, value),) = skeleton.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {unflatten(k, tensors): unflatten(v, tensors) for k, v in value}
    items = [unflatten(item, tensors) for item in value]
    return items if kind == "list" else tuple(items)


def capture(training: Training, *, history: bool = True) -> dict[str, Any]:
    """The state of `training`; its tensors are those in use, so copy or write them before the next round."""
    game = training.game
    tree: dict[str, Any] = {
        "rounds_done": game.rounds_done,
        "game": dict(game.state_dict()),
        "optimisers": {player: _optimiser_state(o) for player, o in training.optimisers.items()},
        "random": random_state(game),
        "stream": None if training.stream is None else training.stream.state_dict(),
        "ema": None if training.ema is None else training.ema.state_dict(),
    }
    if history:
        tree["history"] = None if training.history is None else training.history.state_dict()
    return tree


def restore(training: Training, tree: Mapping[str, Any]) -> None:
    """Bring `training` back to a captured state, in place; nothing is changed if the state does not fit.

    Raises:
        StateError: another architecture, other players or optimisers, or a part present on one side only.
    """
    game = training.game
    check_fit(training, tree)
    game.load_state_dict(tree["game"])
    for player, optimiser in training.optimisers.items():
        _load_optimiser(optimiser, tree["optimisers"][player])
    if training.stream is not None:
        training.stream.load_state_dict(tree["stream"])
    if training.ema is not None:
        training.ema.load_state_dict(tree["ema"])
    if training.history is not None and "history" in tree:
        training.history.load_state_dict(tree["history"])
    game.rounds_done = int(tree["rounds_done"])
    load_random_state(game, tree["random"])


def check_fit(training: Training, tree: Mapping[str, Any]) -> None:
    """Raise `StateError` where `tree` was not captured from a training like this one."""
    check_same_tensors(tree["game"], dict(training.game.state_dict()))
    if set(tree["optimisers"]) != set(training.optimisers):
        raise StateError(f"its optimisers are for {sorted(tree['optimisers'])}, not for {sorted(training.optimisers)}")
    for player, optimiser in training.optimisers.items():
        was, now = tree["optimisers"][player]["kind"], type(optimiser).__name__
        if was != now:
            raise StateError(f"player {player!r} used {was}, but now uses {now}")
    for part in ("stream", "ema", "history"):
        saved, present = tree.get(part) is not None, getattr(training, part) is not None
        if part in tree and saved != present:
            raise StateError(f"it was saved {'with' if saved else 'without'} {part}, unlike this training")
    if training.ema is not None:
        check_same_tensors(tree["ema"]["module"], dict(training.ema.module.state_dict()), "the EMA's ")
    if set(tree["random"]["game"]) != set(training.game.generators()):
        raise StateError("its random generators are not those of this game")


def check_same_tensors(saved: Mapping[str, Tensor], here: Mapping[str, Tensor], whose: str = "") -> None:
    """Raise `StateError` unless both hold tensors of the same names and shapes."""
    missing = [name for name in here if name not in saved]
    surplus = [name for name in saved if name not in here]
    if missing:
        raise StateError(f"{whose}{missing[0]!r} and {len(missing) - 1} other tensors are not in the file")
    if surplus:
        raise StateError(f"{whose}{surplus[0]!r} and {len(surplus) - 1} other tensors have no place here")
    for name, tensor in here.items():
        if saved[name].shape != tensor.shape:
            found = tuple(saved[name].shape)
            raise StateError(f"{whose}{name!r} has shape {found} in the file, {tuple(tensor.shape)} here")


def _optimiser_state(optimiser: Optimizer) -> dict[str, Any]:
    return {"kind": type(optimiser).__name__, **optimiser.state_dict()}


def _load_optimiser(optimiser: Optimizer, state: Mapping[str, Any]) -> None:
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments = {index: _laid_out_like(parameters[index], entry) for index, entry in state["state"].items()}
    optimiser.load_state_dict({"state": moments, "param_groups": state["param_groups"]})


def _laid_out_like(parameter: Tensor, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An optimiser's entries, copied; moments get the memory layout of `parameter`, as fused Adam expects."""

    def copied(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.shape != parameter.shape or value.ndim == 0:
            return value.clone()
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)

    return {name: copied(value) for name, value in entry.items()}


def random_state(game: Game) -> dict[str, Any]:
    """The state of torch's generators and of those that the game keeps."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    generators = {name: generator.get_state() for name, generator in game.generators().items()}
    return {"torch": torch.get_rng_state(), "cuda": cuda, "game": generators}


def load_random_state(game: Game, state: Mapping[str, Any]) -> None:
    """Put every generator back to where `random_state` found it."""
    torch.set_rng_state(state["torch"].cpu())
    # A checkpoint from a GPU machine may go on where there are fewer GPUs, or none.
    for device, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda_state.cpu(), device)
    for name, generator in game.generators().items():
        generator.set_state(state["game"][name].cpu())


@contextmanager
def undisturbed(game: Game) -> Iterator[Callable[[], None]]:
    """Run networks of `game` without a trace: modes, buffers and random generators are put back at the end.

    Yields a function that puts the buffers and generators back at once, to run the same thing again.
    """
    modes = {module: module.training for module in game.modules()}
    buffers = [(buffer, buffer.detach().clone()) for buffer in game.buffers()]
    generators = random_state(game)

    def rewind() -> None:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        load_random_state(game, generators)

    try:
        yield rewind
    finally:
        rewind()
        for module, training in modes.items():
            module.training = training
