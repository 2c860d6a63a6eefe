"""How far generated pictures are from real ones as sets: FID, KID, inception score, precision and recall.

Every function takes pictures and the `Features` to compare them in. With ``features=None`` the inputs are
feature vectors (N, D) already, so that a closed form can be checked on them.

None of these numbers means much alone. FID falls with the number of samples even where nothing changes, so it
is compared at one N only, beside its *floor*: the FID between two real sets of that N. See
`lib.metrics.sample_size` and `FidelityReport`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lib.book.equations import equation
from lib.metrics.checks import MeasureError, check_rows
from lib.metrics.features import Features, extract
from lib.metrics.sifid import frechet_distance, gaussian_moments

__all__ = [
    "FidelityReport",
    "PrecisionRecall",
    "Spread",
    "fid",
    "fidelity",
    "inception_score",
    "kid",
    "kid_of_subsets",
    "polynomial_mmd",
    "precision_recall",
    "rows_of",
]


class Spread(NamedTuple):
    """A mean over parts of the samples, and the standard deviation between the parts."""

    mean: float
    std: float


class PrecisionRecall(NamedTuple):
    """Precision: the share of fakes that look real. Recall: the share of real pictures that are covered."""

    precision: float
    recall: float


def rows_of(samples: Tensor, features: Features | None, *, least: int = 2, name: str = "samples") -> Tensor:
    """Feature vectors (N, D) in float64 of pictures, or of vectors that are given as they are."""
    return check_rows(samples if features is None else extract(samples, features), least, name)


@equation("2.16", tests="tests/equations/test_convergence.py::test_fid")
def fid(real: Tensor, fake: Tensor, features: Features | None = None) -> float:
    """Fréchet distance between Gaussians fitted to two sets (Heusel et al. 2017; there in Inception features).

        FID = ||mu_r - mu_g||^2 + Tr(C_r + C_g - 2 (C_r^1/2 C_g C_r^1/2)^1/2)

    The estimate is biased upwards by about c/N, so it is comparable at one N only. The closed form is ours
    (symmetric, float64); torchmetrics takes the eigenvalues of the product C_r C_g and drops their imaginary
    part. A test holds the two together.

    Args:
        real, fake: pictures (N, 1 or 3, H, W) in [-1, 1]; feature vectors (N, D) where `features` is None.

    Raises:
        MeasureError: fewer than two samples, another range, values that are not finite.
    """
    rows = rows_of(real, features, name="real samples"), rows_of(fake, features, name="fake samples")
    return _fid(*rows)


@equation("2.19", tests="tests/equations/test_convergence.py::test_polynomial_mmd")
def polynomial_mmd(a: Tensor, b: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy with the kernel k(x, y) = (x.y / D + 1)^3 (Bińkowski et al. 2018).

    The diagonals are left out, so the mean over samples of equal distributions is 0 and single values can be
    negative.

    Args:
        a, b: feature vectors (M, D) and (N, D), at least two each.

    Returns:
        Scalar, float64.
    """
    a, b = check_rows(a, 2, "first samples"), check_rows(b, 2, "second samples")
    if a.shape[1] != b.shape[1]:
        raise MeasureError(f"The vectors have {a.shape[1]} and {b.shape[1]} values; use the same features for both.")
    return _within(a) + _within(b) - 2 * _kernel(a, b).mean()


def kid(real: Tensor, fake: Tensor, features: Features | None = None, *, standardise: bool = True) -> float:
    """Kernel distance of all samples: `polynomial_mmd` in stated features. Unbiased: about 0 for equal sets.

    Args:
        real, fake: as in `fid`.
        standardise: subtract the real mean and divide by the real standard deviation of each feature. The cubic
            kernel is made for Inception's scale; on other features it is ruled by the largest one. Values are then
            comparable between fakes that are judged against one real set. The scale comes from the same samples,
            which moves the mean by far less than the noise of one value; False is unbiased exactly.
    """
    rows = rows_of(real, features, name="real samples"), rows_of(fake, features, name="fake samples")
    return _kid(*rows, standardise=standardise)


