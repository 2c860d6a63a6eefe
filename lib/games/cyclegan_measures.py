"""What chapter 5 measures: translations learned without pairs, scored with the pairs that the world holds back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.games.partner_measures import partner_scores
from lib.losses.cycle import cycle_loss
from lib.losses.perceptual import FeatureMaps
from lib.metrics.features import RandomConvFeatures
from lib.metrics.fidelity import kid
from lib.metrics.night import lamp_agreement, lit_share, matched_colours
from lib.metrics.reconstruction import psnr
from lib.metrics.segmentation_score import SceneParser, fcn_score

__all__ = ["decibels", "measure", "paired_scores", "references"]

Paint = Callable[[Tensor], Tensor]


def decibels(picture: Tensor, truth: Tensor) -> float:
    """Mean PSNR in dB of pictures in [-1, 1]."""
    return float(psnr(picture, truth, data_range=(-1.0, 1.0)).mean())


@torch.no_grad()
def measure(
    there: Paint, back: Paint, pictures: Mapping[str, Tensor], parser: SceneParser | None = None,
    maps: FeatureMaps | None = None, *, batch: int = 32,
) -> dict[str, float]:  # fmt: skip
    """Both translators on held-out pictures.

    Args:
        there: X -> Y, pictures (B, 3, H, W) in [-1, 1].
        back: Y -> X.
        pictures: ``A`` of X and ``B`` of Y; true pairs where ``A_labels`` and ``B_labels`` come with them.
        parser: reads the label maps of the pictures.
        maps: features for the likeness to the partner; see `paired_scores`.

    Returns:
        ``cycle/there``, ``cycle/back``: mean |F(G(x)) - x| and |G(F(y)) - y|. ``kid/there``, ``kid/back``: distance
        to the target domain, from two pictures of each on. For true pairs also those of `paired_scores`, by way
        (``psnr/there``), and ``lamps/rebuilt``, ``lamps/honest``: how well the windows of G(F(y)), and of G(x) of
        the true partner x, agree with those of y.
    """
    x, y = pictures["A"], pictures["B"]
    fake_y, fake_x = _all(there, x, batch), _all(back, y, batch)
    again_x, again_y = _all(back, fake_y, batch), _all(there, fake_x, batch)
    scores = {"cycle/there": float(cycle_loss(again_x, x)), "cycle/back": float(cycle_loss(again_y, y))}
    if min(len(x), len(y)) > 1:
        features = RandomConvFeatures()
        scores |= {"kid/there": kid(y, fake_y, features), "kid/back": kid(x, fake_x, features)}
    if "A_labels" not in pictures:
        return scores
    labels_x, labels_y = pictures["A_labels"], pictures["B_labels"]
    for way, fake, truth, labels in (("there", fake_y, y, labels_y), ("back", fake_x, x, labels_x)):
        scores |= {f"{key}/{way}": value for key, value in paired_scores(fake, truth, labels, parser, maps).items()}
    scores["lamps/rebuilt"] = lamp_agreement(again_y, y, labels_y)
    scores["lamps/honest"] = lamp_agreement(fake_y, y, labels_y)
    return scores


def paired_scores(
    fake: Tensor, truth: Tensor, labels: Tensor, parser: SceneParser | None = None, maps: FeatureMaps | None = None
) -> dict[str, float]:
    """Translations against their true partners.

    Args:
        labels: (B, H, W), of the partners.
        maps: features that judge the likeness; see `lib.games.partner_measures.partner_scores`.

    Returns:
        ``psnr`` (dB) and ``l1`` to the partner; ``lit``, the share of lit window pixels; with a parser ``miou`` and
        ``pixel``, how much of the partner's label map it reads in the translation; with maps ``strangeness`` and
        ``contours``, which blur cannot win.
    """
    scores = {"psnr": decibels(fake, truth), "l1": float((fake - truth).abs().mean()), "lit": lit_share(fake, labels)}
    if parser is not None:
        if parser.config.size != fake.shape[-1]:
            size = (parser.config.size, parser.config.size)
            fake = F.interpolate(fake, size=size, mode="bilinear", antialias=True).clamp(-1, 1)
            labels = F.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")[:, 0]
        found = fcn_score(parser, fake, labels.long(), classes=len(parser.config.classes))
        scores |= {"miou": found.miou, "pixel": found.pixel_accuracy}
    if maps is not None:
        near = partner_scores(fake, truth, maps)
        scores |= {name: near[name] for name in ("strangeness", "contours")}
    return scores


def references(
    pictures: Mapping[str, Tensor], unpaired: Mapping[str, Tensor], parser: SceneParser | None = None
) -> dict[str, dict[str, float]]:
    """The trivial competitors and the truth, as `measure` scores them, without ``lamps``.

    Args:
        pictures: true pairs.
        unpaired: ``A`` and ``B`` as a training sees them, for the colours.
    """
    ways: dict[str, tuple[Paint, Paint]] = {
        "copy": (lambda x: x, lambda y: y),
        "colours matched": (
            lambda x: matched_colours(x, unpaired["A"], unpaired["B"]),
            lambda y: matched_colours(y, unpaired["B"], unpaired["A"]),
        ),
    }
    rows = {name: measure(there, back, pictures, parser) for name, (there, back) in ways.items()}
    truth: dict[str, float] = {}
    for way, name in (("there", "B"), ("back", "A")):
        scores = paired_scores(pictures[name], pictures[name], pictures[f"{name}_labels"], parser)
        truth |= {f"{key}/{way}": value for key, value in scores.items() if key not in ("psnr", "l1")}
    return {**rows, "truth": truth}


def _all(paint: Paint, pictures: Tensor, batch: int) -> Tensor:
    return torch.cat([paint(part).to(pictures.device) for part in pictures.split(batch)])
