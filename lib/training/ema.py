"""Exponential moving average of weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lib.book.equations import equation


class EMA:
    r"""The running average of a network's weights, which draws calmer pictures than the last weights.

    After update n (counted from 0): average = d·average + (1 − d)·weights with
    d = min(`decay`, (1 + n) / (10 + n)), so that the random first weights are forgotten quickly.
    Buffers (running statistics, spectral-norm vectors) are copied. `module` is the averaged network, in
    evaluation mode and without gradients.

    Raises:
        ValueError: `decay` outside [0, 1).
    """

    def __init__(self, source: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"The decay of an EMA must lie in [0, 1), not {decay}.")
        self.source = source
        self.decay = decay
        self.updates = 0
        self.module = copy.deepcopy(source).eval().requires_grad_(False)

    @torch.no_grad()
    @equation("2.14", tests="tests/equations/test_convergence.py::test_ema_update")
    def update(self) -> None:
        """Move the average towards the present weights; called once per round."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages: list[Tensor] = list(self.module.parameters())
        weights: list[Tensor] = list(self.source.parameters())
        if averages:
            torch._foreach_lerp_(averages, weights, 1 - decay)
        copies, buffers = list(self.module.buffers()), list(self.source.buffers())
        if copies:
            torch._foreach_copy_(copies, buffers)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of updates."""
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue an average; the weights are copied into `module`."""
        self.module.load_state_dict(state["module"])
        self.updates = int(state["updates"])
