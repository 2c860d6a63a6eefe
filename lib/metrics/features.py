"""Where pictures are compared: functions from a picture to a vector, each with a name.

A Fréchet or kernel distance is a number *of two sets and one feature space*. Two spaces disagree, and each has
its blind spots: a classifier's features see content and missing modes, and hardly see blur; fixed random
convolutions see colour, texture and sharpness, and know no objects. Report both, with their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.metrics.checks import MeasureError, as_rgb, check_images

__all__ = ["Features", "PretrainedFeatures", "RandomConvFeatures", "ReaderFeatures", "extract", "weights_on_disk"]


class Features(Protocol):
    """Pictures (B, 3, H, W) in [-1, 1] -> feature vectors (B, D) float32. One channel is accepted, too."""

    @property
    def name(self) -> str:
        """Printed beside every number that was measured in these features."""
        ...

    def __call__(self, images: Tensor, /) -> Tensor:
        """The feature vectors."""
        ...


@torch.no_grad()
def extract(images: Tensor, features: Features, *, batch: int = 256) -> Tensor:
    """Feature vectors (N, D) of pictures (N, 1 or 3, H, W) in [-1, 1], `batch` pictures at a time.

    Raises:
        MeasureError: another shape or range.
    """
    images = check_images(images)
    return torch.cat([features(part).float() for part in images.split(batch)])


class RandomConvFeatures(nn.Module):
    """Fixed random convolutions with orthogonal filters, pooled over the picture at several scales.

    At each scale two 3x3 convolutions, then the mean and the standard deviation of every channel over the
    picture; at the coarsest also the mean over each cell of a 4x4 grid, so that rough shape counts. Nothing is
    learned, so nothing can be learned for the metric; random filters still see edges, colour and texture.
    Each feature is measured in units of its standard deviation over fixed random pictures (1/f noise, as rough
    as photographs), so that faint fine texture weighs as much as strong coarse shading.

    Args:
        seed: of the filters; part of the name, so keep it within one table.
        channels: at each scale, even.
        scales: halvings of the resolution plus one.
    """

    unit: Tensor

    def __init__(self, seed: int = 0, *, channels: int = 8, scales: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        layers = []
        for index in range(2 * scales):
            with torch.random.fork_rng(devices=[]):  # torch's own start, overwritten below, draws globally
                conv = nn.Conv2d(3 if index == 0 else channels, channels, 3, padding=1, bias=False)
            nn.init.orthogonal_(conv.weight, gain=nn.init.calculate_gain("leaky_relu", 0.2), generator=generator)
            layers.append(conv)
        with torch.no_grad():  # half of the first filters have zero mean: they see texture, not brightness
            layers[0].weight[: channels // 2] -= layers[0].weight[: channels // 2].mean(dim=(2, 3), keepdim=True)
        self.layers = nn.ModuleList(layers).requires_grad_(False)
        self.scales, self.least_side = scales, 2 ** (scales - 1) * 4
        self.name = f"random-conv-{seed}"
        pictures = _random_pictures(256, 8 * self.least_side // 4, generator)
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("unit", self.forward(pictures).std(dim=0))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] -> (B, D) float32.

        Raises:
            MeasureError: the pictures are smaller than the coarsest grid.
        """
        if min(images.shape[-2:]) < self.least_side:
            raise MeasureError(
                f"{self.name} needs pictures of at least {self.least_side} pixels, not {tuple(images.shape[-2:])}; "
                "enlarge them or use fewer scales."
            )
        x, pooled = as_rgb(images).float(), []
        for index, conv in enumerate(self.layers):
            x = F.leaky_relu(conv(x), 0.2)
            if index % 2:
                pooled += [x.mean(dim=(2, 3)), x.std(dim=(2, 3))]
                if index < 2 * self.scales - 1:
                    x = F.avg_pool2d(x, 2)
        pooled.append(F.adaptive_avg_pool2d(x, 4).flatten(1))
        return torch.cat(pooled, dim=1) / self.unit


def _random_pictures(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Noise whose amplitude falls as 1/f, as in photographs: (count, 3, side, side) in [-1, 1]."""
    noise = torch.randn(count, 3, side, side, generator=generator)
    rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
    frequency = torch.hypot(rows, columns).clamp_min(1 / side)
    pictures = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(side, side))
    return torch.tanh(pictures / pictures.std())


class SeesFeatures(Protocol):
    """A network with a layer worth comparing pictures in: `lib.metrics.reader.AttributeReader` is one."""

    @property
    def name(self) -> str:
        """The network's name."""
        ...

    def features(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] -> (B, D)."""
        ...


class ReaderFeatures:
    """The last hidden layer of a network that reads the attributes of a world: what is in the picture."""

    def __init__(self, reader: SeesFeatures) -> None:
        self.reader = reader
        self.name = f"reader-{reader.name}"

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] -> (B, D) float32."""
        with torch.no_grad():
            return self.reader.features(images).float()


@dataclass(frozen=True)
class _Backbone:
    """One of torchvision's classifiers, cut before its last layer."""

    build: Callable[[], nn.Module]
    url: str
    side: int  # pixels to which pictures are resized


def _backbones() -> dict[str, _Backbone]:
    from torchvision import models  # only here: its import takes a second

    def inception() -> nn.Module:
        network: Any = models.inception_v3(init_weights=False, transform_input=True)
        network.fc = nn.Identity()
        return network  # type: ignore[no-any-return]

    def vgg() -> nn.Module:
        network: Any = models.vgg19()
        # The last layer is pool 5, a maximum; the slice keeps the names under which the weights are stored.
        return nn.Sequential(network.features[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())

    return {
        "inception": _Backbone(inception, models.Inception_V3_Weights.IMAGENET1K_V1.url, 299),
        "vgg19": _Backbone(vgg, models.VGG19_Weights.IMAGENET1K_V1.url, 224),
    }


def weights_on_disk(url: str) -> Path | None:
    """Where torch.hub keeps the weights of `url`, or None if they were never downloaded."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return path if path.is_file() else None


class PretrainedFeatures(nn.Module):
    """ImageNet features of torchvision, for readers who have the weights on disk. Nothing is downloaded.

    ``inception`` is torchvision's Inception v3, pool 3, 2048 values. Published FIDs use another set of weights
    and another resizing, so **the numbers are not comparable with published ones**.

    Args:
        name: ``inception`` or ``vgg19`` (relu 5_4 averaged over the picture, 512 values).

    Raises:
        MeasureError: an unknown name, or the weights are not on disk.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = "inception") -> None:
        super().__init__()
        backbone = _backbones().get(name)
        if backbone is None:
            raise MeasureError(f"There are no features {name!r}; use 'inception', 'vgg19' or RandomConvFeatures.")
        path = weights_on_disk(backbone.url)
        if path is None:
            raise MeasureError(
                f"The weights of {name} are not on this machine, and the book downloads nothing by itself; "
                f"fetch them with torch.hub.load_state_dict_from_url({backbone.url!r}), or use RandomConvFeatures."
            )
        self.name, self.side = f"torchvision-{name}", backbone.side
        self.network = backbone.build()
        state = torch.load(path, map_location="cpu", weights_only=True)
        kept = self.network.state_dict().keys()
        renamed = {(f"0.{key[9:]}" if key.startswith("features.") else key): value for key, value in state.items()}
        self.network.load_state_dict({key: value for key, value in renamed.items() if key in kept})
        self.network.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] -> (B, D) float32."""
        x = (as_rgb(images).float() + 1) / 2
        size = (self.side, self.side)
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
        features: Tensor = self.network((x - self.mean) / self.std)
        return features
