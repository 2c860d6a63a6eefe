"""CycleGAN's format: two folders of pictures that have no partners."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from lib.data.public.geometry import Geometry
from lib.data.public.samples import ImageFolder, check_split, existing_folder
from lib.data.public.stream import DataStream, UnpairedStream


def unpaired_domain(root: str | Path, split: str, domain: Literal["A", "B"]) -> ImageFolder:
    """The pictures of one domain: those in ``root/trainA``, ``trainB``, ``testA`` or ``testB``.

    Raises:
        PublicDataError: no such split, or no images there.
    """
    check_split(split, ("train", "test"), f"'{root}'")
    return ImageFolder(existing_folder(Path(root) / f"{split}{domain}", source=Path(root).name))


def unpaired_stream(
    root: str | Path,
    split: str,
    geometry: Geometry,
    *,
    batch: int,
    seed: int = 0,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> UnpairedStream:
    """Both domains, each in its own random order. Batches hold ``A`` and ``B``."""

    def stream(domain: Literal["A", "B"], number: int) -> DataStream:
        samples = unpaired_domain(root, split, domain)
        return DataStream(samples, geometry, batch=batch, seed=number, workers=workers, device=device)

    return UnpairedStream(stream("A", 2 * seed), stream("B", 2 * seed + 1))
