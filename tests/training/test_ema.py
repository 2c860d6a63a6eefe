"""The moving average against its closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib.training.ema import EMA


def test_average_of_a_constant_target_has_the_closed_form() -> None:
    net = nn.Linear(3, 2)
    ema = EMA(net, decay=0.5)
    start = net.weight.detach().clone()
    with torch.no_grad():
        net.weight.fill_(2.0)
    product = 1.0
    for n in range(20):
        ema.update()
        product *= min(0.5, (1 + n) / (10 + n))
    expected = 2 + product * (start - 2)  # what is left of the start is the product of the decays
    torch.testing.assert_close(ema.module.weight, expected)
    assert ema.updates == 20


def test_first_updates_forget_the_random_start() -> None:
    net = nn.Linear(1, 1, bias=False)
    ema = EMA(net, decay=0.999)
    with torch.no_grad():
        net.weight.add_(1.0)
    gap = net.weight.item() - ema.module.weight.item()
    ema.update()
    assert net.weight.item() - ema.module.weight.item() == pytest.approx(0.1 * gap)


def test_buffers_are_copied_and_the_source_is_untouched() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2))
    ema = EMA(net)
    net(torch.randn(8, 2) + 5)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    ema.update()
    assert torch.equal(ema.module[0].running_mean, net[0].running_mean)
    assert ema.module[0].num_batches_tracked.item() == 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training and not ema.module.training
    assert not any(p.requires_grad for p in ema.module.parameters())


def test_decay_must_be_a_fraction() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        EMA(nn.Linear(1, 1), decay=1.0)
