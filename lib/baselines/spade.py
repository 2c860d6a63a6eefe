"""SPADE on a single photo, for comparison with semantic image analogy.

SPADE was made for data sets. One photo, warped again and again, is what it can be given here; it then knows the photo's
textures by class, and does not see the photo while it paints. The paper's authors do not do this: the set-up is ours,
and the comparison is one of data as much as of methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib.baselines.inputs import check_inputs
from lib.data.single_photo import SinglePhoto, StreamConfig
from lib.data.worlds.world import one_hot
from lib.games.spade import Spade, SpadeConfig
from lib.nn.spade import SPADEGenerator
from lib.runtime import Runtime, seeded
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.play import Callback, play

__all__ = ["TruePairs", "paint", "photo_settings", "train_on_photo"]


class TruePairs:
    """What is true about one photo: itself and its warps, each with its layout; a `lib.training.streams.Stream`.

    The same warps that the analogy's D sees, without the analogies.

    Args:
        photos: the stream of analogies to take the pairs from.
    """

    def __init__(self, photos: SinglePhoto) -> None:
        self.photos = photos

    def draw(self, progress: float) -> dict[str, Any]:
        """``condition`` (B, K, H, W) and ``image`` (B, 3, H, W)."""
        drawn = self.photos.draw(progress)
        return {"condition": drawn["real_layout"], "image": drawn["real_image"]}

    def state_dict(self) -> dict[str, Any]:
        """The stream's."""
        return self.photos.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the stream."""
        self.photos.load_state_dict(state)


def photo_settings() -> SpadeConfig:
    """What suits one photo at 128 px: a smaller G, one warp in a batch, both players equally fast."""
    return SpadeConfig.quick(width=14, perceptual=4.0, batch=1, rounds=500, lr_g=1.5e-3, lr_d=1.5e-3)


def train_on_photo(
    photo: Tensor, layout: Tensor, config: SpadeConfig | None = None, *, seed: int = 0,
    perceptual: nn.Module | None = None, runtime: Runtime | None = None, budget_s: float | None = None,
    checkpoint: str | Path | None = None, resume: bool = False, history: History | None = None,
    on_round: Callback | Sequence[Callback] = (),
) -> SPADEGenerator:  # fmt: skip
    """Train SPADE on warps of one photo and return the generator, averaged where the config says so.

    Args:
        photo: (3, H, W) in [-1, 1].
        layout: (H, W), class indices; K is one more than the largest.
        config: default `SpadeConfig.quick()`; its `size` has no effect, the photo's own counts.
        seed: of weights and warps.
        perceptual: features of the perceptual term, as in `Spade`; None leaves it out.
        runtime: device and dtype; default the fastest.
        budget_s, checkpoint, resume, history, on_round: as in `lib.training.play.play`.

    Raises:
        PaintError: photo and layout do not fit, or are too small for the config's generator.
    """
    config, runtime = config or SpadeConfig.quick(), runtime or Runtime.detect()
    classes = 1 + int(layout.max())
    check_inputs(photo, layout, layout, least=config.network(classes).least_side)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        game = Spade(classes, config, perceptual=perceptual)
    runtime.place(game)
    stream = SinglePhoto(
        photo.float().to(runtime.device), one_hot(layout[None].to(runtime.device), classes),
        StreamConfig(batch=config.batch), generator=seeded(seed),
    )  # fmt: skip
    ema = EMA(game.G, config.ema) if config.ema else None
    play(
        game, TruePairs(stream), config.rounds, optimisers=config.optimisers(), schedule=config.learning_rate, ema=ema,
        runtime=runtime, budget_s=budget_s, checkpoint=checkpoint, resume=resume, history=history, on_round=on_round,
    )  # fmt: skip
    trained = game.G if ema is None else ema.module
    assert isinstance(trained, SPADEGenerator)
    return trained.eval().requires_grad_(False)


def paint(
    photo: Tensor, layout: Tensor, target: Tensor, config: SpadeConfig | None = None, *, seed: int = 0,
    runtime: Runtime | None = None, budget_s: float | None = None, on_round: Callback | Sequence[Callback] = (),
) -> Tensor:  # fmt: skip
    """Paint a layout by a SPADE that is trained on this photo alone: (3, H', W') in [-1, 1].

    Args:
        photo: (3, H, W) in [-1, 1].
        layout: (H, W), class indices.
        target: (H', W'), class indices that occur in ``layout``; any size.
        config, seed, runtime, budget_s, on_round: as in `train_on_photo`.

    Raises:
        PaintError: the inputs do not fit, or are too small for the config's generator.
    """
    config, runtime = config or SpadeConfig.quick(), runtime or Runtime.detect()
    classes = 1 + int(layout.max())
    check_inputs(photo, layout, target, least=config.network(classes).least_side)
    G = train_on_photo(photo, layout, config, seed=seed, runtime=runtime, budget_s=budget_s, on_round=on_round)
    with torch.no_grad(), runtime.autocast():
        picture: Tensor = G(one_hot(target[None].to(runtime.device), classes))
    return picture[0].float()
