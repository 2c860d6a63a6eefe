"""A memory of earlier fakes, so that D does not forget what G has stopped drawing (Shrivastava et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lib.book.equations import equation

__all__ = ["BufferSizeError", "ImageBuffer", "mean_age"]


class BufferSizeError(ValueError):
    """Fakes that do not fit the buffer, or more at once than it holds."""


class ImageBuffer(nn.Module):
    """A fixed number of earlier fakes; half of what D sees comes from it (Zhu et al. 2017, sec. 4).

    Until it is full it stores every fake and returns it. From then on it returns, with probability 1/2, a random
    stored fake and puts the new one in its place, else the new one itself. A stored fake then waits 2 * capacity
    fakes on average, with one fake at a time.

    All of its state is buffers and one generator, so a resumed training draws what the uninterrupted one would.

    Args:
        capacity: fakes it holds, 50 in the paper; 0 always returns the new ones.
        shape: of one fake, (3, H, W).
        generator: decides which are swapped; default seed 0.
        swap: probability of returning an old fake.
    """

    images: Tensor
    stored: Tensor

    def __init__(
        self, capacity: int, shape: tuple[int, ...], *, generator: torch.Generator | None = None, swap: float = 0.5
    ) -> None:
        super().__init__()
        if capacity < 0 or not 0 <= swap <= 1:
            raise BufferSizeError(f"A buffer needs a capacity from 0 and a swap in [0, 1], not {capacity} and {swap}.")
        self.capacity, self.swap = capacity, swap
        self.register_buffer("images", torch.zeros(capacity, *shape))
        self.register_buffer("stored", torch.zeros((), dtype=torch.int64))
        self.generator = generator or torch.Generator().manual_seed(0)

    @torch.no_grad()
    def forward(self, fakes: Tensor) -> Tensor:
        """New fakes (B, …) -> as many fakes, new or old, without gradients.

        Raises:
            BufferSizeError: another shape than the buffer's, or B larger than its capacity.
        """
        if not self.capacity:
            return fakes.detach()
        count = len(fakes)
        if fakes.shape[1:] != self.images.shape[1:] or count > self.capacity:
            raise BufferSizeError(
                f"The buffer holds {self.capacity} fakes of shape {tuple(self.images.shape[1:])}, but "
                f"{count} of shape {tuple(fakes.shape[1:])} came; build it for the size and batch of the training."
            )
        # Everything is decided by tensors on the device: nothing waits for the GPU.
        full = self.stored >= self.capacity
        free = (self.stored + torch.arange(count, device=self.stored.device)) % self.capacity
        picked = torch.randperm(self.capacity, generator=self.generator)[:count].to(free.device)
        slot = torch.where(full, picked, free)
        coin = (torch.rand(count, generator=self.generator) < self.swap).to(free.device)
        new, old = fakes.detach().to(self.images.dtype), self.images[slot]
        each = (-1, *[1] * (fakes.ndim - 1))
        swapped = (coin & full).view(each)
        self.images[slot] = torch.where(swapped | ~full, new, old)
        self.stored += count
        return torch.where(swapped, old, new).to(fakes.dtype)


@equation("5.7", tests="tests/equations/test_cycle.py::test_mean_age_of_a_stored_fake")
def mean_age(capacity: int, swap: float = 0.5) -> float:
    """How many turns a stored fake waits on average until D sees it again, with one fake a turn: capacity / swap.

    In each turn it is called out with probability swap / capacity, so its waiting time is geometric.

    Raises:
        BufferSizeError: nothing is stored, or never returned.
    """
    if capacity < 1 or not 0 < swap <= 1:
        raise BufferSizeError(f"A waiting time needs a capacity from 1 and a swap in (0, 1], not {capacity}, {swap}.")
    return capacity / swap
