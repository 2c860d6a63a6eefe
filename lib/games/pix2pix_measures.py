"""How good is a picture painted from a condition? The measures of chapter 4, and who has to be beaten."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.worlds.world import one_hot
from lib.games.pix2pix import Pix2Pix, pixel_loss
from lib.games.translator import Translator
from lib.metrics.features import Features
from lib.metrics.fidelity import kid
from lib.metrics.reconstruction import psnr
from lib.metrics.segmentation_score import SceneParser, fcn_score
from lib.metrics.translation import sharpness

__all__ = ["blurred", "competitors", "d_accuracy", "measure", "picture_scores"]

_NEIGHBOURS = 16  # px, side of the grid on which label maps are compared


@torch.no_grad()
def measure(
    translator: Translator, pairs: Mapping[str, Tensor], parser: SceneParser | None = None,
    features: Features | None = None, *, batch: int = 32,
) -> dict[str, float]:  # fmt: skip
    """The scores of a translator on held-out pairs; see `picture_scores`. With a parser also ``ceiling/…``.

    Args:
        pairs: what `lib.games.pix2pix_train.held_out_pairs` gave.
        batch: pictures painted at once.
    """
    fake = torch.cat([translator.paint(x) for x in pairs["condition"].split(batch)])
    scores = picture_scores(fake, pairs, parser, features)
    if parser is not None:
        scores |= {f"ceiling/{key}": value for key, value in _fcn(parser, pairs["image"], pairs["labels"]).items()}
    return scores


@torch.no_grad()
def picture_scores(
    fake: Tensor, pairs: Mapping[str, Tensor], parser: SceneParser | None = None, features: Features | None = None
) -> dict[str, float]:
    """How near pictures are to the truth, how sharp, how like true pictures, and how well their layout is read.

    Args:
        fake: (B, 3, H, W) in [-1, 1], one for each pair.
        pairs: ``image`` and, for the FCN-score, ``labels``.
        parser: reads label maps; it took no part in the training.
        features: where the kernel distance is measured.

    Returns:
        ``l1`` and ``psnr`` (dB, at most 100) to the truth; ``sharpness``, gradient energy over that of the truth;
        with a parser ``fcn/pixel``, ``fcn/class`` and ``fcn/miou``; with features ``kid``.
    """
    truth = pairs["image"]
    fake = fake.to(truth.device)
    everywhere = torch.ones_like(truth[:, 0], dtype=torch.bool)
    scores = {
        "l1": float(pixel_loss(fake, truth)),
        # JSON has no infinity, which is the PSNR of the truth itself.
        "psnr": float(psnr(fake, truth, data_range=(-1.0, 1.0)).clamp(max=100.0).mean()),
        "sharpness": sharpness(fake, truth, everywhere),
    }
    if features is not None:
        scores["kid"] = kid(truth.cpu(), fake.cpu(), features)
    if parser is not None:
        scores |= {f"fcn/{key}": value for key, value in _fcn(parser, fake, pairs["labels"]).items()}
    return scores


@torch.no_grad()
def competitors(train: Mapping[str, Tensor], pairs: Mapping[str, Tensor], classes: int) -> dict[str, Tensor]:
    """What can be painted without any network: name -> pictures (B, 3, H, W) for the held-out pairs.

    Args:
        train: ``image`` and ``labels`` of the pictures that a network learns from.
        pairs: held-out ``labels`` to paint.

    Returns:
        "mean picture", the same for all; "class colours", every class in its mean colour; "nearest neighbour", the
        training picture whose label map agrees best (and which is sharp and true, but of another house).
    """
    image, labels = train["image"], pairs["labels"]
    masks = one_hot(train["labels"], classes)
    colours = torch.einsum("bkhw,bchw->kc", masks, image) / masks.sum(dim=(0, 2, 3)).clamp_min(1)[:, None]
    # Overlap of coarse one-hot maps: an exact pixel count would need every pair of full maps.
    here, there = (F.adaptive_avg_pool2d(one_hot(maps, classes), _NEIGHBOURS).flatten(1)
                   for maps in (labels, train["labels"]))  # fmt: skip
    return {
        "mean picture": image.mean(dim=0, keepdim=True).expand(len(labels), -1, -1, -1),
        "class colours": torch.einsum("bkhw,kc->bchw", one_hot(labels, classes), colours),
        "nearest neighbour": image[torch.cdist(here, there).argmin(dim=1)],
    }


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Pictures (B, 3, H, W) behind a Gaussian blur of `sigma` px: is a measure blind to it?"""
    reach = int(3 * sigma + 0.5)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    for axis in ((0, 0, reach, reach), (reach, reach, 0, 0)):
        shaped = kernel[..., None] if axis[2] else kernel[..., None, :]
        images = F.conv2d(F.pad(images, axis, mode="replicate"), shaped, groups=3)
    return images


@torch.no_grad()
def d_accuracy(game: Pix2Pix, pairs: Mapping[str, Tensor], *, batch: int = 32) -> float:
    """Share of the patches of held-out pairs, true and painted, that D calls rightly; 1/2 is guessing."""
    right = []
    for x, y in zip(pairs["condition"].split(batch), pairs["image"].split(batch), strict=True):
        right += [(game.judge(x, y) > 0).float().mean(), (game.judge(x, game.paint(x)) < 0).float().mean()]
    return float(torch.stack(right).mean())


def _fcn(parser: SceneParser, pictures: Tensor, labels: Tensor) -> dict[str, float]:
    """FCN-score at the size that the parser was trained on, as the paper's."""
    size = parser.config.size
    if pictures.shape[-1] != size:
        pictures = F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True).clamp(-1, 1)
        labels = F.interpolate(labels[:, None].float(), size=(size, size), mode="nearest-exact")[:, 0]
    score = fcn_score(parser, pictures.cpu(), labels.cpu().long(), classes=len(parser.config.classes))
    return {"pixel": score.pixel_accuracy, "class": score.class_accuracy, "miou": score.miou}
