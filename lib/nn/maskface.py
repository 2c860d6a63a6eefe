"""The four networks of mask-guided diverse faces (Sun et al. 2022), in the spirit of the abstract.

    style encoder S   z -> s                 "generates a style code"
    generator G       (mask, s) -> face      the mask says what is where, s sets every norm of the second half
    style decoder R   face -> s              "reconstructs the style code"
    discriminator D   (face, mask) -> logit

INFERRED: of the article only the abstract and the references can be read. The layers are those of StarGAN v2
(Choi et al. 2020), which is among the references together with AdaIN, R1, weight averaging and He's initialisation.
Two things are ours: D sees the mask, and tanh ends G, so that a difference of two pictures is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.nn.adain import ResidualStep, he_init
from lib.nn.blocks import SLOPE
from lib.nn.dcgan import NetworkError
from lib.nn.padding import cut, pad_to_multiple
from lib.nn.resnet_generator import InstanceNorm

__all__ = ["FaceConfig", "FaceDiscriminator", "FaceModel", "MaskGenerator", "StyleDecoder", "StyleEncoder"]


@dataclass(frozen=True)
class FaceConfig:
    """The size of the networks; the defaults are StarGAN v2's at 256 px."""

    classes: int  # K, of the masks
    size: int = 256  # px of the pictures that R and D look at, a power of two from 16 on
    width: int = 64  # channels of G's first layer
    widest: int = 512  # no layer of G has more
    halvings: int = 4  # G's middle works at size / 2^halvings
    plain: int = 2  # blocks in G's middle that do not hear the style
    styled: int = 2  # blocks there that do
    skips: bool = False  # ours: G's second half sees the mask at every scale, as a U-Net's does
    flat: bool = False  # ours: G paints on top of one colour for each class, which the style chooses
    smooth: bool = False  # ours: doublings interpolate
    hearing: float = 1.0  # factor on the first weights from s; with less, a short training sees the mask first
    detail: float = 1.0  # factor on the first weights of what is painted over the flat colours
    latent: int = 16  # length of z
    style: int = 64  # length of s
    mapping: int = 512  # width of S
    mapping_layers: int = 4  # hidden layers of S
    judge_width: int = 64  # channels of the first layer of R and D
    judge_widest: int = 512  # of their last

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FaceConfig:
        """The config that a card holds."""
        return cls(**values)

    def check(self) -> None:
        """Raise `NetworkError` where no network can be built."""
        if self.size < 16 or self.size & (self.size - 1) or not 1 <= self.halvings <= self.size.bit_length() - 3:
            raise NetworkError(
                f"size={self.size} must be a power of two from 16 on, and halvings={self.halvings} at least 1 and "
                "leave G's middle 4 px or more."
            )
        if min(self.classes, self.width, self.latent, self.style, self.mapping, self.styled, self.judge_width) < 1:
            raise NetworkError("Classes, widths, latent, style, mapping and styled blocks start at 1.")


class StyleEncoder(nn.Sequential):
    """S: z (B, latent) -> s (B, style), dense layers with ReLU between them."""

    def __init__(self, config: FaceConfig) -> None:
        widths = [config.latent, *[config.mapping] * config.mapping_layers]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers, nn.Linear(widths[-1], config.style))
        self.apply(he_init)


