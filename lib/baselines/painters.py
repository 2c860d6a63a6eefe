"""All competitors behind one call: a case in, its pictures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lib.baselines import deep_image_analogy, patch_neighbours, singan, spade, texture_by_numbers
from lib.baselines.cases import PHOTO_SIDE, Case
from lib.book.paths import repository_root
from lib.data.worlds.world import one_hot
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.games.photo_features_train import photo_maps
from lib.games.singan_model import SinGAN
from lib.labelmaps import LabelMap
from lib.metrics.baselines import copy_paste, copy_source
from lib.runtime import Runtime

__all__ = ["PAINTERS", "Painter"]

Painter = Callable[[Case, Runtime], dict[str, Tensor]]
"""A case -> target -> picture (3, H, W) in [-1, 1]. Training, where there is any, is part of the call."""

_Single = Callable[[Tensor, Tensor, Tensor], Tensor]


def _one_by_one(paint: _Single) -> Painter:
    """A competitor that needs no training paints target after target."""

    def painter(case: Case, runtime: Runtime) -> dict[str, Tensor]:
        photo = case.image.to(runtime.device)
        layout = _indices(case.layout, runtime)
        return {name: paint(photo, layout, _indices(target, runtime)) for name, target in case.targets.items()}

    return painter


def _indices(labels: LabelMap, runtime: Runtime) -> Tensor:
    return torch.tensor(labels.index, dtype=torch.long, device=runtime.device)


def _copy(case: Case, runtime: Runtime) -> dict[str, Tensor]:
    photo = case.image[None].to(runtime.device)
    return {name: copy_source(photo, target.one_hot(runtime.device))[0] for name, target in case.targets.items()}


def _copy_paste(case: Case, runtime: Runtime) -> dict[str, Tensor]:
    photo, layout = case.image[None].to(runtime.device), case.layout.one_hot(runtime.device)
    return {name: copy_paste(photo, layout, target.one_hot(runtime.device))[0] for name, target in case.targets.items()}


def _singan(case: Case, runtime: Runtime) -> dict[str, Tensor]:
    """One model for the picture; it mends the cut-and-paste of every target."""
    shipped = _shipped("singan", case)
    model = SinGAN.train(case.image, runtime=runtime) if shipped is None else SinGAN.load(shipped, runtime=runtime)
    photo, layout = case.image.to(runtime.device), _indices(case.layout, runtime)
    return {
        name: singan.paint(photo, layout, _indices(target, runtime), model=model)
        for name, target in case.targets.items()
    }


def _spade(case: Case, runtime: Runtime) -> dict[str, Tensor]:
    """Trained on warps of the picture, with the book's own features for the perceptual term."""
    layout = _indices(case.layout, runtime)
    network = spade.train_on_photo(case.image, layout, spade.photo_settings(), perceptual=photo_maps(), runtime=runtime)
    asked = torch.stack([_indices(target, runtime) for target in case.targets.values()])
    with torch.no_grad(), runtime.autocast():
        pictures = network(one_hot(asked, case.layout.classes)).float()
    return dict(zip(case.targets, pictures, strict=True))


def _ours(case: Case, runtime: Runtime) -> dict[str, Tensor]:
    """Trained as the shipped models were, or one of them."""
    shipped = _shipped("analogy", case)
    if shipped is None:
        config = replace(AnalogyConfig.quick(), side=max(case.image.shape[1:]))
        analogist = Analogist.train(case.image, case.layout, config, runtime=runtime)
    else:
        analogist = Analogist.load(shipped, runtime=runtime)
    return dict(zip(case.targets, analogist.paint_all(list(case.targets.values())), strict=True))


def _shipped(kind: str, case: Case) -> Path | None:
    """The model that the book ships of this photo at this size, if there is one: it need not be trained again."""
    path = repository_root() / "assets" / "checkpoints" / f"{kind}_{case.name}.safetensors"
    full_size = max(case.image.shape[1:]) == PHOTO_SIDE
    return path if full_size and not case.truths and path.is_file() else None


PAINTERS: Mapping[str, Painter] = {
    "copy": _copy,
    "copy-paste": _copy_paste,
    "texture-by-numbers": _one_by_one(texture_by_numbers.paint),
    "deep image analogy": _one_by_one(deep_image_analogy.paint),
    "patch neighbours": _one_by_one(patch_neighbours.paint),
    "singan": _singan,
    "spade": _spade,
    "ours": _ours,
}
"""Name -> competitor, from the trivial to the book's own."""
