"""``python -m lib bench worlds``: how fast the worlds draw, beside one training step of a GAN on the same batch.

A world must never be what a training waits for. The step it is compared with is that of a plain DCGAN of width 64
(Radford et al. 2016) in float32, one update of the discriminator and one of the generator: about the least that
anybody would do with such a batch.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.book.paths import repository_root
from lib.data.worlds.catalogue import WORLD_NAMES, world_named
from lib.data.worlds.world import WorldStream
from lib.images import write_atomically
from lib.runtime import RunCard, choose_device

_LATENT, _WIDTH = 100, 64


@dataclass(frozen=True)
class BenchCommand:
    """Measure the pictures per second of each world and its share of a training step."""

    worlds: tuple[str, ...] = WORLD_NAMES
    """which worlds"""
    size: int = 64
    """side in pixels; a power of two, at least 16"""
    batch: int = 32
    """pictures in a batch"""
    repeats: int = 9
    """timed batches and steps; the median counts"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""
    out: Path = repository_root() / "assets" / "results" / "worlds_speed.json"
    """the JSON file to write"""


def main(config: BenchCommand) -> int:
    """Measure, write the JSON file and print one line for each world."""
    record = measure(config)
    write_atomically(config.out, (json.dumps(record, indent=1) + "\n").encode())
    print(f"training step of {record['step']['what']}: {record['step']['ms']:.1f} ms")
    for name, row in record["worlds"].items():
        print(f"{name:>8}: {row['images_per_second']:>8.0f} images/s, {row['share_of_step']:.1%} of a training step")
    return 0


def measure(config: BenchCommand) -> dict[str, Any]:
    """The results as they are stored: the run card, the step, and a row for each world.

    ``share_of_step`` is t_world / (t_world + t_step): the part of the training that drawing takes when nothing
    overlaps.
    """
    device = choose_device(config.device)
    with RunCard("worlds speed", seed=0, device=device) as card:
        step_ms = _median_ms(_training_step(config, device), config.repeats, device)
        rows: dict[str, dict[str, float]] = {}
        for name in config.worlds:
            stream = WorldStream(world_named(name), batch=config.batch, size=config.size, device=device)
            ms = _median_ms(stream.draw, config.repeats, device)
            rows[name] = {
                "ms_per_batch": round(ms, 3),
                "images_per_second": round(1000 * config.batch / ms, 1),
                "share_of_step": round(ms / (ms + step_ms), 4),
            }
    what = f"a DCGAN of width {_WIDTH} on {config.batch} pictures of {config.size} px, float32"
    return {
        "card": {"command": "python -m lib bench worlds", **card.as_dict()},
        "size": config.size,
        "batch": config.batch,
        "repeats": config.repeats,
        "step": {"what": what, "ms": round(step_ms, 3)},
        "worlds": rows,
    }


def _median_ms(action: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median milliseconds of `action` after two runs that warm caches up."""
    times = []
    for repeat in range(repeats + 2):
        with RunCard(device=device) as card:  # waits for the device before and after
            action()
        if repeat >= 2:
            times.append(1000 * (card.wall_seconds or 0.0))
    return statistics.median(times)


def _training_step(config: BenchCommand, device: torch.device) -> Callable[[], None]:
    """One update of D and one of G on a fixed batch; built of plain layers, for data knows no networks."""
    generator, discriminator = _networks(config.size)
    generator, discriminator = generator.to(device), discriminator.to(device)
    optimisers = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (discriminator, generator)]
    real = torch.zeros(config.batch, 3, config.size, config.size, device=device)
    z = torch.ones(config.batch, _LATENT, 1, 1, device=device)

    def update(optimiser: torch.optim.Optimizer, loss: Tensor, network: nn.Module) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=list(network.parameters()))
        optimiser.step()

    def step() -> None:
        fake = generator(z)
        d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
        update(optimisers[0], d_loss, discriminator)
        update(optimisers[1], F.softplus(-discriminator(fake)).mean(), generator)

    return step


def _networks(size: int) -> tuple[nn.Module, nn.Module]:
    """DCGAN's generator and discriminator for pictures of `size` px; channels double as the side halves."""
    stages = size.bit_length() - 3  # from 4 px up to size
    widths = [_WIDTH * 2**stage for stage in range(stages)]  # 64 at half size, 128 at a quarter, ...
    up: list[nn.Module] = [nn.ConvTranspose2d(_LATENT, widths[-1], 4), nn.BatchNorm2d(widths[-1]), nn.ReLU()]
    down: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
    for narrow, wide in pairwise(widths):
        down += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
    for wide, narrow in pairwise(reversed(widths)):
        up += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), nn.BatchNorm2d(narrow), nn.ReLU()]
    up += [nn.ConvTranspose2d(widths[0], 3, 4, 2, 1), nn.Tanh()]
    down += [nn.Conv2d(widths[-1], 1, 4)]
    return nn.Sequential(*up), nn.Sequential(*down)
