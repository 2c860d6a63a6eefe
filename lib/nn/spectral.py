"""Spectral normalisation: every weight matrix divided by its largest singular value (Miyato et al. 2018)."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from lib.book.equations import equation

N = TypeVar("N", bound=nn.Module)

_LINEAR_MAPS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)


@equation("2.12", tests="tests/equations/test_convergence.py::test_spectral_normalised")
def spectral_normalised(network: N) -> N:
    """Normalise every linear map inside `network`, in place, and return it.

    One power iteration per forward pass in training mode keeps the singular value up to date; in evaluation
    mode it stays as it is. A convolution's kernel counts as the matrix (out, in * kh * kw), which bounds the
    true operator only up to a factor. A layer that is already normalised is left alone.

    Raises:
        ValueError: there is no linear map in the network.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _LINEAR_MAPS)]
    if not layers:
        raise ValueError(f"{type(network).__name__} has no convolution or linear layer to normalise.")
    for layer in layers:
        if not _is_normalised(layer):
            spectral_norm(layer)
    return network


@torch.no_grad()
def top_singular_value(layer: nn.Module) -> float:
    """The largest singular value of a layer's weight, as a matrix (out, rest); exact, so slow for large layers."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    # A transposed convolution stores (in, out, kh, kw).
    rows = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
    return float(torch.linalg.matrix_norm(rows.flatten(1), ord=2))


def _is_normalised(layer: nn.Module) -> bool:
    """Whether spectral norm is among what is done to the weight; another parametrisation bounds nothing."""
    if not is_parametrized(layer, "weight"):
        return False
    return any(isinstance(step, _SpectralNorm) for step in layer.get_submodule("parametrizations.weight").children())
