"""StarGAN's networks (Choi et al. 2018, sec. 7.3): one generator that is told the target, and a D with two heads.

How the label reaches G decides whether it is heard. The authors' code gives it as constant channels beside the
picture. A convolution turns a constant channel into a constant shift, and the instance norm that follows takes
every constant shift out. What is left enters where zero padding makes the channel *not* constant: at the frame of
the picture. With reflection padding nothing is left. Here the label sets gain and shift of every norm, after the
mean has been taken out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.book.equations import equation
from lib.nn.blocks import leaky_product
from lib.nn.dcgan import NetworkError
from lib.nn.padding import cut, pad_to_multiple
from lib.nn.resnet_generator import ConvLayer, Padding, ResidualLayer, doubled
from lib.nn.smooth_generator import he_init

__all__ = ["Blur", "Conditioning", "LabelConfig", "LabelDiscriminator", "LabelGenerator", "label_shift"]

Conditioning = Literal["modulate", "concat"]

_TIMID = -2.0  # before the first round a coat of paint covers an eighth
_SLOPE = 0.01  # of D's LeakyReLU, as in the authors' code


@dataclass(frozen=True)
class LabelConfig:
    """The size of the generator, and how it hears the label; the defaults are the paper's but for `conditioning`."""

    labels: int  # n, of the unified label vector
    width: int = 64  # channels of the first layer
    blocks: int = 6  # residual blocks
    conditioning: Conditioning = "modulate"  # by the norms; "concat": by constant channels, as in the authors' code
    padding: Padding = "zeros"  # of the plain convolutions
    halvings: int = 2  # the blocks work at size / 2^halvings; 1 for 64 px keeps the paper's 32 x 32 of 128 px
    edit: bool = False  # paint a coat over x, and where it covers (Pumarola et al. 2018), not a new picture
    smooth: bool = False  # blur after each doubling (ours): without it a short training draws dots


class LabelGenerator(nn.Module):
    """G: pictures (B, 3, H, W) of any size from 8 px on, and target labels (B, n) -> pictures in [-1, 1]."""

    def __init__(self, config: LabelConfig) -> None:
        super().__init__()
        self.config = config
        self.concat = config.conditioning == "concat"
        labels, width, padding = config.labels, config.width, config.padding
        told = 0 if self.concat else labels
        widths = doubled(width, config.halvings)

        def layer(before: int, after: int, scale: Literal["same", "down", "up"], kernel: int) -> ConvLayer:
            return ConvLayer(before, after, kernel=kernel, scale=scale, padding=padding, affine=True, labels=told)

        self.layers = nn.ModuleList([
            layer(3 + (labels if self.concat else 0), width, "same", 7),
            *[layer(before, after, "down", 4) for before, after in pairwise(widths)],
            *[ResidualLayer(widths[-1], padding=padding, affine=True, labels=told) for _ in range(config.blocks)],
            *[layer(before, after, "up", 4) for before, after in pairwise(widths[::-1])],
        ])  # fmt: skip
        if config.smooth:
            for doubling in list(self.layers)[-config.halvings :]:
                assert isinstance(doubling, ConvLayer)
                doubling.conv = nn.Sequential(doubling.conv, Blur())
        self.paint = nn.Conv2d(width, 4 if config.edit else 3, 7, padding=3, padding_mode=padding, bias=False)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        if label.shape != (len(x), self.config.labels):
            raise NetworkError(
                f"This generator takes a label vector of {self.config.labels} numbers for each of {len(x)} pictures, "
                f"not {tuple(label.shape)}."
            )
        x, border = pad_to_multiple(x, 2**self.config.halvings)
        original = x.float()
        if self.concat:
            channels = label.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, channels], dim=1)
        for layer in self.layers:
            x = layer(x, label)
        out: Tensor = self.paint(x).float()
        if self.config.edit:
            colour, cover = torch.tanh(out[:, :3]), torch.sigmoid(out[:, 3:] + _TIMID)
            return cut(torch.lerp(original, colour, cover), border)
        return cut(torch.tanh(out), border)


@equation("6.5", tests="tests/equations/test_domain_labels.py::test_label_shift")
def label_shift(weight: Tensor, label: Tensor) -> Tensor:
    """s_o = sum_c label_c sum_ij W_(o, c, i, j): what constant label channels add to a convolution, away from borders.

    One number for each output channel, the same at every place. So the instance norm that follows takes it out.

    Args:
        weight: of the convolution, only the label's input channels: (O, n, kh, kw).
        label: (B, n).

    Returns:
        (B, O).
    """
    return label @ weight.sum(dim=(2, 3)).T


class Blur(nn.Module):
    """[1, 2, 1] / 4 in both directions, each channel by itself; keeps the size."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", row[:, None] * row, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.kernel.to(x.dtype).expand(channels, 1, 3, 3), padding=1, groups=channels)


class LabelDiscriminator(nn.Module):
    """D: pictures -> how real each patch is, and the logits of all labels; no norm, for a gradient penalty's sake.

    At the paper's 128 px and 6 layers a score of the 2 x 2 map sees 318 px, the whole picture, though the paper
    calls it a PatchGAN.

    Args:
        labels: that the classifier names.
        size: side of the pictures, divisible by 2^layers.
        width: channels of the first layer, 64 in the paper; each next layer has twice as many.
        layers: halvings, 6 in the paper.
        told: the source score hears the labels, too (ours): one more score map for each, see `heard`.
    """

    def __init__(
        self, labels: int, *, size: int = 128, width: int = 64, layers: int = 6, told: bool = False
    ) -> None:  # fmt: skip
        super().__init__()
        if layers < 1 or size < 2**layers or size % 2**layers:
            raise NetworkError(f"{size} px cannot be halved {layers} times; use a multiple of {2**layers} px.")
        self.size, self.told = size, told
        widths = [3, *(width * 2**level for level in range(layers))]
        self.trunk = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))
        self.score = nn.Conv2d(widths[-1], 1 + labels if told else 1, 3, padding=1, bias=False)
        self.classify = nn.Conv2d(widths[-1], labels, size >> layers, bias=False)
        self.apply(he_init)

    def features(self, x: Tensor) -> Tensor:
        """The last feature map."""
        if x.shape[-2:] != (self.size, self.size):
            raise NetworkError(f"This D looks at {self.size} x {self.size} px, not at {tuple(x.shape[-2:])}.")
        for conv in self.trunk:
            x = leaky_product(conv(x), _SLOPE)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """D_src: logits (B, 1, h, w); for a D that is told labels, what it says without them."""
        logits: Tensor = self.score(self.features(x))
        return logits[:, :1].float()

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D_src (B, 1, h, w), or the maps that `heard` takes, and D_cls (B, labels), from one pass."""
        features = self.features(x)
        return self.score(features).float(), self.classify(features).float().flatten(1)

    def heard(self, maps: Tensor, label: Tensor) -> Tensor:
        """D_src(x, c) (B, 1, h, w): the first map, and those of the labels that hold (projection, chapter 3).

        Args:
            maps: of `judge`.
            label: (B, labels), zeros for those that are unknown. A D that is not told labels ignores it.
        """
        if not self.told:
            return maps
        return maps[:, :1] + (maps[:, 1:] * label[:, :, None, None]).sum(dim=1, keepdim=True)
