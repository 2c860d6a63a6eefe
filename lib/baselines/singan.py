"""SinGAN as a painter of layouts, for comparison with semantic image analogy.

SinGAN knows no layouts: it has no label to obey. What it can do is to mend a picture that already follows the new
layout roughly (its applications *editing* and *paint to image*). So the layout is first painted without any learning,
by cut and paste or in the mean colour of each class, and that enters the pyramid at a coarse scale. The set-up is
ours; the semantic image analogy paper compares with SinGAN on an edited source photo, which is the first of the two.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from lib.baselines.inputs import PaintError, check_inputs, one_hot_layouts
from lib.games.singan import SinGANConfig
from lib.games.singan_model import SinGAN
from lib.metrics.baselines import copy_paste
from lib.nn.singan import resized
from lib.runtime import Runtime

__all__ = ["Start", "class_colours", "paint", "rough"]

Start = Literal["copy-paste", "colours"]


def paint(
    photo: Tensor, layout: Tensor, target: Tensor, config: SinGANConfig | None = None, *, model: SinGAN | None = None,
    start: Start = "copy-paste", scale: int | None = None, seed: int = 0, runtime: Runtime | None = None,
) -> Tensor:  # fmt: skip
    """Paint a layout with a SinGAN of this photo: (3, H', W') in [-1, 1].

    Args:
        photo: (3, H, W) in [-1, 1].
        layout: (H, W), class indices.
        target: (H', W'), class indices that occur in ``layout``; any size.
        config: of the training; default `SinGANConfig.quick()`.
        model: a SinGAN that is trained on this photo; default: train one.
        start: the rough picture that enters.
        scale: where it enters; default two finer than the coarsest. On the dahlia that was the coarsest at which the
            layout survives, and torn pieces have grown together.
        seed, runtime: as in `SinGAN.train`.

    Raises:
        PaintError: the inputs do not fit.
    """
    check_inputs(photo, layout, target)
    model = model or SinGAN.train(photo, config, seed=seed, runtime=runtime)
    entering = rough(photo, layout, target, start)[None].to(model.image)
    share = max(model.image.shape[-2:]) / max(photo.shape[-2:])
    size = target.shape[0], target.shape[1]
    # The generators know the photo at the size they learned; the picture comes to them at the same scale.
    small = resized(entering, (round(size[0] * share), round(size[1] * share)))[0]
    made = model.paint_to_image(small, scale, seed=seed)
    return resized(made, size)[0].clamp(-1, 1).to(photo)


def rough(photo: Tensor, layout: Tensor, target: Tensor, start: Start) -> Tensor:
    """The target without learning, (3, H', W'): cut and pasted, or each class in its mean colour.

    Raises:
        PaintError: an unknown start.
    """
    if start == "colours":
        return class_colours(photo, layout, target)
    if start != "copy-paste":
        raise PaintError(f"SinGAN starts from 'copy-paste' or 'colours', not from {start!r}.")
    return copy_paste(photo[None], *one_hot_layouts(layout, target, photo.dtype))[0]


def class_colours(photo: Tensor, layout: Tensor, target: Tensor) -> Tensor:
    """Each class of the target in the mean colour that it has in the photo: (3, H', W')."""
    known = F.one_hot(layout.flatten().long()).to(photo.dtype)  # (H*W, K)
    means = photo.flatten(1) @ known / known.sum(dim=0).clamp_min(1)  # (3, K)
    return means[:, target.long()]
