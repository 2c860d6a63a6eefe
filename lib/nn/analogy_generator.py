"""G, the generator of semantic image analogy: P_src => P_tgt :: I_src => I_tgt (Li et al. 2020).

    1. E_seg reads both layouts.                                              `LayoutEncoder`
    2. The source pair is copied to the target layout, cell by cell.          `LayoutMatcher`, `align`
    3. E_seg reads the layout of the copy; what still differs from the target
       becomes a scale and a shift at every level.                            `SFT`
    4. An encoder-decoder, modulated at every level, paints. A gate decides
       for each pixel between the copied photo and the new paint.             `AnalogyGenerator`

Steps 1, 3 and 4 are the paper's; step 2 and the gate are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.book.equations import equation
from lib.nn.alignment import Aligned, LayoutMatcher, align
from lib.nn.blocks import ConvBlock, ResidualBlock, zero_bias
from lib.nn.layout_encoder import LayoutEncoder
from lib.nn.sft import SFT, modulate


class SourceReading(NamedTuple):
    """What G reads in the source layout. It does not depend on the target, so an editor reads it once."""

    features: list[Tensor]  # of E_seg, finest first
    keys: Tensor  # (B, dim + 5 + K, S), what the matcher compares target cells with


class Painting(NamedTuple):
    """What one call of the generator gives."""

    image: Tensor  # (B, 3, H, W) in [-1, 1]
    modulation: list[tuple[Tensor, Tensor]]  # (gamma_img, beta_img) per level, finest first
    logits: Tensor  # (B, T, S) matches of target to source cells
    aligned: Aligned
    gate: Tensor  # (B, 1, H, W) in (0, 1): 0 copies, 1 paints


@equation("12.1", tests="tests/equations/test_analogy.py::test_generator")
class AnalogyGenerator(nn.Module):
    """(I_src, P_src, P_tgt) -> I_tgt for any two sizes that are multiples of 8, at least 32 px.

    Args:
        classes: K.
        widths: image channels at scales 1, 1/2, 1/4, ...
        layout_widths: channels of E_seg; one more level than ``widths`` or more (wider context to match).
        residual_blocks: at the coarsest image level.
        aligned: copy before painting. Without it the generator is the paper's: features of the unmoved
            source are modulated by F_tgt against F_src, every pixel is painted, and the sizes must be equal.
    """

    def __init__(
        self, classes: int, *, widths: Sequence[int], layout_widths: Sequence[int], residual_blocks: int,
        aligned: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.aligned = aligned
        self.encoder_seg = LayoutEncoder(classes, layout_widths)
        self.matcher = LayoutMatcher(classes, layout_widths)
        self.sft = nn.ModuleList(SFT(a, b) for a, b in zip(layout_widths, widths, strict=False))
        self.head = ConvBlock(3, widths[0], kernel=5)
        self.down = nn.ModuleList(ConvBlock(a, b, down=True) for a, b in pairwise(widths))
        self.bottom = nn.Sequential(*[ResidualBlock(widths[-1]) for _ in range(residual_blocks)])
        self.up = nn.ModuleList(ConvBlock(a + b, a) for a, b in pairwise(widths))
        self.tail = nn.Conv2d(widths[0], 4, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=0.02)
        zero_bias(self.tail)

    def read(self, source: Tensor) -> SourceReading:
        """Read a source layout (B, K, h, w) for `forward`; valid until the weights change."""
        features = self.encoder_seg(source)
        return SourceReading(features, self.matcher.keys(features, source))

    def forward(
        self, image: Tensor, source: Tensor, target: Tensor, *, consensus: int = 4, rest: float = 0.0,
        reading: SourceReading | None = None,
    ) -> Painting:  # fmt: skip
        """Paint the target layout with the source photo.

        Args:
            image: I_src (B, 3, h, w) in [-1, 1].
            source: P_src (B, K, h, w) one-hot.
            target: P_tgt (B, K, H, W) one-hot.
            consensus: iterations of the consensus on matches; fewer are faster.
            rest: nats by which unchanged ground prefers its own place; for edits of the source layout.
            reading: what `read` gave for ``source``, or for the one layout that all of a batch share.
        """
        features_source, keys = reading or self.read(source)
        features_target = self.encoder_seg(target)
        logits = self.matcher.match(self.matcher.queries(features_target, target), keys)
        if self.aligned:
            copy = align(logits, image, source, target, consensus=consensus, rest=rest)
            features_copy = self.encoder_seg(copy.layout)
        else:
            copy = _unmoved(image, source, target)
            features_copy = features_source
        modulation = [sft(s, t) for sft, s, t in zip(self.sft, features_copy, features_target, strict=False)]
        painted, gate = self._paint(copy.image, modulation)
        if not self.aligned:
            gate = torch.ones_like(gate)  # the paper paints every pixel
        return Painting(blend(copy.image, painted, gate), modulation, logits, copy, gate)

    def _paint(self, image: Tensor, modulation: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The U-Net of step 4, modulated after every encoder level and after every decoder level."""
        x = modulate(self.head(image), *modulation[0])
        skips = [x]
        for down, (gamma, beta) in zip(self.down, modulation[1:], strict=True):
            x = modulate(down(x), gamma, beta)
            skips.append(x)
        x = self.bottom(skips.pop())
        for up, skip, (gamma, beta) in zip(reversed(self.up), reversed(skips), reversed(modulation[:-1]), strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")  # then a convolution: no checkerboard
            x = modulate(up(torch.cat([x, skip], dim=1)), gamma, beta)
        colour, gate = self.tail(x).float().split([3, 1], dim=1)
        return torch.tanh(colour), torch.sigmoid(gate - 2)  # -2: start by copying


@equation("12.7", tests="tests/equations/test_analogy.py::test_blend")
def blend(copied: Tensor, painted: Tensor, gate: Tensor) -> Tensor:
    """(1 - m) * copied + m * painted, with the gate m in (0, 1) per pixel (12.7)."""
    return torch.lerp(copied, painted, gate)


def _unmoved(image: Tensor, source: Tensor, target: Tensor) -> Aligned:
    """The source pair where it is, for the generator without alignment."""
    if source.shape != target.shape:
        raise ValueError(
            f"Without alignment the source layout {tuple(source.shape)} and the target layout "
            f"{tuple(target.shape)} must have the same size; resize the target or use aligned=True."
        )
    return Aligned(image, source, image.new_zeros(0), image.new_zeros(0))
