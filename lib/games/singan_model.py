"""A SinGAN: the trained pyramid of one photo, and everything that can be done with it.

singan = SinGAN.train(photo.image)
singan.sample(4, height=128, width=256)
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from scipy import ndimage
from torch import Tensor, nn

from lib.games.singan import SinGANConfig, SinGANScale
from lib.games.singan_enlarge import EnlargingScale, enlarge, enlarging
from lib.nn.singan import Pyramid, ScaleGenerator, Size, pyramid_sizes, shrunk
from lib.runtime import Runtime, device_name, seeded
from lib.training.checkpoint import (
    CheckpointError,
    load_weights,
    read_card,
    save_weights,
    weights_card,
    write_atomically,
)
from lib.training.history import History
from lib.training.play import Callback, play
from lib.training.streams import Repeat

__all__ = ["SinGAN", "SinGANError", "soft_mask"]

_DRAWS = 2**31  # far from the seeds of trainings: no sample begins with the noise that z* was drawn from

Watch = Callable[[SinGANScale], Callback | Sequence[Callback]]


class SinGANError(ValueError):
    """A picture, scale or size cannot be used. The message says why and how to mend it."""


class SinGAN:
    """A trained pyramid and the photo that it knows.

    Scales have the paper's numbers: 0 is the finest, `coarsest` the one where everything begins. Pictures are
    (3, height, width) in [-1, 1], of any size; the same seed gives the same picture.

    Attributes:
        pyramid: the generators.
        image: the photo at the finest scale.
        config: how it was trained.
        histories: the losses of each scale, coarsest first; empty after `load`.
        enlarger: what `train_enlarger` has trained, if anything.
    """

    def __init__(
        self, pyramid: Pyramid, image: Tensor, config: SinGANConfig, *, runtime: Runtime | None = None, seed: int = 0,
        histories: Sequence[History] = (), enlarger: ScaleGenerator | None = None,
    ) -> None:  # fmt: skip
        self.pyramid, self.image, self.config, self.seed = pyramid, image, config, seed
        self.runtime = runtime or Runtime.detect()
        self.histories, self.enlarger = list(histories), enlarger

    @classmethod
    def train(
        cls, image: Tensor, config: SinGANConfig | None = None, *, seed: int = 0, runtime: Runtime | None = None,
        checkpoint: str | Path | None = None, resume: bool = False, scales: int | None = None,
        watch: Watch | None = None,
    ) -> SinGAN:  # fmt: skip
        """Train one scale after the other. An interrupt (Ctrl-C) ends it early and keeps the scales it has.

        Args:
            image: (3, H, W) in [-1, 1], any size; reduced to the config's `side`.
            config: default `SinGANConfig.quick()`.
            seed: of weights and noise.
            runtime: device and dtype; default the fastest.
            checkpoint: folder for the state of every scale.
            resume: go on from that folder, at the scale and round where the training stopped.
            scales: train only so many, from the coarsest up; default all.
            watch: game of a scale -> callbacks for its training.

        Raises:
            SinGANError: the photo cannot be used.
            CheckpointError: the folder holds the training of another photo, config or seed.
        """
        config, runtime = config or SinGANConfig.quick(), runtime or Runtime.detect()
        config.check()
        photo = _photo(image, config).to(runtime.device)
        sizes = pyramid_sizes(*photo.shape[-2:], least=config.least, factor=config.factor)
        sizes = sizes[: len(sizes) if scales is None else scales]
        pyramid = Pyramid(sizes).to(runtime.device)
        pyramid.fix_noise(seeded(seed))
        folder = None if checkpoint is None else _folder(Path(checkpoint), photo, config, seed, resume=resume)
        singan = cls(pyramid, shrunk(photo, sizes[-1])[0], config, runtime=runtime, seed=seed)
        previous: SinGANScale | None = None
        for place, size in enumerate(sizes):
            game = _next_scale(pyramid, shrunk(photo, size), config, previous, seed=seed + 1 + place)
            history = _play(game, shrunk(photo, size), runtime, folder, resume, () if watch is None else watch(game))
            pyramid.add(game.G, game.sigma)
            singan.histories.append(history)
            if history.interrupted:
                break
            previous = game
        pyramid.close()
        singan.image = shrunk(photo, pyramid.sizes[-1])[0]
        return singan

    @property
    def coarsest(self) -> int:
        """N, the number of the coarsest scale."""
        return len(self.pyramid.scales) - 1

    def sizes(self, height: int | None = None, width: int | None = None) -> list[Size]:
        """(height, width) of every scale, coarsest first, for pictures of a size; default the photo's."""
        own_height, own_width = self.image.shape[-2:]
        tall, wide = (height or own_height) / own_height, (width or own_width) / own_width
        return [(max(1, round(h * tall)), max(1, round(w * wide))) for h, w in self.pyramid.sizes]

    @torch.no_grad()
    def sample(
        self, count: int = 1, *, height: int | None = None, width: int | None = None, from_scale: int | None = None,
        seed: int = 0,
    ) -> Tensor:  # fmt: skip
        """Random pictures that look like the photo: (count, 3, height, width).

        Args:
            height, width: default the photo's.
            from_scale: everything coarser than this stays as in the photo; default `coarsest`, nothing stays.
        """
        start = self._place(self.coarsest if from_scale is None else from_scale)
        sizes = self.sizes(height, width)
        below = shrunk(self.image[None], sizes[start - 1]).expand(count, -1, -1, -1) if start else None
        return self._draw(count, start, below, sizes, seed)

    def reconstruct(self) -> Tensor:
        """The photo, from z*: (3, H, W)."""
        rebuilt = self.pyramid.rebuild()
        if rebuilt is None:
            raise SinGANError("No scale is trained yet; train at least one.")
        return rebuilt[0].clamp(-1, 1)

    def paint_to_image(self, picture: Tensor, scale: int | None = None, *, seed: int = 0, count: int = 1) -> Tensor:
        """Turn a rough painting into something like the photo: (count, 3, height, width) of the painting's size.

        The painting is reduced to the size of the scale below and enters as if that scale had made it. Entered at a
        coarse scale little but its colours and their places survive, at a fine one its shapes and its flatness.

        Args:
            picture: (3, height, width), in the colours of the photo.
            scale: where it enters; default two finer than the coarsest, one of the paper's two choices.
        """
        check_picture(picture)
        start = self._place(max(0, self.coarsest - 2) if scale is None else scale)
        if start == 0:
            raise SinGANError(f"Scale {self.coarsest} starts from noise alone; choose one below it, as in scale=1.")
        sizes = self.sizes(*picture.shape[-2:])
        below = shrunk(picture[None].to(self.image), sizes[start - 1]).expand(count, -1, -1, -1)
        return self._draw(count, start, below, sizes, seed)

    def edit(
        self, picture: Tensor, scale: int | None = None, mask: Tensor | None = None, *, grow: float = 0.08,
        feather: float = 0.08, seed: int = 0,
    ) -> Tensor:  # fmt: skip
        """Mend an edited photo (cut, pasted, moved): what looks pasted becomes texture of the photo. (3, h, w).

        Args:
            picture: (3, h, w), the photo with the edit.
            scale: where it enters; default as for `paint_to_image`.
            mask: (h, w), true where the edit is: the rest stays as it is in `picture`. None keeps nothing.
            grow: how far round the mask may be repainted, as a share of the long side.
            feather: width of the soft rim after that, as a share of the long side.
        """
        made = self.paint_to_image(picture, scale, seed=seed)[0]
        if mask is None:
            return made
        if mask.shape != picture.shape[-2:]:
            raise SinGANError(f"The mask is {tuple(mask.shape)}, the picture {tuple(picture.shape[-2:])}; fit them.")
        side = max(picture.shape[-2:])
        return torch.lerp(picture.to(made), made, soft_mask(mask.to(made.device), grow * side, feather * side))

    def harmonise(self, picture: Tensor, mask: Tensor, scale: int = 2, *, seed: int = 0) -> Tensor:
        """Give a pasted object the photo's colours and texture, and keep its shape: `edit` at a fine scale."""
        return self.edit(picture, scale, mask, grow=0.03, feather=0.04, seed=seed)

    def train_enlarger(
        self, rounds: int | None = None, *, on_round: Callback | Sequence[Callback] = ()
    ) -> History:  # fmt: skip
        """Train the one generator that `super_resolve` plays; default a third of the rounds of the coarsest scale."""
        image = self.image[None]
        chosen = enlarging(self.config, rounds)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            game = EnlargingScale(image, chosen, generator=seeded(self.seed))
        history = _play(game, image, self.runtime, None, False, on_round)
        self.enlarger = game.G.eval().requires_grad_(False)
        return history

    def super_resolve(self, factor: float = 4.0, picture: Tensor | None = None) -> Tensor:
        """Enlarge by playing the enlarger again and again, each time on a slightly larger picture.

        Args:
            factor: of both sides.
            picture: (3, h, w); default the photo.

        Raises:
            SinGANError: there is no enlarger yet, or the factor is out of range.
        """
        if self.enlarger is None:
            raise SinGANError("This SinGAN has no enlarger; train one with singan.train_enlarger().")
        if not 1 < factor <= 16:
            raise SinGANError(f"A picture can be enlarged by more than 1 and at most 16 times, not by {factor}.")
        picture = self.image if picture is None else picture
        check_picture(picture)
        with self.runtime.autocast():
            return enlarge(self.enlarger, picture[None].to(self.image), factor, self.config.factor)[0]

    def save(self, path: str | Path, *, metrics: dict[str, float] | None = None, data: str = "") -> None:
        """Write pyramid, z* and photo to one safetensors file with a JSON card."""
        card = weights_card(
            config=self.config, seed=self.seed, data=data, metrics=metrics or {},
            device=device_name(self.runtime.device), seconds=sum(history.seconds for history in self.histories),
        )  # fmt: skip
        card["sizes"] = [list(size) for size in self.pyramid.sizes]
        card["enlarger"] = self.enlarger is not None
        save_weights(path, _Stored(self.pyramid, self.image, self.enlarger), card)

    @classmethod
    def load(cls, path: str | Path, *, runtime: Runtime | None = None) -> SinGAN:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing, damaged or holds something else.
        """
        runtime, card = runtime or Runtime.detect(), read_card(path)
        try:
            config, seed = SinGANConfig(**card["config"]), int(card["seed"])
            pyramid = Pyramid([(h, w) for h, w in card["sizes"]])
            for place in range(len(pyramid.sizes)):
                pyramid.add(config.scale_generator(place), torch.zeros(()))
            enlarger = config.scale_generator(0).eval().requires_grad_(False) if card["enlarger"] else None
            stored = _Stored(pyramid, torch.zeros(3, *pyramid.sizes[-1]), enlarger)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} is no SinGAN ({error}); make one with `python -m lib train singan`."
            ) from error
        load_weights(path, stored)
        stored.to(runtime.device)
        return cls(stored.pyramid, stored.image, config, runtime=runtime, seed=seed, enlarger=enlarger)

    def _place(self, scale: int) -> int:
        """Where a scale of the paper's numbering stands when one counts from the coarsest."""
        if not 0 <= scale <= self.coarsest:
            raise SinGANError(f"There is no scale {scale}; they run from 0, the finest, to {self.coarsest}.")
        return self.coarsest - scale

    def _draw(self, count: int, start: int, below: Tensor | None, sizes: list[Size], seed: int) -> Tensor:
        with torch.no_grad(), self.runtime.autocast():
            made = self.pyramid.draw(count, generator=seeded(_DRAWS + seed), start=start, below=below, sizes=sizes)
        assert made is not None
        return made.float().clamp(-1, 1)


