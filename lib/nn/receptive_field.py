"""Which pixels can one output of a convolutional network see? Computed from the layers, and measured by gradients."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib.book.equations import equation
from lib.nn.dcgan import NetworkError

__all__ = ["Field", "Layer", "gradient_map", "layers_of", "receptive_field", "support"]


@dataclass(frozen=True)
class Layer:
    """A convolution or pooling, the same in both directions."""

    kernel: int
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Field:
    """Output i sees the input pixels start + i * stride … start + i * stride + size - 1, along each direction."""

    size: int
    stride: int
    start: int  # 0 or less: the padding lies outside the picture

    def window(self, place: int, side: int) -> tuple[int, int]:
        """First pixel and the one after the last that output `place` sees in a picture of `side` px."""
        first = self.start + place * self.stride
        return max(first, 0), min(first + self.size, side)


@equation("4.6", tests="tests/equations/test_paired.py::test_receptive_field")
def receptive_field(layers: nn.Module | Sequence[Layer]) -> Field:
    """The field of a chain of layers, from the last to the first: r <- (r - 1) * stride + kernel, from r = 1.

    Raises:
        NetworkError: a network with other layers than plain convolutions and poolings.
    """
    chain = layers_of(layers) if isinstance(layers, nn.Module) else layers
    size, stride, start = 1, 1, 0
    for layer in reversed(chain):
        size = (size - 1) * layer.stride + layer.kernel
        start = start * layer.stride - layer.padding
        stride *= layer.stride
    return Field(size, stride, start)


def layers_of(network: nn.Module) -> list[Layer]:
    """The convolutions and poolings of a chain, in order; activations and norms do not move a pixel.

    Norms are left out although instance norm lets every output depend a little on every pixel, through its
    mean and variance: compare `gradient_map` of a network with norms.

    Raises:
        NetworkError: a transposed, dilated or non-square convolution.
    """
    chain = []
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.MaxPool2d | nn.AvgPool2d):
            continue
        values = {
            tuple(value) if isinstance(value, tuple) else (value, value)
            for value in (module.kernel_size, module.stride, module.padding)
            if not isinstance(value, str)
        }
        dilation = getattr(module, "dilation", 1)
        plain = isinstance(module, nn.ConvTranspose2d) is False and dilation in (1, (1, 1))
        if not plain or isinstance(module.padding, str) or any(a != b for a, b in values):
            raise NetworkError(
                f"The receptive field of {module} is not known here; give the layers as a list of Layer."
            )
        chain.append(Layer(*(v[0] if isinstance(v, tuple) else v for v in
                             (module.kernel_size, module.stride, module.padding))))  # fmt: skip
    if not chain:
        raise NetworkError("The network has no convolution; its receptive field is not defined.")
    return chain


def gradient_map(network: nn.Module, channels: int, side: int, place: tuple[int, int] | None = None) -> Tensor:
    """|d output / d input|, summed over channels: (side, side) float64, on noise; the network is not changed.

    Args:
        network: (1, channels, side, side) -> (1, 1, h, w).
        place: row and column of the output; default the middle one.
    """
    # The corner of a field hangs on one product of small weights: float32 may round it to 0.
    judge = copy.deepcopy(network).cpu().double().eval()
    # A wrapper such as .float() in the network's forward is harmless: the input keeps its double gradient.
    noise = torch.randn(1, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = noise.requires_grad_()
    output: Tensor = judge(x)
    row, column = (output.shape[-2] // 2, output.shape[-1] // 2) if place is None else place
    (gradient,) = torch.autograd.grad(output[0, 0, row, column], x)
    return gradient[0].abs().sum(dim=0)


def support(gradients: Tensor) -> tuple[int, int, int, int]:
    """The box round all pixels with a gradient (H, W): top, bottom, left, right; bottom and right are exclusive."""
    rows, columns = ((gradients != 0).any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    if len(rows) == 0:
        raise NetworkError("No pixel has a gradient; look for a ReLU that is off everywhere, or a detach().")
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
