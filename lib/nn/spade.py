"""SPADE's generator: the layout speaks at every scale, after each normalisation (Park et al. 2019).

A norm takes away what is constant over the picture, and a region of one label *is* constant: instance norm behind a
convolution of a uniform layout gives 0 for every label. SPADE normalises first and lets the layout modulate after:

    h  <-  gamma(layout) * norm(h) + beta(layout)                                    (eq. 1 of the paper)

The authors' code writes 1 + gamma for gamma, so that small weights start near the plain norm; so do we.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lib.book.equations import equation
from lib.nn.blocks import SLOPE
from lib.nn.dcgan import NetworkError
from lib.nn.padding import cut, pad_to_multiple

__all__ = ["PYRAMIDS", "SPADE", "SPADEBlock", "SPADEGenerator", "SPADEGeneratorConfig", "xavier"]

Norm = Literal["instance", "batch"]

PYRAMIDS: Mapping[int, tuple[tuple[int, int], ...]] = MappingProxyType({
    3: ((8, 8), (8, 8), (4, 4), (2, 2), (1, 1)),
    4: ((16, 8), (8, 8), (8, 8), (4, 4), (2, 2), (1, 1)),
    5: ((32, 16), (16, 16), (16, 16), (8, 8), (4, 4), (2, 2), (1, 1)),
    6: ((64, 16), (32, 16), (16, 16), (8, 8), (4, 4), (2, 2), (1, 1)),
})  # fmt: skip
"""Doublings from the start to the picture -> for each block, its scale (px of the picture for one of its own) and its
channels as a multiple of the width. 5 and 6 are the "normal" and "more" of the authors' code, 6 for Cityscapes; 3 and 4
are ours, for small pictures.
"""

_GAIN = 0.02  # of the Xavier initialisation, in the authors' code


@dataclass(frozen=True)
class SPADEGeneratorConfig:
    """The settings of a `SPADEGenerator`; the defaults are the paper's at 256 px, norm aside.

    Raises:
        NetworkError: settings that do not exist.
    """

    classes: int  # K, channels of the layout
    doublings: int = 5  # from the low-resolution start to the picture, a key of `PYRAMIDS`
    width: int = 64  # channels of the last block
    hidden: int = 128  # channels of the layout's features inside each SPADE
    norm: Norm = "instance"  # parameter-free; the paper's is batch norm, synchronised over the GPUs

    def __post_init__(self) -> None:
        if self.doublings not in PYRAMIDS:
            raise NetworkError(
                f"doublings={self.doublings} does not exist; choose one of {', '.join(map(str, PYRAMIDS))}."
            )
        if min(self.classes, self.width, self.hidden) < 1:
            raise NetworkError("classes, width and hidden are numbers of channels and must be at least 1.")

    @property
    def least_side(self) -> int:
        """The smallest side of a picture in px: instance norm needs more than one value where the picture starts."""
        return int(2 ** (self.doublings + 1))


@equation("11.10", tests="tests/wiring/test_spade.py::test_spade_is_its_formula")
class SPADE(nn.Module):
    """Spatially adaptive normalisation: features (B, C, h, w) and a layout (B, K, H, W) -> (B, C, h, w).

    The layout is brought to the features' size by nearest neighbour, so that one-hot stays one-hot. For a layout of one
    class, gamma and beta are constant but for the two pixels at the border, where zero padding shows: conditional
    batch norm is the special case.

    Args:
        channels: C.
        classes: K.
        hidden: channels between the two convolutions.
        norm: "instance" acts alike in training and use, and at batch size 1; "batch" is the paper's.
    """

    def __init__(self, channels: int, classes: int, *, hidden: int = 128, norm: Norm = "instance") -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise NetworkError(f"There is no norm {norm!r} for SPADE; choose one of {', '.join(get_args(Norm))}.")
        self.norm = nn.BatchNorm2d(channels, affine=False) if norm == "batch" else nn.InstanceNorm2d(channels)
        self.shared = xavier(nn.Conv2d(classes, hidden, 3, padding=1))
        self.gamma = xavier(nn.Conv2d(hidden, channels, 3, padding=1))
        self.beta = xavier(nn.Conv2d(hidden, channels, 3, padding=1))

    def modulation(self, layout: Tensor, size: torch.Size | tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(1 + gamma, beta), each (B, C, h, w), that a layout gives at a size (h, w)."""
        seen = F.relu(self.shared(F.interpolate(layout, size=size, mode="nearest")))
        return 1 + self.gamma(seen), self.beta(seen)

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        scale, shift = self.modulation(layout, x.shape[-2:])
        out: Tensor = scale * self.norm(x) + shift
        return out