def soft_mask(mask: Tensor, grow: float, feather: float) -> Tensor:
    """1 within `grow` px of the mask, falling to 0 over `feather` px: (h, w) bool -> (h, w) float."""
    inside = mask.bool()
    if not bool(inside.any()):
        raise SinGANError("The mask is empty; mark the pixels that were edited.")
    distance = _distance(inside)
    return (1 - (distance - grow) / max(feather, 1e-6)).clamp(0, 1)


def check_picture(picture: Tensor) -> None:
    """Raise unless a picture can enter the pyramid."""
    if picture.ndim != 3 or picture.shape[0] != 3 or not picture.is_floating_point():
        raise SinGANError(f"A picture must be floating point (3, height, width), not {tuple(picture.shape)}.")
    if not bool(torch.isfinite(picture).all()):
        raise SinGANError("The picture holds NaN or infinite values; read it again with read_image.")


class _Stored(nn.Module):
    """What a saved SinGAN consists of."""

    image: Tensor

    def __init__(self, pyramid: Pyramid, image: Tensor, enlarger: ScaleGenerator | None) -> None:
        super().__init__()
        self.pyramid, self.enlarger = pyramid, enlarger
        self.register_buffer("image", image)


def _distance(inside: Tensor) -> Tensor:
    """Distance in px from each pixel to the nearest one inside."""
    return torch.from_numpy(ndimage.distance_transform_edt(~inside.cpu().numpy())).to(inside.device, torch.float32)


