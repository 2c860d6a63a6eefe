"""Single-image Fréchet distance in stated features (SinGAN, ICCV 2019, section 4; SIFID).

SinGAN compares the Inception features of two *single* images, one vector per position. Inception weights need
a download, so the features here are a fixed random convolution pyramid or the principal components of the
source's patches. Both see texture and sharpness, neither knows objects. **Values are not comparable with
SIFID in Inception features**, nor between the two kinds; compare rows of one table only.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.losses.patches import extract_patches

Features = Literal["random-conv", "patch-pca"]


class RandomPyramid(nn.Module):
    """Fixed random features: two 3x3 convolutions at full resolution, one more at half.

    Half of the first filters have zero mean over their window, so that those see texture only.
    """

    def __init__(self, seed: int = 0, channels: int = 32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for name, fan_in in (("first", 3), ("second", channels), ("third", channels)):
            weight = torch.randn(channels, fan_in, 3, 3, generator=generator) * (2 / (9 * fan_in)) ** 0.5
            if name == "first":
                weight[: channels // 2] -= weight[: channels // 2].mean(dim=(2, 3), keepdim=True)
            self.register_buffer(name, weight)
        self.first: Tensor
        self.second: Tensor
        self.third: Tensor

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, h*w, 2*channels), one vector per position of the half-resolution map."""
        x = F.leaky_relu(F.conv2d(image.float(), self.first), 0.2)
        fine = F.avg_pool2d(F.leaky_relu(F.conv2d(x, self.second), 0.2), 2)
        coarse = F.leaky_relu(F.conv2d(fine, self.third), 0.2)
        return torch.cat([fine[..., 1:-1, 1:-1], coarse], dim=1).flatten(2).transpose(1, 2)


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """Squared Fréchet (2-Wasserstein) distance between two Gaussians, in float64.

        d^2 = ||mu_a - mu_b||^2 + Tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)

    The symmetric product keeps every eigenvalue real, so nothing imaginary has to be dropped.

    Args:
        mean_a, mean_b: (D,).
        cov_a, cov_b: (D, D), symmetric positive semidefinite.

    Returns:
        Scalar float64, >= 0.
    """
    mean_a, cov_a, mean_b, cov_b = (t.double() for t in (mean_a, cov_a, mean_b, cov_b))
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    distance: Tensor = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return distance.clamp_min(0)


def gaussian_moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and unbiased covariance (D, D) of rows (N, D), in float64.

    Raises:
        ValueError: fewer than two rows.
    """
    if rows.ndim != 2 or rows.shape[0] < 2:
        raise ValueError(f"A covariance needs at least two rows (N, D), got shape {tuple(rows.shape)}.")
    rows = rows.double()
    mean = rows.mean(dim=0)
    centred = rows - mean
    return mean, centred.T @ centred / (rows.shape[0] - 1)


def sifid(output: Tensor, source: Tensor, features: Features = "random-conv", *, seed: int = 0) -> float:
    """Fréchet distance between the feature vectors of two single images; 0 for equal images.

    Args:
        output, source: (1, 3, H, W) in [-1, 1]; the sizes may differ.
        features: ``random-conv`` (64 values of ``RandomPyramid``) or ``patch-pca`` (the 24 leading principal
            components of the source's 7x7 patches).
        seed: of the random filters; part of the metric's name, so keep it within one table.

    Raises:
        ValueError: an unknown kind of features, or images smaller than the filters.
    """
    if features == "random-conv":
        extractor = RandomPyramid(seed).to(source.device)
        rows_out, rows_src = extractor(output)[0], extractor(source)[0]
    elif features == "patch-pca":
        rows_out, rows_src = _patch_pca(output, source)
    else:
        raise ValueError(f"Unknown features {features!r}; use 'random-conv' or 'patch-pca'.")
    return float(frechet_distance(*gaussian_moments(rows_out), *gaussian_moments(rows_src)))


def _patch_pca(output: Tensor, source: Tensor, size: int = 7, keep: int = 24) -> tuple[Tensor, Tensor]:
    """Scores of both images' patches on the principal components of the source's."""
    patches_out, patches_src = (extract_patches(t.float(), size, stride=2)[0] for t in (output, source))
    mean, covariance = gaussian_moments(patches_src)
    components = torch.linalg.eigh(covariance).eigenvectors[:, -keep:]  # eigenvalues ascend
    return (patches_out.double() - mean) @ components, (patches_src.double() - mean) @ components
