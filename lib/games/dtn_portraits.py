"""DTN's f for faces: it learns on portraits what a person looks like, and to look past the manner of painting.

The paper's is a face recogniser. Ours starts as the trunk of the book's reader of faces, gets a narrow code behind it,
and learns on: attributes and colours, of portraits half of which have lost their grain and their background. What no
answer needs does not fit through the code, and what only portraits have is no longer reliable; so an emoji, which f
never sees in training, gets nearly the code of its portrait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lib.data.portrait_lessons import COLOURS, portrait_lessons
from lib.data.shuffled import Shuffled
from lib.data.worlds.faces import Faces
from lib.games.dtn import DTNConfig
from lib.games.game import Turn
from lib.games.judge_train import Schooling, school
from lib.games.reading import WorldReading
from lib.metrics.reader import AttributeReader, ReaderConfig, load_reader
from lib.nn.dtn import PortraitEncoder
from lib.runtime import Runtime, seeded
from lib.training.history import History
from lib.training.play import Callback

__all__ = ["PortraitConcepts", "same_person", "train_portrait_concepts"]

_FLATTEST = 0.85  # how far a portrait goes towards its flat version at most: eyes stay eyes
_ROUGH = 0.3  # share of the pictures that are blurred, noisy, paler


class PortraitConcepts(WorldReading):
    """The game of f: read the lessons of `lib.data.portrait_lessons`. One player, ``reader``, whose trunk is f."""

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One turn: a mixture of each portrait and its flat version; half of the backgrounds in one random colour."""
        count, g = len(batch["image"]), self.generator
        image, flat = (batch[name].float() / 127.5 - 1 for name in ("image", "flat"))
        how, plain = torch.rand(2, count, 1, 1, 1, generator=g).to(image.device)
        paper = (torch.rand(count, 3, 1, 1, generator=g) * 2 - 1).to(image.device)
        image = torch.lerp(image, flat, (1.6 * how - 0.6).clamp(0, _FLATTEST))
        image = torch.where((plain < 0.5) & batch["ground"], paper, image)
        yield from super().round({**batch, "image": image})


def train_portrait_concepts(
    config: DTNConfig, lessons: Mapping[str, Tensor] | None = None, *, start: AttributeReader | None = None,
    seed: int = 0, runtime: Runtime | None = None, on_round: Callback | Sequence[Callback] = (),
) -> tuple[AttributeReader, History]:  # fmt: skip
    """f for faces, as the ``trunk`` of a frozen reader that answers from f's code, and its history.

    Args:
        lessons: default `lib.data.portrait_lessons.portrait_lessons` of the config.
        start: a reader of faces of the same size and width, whose trunk f goes on from; default the shipped one.

    Raises:
        CheckpointError: the reader of faces is not shipped.
    """
    runtime = runtime or Runtime.detect()
    start = start or load_reader("faces")
    lessons = portrait_lessons(config.f_pool, config.size, seed=seed + 1) if lessons is None else lessons
    data = {name: value.to(runtime.device) for name, value in lessons.items()}
    return school(
        lambda: _reader(config, start, lessons),
        lambda reader, generator: PortraitConcepts(reader, generator=generator, share=_ROUGH, mirror=()),
        Shuffled(data, batch=config.f_batch, generator=seeded(seed)),
        Schooling(config.f_rounds, config.f_lr, seed, on_round=on_round), runtime,
    )  # fmt: skip


@torch.no_grad()
def same_person(f: torch.nn.Module, portraits: Tensor, emoji: Tensor) -> float:
    """How often the code of a portrait (N, 3, S, S) is nearest to that of its own emoji among N; chance is 1 / N."""
    nearest = torch.cdist(f(portraits), f(emoji)).argmin(dim=1)
    return float((nearest == torch.arange(len(nearest), device=nearest.device)).double().mean())


def _reader(config: DTNConfig, start: AttributeReader, lessons: Mapping[str, Tensor]) -> AttributeReader:
    """A reader with an f in place of its trunk; the unit of a colour is its deviation among the lessons."""
    attributes = {name: Faces.attributes[name] for name in Faces.attributes if name in lessons}
    known, hidden = start.config, start.config.features
    reader = AttributeReader(
        ReaderConfig("faces", attributes, dict.fromkeys(COLOURS, 3), known.size, known.width, config.code)
    )
    f = PortraitEncoder(known.size, width=known.width, features=hidden, code=config.code)
    f.load_state_dict(start.trunk.state_dict(), strict=False)  # all but the narrow code, which is new
    reader.trunk = f
    for name in COLOURS:
        mean, std = reader.unit(name)
        mean.copy_(lessons[name].mean(dim=0))
        std.copy_(lessons[name].std(dim=0))
    return reader