def kid_of_subsets(
    real: Tensor,
    fake: Tensor,
    features: Features | None = None,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    generator: torch.Generator,
    standardise: bool = True,
) -> Spread:
    """KID as papers print it: mean and standard deviation over random subsets.

    `kid` uses every pair of samples at once and so has less noise. The standard deviation here is one *between
    overlapping subsets*, which is no confidence interval.

    Raises:
        MeasureError: fewer samples than `subset_size`.
    """
    if subsets < 1 or subset_size < 2:
        raise MeasureError(f"KID needs at least one subset of two samples, not {subsets} of {subset_size}.")
    rows_r = rows_of(real, features, least=subset_size, name="real samples")
    rows_f = rows_of(fake, features, least=subset_size, name="fake samples")
    if standardise:
        rows_r, rows_f = _standardised(rows_r, rows_f)

    def some(rows: Tensor) -> Tensor:
        order = torch.randperm(len(rows), generator=generator, device=generator.device)
        return rows[order[:subset_size].to(rows.device)]

    values = torch.stack([polynomial_mmd(some(rows_r), some(rows_f)) for _ in range(subsets)])
    return Spread(float(values.mean()), float(values.std(correction=0)))


@equation("2.20", tests="tests/equations/test_convergence.py::test_inception_score")
def inception_score(probabilities: Tensor, *, splits: int = 10, generator: torch.Generator | None = None) -> Spread:
    """exp E_x KL(p(y|x) || p(y)) of a classifier's answers (Salimans et al. 2016): 1 to K, higher is better.

    It compares with no real picture, so it cannot see memorised samples or a class that always looks the same.

    Args:
        probabilities: (N, K), rows that sum to 1.
        splits: parts that are scored apart; a small part cannot hold all classes, so its score is too low.
        generator: shuffles the samples first; without it, samples sorted by class score 1 in each part.

    Raises:
        MeasureError: no probabilities, or fewer samples than splits.
    """
    p = check_rows(probabilities, max(splits, 1), "probabilities")
    if splits < 1 or bool((p < 0).any()) or bool(((p.sum(dim=1) - 1).abs() > 1e-3).any()):
        raise MeasureError("The inception score needs probabilities: rows >= 0 that sum to 1; use softmax(logits).")
    if generator is not None:
        p = p[torch.randperm(len(p), generator=generator, device=generator.device).to(p.device)]
    scores = torch.stack([_split_score(part) for part in p.tensor_split(splits)])
    return Spread(float(scores.mean()), float(scores.std(correction=0)))


