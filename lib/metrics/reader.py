"""A reader: the network that says what is in a picture of a world, and with which features.

A world knows the attributes of every picture that it draws; a generator's picture has none. The reader puts them
back: it was trained on the world alone, never together with a generator, so it is an independent witness of
whether a face is smiling, which digit was written, or where the eyes look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.metrics.checks import MeasureError, as_rgb, check_images
from lib.metrics.judge_files import StoredJudge
from lib.nn.judges import ResidualTrunk

__all__ = ["AttributeReader", "ReaderConfig", "ReaderScores", "Reading", "load_reader"]

_LEAST_SHARE = 1e-6  # of the variance; below it a parameter does not vary and R2 has no meaning


@dataclass(frozen=True)
class ReaderConfig:
    """What a reader reads and how large it is."""

    name: str  # of the world
    attributes: Mapping[str, tuple[str, ...]]  # categorical attribute -> names of its values
    parameters: Mapping[str, int] = field(default_factory=dict)  # continuous parameter -> its length
    size: int = 64  # side to which pictures are brought, a power of two
    width: int = 24  # channels of the first stage
    features: int = 128  # length of the feature vector

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ReaderConfig:
        """The config that a card holds."""
        return cls(**{**values, "attributes": {key: tuple(names) for key, names in values["attributes"].items()}})


@dataclass(frozen=True)
class Reading:
    """What the reader says of a batch of pictures."""

    logits: dict[str, Tensor]  # attribute -> (B, K)
    parameters: dict[str, Tensor]  # parameter -> (B, length), in the world's own units

    def values(self) -> dict[str, Tensor]:
        """Attribute -> index of the likeliest value (B,); parameter -> its estimate (B, length)."""
        return {name: logits.argmax(dim=1) for name, logits in self.logits.items()} | self.parameters

    def probabilities(self, attribute: str) -> Tensor:
        """(B, K), rows that sum to 1."""
        return torch.softmax(self.logits[attribute].float(), dim=1)


@dataclass(frozen=True)
class ReaderScores:
    """How well a reader reads pictures whose truth is known."""

    accuracy: dict[str, float]  # attribute -> share of right answers
    r2: dict[str, float]  # parameter -> 1 - squared error / variance, over all of its components
    n: int  # pictures

    def __str__(self) -> str:
        parts = [f"{name} {value:.1%}" for name, value in self.accuracy.items()]
        parts += [f"{name} R2 {value:.2f}" for name, value in self.r2.items()]
        return f"{', '.join(parts)}; N = {self.n}"

    def as_metrics(self) -> dict[str, float]:
        """Flat, for a card."""
        return {f"accuracy/{k}": v for k, v in self.accuracy.items()} | {f"r2/{k}": v for k, v in self.r2.items()}


class AttributeReader(StoredJudge):
    """A residual network with one head for each attribute and one for each continuous parameter.

    Pictures of any size are brought to the reader's own. Train it with `lib.games.reader_train.train_reader`.

    Args:
        config: what to read.
    """

    kind = "reader"
    config_type = ReaderConfig
    config: ReaderConfig

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config, self.name = config, config.name
        self.trunk = ResidualTrunk(config.size, width=config.width, features=config.features)
        self.heads = nn.ModuleDict({k: nn.Linear(config.features, len(v)) for k, v in config.attributes.items()})
        self.dials = nn.ModuleDict({k: nn.Linear(config.features, n) for k, n in config.parameters.items()})
        for name, length in config.parameters.items():  # the dials answer in units of the training set's deviation
            self.register_buffer(f"{name}_mean", torch.zeros(length))
            self.register_buffer(f"{name}_std", torch.ones(length))

    def unit(self, parameter: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a parameter over the training set, each (length,)."""
        mean, std = getattr(self, f"{parameter}_mean"), getattr(self, f"{parameter}_std")
        assert isinstance(mean, Tensor) and isinstance(std, Tensor)
        return mean, std

    def features(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] -> last hidden layer (B, features), at least 0."""
        side = self.config.size
        x = as_rgb(images)
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        vector: Tensor = self.trunk(x)
        return vector

    def forward(self, images: Tensor) -> Reading:
        """(B, 1 or 3, H, W) in [-1, 1] -> logits and parameters."""
        vector = self.features(images)
        logits = {name: head(vector).float() for name, head in self.heads.items()}
        parameters = {}
        for name, dial in self.dials.items():
            mean, std = self.unit(name)
            parameters[name] = dial(vector).float() * std + mean
        return Reading(logits, parameters)

    @torch.no_grad()
    def read(self, images: Tensor, *, batch: int = 256) -> Reading:
        """Read any number of pictures.

        Raises:
            MeasureError: another shape or range.
        """
        was_training = self.training
        self.eval()
        parts = [self(part) for part in check_images(images).split(batch)]
        self.train(was_training)
        return Reading(
            {name: torch.cat([part.logits[name] for part in parts]) for name in self.heads},
            {name: torch.cat([part.parameters[name] for part in parts]) for name in self.dials},
        )

    def scores(self, images: Tensor, truth: Mapping[str, Tensor], *, batch: int = 256) -> ReaderScores:
        """Accuracy of each attribute and R2 of each parameter that `truth` names.

        Raises:
            MeasureError: `truth` names nothing that this reader reads.
        """
        reading = self.read(images, batch=batch)
        answers = reading.values()
        known = [name for name in answers if name in truth]
        if not known:
            raise MeasureError(f"The reader of {self.name} reads {', '.join(answers)}, not {', '.join(truth)}.")
        accuracy = {
            name: float((answers[name] == truth[name]).float().mean()) for name in known if name in reading.logits
        }
        r2 = {name: _r2(answers[name], truth[name]) for name in known if name in reading.parameters}
        return ReaderScores(accuracy, r2, len(images))


def load_reader(world: str) -> AttributeReader:
    """The shipped reader of a world: ``faces``, ``facades``, ``street`` or ``digits``.

    Raises:
        CheckpointError: there is none; it is made by ``python -m lib train reader --world WORLD``.
    """
    return AttributeReader.shipped(world)


def _r2(answer: Tensor, truth: Tensor) -> float:
    answer, truth = answer.cpu().double(), truth.cpu().double().reshape(answer.shape)
    error = (answer - truth).square().sum()
    spread = (truth - truth.mean(dim=0)).square().sum()
    return float(1 - error / spread) if float(spread) > _LEAST_SHARE * truth.numel() else float("nan")
