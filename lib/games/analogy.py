"""Semantic image analogy: a conditional GAN trained on one photo and its layout (Li et al. 2020).

    players   D   tells true (photo, layout) pairs from painted ones
              S   reads the layout back from a photo
              G   paints I_tgt from I_src, P_src and P_tgt

    mode           terms of G
    warp, move     gan, features, matches, rebuild, patches, semantics
    reconstruct    gan, features, matches, rebuild, fixed_point

Chapter 12 derives the terms; `lib.data.single_photo` makes the analogies to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from lib.book.equations import equation
from lib.data.augment import WarpConfig
from lib.data.single_photo import StreamConfig
from lib.games.game import Game, Turn
from lib.losses.adversarial import feature_matching, lsgan_fake, lsgan_real
from lib.losses.analogy import correspondence, fixed_point, reconstruction, semantic_alignment
from lib.losses.patches import patch_coherence
from lib.nn.analogy_generator import AnalogyGenerator, Painting
from lib.nn.patchgan import PatchDiscriminator
from lib.nn.segmenter import Segmenter

__all__ = ["Analogy", "AnalogyConfig", "LossWeights"]


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of G; 0 switches a term off."""

    gan: float = 1.0  # least-squares GAN
    features: float = 1.0  # feature matching in D
    rebuild: float = 2.0  # L1 to the known target: at 1/4 size, so that it asks for colours, not for one texture
    rebuild_same: float = 5.0  # L1 at full size in reconstruction mode, where the texture is known
    patches: float = 2.0  # patch coherence
    semantics: float = 0.3  # semantic alignment through S
    matches: float = 0.2  # correspondence of cells
    fixed_point: float = 1.0  # gamma -> 1, beta -> 0 for equal layouts


@dataclass(frozen=True)
class AnalogyConfig:
    """Everything that is chosen before training."""

    side: int = 128  # long side of the photo, px
    rounds: int = 400  # rounds of training
    widths: tuple[int, ...] = (16, 32, 64, 96)  # image channels of G at scales 1, 1/2, 1/4, 1/8
    layout_widths: tuple[int, ...] = (16, 32, 64, 64, 64)  # channels of E_seg, down to scale 1/16
    residual_blocks: int = 2  # of G at its coarsest scale
    d_width: int = 32  # channels of D's first convolution
    s_width: int = 16  # channels of S's first convolution
    aligned: bool = True  # copy before painting; False is the paper's generator
    consensus: int = 2  # iterations of the consensus on matches while training
    lr: float = 1e-3  # Adam, all players; falls linearly over the second half
    ema: float = 0.99  # decay of the average generator that paints in the end
    patch_sizes: tuple[int, ...] = (5,)  # px, patches of the coherence term
    patch_levels: tuple[int, ...] = (1, 2)  # scales of the coherence term, 2 = half size
    patch_subset: int = 256  # output patches per round and scale that look for their match
    completeness: float = 0.0  # weight of the reverse direction: every photo patch should be found in the output
    weights: LossWeights = field(default_factory=LossWeights)  # of G's terms
    stream: StreamConfig = field(default_factory=StreamConfig)  # augmentation

    @classmethod
    def quick(cls) -> AnalogyConfig:
        """Minutes on two CPU cores."""
        return cls()

    @classmethod
    def full(cls) -> AnalogyConfig:
        """A GPU: 256 px, wider networks, more and larger batches."""
        return cls(
            side=256, rounds=4000, widths=(48, 96, 160, 224, 256), layout_widths=(32, 64, 96, 96, 96, 96),
            residual_blocks=4, d_width=64, s_width=48, ema=0.999, patch_subset=1024,
            stream=replace(StreamConfig(), batch=4),
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AnalogyConfig:
        """Rebuild a config from ``dataclasses.asdict`` of one, as a checkpoint's card holds it.

        Raises:
            TypeError: a field is unknown or missing.
        """
        stream = dict(values["stream"])
        stream["warp"] = WarpConfig(**stream["warp"])
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        fields |= {"weights": LossWeights(**values["weights"]), "stream": StreamConfig(**stream)}
        return cls(**fields)

    def learning_rate(self, progress: float) -> float:
        """Factor on ``lr``: 1 for the first half, then linearly down to 0.02."""
        return min(1.0, 2 * (1 - progress) + 0.02)


@equation("12.17", tests="tests/wiring/test_analogy_game.py::test_terms_of_each_mode")
class Analogy(Game):
    """The game on one photo.

    Args:
        classes: K of the photo's palette.
        config: sizes and weights.
        generator: randomness of the patch subset; default seeded with 0.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"D": ("D",), "S": ("S",), "G": ("G",)}

    def __init__(
        self, classes: int, config: AnalogyConfig | None = None, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        c = self.config = config or AnalogyConfig()
        self.G = AnalogyGenerator(
            classes, widths=c.widths, layout_widths=c.layout_widths, residual_blocks=c.residual_blocks,
            aligned=c.aligned,
        )  # fmt: skip
        self.D = PatchDiscriminator(classes, width=c.d_width)
        self.S = Segmenter(classes, width=c.s_width)
        self.generator = generator or torch.Generator().manual_seed(0)

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """One analogy: D learns, S learns, G paints better."""
        target, real_pair = batch["target_layout"], (batch["real_image"], batch["real_layout"])
        painting = self.G(batch["image"], batch["layout"], target, consensus=self.config.consensus)
        fake = painting.image
        yield Turn("D", real=lsgan_real(self.D(*real_pair)[0]), fake=lsgan_fake(self.D(fake.detach(), target)[0]))
        yield Turn("S", labels=semantic_alignment(self.S(batch["real_image"]), batch["real_layout"]))
        yield Turn("G", **self._wishes(batch, painting))

    def _wishes(self, batch: Mapping[str, Any], painting: Painting) -> dict[str, Tensor]:
        """G's weighted terms, in the order of the chapter."""
        w, fake, target, valid = self.config.weights, painting.image, batch["target_layout"], batch["valid"]
        same = batch["mode"] == "reconstruct"
        # Where the true picture is unknown, compare the fake with itself: no wish.
        truth = torch.lerp(fake.detach(), batch["target_image"], valid)
        logits, hidden = self.D(fake, target)
        with torch.no_grad():
            _, hidden_true = self.D(truth, target)
        terms: dict[str, tuple[float, Callable[[], Tensor]]] = {
            "gan": (w.gan, lambda: lsgan_real(logits)),
            "features": (w.features, lambda: feature_matching(hidden, hidden_true)),
            "matches": (w.matches, lambda: correspondence(painting.logits, batch["matches"])),
        }
        if same:
            terms["rebuild"] = (w.rebuild_same, lambda: reconstruction(fake, truth))
            terms["fixed_point"] = (w.fixed_point, lambda: fixed_point(painting.modulation))
        else:
            terms["rebuild"] = (w.rebuild, lambda: reconstruction(fake, truth, valid, scale=4))
            terms["patches"] = (w.patches, lambda: self._coherence(fake, batch))
            terms["semantics"] = (w.semantics, lambda: semantic_alignment(self.S(fake), target))
        return {name: weight * term() for name, (weight, term) in terms.items() if weight}

    def _coherence(self, fake: Tensor, batch: Mapping[str, Any]) -> Tensor:
        c = self.config
        return patch_coherence(
            fake, batch["image"], sizes=c.patch_sizes, levels=c.patch_levels, subset=c.patch_subset,
            completeness=c.completeness,
            generator=self.generator,
        )  # fmt: skip