@equation("2.21", tests="tests/equations/test_convergence.py::test_precision_recall")
def precision_recall(
    real: Tensor, fake: Tensor, features: Features | None = None, *, neighbours: int = 3
) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019).

    Each set is taken as a union of balls: round every sample, as far as its k-th nearest neighbour in its own set.
    Precision is the share of fakes inside the real balls, recall the share of real samples inside the fake
    ones. Two samples of one distribution score less than 1 both, so print the floor beside them.

    Args:
        real, fake: as in `fid`; best of equal number.
        neighbours: k.

    Raises:
        MeasureError: no more samples than neighbours.
    """
    rows_r = rows_of(real, features, least=neighbours + 1, name="real samples")
    rows_f = rows_of(fake, features, least=neighbours + 1, name="fake samples")
    return _precision_recall(rows_r, rows_f, neighbours)


@dataclass(frozen=True)
class FidelityReport:
    """The measures of one set of fakes with their floors: what two real sets of the same size score."""

    fid: float
    fid_floor: float
    kid: float
    kid_floor: float
    precision: float
    recall: float
    precision_floor: float  # of real against real; its recall is the same on average
    n: int  # samples in each set
    features: str

    @property
    def fid_ratio(self) -> float:
        """FID in units of its floor; near 1 means that these features see no difference."""
        return self.fid / max(self.fid_floor, 1e-12)

    def __str__(self) -> str:
        return (
            f"FID {self.fid:.3g} (real {self.fid_floor:.3g}), KID {self.kid:.3g} (real {self.kid_floor:.2g}), "
            f"precision {self.precision:.2f}, recall {self.recall:.2f} (real {self.precision_floor:.2f}); "
            f"N = {self.n}, {self.features}"
        )

    __repr__ = __str__


def fidelity(
    real: Tensor, fake: Tensor, features: Features, *, other_real: Tensor | None = None, neighbours: int = 3
) -> FidelityReport:
    """Measure fakes and the floor, all with the same number of samples.

    Args:
        real, fake: pictures (N, 1 or 3, H, W) in [-1, 1], in random order.
        features: where to compare.
        other_real: a second real sample that shares no picture with the first; None halves `real`.
        neighbours: of precision and recall.

    Raises:
        MeasureError: too few samples to halve, or as in `fid`.
    """
    rows_r = rows_of(real, features, least=4 if other_real is None else 2, name="real samples")
    rows_f = rows_of(fake, features, name="fake samples")
    if other_real is None:
        rows_r, rows_o = rows_r[: len(rows_r) // 2], rows_r[len(rows_r) // 2 :]
    else:
        rows_o = rows_of(other_real, features, name="other real samples")
    n = min(len(rows_r), len(rows_f), len(rows_o))
    if n <= neighbours:
        raise MeasureError(f"Only {n} samples are left in each set; give more than {neighbours}.")
    rows_r, rows_f, rows_o = rows_r[:n], rows_f[:n], rows_o[:n]
    score, floor = _precision_recall(rows_r, rows_f, neighbours), _precision_recall(rows_r, rows_o, neighbours)
    return FidelityReport(
        fid=_fid(rows_r, rows_f), fid_floor=_fid(rows_r, rows_o),
        kid=_kid(rows_r, rows_f), kid_floor=_kid(rows_r, rows_o),
        precision=score.precision, recall=score.recall, precision_floor=floor.precision,
        n=n, features=features.name,
    )  # fmt: skip


def _fid(real: Tensor, fake: Tensor) -> float:
    return float(frechet_distance(*gaussian_moments(real), *gaussian_moments(fake)))


def _kid(real: Tensor, fake: Tensor, *, standardise: bool = True) -> float:
    return float(polynomial_mmd(*(_standardised(real, fake) if standardise else (real, fake))))


def _standardised(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets in units of the real standard deviations; a feature that never varies keeps its scale."""
    mean, std = real.mean(dim=0), real.std(dim=0)
    std = torch.where(std > 1e-6 * std.max().clamp_min(1e-30), std, 1.0)
    return (real - mean) / std, (fake - mean) / std


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    kernel: Tensor = (a @ b.T / a.shape[1] + 1) ** 3
    return kernel


def _within(rows: Tensor) -> Tensor:
    """Mean of the kernel over pairs of different samples of one set."""
    kernel = _kernel(rows, rows)
    return (kernel.sum() - kernel.trace()) / (len(rows) * (len(rows) - 1))


def _split_score(p: Tensor) -> Tensor:
    marginal = p.mean(dim=0, keepdim=True)
    divergence = torch.special.xlogy(p, p) - torch.special.xlogy(p, marginal)
    score: Tensor = divergence.sum(dim=1).mean().exp()
    return score


def _precision_recall(real: Tensor, fake: Tensor, neighbours: int) -> PrecisionRecall:
    between = torch.cdist(real, fake)  # (N_r, N_f)
    inside_real = between <= _radii(real, neighbours)[:, None]
    inside_fake = between <= _radii(fake, neighbours)[None, :]
    return PrecisionRecall(float(inside_real.any(dim=0).double().mean()), float(inside_fake.any(dim=1).double().mean()))


def _radii(rows: Tensor, neighbours: int) -> Tensor:
    """Distance of each sample to its k-th nearest neighbour: (N,)."""
    # The sample itself is the nearest, at distance 0.
    radii: Tensor = torch.cdist(rows, rows).fill_diagonal_(0.0).kthvalue(neighbours + 1, dim=1).values
    return radii
