"""VGG-Face (Parkhi et al. 2015), the phi of DIAT's paper, for readers who have its weights on disk.

Nothing is downloaded, and nothing is shipped: the weights are free for research only. Names and input are those of the
conversion to PyTorch known as ``vgg_face_dag.pth``, read from public code; **not run on the true weights** here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from lib.losses.perceptual import FeatureMaps, PerceptualError

__all__ = ["vgg_face_maps"]

_STAGES = (2, 2, 3, 3, 3)  # convolutions before each pooling: a VGG-16
_WIDTHS = (64, 128, 256, 512, 512)
_MEAN = (129.186279296875, 104.76238250732422, 93.59396362304688)  # RGB, of pictures in [0, 255]


def vgg_face_maps(
    path: str | Path, layers: Sequence[tuple[int, int]] = ((4, 3), (5, 3)), *, side: int | None = 224
) -> FeatureMaps:
    """Maps of VGG-Face in place of the book's phi, for `lib.games.diat_train.train_transform`.

    They answer pictures in [0, 255], so l_id comes out in the thousands: measure it first, and choose lambda by it.

    Args:
        path: a file of ``torch.save`` with ``conv1_1.weight`` to ``conv5_3.bias``; what else it holds is left alone.
        layers: (i, j), the j-th convolution of stage i after its activation; the defaults end stages 4 and 5 (INFERRED:
            the paper names the stages, not the convolutions).
        side: px to which pictures are brought; None: as they come.

    Raises:
        PerceptualError: the file is missing or holds something else, or there is no such layer.
    """
    for i, j in layers:
        if not 1 <= i <= len(_STAGES) or not 1 <= j <= _STAGES[i - 1]:
            raise PerceptualError(f"VGG-Face has {_STAGES} convolutions before its 5 poolings; there is no ({i}, {j}).")
    if not layers or not Path(path).is_file():
        raise PerceptualError(
            f"There is no file {str(path)!r} with weights of VGG-Face; the book neither ships nor downloads them. Give "
            "the path of your vgg_face_dag.pth, or use the book's own phi: lib.games.diat_train.phi_maps."
        )
    stem = _stem(max(layers))
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        stem.load_state_dict({name: state[name] for name in stem.state_dict()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise PerceptualError(
            f"{path} does not hold VGG-Face as vgg_face_dag.pth does ({str(error).splitlines()[0]}); it wants "
            "conv1_1.weight, conv1_1.bias and so on."
        ) from error
    mean = [value / 255 for value in _MEAN]
    return FeatureMaps(stem, [f"relu{i}_{j}" for i, j in layers], side=side, mean=mean, std=(1 / 255,) * 3)


def _stem(last: tuple[int, int]) -> nn.Sequential:
    """VGG-16 up to its convolution `last`, untrained; activations not in place, so that maps stay as they were."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, (before, width) in enumerate(pairwise((3, *_WIDTHS)), start=1):
        if stage > 1:
            parts[f"pool{stage - 1}"] = nn.MaxPool2d(2)
        for place in range(1, _STAGES[stage - 1] + 1):
            parts[f"conv{stage}_{place}"] = nn.Conv2d(before if place == 1 else width, width, 3, padding=1)
            parts[f"relu{stage}_{place}"] = nn.ReLU()
            if (stage, place) == last:
                return nn.Sequential(parts)
    raise AssertionError(last)  # vgg_face_maps has checked it
