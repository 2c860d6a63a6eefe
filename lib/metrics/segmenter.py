"""A second judge: a small segmentation network trained on the photo alone, apart from any game."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.augment import WarpConfig, random_grid, warp_image, warp_layout

_STRONG = WarpConfig(zoom=1.8, stretch=1.4, shift=0.3, rotation=20.0, flip=0.5, tps=0.35)


@dataclass(frozen=True)
class SegmenterConfig:
    """How to train the judge; the default takes seconds at 128 pixels on two cores."""

    steps: int = 100  # optimiser steps
    batch: int = 6  # warped views per step
    crop: int = 64  # side of the window of a view that is learned, pixels
    width: int = 16  # channels at full resolution, doubled at each of two poolings
    rate: float = 5e-3  # peak learning rate of the one-cycle schedule
    colour: float = 0.15  # largest change of a channel's gain and offset
    noise: float = 0.1  # largest standard deviation of added noise
    mix: float = 0.5  # probability that a rectangle of another view is pasted in
    warp: WarpConfig = field(default=_STRONG)  # stronger than a game's own augmentation


class SegmenterJudge:
    """A judge that is a network. Build it with ``SegmenterJudge.fit``."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()

    @classmethod
    def fit(
        cls,
        image: Tensor,
        layout: Tensor,
        *,
        config: SegmenterConfig | None = None,
        generator: torch.Generator,
    ) -> SegmenterJudge:
        """Train on random views of one labelled photo, with cross-entropy balanced over the classes.

        Pasted rectangles break up the photo's own arrangement: the judge must decide by local appearance,
        since the layouts it will be asked about are new.

        Args:
            image: (1, 3, H, W) in [-1, 1].
            layout: one-hot (1, K, H, W).
            config: by default ``SegmenterConfig()``.
            generator: the only source of randomness, initial weights included.

        Raises:
            ValueError: the layout does not fit the photo.
        """
        if layout.shape[2:] != image.shape[2:]:
            raise ValueError(f"The layout {tuple(layout.shape)} does not fit the photo {tuple(image.shape)}.")
        config = config or SegmenterConfig()
        network = _Segmenter(layout.shape[1], config.width, generator).to(image.device)
        share = layout.mean(dim=(0, 2, 3))
        weight = torch.where(share > 0, share.clamp_min(1e-3).rsqrt(), 0)
        optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.rate, total_steps=config.steps, pct_start=0.2)
        with torch.enable_grad():
            for _ in range(config.steps):
                views, labels = _views(image, layout, config, generator)
                loss = F.cross_entropy(network(views), labels, weight=weight)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        return cls(network)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> class indices (B, H, W)."""
        prediction: Tensor = self.network(images.float()).argmax(dim=1)
        return prediction


class _Segmenter(nn.Module):
    """U-Net with two poolings; sees about 45 pixels around each pixel."""

    def __init__(self, classes: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.fine = _block(3, width)
        self.middle = nn.Sequential(nn.AvgPool2d(2), _block(width, 2 * width), _block(2 * width, 2 * width))
        self.coarse = nn.Sequential(nn.AvgPool2d(2), _block(2 * width, 4 * width), _block(4 * width, 4 * width))
        self.up_middle = _block(6 * width, 2 * width)
        self.up_fine = _block(3 * width, width)
        self.head = nn.Conv2d(width, classes, 1, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 4:  # He initialisation, from the caller's generator
                drawn = torch.randn(parameter.shape, generator=generator, device=generator.device)
                parameter.data.copy_(drawn * (2 / parameter[0].numel()) ** 0.5)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.fine(image)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = self.up_middle(torch.cat([_resize(coarse, middle), middle], dim=1))
        logits: Tensor = self.head(self.up_fine(torch.cat([_resize(middle, fine), fine], dim=1)))
        return logits


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


@torch.no_grad()
def _views(image: Tensor, layout: Tensor, config: SegmenterConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch of warped, recombined and degraded views (B, 3, H, W), and their class indices (B, H, W)."""
    count, device = config.batch, image.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device).to(device)

    def window(side: int) -> slice:  # one window a step for all views; the warps differ anyway
        spare = max(side - config.crop, 0)
        start = int(torch.randint(spare + 1, (), generator=generator, device=generator.device))
        return slice(start, start + config.crop)

    grid = random_grid(count, image.shape[2], image.shape[3], 1.0, config.warp, generator=generator, device=device)
    grid = grid[:, window(image.shape[2]), window(image.shape[3])]
    views, labels = warp_image(image, grid), warp_layout(layout, grid).argmax(dim=1)
    inside = _rectangles(uniform(count, 2), uniform(count, 2), *grid.shape[1:3])
    inside &= (uniform(count) < config.mix)[:, None, None]
    views = torch.where(inside.unsqueeze(1), views.roll(1, 0), views)
    labels = torch.where(inside, labels.roll(1, 0), labels)
    gain, offset = (config.colour * (2 * uniform(count, 3, 1, 1) - 1) for _ in range(2))
    blurred = F.avg_pool2d(F.pad(views, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    views = torch.lerp(views, blurred, uniform(count, 1, 1, 1)) * (1 + gain) + offset
    noise = torch.randn(views.shape, generator=generator, device=generator.device).to(device)
    return views + config.noise * uniform(count, 1, 1, 1) * noise, labels


def _rectangles(centre: Tensor, size: Tensor, height: int, width: int) -> Tensor:
    """Boolean masks (B, H, W) of one rectangle each; centre and half size (B, 2) as fractions (y, x)."""
    ys = (torch.arange(height, device=centre.device) + 0.5) / height
    xs = (torch.arange(width, device=centre.device) + 0.5) / width
    in_y = (ys - centre[:, :1]).abs() < 0.4 * size[:, :1]
    in_x = (xs - centre[:, 1:]).abs() < 0.4 * size[:, 1:]
    return in_y[:, :, None] & in_x[:, None]
