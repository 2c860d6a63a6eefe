"""Who is it? A network that recognises the people of the face world, whatever they wear and wherever they look.

It stands where DIAT has VGG-Face (Parkhi et al. 2015), a classifier of 2622 celebrities that cannot be shipped. The
book keeps two of them: ``faces``, whose feature maps trainings may use, and ``faces_witness``, of another size, seed
and set of people, which only measures. A network that took part in a training is no judge of what came out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.metrics.checks import MeasureError, as_rgb, check_images
from lib.metrics.judge_files import StoredJudge
from lib.nn.judges import ResidualTrunk

__all__ = ["FaceIdentifier", "IdentifierConfig", "IdentityScores", "identity_scores", "load_identifier"]


@dataclass(frozen=True)
class IdentifierConfig:
    """How large the network is."""

    name: str = "faces"  # of the file
    size: int = 64  # side to which pictures are brought, a power of two
    width: int = 16  # channels of the trunk's first stage
    features: int = 128  # length of the trunk's vector
    code: int = 64  # length of the unit vector that stands for a person

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> IdentifierConfig:
        """The config that a card holds."""
        return cls(**values)


@dataclass(frozen=True)
class IdentityScores:
    """How well people were kept, picture by picture."""

    same: float  # mean cosine between a picture and its own partner
    other: float  # mean cosine between a picture and the partners of the others: the floor of `same`
    rank1: float  # share of pictures whose most similar partner is their own; chance is 1 / n
    n: int

    def as_metrics(self) -> dict[str, float]:
        """Flat, for a card."""
        return {"identity/same": self.same, "identity/other": self.other, "identity/rank1": self.rank1}


class FaceIdentifier(StoredJudge):
    """Pictures (B, 3, H, W) in [-1, 1] -> unit vectors (B, code), alike for the same person.

    The feature maps that DIAT compares are those of ``trunk``; see `lib.losses.perceptual.FeatureMaps`.

    Args:
        config: how large.
    """

    kind = "identity"
    config_type = IdentifierConfig
    config: IdentifierConfig

    def __init__(self, config: IdentifierConfig) -> None:
        super().__init__()
        self.config, self.name = config, config.name
        self.trunk = ResidualTrunk(config.size, width=config.width, features=config.features)
        self.project = nn.Linear(config.features, config.code)

    def features(self, images: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) in [-1, 1] -> last hidden layer (B, features)."""
        side, x = self.config.size, as_rgb(images)
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        vector: Tensor = self.trunk(x)
        return vector

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(self.project(self.features(images)).float(), dim=1)

    @torch.no_grad()
    def codes(self, images: Tensor, *, batch: int = 256) -> Tensor:
        """Unit vectors of any number of pictures, in evaluation mode.

        Raises:
            MeasureError: another shape or range.
        """
        was_training = self.training
        self.eval()
        found = torch.cat([self(part) for part in check_images(images).split(batch)])
        self.train(was_training)
        return found


def identity_scores(identifier: FaceIdentifier, pictures: Tensor, partners: Tensor) -> IdentityScores:
    """Are row i of both sets the same person? ``pictures`` may be translations and ``partners`` their originals.

    Raises:
        MeasureError: other numbers of pictures, or fewer than two.
    """
    if len(pictures) != len(partners) or len(pictures) < 2:
        raise MeasureError(f"Identity needs at least two pairs, not {len(pictures)} and {len(partners)} pictures.")
    cosine = identifier.codes(pictures) @ identifier.codes(partners).T
    own, count = cosine.diagonal(), len(pictures)
    others = (cosine.sum() - own.sum()) / (count * (count - 1))
    hit = cosine.argmax(dim=1) == torch.arange(count, device=cosine.device)
    return IdentityScores(float(own.mean()), float(others), float(hit.double().mean()), count)


def load_identifier(name: str = "faces") -> FaceIdentifier:
    """The shipped network: ``faces`` for losses, ``faces_witness`` for measures.

    Raises:
        CheckpointError: there is none; it is made by ``python -m lib train identity --world NAME``.
    """
    return FaceIdentifier.shipped(name)
