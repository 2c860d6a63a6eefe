"""A multilayer perceptron: the network of the toys, where the data are points."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lib.nn.blocks import SLOPE

__all__ = ["MLP"]


class MLP(nn.Module):
    """Linear maps with LeakyReLU in between: (B, inputs) -> (B, outputs), linear at the end.

    Args:
        inputs, outputs: the sizes of a point and of the answer; outputs = 1 gives logits (B, 1).
        hidden: units of each hidden layer.
        depth: hidden layers; 0 gives one affine map.
    """

    def __init__(self, inputs: int, outputs: int, *, hidden: int = 64, depth: int = 2) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * depth]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out
