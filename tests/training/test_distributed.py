"""Two processes on half a batch each make the step of one process on the whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from lib.games.game import Game, Turn
from lib.training.distributed import agree, average_gradients, is_distributed, rank_path
from lib.training.play import OptimConfig, Repeat, play


class Line(Game):
    """Least squares, so the gradient of a batch is the mean of those of its halves."""

    players: ClassVar = {"F": ("f",)}

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.f = nn.Linear(3, 2)
        with torch.no_grad():
            for p in self.f.parameters():
                p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)))

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        yield Turn("F", error=(self.f(batch["x"]) - batch["y"]).square().mean())


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, generator=generator), torch.randn(8, 2, generator=generator)


def worker(rank: int, folder: str) -> None:
    store = dist.FileStore(os.path.join(folder, "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=40))
    try:
        x, y = (part.chunk(2)[rank] for part in data())
        game = Line(seed=rank)  # another start: rank 0's must win
        assert agree(float(rank)) == 0.0
        play(
            game,
            Repeat({"x": x, "y": y}),
            5,
            optimisers=OptimConfig(lr=0.1),
            checkpoint=os.path.join(folder, "a.safetensors"),
        )
        torch.save(game.f.state_dict(), os.path.join(folder, f"{rank}.pt"))
    finally:
        dist.destroy_process_group()


def second_rank(_: int, folder: str) -> None:
    torch.set_num_threads(1)
    worker(1, folder)


def test_two_ranks_on_halves_equal_one_on_the_whole(tmp_path: Path) -> None:
    # This process is rank 0: starting one more is half as slow as starting two.
    other = mp.spawn(second_rank, args=(str(tmp_path),), nprocs=1, join=False)
    worker(0, str(tmp_path))
    assert other.join(timeout=20)
    x, y = data()
    game = Line(seed=0)
    play(game, Repeat({"x": x, "y": y}), 5, optimisers=OptimConfig(lr=0.1))
    zero, one = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, value in game.f.state_dict().items():
        assert torch.equal(zero[name], one[name])
        torch.testing.assert_close(zero[name], value, rtol=1e-5, atol=1e-6)
    assert {"a.safetensors", "a.rank1.safetensors"} <= {path.name for path in tmp_path.iterdir()}


def test_one_process_needs_nothing() -> None:
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    average_gradients([weight])
    assert weight.grad.item() == 1 and agree(3.0) == 3.0 and not is_distributed()
    assert rank_path("a.safetensors") == Path("a.safetensors")
