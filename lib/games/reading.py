"""Games with one player: the judges of the book learn to read worlds, with cross-entropy and squared error.

A judge must never have seen the pictures that it judges, nor have taken part in making them; so it is trained on
a world's own train split, alone. Pictures are roughened on the way (blur, noise, contrast): what a generator
makes is never quite as clean as the world, and a judge that stumbles over that measures the wrong thing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.games.game import Game, Turn
from lib.metrics.reader import AttributeReader

__all__ = ["Parsing", "WorldReading", "mirrored", "one_cycle", "roughened"]


def one_cycle(progress: float, warm_up: float = 0.1) -> float:
    """Factor on the learning rate: linear warm-up, then half a cosine to 0."""
    if progress < warm_up:
        return (progress + 0.01) / (warm_up + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


@torch.no_grad()
def roughened(images: Tensor, generator: torch.Generator, *, share: float = 0.5) -> Tensor:
    """Blur, noise and a change of contrast and brightness, each on a random `share` of the pictures.

    Args:
        images: (B, C, H, W) in [-1, 1].
        generator: on any device.
        share: probability of each change.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device).to(images.device)

    def some() -> Tensor:
        return (uniform(len(images), 1, 1, 1) < share).float()

    size = images.shape[-2:]
    half = F.interpolate(F.avg_pool2d(images, 2), size=size, mode="bilinear", align_corners=False)
    images = torch.lerp(images, half, some() * uniform(len(images), 1, 1, 1))
    gain = 1 + some() * (0.3 * uniform(len(images), 1, 1, 1) - 0.2)
    shift = some() * (0.2 * uniform(len(images), 1, 1, 1) - 0.1)
    noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images.device)
    return (images * gain + shift + 0.1 * some() * uniform(len(images), 1, 1, 1) * noise).clamp(-1, 1)


@torch.no_grad()
def mirrored(batch: Mapping[str, Tensor], parameters: tuple[str, ...], generator: torch.Generator) -> dict[str, Tensor]:
    """Mirror a random half of the pictures, and with them the parameters that point to the right.

    Args:
        batch: ``image`` (B, C, H, W) and the parameters.
        parameters: names of those whose first component (B, n) changes its sign.
        generator: draws which pictures.
    """
    image = batch["image"]
    flip = (torch.rand(len(image), generator=generator, device=generator.device) < 0.5).to(image.device)
    result = {**batch, "image": torch.where(flip[:, None, None, None], image.flip(-1), image)}
    for name in parameters:
        sign = torch.ones_like(batch[name])
        sign[:, 0] = torch.where(flip, -1.0, 1.0)
        result[name] = batch[name] * sign
    return result


class WorldReading(Game):
    """The reader learns every attribute and parameter that it has a head for; the batch holds the truth.

    Args:
        reader: an untrained reader.
        generator: roughens and mirrors the pictures.
        share: of the pictures that suffer each change; 0 leaves them as they are.
        mirror: parameters whose first component points to the right, so that its sign changes when half of the
            pictures are mirrored; None never mirrors, as it would turn letters and digits into others.
    """

    players: ClassVar = {"reader": ("reader",)}

    def __init__(
        self,
        reader: AttributeReader,
        *,
        generator: torch.Generator,
        share: float = 0.5,
        mirror: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__()
        self.reader, self.generator, self.share, self.mirror = reader, generator, share, mirror

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One turn: the sum of the heads' losses."""
        if self.mirror is not None:
            batch = mirrored(batch, self.mirror, self.generator)
        reading = self.reader(roughened(batch["image"], self.generator, share=self.share))
        terms = {name: F.cross_entropy(logits, batch[name]) for name, logits in reading.logits.items()}
        for name, answer in reading.parameters.items():
            _, std = self.reader.unit(name)
            truth = batch[name].float().reshape(answer.shape)
            terms[name] = ((answer - truth) / std).square().mean()
        yield Turn("reader", **terms)


class Parsing(Game):
    """A segmenter learns the label maps of a world, with cross-entropy over all pixels.

    Args:
        parser: (B, 3, H, W) -> logits (B, K, H, W).
        generator: roughens the pictures.
        share: of the pictures that suffer each change.
    """

    players: ClassVar = {"parser": ("parser",)}

    def __init__(self, parser: nn.Module, *, generator: torch.Generator, share: float = 0.5) -> None:
        super().__init__()
        self.parser, self.generator, self.share = parser, generator, share

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One turn: cross-entropy."""
        logits = self.parser(roughened(batch["image"], self.generator, share=self.share))
        yield Turn("parser", labels=F.cross_entropy(logits.float(), batch["labels"].long()))
