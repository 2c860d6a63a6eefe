"""Several processes, one game: average gradients with `torch.distributed`, without a wrapper.

Started plainly, every function here does nothing. Under ``torchrun``, after
``torch.distributed.init_process_group``, each rank plays on its own part of the batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn


def is_distributed() -> bool:
    """True after ``init_process_group`` with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """The number of this process, 0 when there is only one."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if is_distributed() else 1


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the ranks.

    With equal parts of a batch and a mean loss this is the gradient of the whole batch. Every rank must
    reach the same parameters. Gradients travel as one flat tensor per dtype, so small ones cost no latency.
    """
    if not is_distributed():
        return
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_dtype.values():
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= world_size()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))


@torch.no_grad()
def same_start(module: nn.Module) -> None:
    """Give every rank the weights and buffers of rank 0."""
    if is_distributed():
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def agree(value: float) -> float:
    """The value that rank 0 holds; clocks differ, and all ranks must stop in the same round."""
    if not is_distributed():
        return value
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    shared = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return float(shared)


def rank_path(path: Path | str) -> Path:
    """The checkpoint of this rank: `path` for rank 0, ``name.rank1.suffix`` for rank 1, ..."""
    path = Path(path)
    return path if rank() == 0 else path.with_name(f"{path.stem}.rank{rank()}{path.suffix}")
