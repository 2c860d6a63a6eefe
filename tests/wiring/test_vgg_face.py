"""VGG-Face's maps from a file of its form; the true weights are nowhere in the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.losses.perceptual import PerceptualError
from lib.losses.vgg_face import vgg_face_maps
from lib.runtime import seeded

SHAPES = {"conv1_1": (64, 3), "conv1_2": (64, 64), "conv2_1": (128, 64), "conv2_2": (128, 128)}


def weights() -> dict[str, Tensor]:
    state = {"fc6.bias": torch.zeros(1)}  # stands for all that is not used
    for seed, (name, (out, into)) in enumerate(SHAPES.items()):
        state[f"{name}.weight"] = torch.randn(out, into, 3, 3, generator=seeded(seed)) / (3 * into**0.5)
        state[f"{name}.bias"] = 0.1 * torch.randn(out, generator=seeded(seed + 9))
    return state


def test_the_maps_are_those_of_the_layers_on_pictures_from_0_to_255(tmp_path: Path) -> None:
    state = weights()
    torch.save(state, tmp_path / "face.pth")
    x = (torch.rand(2, 3, 16, 16, generator=seeded(5)) * 2 - 1).requires_grad_()
    found = vgg_face_maps(tmp_path / "face.pth", ((1, 2), (2, 2)), side=None)(x)
    y = (x + 1) * 127.5 - torch.tensor([129.186279296875, 104.76238250732422, 93.59396362304688])[:, None, None]
    wanted = []
    for name in SHAPES:
        y = F.max_pool2d(y, 2) if name == "conv2_1" else y
        y = F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], padding=1).relu()
        wanted += [y] if name in ("conv1_2", "conv2_2") else []
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-3)
    found[1].mean().backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0  # through the frozen network, to the picture


def test_a_file_that_is_none_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PerceptualError, match="neither ships nor downloads"):
        vgg_face_maps(tmp_path / "missing.pth")
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(PerceptualError, match=r"conv1_1\.weight"):
        vgg_face_maps(tmp_path / "other.pth", ((1, 1),))
    with pytest.raises(PerceptualError, match=r"there is no \(4, 4\)"):
        vgg_face_maps(tmp_path / "other.pth", ((4, 4),))