class MaskGenerator(nn.Module):
    """G: one-hot masks (B, K, H, W) of any size and codes s (B, style) -> faces (B, 3, H, W) in [-1, 1]."""

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        config.check()
        self.config = c = config
        widths = [min(c.width * 2**level, c.widest) for level in range(c.halvings + 1)]
        self.read = nn.Conv2d(c.classes, c.width, 3, padding=1)
        self.downs = nn.ModuleList(ResidualStep(a, b, scale="down", norm="instance") for a, b in pairwise(widths))
        self.plain = nn.Sequential(*[ResidualStep(widths[-1], widths[-1], norm="instance") for _ in range(c.plain)])
        self.styled = nn.ModuleList(
            ResidualStep(widths[-1], widths[-1], norm="adain", style=c.style) for _ in range(c.styled)
        )
        self.ups = nn.ModuleList(
            ResidualStep(a, b, scale="up", norm="adain", style=c.style, smooth=c.smooth)
            for a, b in pairwise(widths[::-1])
        )
        self.norm = InstanceNorm(c.width, affine=True)
        self.paint = nn.Conv2d(c.width, 3, 1)
        self.colours = nn.Linear(c.style, 3 * c.classes) if c.flat else None
        self.apply(he_init)
        with torch.no_grad():
            for norm in self.modules():
                if isinstance(norm, InstanceNorm) and norm.modulate is not None:
                    norm.modulate.weight *= c.hearing
            self.paint.weight *= c.detail
            if self.colours is not None:
                self.colours.weight *= c.hearing

    def encode(self, mask: Tensor) -> list[Tensor]:
        """What is where, the same for every style: maps from full size down to 1 / 2^halvings, the middle last.

        Without skips only the middle. Where each class gets a flat colour, the mask itself comes first.
        """
        if mask.ndim != 4 or mask.shape[1] != self.config.classes:
            raise NetworkError(
                f"This generator reads one-hot masks (B, {self.config.classes}, H, W), not {tuple(mask.shape)}; make "
                "them with the Condition that it was trained on."
            )
        maps = [self.read(mask)]
        for step in self.downs:
            maps.append(step(maps[-1]))
        middle = self.plain(maps.pop())
        start = [mask] if self.config.flat else []
        return [*start, *maps, middle] if self.config.skips else [*start, middle]

    def decode(self, layout: list[Tensor], style: Tensor) -> Tensor:
        """`layout` as `encode` gives it, style (B, style) -> (B, 3, H, W) in [-1, 1]."""
        x, skips = layout[-1], list(layout[1 if self.config.flat else 0 : -1])
        for step in self.styled:
            x = step(x, style)
        for step in self.ups:
            x = step(x, style)
            if skips:
                x = (x + skips.pop()) / math.sqrt(2)
        picture: Tensor = self.paint(F.leaky_relu(self.norm(x), SLOPE))
        if self.colours is not None:
            flat = self.colours(style).unflatten(1, (3, -1))
            picture = picture + torch.einsum("bkhw,bck->bchw", layout[0], flat)
        return torch.tanh(picture.float())

    def forward(self, mask: Tensor, style: Tensor) -> Tensor:
        mask, border = pad_to_multiple(mask, 2**self.config.halvings)
        return cut(self.decode(self.encode(mask), style), border)


class Trunk(nn.Sequential):
    """The body that R and D share in shape, not in weights: (B, channels, size, size) -> (B, C). No norm, for R1."""

    def __init__(self, channels: int, config: FaceConfig) -> None:
        halvings = config.size.bit_length() - 3  # down to 4 px
        widths = [min(config.judge_width * 2**level, config.judge_widest) for level in range(halvings + 1)]
        super().__init__(
            nn.Conv2d(channels, widths[0], 3, padding=1),
            *[ResidualStep(a, b, scale="down") for a, b in pairwise(widths)],
            nn.LeakyReLU(SLOPE), nn.Conv2d(widths[-1], widths[-1], 4), nn.LeakyReLU(SLOPE), nn.Flatten(),
        )  # fmt: skip
        self.features = widths[-1]


class StyleDecoder(nn.Module):
    """R: faces (B, 3, size, size) -> s (B, style). It does not see the mask: a style must show in the picture."""

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        self.trunk = Trunk(3, config)
        self.answer = nn.Linear(self.trunk.features, config.style)
        self.apply(he_init)

    def forward(self, image: Tensor) -> Tensor:
        style: Tensor = self.answer(self.trunk(image))
        return style.float()


class FaceDiscriminator(nn.Module):
    """D: faces (B, 3, size, size) and their masks (B, K, size, size) -> logits (B, 1)."""

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        self.trunk = Trunk(3 + config.classes, config)
        self.score = nn.Linear(self.trunk.features, 1)
        self.apply(he_init)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        logits: Tensor = self.score(self.trunk(torch.cat([image, mask.to(image.dtype)], dim=1)))
        return logits.float()


class FaceModel(nn.Module):
    """S, G and R: all that is kept after the training. D is left behind."""

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        self.config = config
        self.S, self.G, self.R = StyleEncoder(config), MaskGenerator(config), StyleDecoder(config)

    def draw(self, count: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
        """z ~ N(0, I): (count, latent)."""
        return torch.randn(count, self.config.latent, generator=generator, device=generator.device).to(device)

    def forward(
        self, mask: Tensor, *, noise: torch.Generator | None = None, style: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        """Faces for masks.

        Args:
            mask: (B, K, H, W), one-hot.
            noise: draws a z for each; None: z = 0, the style in the middle.
            style: s (B, style) or (1, style) for all, instead; `R` reads one from a picture.

        Returns:
            (B, 3, H, W) in [-1, 1].
        """
        if style is None:
            middle = mask.new_zeros(len(mask), self.config.latent)
            style = self.S(middle if noise is None else self.draw(len(mask), noise, mask.device))
        picture: Tensor = self.G(mask, style.to(mask.device).expand(len(mask), -1))
        return picture
