"""What a SinGAN is asked: does it know the photo, does it say something new, and does that look like the photo?"""

from __future__ import annotations

import torch
from torch import Tensor

from lib.games.singan_model import SinGAN
from lib.metrics.appearance import patch_distances, sharpness_ratio
from lib.metrics.sifid import sifid

__all__ = ["diversity", "likeness", "measure"]


def diversity(samples: Tensor, photo: Tensor) -> float:
    """Standard deviation of a pixel over samples, over that of the photo's pixels (SinGAN, section 4).

    Both of the grey value; 0 for equal samples, about 1 where every sample shows another pixel of the photo.

    Args:
        samples: (N, 3, H, W), two or more.
        photo: (3, H, W).
    """
    spread = samples.mean(dim=1).std(dim=0, correction=0).mean()
    return float(spread / photo.mean(dim=0).std(correction=0))


def likeness(picture: Tensor, photo: Tensor) -> dict[str, float]:
    """``coherence`` and ``completeness`` at two levels, ``sharpness`` and ``sifid`` of pictures (3, h, w)."""
    made, true = picture[None].float().cpu(), photo[None].float().cpu()
    everything = [torch.ones(1, 1, *image.shape[-2:]) for image in (made, true)]
    row = patch_distances(made, true, levels=(1, 2))
    row["sharpness"] = sharpness_ratio(made, everything[0], true, everything[1])
    row["sifid"] = sifid(made, true)
    return row


def measure(singan: SinGAN, *, count: int = 8, seed: int = 1000) -> dict[str, float]:
    """``rebuild`` (RMSE), and for samples from the two coarsest scales ``diversity`` and the mean `likeness`.

    The numbers of samples from scale N - k are called ``N-k/…``.
    """
    photo = singan.image
    scores = {"rebuild": float((singan.reconstruct() - photo).square().mean().sqrt())}
    for steps in range(min(2, singan.coarsest + 1)):
        name = f"N-{steps}" if steps else "N"
        samples = singan.sample(count, from_scale=singan.coarsest - steps, seed=seed)
        rows = [likeness(sample, photo) for sample in samples]
        scores[f"{name}/diversity"] = diversity(samples, photo)
        scores |= {f"{name}/{key}": sum(row[key] for row in rows) / count for key in rows[0]}
    return scores
