"""An analogist: a generator trained on one photo, together with that photo. It paints new layouts.

analogist = Analogist.train(photo.image, photo.layout)
picture = analogist.paint(new_layout)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lib.data.single_photo import SinglePhoto
from lib.games.analogy import Analogy, AnalogyConfig
from lib.labelmaps import LabelError, LabelMap, Palette
from lib.losses.refine import follow_matches
from lib.nn.analogy_generator import AnalogyGenerator, Painting, SourceReading
from lib.runtime import Runtime, device_name, keep_freed_memory, seeded
from lib.training.checkpoint import CheckpointError, load_weights, read_card, save_weights, weights_card
from lib.training.ema import EMA
from lib.training.history import History
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play

__all__ = ["Analogist", "untrained"]

REST = 6.0  # nats; a change of the layout is an edit here, and the ground of an edit stays where it is
LEAST_SIDE = 32  # px; below that the coarsest feature map of G has nothing left to see


class Analogist:
    """A trained generator and the photo that it knows.

    Attributes:
        generator: the averaged G, an `AnalogyGenerator`.
        image: (3, H, W) in [-1, 1].
        layout: the photo's layout.
        config: how it was trained.
        history: the losses of the training; empty after `load`.
    """

    def __init__(
        self, generator: nn.Module, image: Tensor, layout: LabelMap, config: AnalogyConfig,
        *, runtime: Runtime | None = None, seed: int = 0, history: History | None = None,
    ) -> None:  # fmt: skip
        self.generator = generator.eval().requires_grad_(False)
        self.image = image
        self.layout, self.config, self.seed = layout, config, seed
        self.runtime = runtime or Runtime.detect()
        self.history = history or History()
        self._reading: tuple[object, tuple[Tensor, SourceReading]] | None = None
        keep_freed_memory()  # it will paint again and again

    @classmethod
    def train(
        cls, image: Tensor, layout: LabelMap, config: AnalogyConfig | None = None, *, seed: int = 0,
        runtime: Runtime | None = None, budget_s: float | None = None, checkpoint: str | Path | None = None,
        resume: bool = False, on_round: Callback | Sequence[Callback] = (),
    ) -> Analogist:  # fmt: skip
        """Train on one photo. An interrupt (Ctrl-C) ends the training early and keeps what was learned.

        Args:
            image: (3, H, W) in [-1, 1]; H and W divisible by 8, at least 32.
            layout: of the same size.
            config: default `AnalogyConfig.quick()`.
            seed: of weights, augmentation and patch subsets.
            runtime: device and dtype; default the fastest.
            budget_s: seconds after which to stop; the schedules then follow the clock.
            checkpoint, resume: as in `lib.training.play.play`.
            on_round: callbacks of `play`.

        Raises:
            ValueError: the photo's size cannot be used.
            LabelError: the layout does not fit the photo.
        """
        config, runtime = config or AnalogyConfig.quick(), runtime or Runtime.detect()
        check_photo(image, layout)
        game = untrained(layout.classes, config, seed=seed, runtime=runtime)
        stream = SinglePhoto(
            image.to(runtime.device), layout.one_hot(runtime.device), config.stream, generator=seeded(seed)
        )
        ema = EMA(game.G, config.ema)
        analogist = cls(ema.module, image.to(runtime.device), layout, config, runtime=runtime, seed=seed)
        analogist.history = play(
            game, stream, config.rounds, optimisers=OptimConfig(lr=config.lr, betas=(0.5, 0.99)),
            schedule=config.learning_rate, ema=ema, runtime=runtime, budget_s=budget_s,
            checkpoint=checkpoint, resume=resume, on_round=on_round,
        )  # fmt: skip
        _fast_to_paint(analogist.generator)
        return analogist

    def painting(self, target: LabelMap, *, rest: float = REST) -> Painting:
        """Everything the generator makes of a target layout: picture, copy, gate, modulation.

        Args:
            target: as for `paint`.
            rest: how strongly unchanged ground prefers its own place (12.20); 0 asks the matcher alone.
        """
        check_target(target, self.layout)
        return self._painting(target.one_hot(self.runtime.device), rest)

    def paint(self, target: LabelMap, *, refine: bool = True) -> Tensor:
        """The photo that fits the target layout: (3, H, W) in [-1, 1].

        Args:
            target: same classes as the photo's layout, any size divisible by 8.
            refine: correct the matches pixel by pixel and vote with the photo's patches, on the finished picture
                (`lib.losses.refine.follow_matches`).
        """
        return self.paint_all([target], refine=refine)[0]

    def paint_all(self, targets: Sequence[LabelMap], *, refine: bool = True) -> Tensor:
        """`paint` for several target layouts of one size, in one pass of G: (B, 3, H, W), in their order.

        Raises:
            LabelError: there is no target, one cannot be painted, or their sizes differ.
        """
        sizes = sorted({f"{target.width} x {target.height}" for target in targets})
        if len(sizes) != 1:
            found = " and ".join(sizes) + " px" if sizes else "none at all"
            raise LabelError(
                f"The targets of one pass must have one size, not {found}: use target.resized(height, width), or "
                "paint them one by one."
            )
        for target in targets:
            check_target(target, self.layout)
        wanted = torch.cat([target.one_hot(self.runtime.device) for target in targets])
        painting = self._painting(wanted, REST)
        images = painting.image.float()
        if refine:
            known = self.image.unsqueeze(0), self.layout.one_hot(self.runtime.device)
            grids = painting.aligned.grid.split(1) if self.config.aligned else [None] * len(targets)
            asked = zip(images.split(1), wanted.split(1), grids, strict=True)
            images = torch.cat([
                follow_matches(image, known[0], layout, known[1], grid).image for image, layout, grid in asked
            ])  # fmt: skip
        return images.clamp(-1, 1)

    @torch.no_grad()
    def _painting(self, wanted: Tensor, rest: float) -> Painting:
        """The generator's answer to one-hot target layouts (B, K, H, W)."""
        batch = (wanted.shape[0], -1, -1, -1)
        with self.runtime.autocast():
            source, reading = self._read()
            painting: Painting = self.generator(
                self.image.expand(batch), source.expand(batch), wanted, rest=rest, reading=reading
            )
        return painting

    def _read(self) -> tuple[Tensor, SourceReading]:
        """The one-hot layout and what G reads in it: kept until G, its weights or the layout change."""
        of = (self.generator, self.layout, [weight._version for weight in self.generator.parameters()])
        if self._reading is None or self._reading[0] != of:
            source = self.layout.one_hot(self.runtime.device)
            self._reading = of, (source, cast(AnalogyGenerator, self.generator).read(source))
        return self._reading[1]

    def save(self, path: str | Path, *, metrics: dict[str, float] | None = None, data: str = "") -> None:
        """Write generator, photo and layout to one safetensors file with a JSON card."""
        card = weights_card(
            config=self.config, seed=self.seed, data=data, metrics=metrics or {},
            device=device_name(self.runtime.device), seconds=self.history.seconds,
        )  # fmt: skip
        card["palette"] = asdict(self.layout.palette)
        card["size"] = [self.layout.height, self.layout.width]
        save_weights(path, _Stored(self.generator, self.image, self.layout), card)

    @classmethod
    def load(cls, path: str | Path, *, runtime: Runtime | None = None) -> Analogist:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing, damaged or holds something else.
        """
        runtime = runtime or Runtime.detect()
        card = read_card(path)
        try:
            config = AnalogyConfig.from_dict(card["config"])
            palette = Palette(tuple(card["palette"]["names"]), tuple(map(tuple, card["palette"]["colours"])))
            height, width = card["size"]
            seed = int(card["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is no trained analogy ({error}); train one with Analogist.train.") from error
        blank = LabelMap(np.zeros((height, width), np.uint8), palette)
        game = untrained(len(palette), config, seed=0, runtime=runtime)
        stored = _Stored(game.G, torch.zeros(3, height, width), blank)
        load_weights(path, stored)
        _fast_to_paint(game.G)
        layout = LabelMap(stored.labels.cpu().numpy(), palette)
        return cls(game.G, stored.image.to(runtime.device), layout, config, runtime=runtime, seed=seed)


class _Stored(nn.Module):
    """What a saved analogist consists of."""

    image: Tensor
    labels: Tensor

    def __init__(self, generator: nn.Module, image: Tensor, layout: LabelMap) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("image", image)
        self.register_buffer("labels", torch.from_numpy(layout.index.copy()))


def untrained(classes: int, config: AnalogyConfig, *, seed: int, runtime: Runtime) -> Analogy:
    """The game before its first round; the same seed gives the same weights, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        game = Analogy(classes, config, generator=seeded(seed + 1))
    runtime.place(game)
    return game


