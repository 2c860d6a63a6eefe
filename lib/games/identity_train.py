"""``python -m lib train identity``: the face-identity networks, DIAT's phi and the witness who measures.

    L = mean_i -log softmax_j(cos(e(x_i), e(x'_j)) / tau)_i        x_i, x'_i: the same person in two pictures

and the same from x' to x (N-pair loss, Sohn 2016, with cosines). VGG-Face learned to name 2622 people; here people
are drawn, so there are always new ones, and finding the other picture of the same person needs no names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.data.person_pairs import PersonPairs, people_pictures
from lib.games.game import Game, Turn
from lib.games.judge_train import JudgeCommand, Schooling, judge_card, school
from lib.games.reading import mirrored, roughened
from lib.metrics.identity import FaceIdentifier, IdentifierConfig, IdentityScores, identity_scores
from lib.runtime import Runtime
from lib.training.history import History
from lib.training.live import ProgressPrinter
from lib.training.streams import Stream

__all__ = ["CONFIGS", "IdentityCommand", "PersonMatching", "main", "matching_loss", "train_identifier", "unseen_people"]

_EACH = 8  # pictures of each person
_TEST_PEOPLE = 256
_WITNESS_SEED = 1000  # its people are others than phi's

CONFIGS: dict[str, IdentifierConfig] = {
    "faces": IdentifierConfig("faces", size=32, width=24),
    "faces_witness": IdentifierConfig("faces_witness", size=32, width=20, features=96),
}
"""Name -> size of the two networks; they differ, so that a trick against one need not fool the other."""


class PersonMatching(Game):
    """One player: each picture must find the other picture of its person among those of the whole batch.

    Args:
        identifier: an untrained one.
        generator: roughens and mirrors the pictures.
        share: of the pictures that suffer each change.
        temperature: tau.
    """

    players: ClassVar = {"identifier": ("identifier",)}

    def __init__(
        self, identifier: FaceIdentifier, *, generator: torch.Generator, share: float = 0.3, temperature: float = 0.1
    ) -> None:
        super().__init__()
        self.identifier, self.generator, self.share, self.temperature = identifier, generator, share, temperature

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One turn: the cross-entropy of the matching, in both directions."""
        both = mirrored({"image": torch.cat([batch["image"], batch["again"]])}, (), self.generator)["image"]
        first, second = self.identifier(roughened(both, self.generator, share=self.share)).chunk(2)
        yield Turn("identifier", match=matching_loss(first @ second.T, self.temperature))


@equation("7.2", tests="tests/equations/test_diat_dtn.py::test_matching_by_hand")
def matching_loss(cosine: Tensor, temperature: float) -> Tensor:
    """Symmetric cross-entropy of similarities (B, B), whose diagonal holds the true pairs; about log B by chance."""
    logits, own = cosine / temperature, torch.arange(len(cosine), device=cosine.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def train_identifier(
    config: IdentifierConfig, stream: Stream, schooling: Schooling, *, runtime: Runtime | None = None
) -> tuple[FaceIdentifier, History]:
    """Train on batches with ``image`` and ``again``; see `lib.games.judge_train.school`."""

    def game(identifier: FaceIdentifier, generator: torch.Generator) -> PersonMatching:
        return PersonMatching(identifier, generator=generator)

    return school(lambda: FaceIdentifier(config), game, stream, schooling, runtime)


def unseen_people(identifier: FaceIdentifier, *, people: int = _TEST_PEOPLE) -> IdentityScores:
    """How well people of the test split are recognised in a second picture."""
    pictures = people_pictures(people, 2, identifier.config.size, split="test").float() / 127.5 - 1
    pictures = pictures.to(next(identifier.parameters()).device)
    return identity_scores(identifier, pictures[:, 0], pictures[:, 1])


@dataclass(frozen=True, kw_only=True)
class IdentityCommand(JudgeCommand):
    """Train a network that recognises people; write its weights and its card with the scores on unseen people."""

    world: Literal["faces", "faces_witness"] = "faces"
    """faces: the network of DIAT's identity loss; faces_witness: the one that measures"""


def main(config: IdentityCommand) -> int:
    """Run the command."""
    chosen, runtime = CONFIGS[config.world], Runtime.detect(config.device)
    seed = config.seed + (_WITNESS_SEED if config.world == "faces_witness" else 0)
    people = max(config.pictures // _EACH, config.batch)
    pictures = people_pictures(people, _EACH, chosen.size, seed=seed, device=runtime.device)
    schooling = Schooling(
        config.rounds, lr=2e-3, seed=seed, budget_s=config.budget_s,
        on_round=ProgressPrinter(title=f"identity of {config.world}"),
    )  # fmt: skip
    stream = PersonPairs(pictures, batch=config.batch, seed=seed)
    identifier, history = train_identifier(chosen, stream, schooling, runtime=runtime)
    scores = unseen_people(identifier)
    card = judge_card(
        config, history, runtime,
        data=f"{people} people of the face world, {_EACH} pictures of each; scores on {scores.n} unseen people",
        metrics=scores.as_metrics(),
    )  # fmt: skip
    identifier.save(config.out / f"identity_{config.world}.safetensors", card)
    print(scores)
    return 0