def _photo(image: Tensor, config: SinGANConfig) -> Tensor:
    """The photo as (1, 3, h, w), no larger than the config asks."""
    check_picture(image)
    height, width = image.shape[-2:]
    share = min(1.0, config.side / max(height, width))
    size = round(height * share), round(width * share)
    if min(size) < config.least:
        raise SinGANError(
            f"The photo would have {size[1]} x {size[0]} px, but the coarsest scale alone has a short side of "
            f"{config.least} px; take a larger photo, or one closer to a square."
        )
    return shrunk(image[None].float(), size)


def _next_scale(
    pyramid: Pyramid, image: Tensor, config: SinGANConfig, previous: SinGANScale | None, *, seed: int
) -> SinGANScale:  # fmt: skip
    """The game of the next scale before its first round; the same seed gives the same weights, whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        game = SinGANScale(pyramid, image, config, generator=seeded(seed))
    if previous is not None:
        game.begin_from(previous)
    return game


def _play(
    game: SinGANScale, image: Tensor, runtime: Runtime, folder: Path | None, resume: bool,
    on_round: Callback | Sequence[Callback],
) -> History:  # fmt: skip
    """Train one scale; where its checkpoint is finished already, that is only read."""
    runtime.place(game)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Nothing is left to play")
        return play(
            game, Repeat({"image": runtime.place(image)}), game.config.rounds_at(game.place),
            optimisers=game.config.optimisers(), schedule=game.config.learning_rate, runtime=runtime,
            checkpoint=None if folder is None else folder / f"scale_{game.place:02d}.safetensors", resume=resume,
            on_round=on_round,
        )  # fmt: skip


def _folder(folder: Path, photo: Tensor, config: SinGANConfig, seed: int, *, resume: bool) -> Path:
    """Make sure that a folder of checkpoints belongs to this training."""
    digest = hashlib.sha256(photo.cpu().numpy().tobytes()).hexdigest()
    facts: dict[str, Any] = {"photo": digest, "config": asdict(config), "seed": seed}
    card = folder / "training.json"
    if resume and card.is_file():
        known = json.loads(card.read_text(encoding="utf-8"))
        wrong = [name for name, value in facts.items() if known.get(name) != value]
        if wrong:
            raise CheckpointError(
                f"{folder} holds a training with another {' and '.join(wrong)}; choose another folder, or start anew "
                "there with resume=False."
            )
        return folder
    for stale in folder.glob("scale_*.safetensors"):
        stale.unlink()  # a later resume would take it for ours
    write_atomically(card, (json.dumps(facts, indent=1) + "\n").encode())
    return folder