def _fast_to_paint(generator: nn.Module) -> None:
    """Channels last: one picture at a time is painted a quarter faster; training on a CPU would be slower."""
    cast(Any, generator).to(memory_format=torch.channels_last)  # torch's stubs do not list it


def check_photo(image: Tensor, layout: LabelMap) -> None:
    """Raise unless a photo (3, H, W) and its layout can be trained on."""
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"The photo must have shape (3, height, width), not {tuple(image.shape)}.")
    height, width = image.shape[-2:]
    if height % 8 or width % 8 or min(height, width) < LEAST_SIDE:
        raise ValueError(
            f"The photo is {width} x {height} px; both sides must be multiples of 8 and at least {LEAST_SIDE}: "
            "read it with read_image(path, side=128, multiple=8)."
        )
    if not bool(torch.isfinite(image).all()):
        raise ValueError("The photo holds NaN or infinite values; read it again with read_image.")
    layout.require_size(height, width)
    if layout.classes < 2 or min(layout.shares()) == 0:
        raise LabelError(
            "The layout needs at least two classes, each with some pixels: a class that the photo does not show "
            "cannot be learned."
        )


def check_target(target: LabelMap, layout: LabelMap) -> None:
    """Raise unless a target can be painted by who learned ``layout``."""
    if target.classes != layout.classes:
        raise LabelError(
            f"The target has {target.classes} classes and the photo's layout {layout.classes}; "
            "read both with read_layouts, so that they share one palette."
        )
    if target.palette.names != layout.palette.names:
        raise LabelError(
            f"The classes of the target are {', '.join(target.palette.names)}, those of the photo's layout "
            f"{', '.join(layout.palette.names)}; read both with read_layouts, so that they share one palette."
        )
    if target.height % 8 or target.width % 8 or min(target.height, target.width) < LEAST_SIDE:
        raise LabelError(
            f"The target is {target.width} x {target.height} px; both sides must be multiples of 8 and at least "
            f"{LEAST_SIDE}: use target.resized(height, width)."
        )
