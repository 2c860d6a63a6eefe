"""Checkpoints that cannot half-exist: safetensors, no pickle, written atomically, verified when read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lib.training.state import StateError, Training, capture, check_same_tensors, flatten, restore, unflatten

_TRAINING, _WEIGHTS = "training checkpoint", "weights"
_FORMAT = "drawing-by-analogy"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read or used here; the message says why and what to do."""


def save_training(path: str | os.PathLike[str], training: Training) -> None:
    """Write the whole state of a training: weights, averages, optimisers, randomness, stream, history.

    `load_training` continues it bit for bit on the same device.

    Raises:
        CheckpointError: the state holds something that cannot be saved, or the disk refused.
    """
    try:
        tensors: dict[str, Tensor] = {}
        skeleton = flatten(capture(training), "state", tensors)
    except StateError as error:
        raise CheckpointError(f"The training cannot be saved: {error}") from error
    _write(Path(path), tensors, {"kind": _TRAINING, "state": json.dumps(skeleton)})


def load_training(path: str | os.PathLike[str], training: Training) -> None:
    """Bring `training` to the state saved at `path`, in place; on any error nothing is changed.

    Raises:
        CheckpointError: missing, truncated or altered file, another kind of file, another architecture.
    """
    tensors, facts = _read(Path(path), _TRAINING)
    try:
        restore(training, unflatten(json.loads(facts["state"]), tensors))
    except StateError as error:
        raise CheckpointError(
            f"{path} does not fit this training: {error}; build the game with the settings it was saved "
            "with, or train from the start."
        ) from error


def save_weights(path: str | os.PathLike[str], module: nn.Module, card: Mapping[str, Any]) -> None:
    """Write a network for use, with its card inside and, for readers, beside it as JSON.

    Args:
        path: ends in ``.safetensors``; the card goes to the same name with ``.json``.
        card: facts about the weights; see `weights_card`.

    Raises:
        CheckpointError: a weight is not finite, the card is not JSON-able, or the disk refused.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path} must end in .safetensors.")
    tensors = dict(module.state_dict())
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"The weights are not saved: {name!r} holds NaN or infinity; train again.")
    try:
        text = json.dumps(card, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The card is not plain JSON ({error}); use finite numbers and strings.") from error
    _write(path, tensors, {"kind": _WEIGHTS, "card": text})
    write_atomically(path.with_suffix(".json"), (text + "\n").encode())


def load_weights(path: str | os.PathLike[str], module: nn.Module) -> dict[str, Any]:
    """Load weights into `module`, in place, and return their card; on any error nothing is changed.

    Raises:
        CheckpointError: missing, truncated or altered file, another kind of file, another architecture.
    """
    tensors, facts = _read(Path(path), _WEIGHTS)
    try:
        check_same_tensors(tensors, dict(module.state_dict()))
    except StateError as error:
        raise CheckpointError(
            f"{path} holds other networks: {error}; build the network with the settings in the file's card."
        ) from error
    module.load_state_dict(tensors)
    return _as_card(facts["card"])


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a weights file, to build the network that fits it."""
    _, facts = _read(Path(path), _WEIGHTS)
    return _as_card(facts["card"])


def weights_card(
    *, config: Any, seed: int, data: str, metrics: Mapping[str, float], device: str, seconds: float
) -> dict[str, Any]:
    """The facts that make weights reproducible: config, seed, data, metrics, device, seconds, versions."""
    is_dataclass = dataclasses.is_dataclass(config) and not isinstance(config, type)
    return {
        "config": dataclasses.asdict(config) if is_dataclass else dict(config),
        "seed": seed,
        "data": data,
        "metrics": {name: float(value) for name, value in metrics.items()},
        "device": device,
        "seconds": round(float(seconds), 1),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at every moment `path` is either the old file or the whole new one.

    Raises:
        CheckpointError: the folder cannot be written; the old file, if any, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written ({error.strerror or error}); check the folder and the free space."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _as_card(text: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(text)
    return card


def _write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    # A copy of each tensor: two names may share memory, which the format refuses.
    stored = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    metadata = {"format": _FORMAT, **facts, "sha256": _digest(stored, facts)}
    write_atomically(path, save(stored, metadata))


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}; check the path, or train first.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file; it was cut short or damaged, or is another format: "
            "delete it and save again."
        ) from error
    if metadata.pop("format", None) != _FORMAT or "kind" not in metadata:
        raise CheckpointError(
            f"{path} was not written by this library; use a file that save_training or save_weights made."
        )
    if metadata["kind"] != kind:
        load = "load_weights" if kind == _TRAINING else "load_training"
        raise CheckpointError(f"{path} holds {metadata['kind']}, not {kind}; open it with {load}.")
    if metadata.pop("sha256", None) != _digest(tensors, metadata):
        raise CheckpointError(f"{path} was damaged after it was written; delete it and save again.")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """SHA-256 of all names, values and facts."""
    digest = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