class SPADEBlock(nn.Module):
    """Residual block whose norms are SPADEs: (B, C_in, h, w) and a layout -> (B, C_out, h, w).

        x -> SPADE -> LeakyReLU -> conv -> SPADE -> LeakyReLU -> conv -> + shortcut

    The shortcut is x itself, or SPADE and a 1 x 1 convolution without activation where the number of channels changes.
    The convolutions are spectrally normalised, those inside SPADE are not: so does the authors' code, while the paper
    says "all the layers".

    Args:
        c_in, c_out: channels; the narrower of the two in between.
        classes, hidden, norm: of the SPADEs.
    """

    def __init__(self, c_in: int, c_out: int, classes: int, *, hidden: int = 128, norm: Norm = "instance") -> None:
        super().__init__()
        middle = min(c_in, c_out)
        self.norm1 = SPADE(c_in, classes, hidden=hidden, norm=norm)
        self.conv1 = spectral_norm(xavier(nn.Conv2d(c_in, middle, 3, padding=1)))
        self.norm2 = SPADE(middle, classes, hidden=hidden, norm=norm)
        self.conv2 = spectral_norm(xavier(nn.Conv2d(middle, c_out, 3, padding=1)))
        self.shortcut_norm = self.shortcut = None
        if c_in != c_out:
            self.shortcut_norm = SPADE(c_in, classes, hidden=hidden, norm=norm)
            self.shortcut = spectral_norm(xavier(nn.Conv2d(c_in, c_out, 1, bias=False)))

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        change = self.conv1(F.leaky_relu(self.norm1(x, layout), SLOPE))
        change = self.conv2(F.leaky_relu(self.norm2(change, layout), SLOPE))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut(self.shortcut_norm(x, layout))
        out: Tensor = x + change
        return out


class SPADEGenerator(nn.Module):
    """G: a layout (B, K, H, W) of any size -> a picture (B, 3, H, W) in [-1, 1].

    It has no encoder. The start is the layout itself at the lowest resolution, as in the authors' code without a VAE: a
    deterministic G. (The paper draws a vector z instead, which fixes the size of the picture; its encoder and the KL
    term, for style from a photo, are left out here.) Every block is told the layout again.

    At 256 px with 5 doublings, the start has 8 x 8 px. Sides that are no multiple of 2^doublings are padded by
    repeating the border, and the picture is cut back.
    """

    def __init__(self, config: SPADEGeneratorConfig) -> None:
        super().__init__()
        c = self.config = config
        self.pyramid = PYRAMIDS[c.doublings]
        widths = [c.width * multiple for _, multiple in self.pyramid]
        self.start = xavier(nn.Conv2d(c.classes, widths[0], 3, padding=1))
        self.blocks = nn.ModuleList(
            SPADEBlock(before, after, c.classes, hidden=c.hidden, norm=c.norm)
            for before, after in zip([widths[0], *widths[:-1]], widths, strict=True)
        )
        self.paint = xavier(nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(self, layout: Tensor) -> Tensor:
        """Paint a layout.

        Raises:
            NetworkError: other channels than the config's classes, or a side below its least side.
        """
        classes, least = self.config.classes, self.config.least_side
        if layout.ndim != 4 or layout.shape[1] != classes:
            raise NetworkError(
                f"G takes layouts (B, {classes}, H, W), a channel for each class, not {tuple(layout.shape)}."
            )
        if min(layout.shape[-2:]) < least:
            raise NetworkError(
                f"With {self.config.doublings} doublings G needs at least {least} px on each side, not "
                f"{tuple(layout.shape[-2:])}; choose fewer doublings."
            )
        layout, border = pad_to_multiple(layout, 2**self.config.doublings)
        height, width = layout.shape[-2:]
        first = self.pyramid[0][0]
        x = self.start(F.interpolate(layout, size=(height // first, width // first), mode="nearest"))
        for block, (scale, _) in zip(self.blocks, self.pyramid, strict=True):
            if x.shape[-2] != height // scale:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x, layout)
        picture: Tensor = torch.tanh(self.paint(F.leaky_relu(x, SLOPE)))
        return cut(picture, border)


def xavier(conv: nn.Conv2d) -> nn.Conv2d:
    """Give a convolution Xavier weights of gain 0.02 and no bias, and return it.

    Call it before spectral norm, which measures the weight when it is put on.
    """
    nn.init.xavier_normal_(conv.weight, _GAIN)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
