"""Endless, seeded batches from data sets on disk, in the protocol of `lib.training.streams.Stream`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from lib.data.public.error import PublicDataError
from lib.data.public.geometry import Geometry
from lib.data.public.samples import Sample, Samples

Batch = dict[str, Any]


class DataStream:
    """An infinite stream of batches; each pass over the data has its own order.

    Which sample comes at place n, and how it is cut and mirrored, follows from the seed and n alone. So a stream
    resumes exactly from one number, and is the same for any number of workers. A batch may reach into the next
    pass; every sample comes once in ``len(samples)`` places.

    Args:
        samples: the data set.
        geometry: size, jitter and mirroring.
        batch: samples in a batch.
        seed: of the orders and the jitter.
        shuffle: False keeps the data set's own order.
        workers: threads that read ahead while the network trains; 0 reads when asked. Decoding runs outside
            Python's lock, so threads help, and no process has to be started.
        device: where the batches go.

    Raises:
        PublicDataError: no samples, a batch below 1, or mirroring where it is wrong.
    """

    def __init__(
        self,
        samples: Samples,
        geometry: Geometry,
        *,
        batch: int,
        seed: int = 0,
        shuffle: bool = True,
        workers: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if len(samples) == 0 or batch < 1 or workers < 0:
            raise PublicDataError(
                f"A stream needs samples, a batch of at least 1 and no negative workers; got {len(samples)} samples, "
                f"batch={batch}, workers={workers}."
            )
        geometry.check(samples)
        self.samples, self.geometry, self.batch = samples, geometry, batch
        self.seed, self.shuffle, self.device = seed, shuffle, torch.device(device)
        self.drawn = 0
        self._order: tuple[int, Sequence[int]] = (-1, ())
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._ahead: list[Future[Sample]] = []

    def draw(self, progress: float = 0.0) -> Batch:
        """The next batch: tensors stacked along a first dimension, ``name`` as a list of strings."""
        samples = [future.result() for future in self._ahead] or [self._sample(n) for n in self._next_places()]
        self._ahead = []
        self.drawn += self.batch
        if self._pool is not None:
            self._ahead = [self._pool.submit(self._sample_at, *self._locate(n)) for n in self._next_places()]
        return to_device(stack(samples), self.device)

    def state_dict(self) -> dict[str, Any]:
        """The place in the stream, and what it is a place in."""
        return {"drawn": self.drawn, "seed": self.seed, "count": len(self.samples)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken.

        Raises:
            PublicDataError: it was taken with another seed or another number of samples.
        """
        here = {"seed": self.seed, "count": len(self.samples)}
        if {name: int(state[name]) for name in here} != here:
            raise PublicDataError(
                f"The saved stream had seed {state['seed']} and {state['count']} samples, this one has seed "
                f"{self.seed} and {len(self.samples)}; restore the data set and the seed, or begin a new training."
            )
        self._ahead = []
        self.drawn = int(state["drawn"])

    def _next_places(self) -> range:
        return range(self.drawn, self.drawn + self.batch)

    def _sample(self, place: int) -> Sample:
        return self._sample_at(*self._locate(place))

    def _locate(self, place: int) -> tuple[int, int]:
        """(place, index of the sample there)."""
        turn, position = divmod(place, len(self.samples))
        if not self.shuffle:
            return place, position
        if self._order[0] != turn:
            generator = torch.Generator().manual_seed(mixed(self.seed, "order", turn))
            self._order = (turn, torch.randperm(len(self.samples), generator=generator).tolist())
        return place, self._order[1][position]

    def _sample_at(self, place: int, index: int) -> Sample:
        generator = None
        if self.geometry.random:
            generator = torch.Generator().manual_seed(mixed(self.seed, "geometry", place))
        return self.geometry(self.samples.read(index), generator=generator, mirror=self.samples.mirror)


class UnpairedStream:
    """Two streams side by side, for CycleGAN: ``A`` and ``B`` are images of unrelated places in their orders.

    Args:
        a: stream of the first domain.
        b: stream of the second.

    Raises:
        PublicDataError: both have the same number of samples, and either the same seed or neither is shuffled, so
            that sets which were sorted alike would show their true pairs.
    """

    def __init__(self, a: DataStream, b: DataStream) -> None:
        alike = len(a.samples) == len(b.samples)
        if alike and not (a.shuffle or b.shuffle):
            raise PublicDataError("Unpaired streams of one length stay paired in their own order; shuffle one of them.")
        if alike and a.seed == b.seed and a.shuffle and b.shuffle:
            raise PublicDataError("Unpaired streams need different seeds; with one seed, pairs may stay together.")
        self.a, self.b = a, b

    def draw(self, progress: float = 0.0) -> Batch:
        """``A`` and ``B``, each (B, 3, S, S); other entries of the streams as ``A_name`` and ``B_name``, and so on."""
        batch: Batch = {}
        for domain, stream in (("A", self.a), ("B", self.b)):
            for name, value in stream.draw(progress).items():
                batch[domain if name == "image" else f"{domain}_{name}"] = value
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The places of both streams."""
        return {"A": self.a.state_dict(), "B": self.b.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.a.load_state_dict(state["A"])
        self.b.load_state_dict(state["B"])


def collect(samples: Samples, geometry: Geometry, indices: Iterable[int] | None = None) -> Batch:
    """Read samples into one batch, in order and without jitter: a fixed test set.

    Raises:
        PublicDataError: `geometry` is random, or there is nothing to read.
    """
    if geometry.random:
        raise PublicDataError("A fixed set has no random cut or flip; use Geometry(size).")
    chosen = range(len(samples)) if indices is None else indices
    return stack([geometry(samples.read(index)) for index in chosen])


def stack(samples: Sequence[Sample]) -> Batch:
    """Samples -> batch. All must have the same entries, and tensors of the same shape."""
    if not samples:
        raise PublicDataError("There are no samples to stack.")
    batch: Batch = {}
    for name, first in samples[0].items():
        values = [sample[name] for sample in samples]
        batch[name] = torch.stack(values) if isinstance(first, Tensor) else values
    return batch


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move the tensors of a batch; to a GPU through pinned memory, so that the copy does not block."""
    if device.type == "cpu":
        return batch

    def moved(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return (value.pin_memory() if device.type == "cuda" else value).to(device, non_blocking=True)

    return {name: moved(value) for name, value in batch.items()}


def mixed(seed: int, purpose: str, number: int) -> int:
    """A 32-bit seed that differs for every purpose and number.

    Sums of seeds would collide, and torch's CPU generator looks at the lowest 32 bits only.
    """
    text = f"{seed}/{purpose}/{number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little")
