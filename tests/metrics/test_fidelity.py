"""Distances between sets of pictures: closed forms, small-sample bias, parity with torchmetrics, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from lib.metrics.checks import MeasureError
from lib.metrics.features import RandomConvFeatures
from lib.metrics.fidelity import (
    fid,
    fidelity,
    inception_score,
    kid,
    kid_of_subsets,
    polynomial_mmd,
    precision_recall,
)
from lib.metrics.sample_size import fid_at_sizes, fid_infinity


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def pictures(count: int, seed: int, size: int = 16) -> Tensor:
    """Stripes of random frequency, phase and contrast, one channel."""
    draw = torch.rand(3, count, 1, 1, 1, generator=seeded(seed))
    x = torch.linspace(0, 1, size).expand(1, 1, size, size)
    return (0.3 + 0.6 * draw[0]) * torch.sin(6.28 * (x * (1 + 3 * draw[1]) + draw[2]))


class Flat(nn.Module):
    """Feature vectors pass through, as torchmetrics wants a network."""

    num_features = 6

    def forward(self, rows: Tensor) -> Tensor:
        return rows


# --- FID ------------------------------------------------------------------------------------------


@given(scale=st.floats(0.5, 2), shift=st.floats(0, 2), d=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_fid_of_two_gaussians(scale: float, shift: float, d: int) -> None:
    """N(0, I) against N(m, s^2 I): |m|^2 + d (1 - s)^2. Whitened samples hit it exactly."""
    rows = normal(400, d).double()
    rows = rows - rows.mean(dim=0)
    white = rows @ torch.linalg.inv(torch.linalg.cholesky(rows.T @ rows / 399).T)
    assert fid(white, scale * white + shift) == pytest.approx(d * shift**2 + d * (1 - scale) ** 2, abs=1e-6)


def test_fid_agrees_with_torchmetrics() -> None:
    real, fake = normal(300, 6), normal(200, 6, seed=1) @ (torch.eye(6) + 0.3 * normal(6, 6, seed=2)) + 0.5
    theirs = FrechetInceptionDistance(feature=Flat()).set_dtype(torch.float64)
    theirs.update(real.double(), real=True)
    theirs.update(fake.double(), real=False)
    assert fid(real, fake) == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_fid_of_equal_distributions_falls_as_1_over_n_and_extrapolates_to_0() -> None:
    real, fake = normal(4000, 16), normal(4000, 16, seed=1)
    at = fid_at_sizes(real, fake, sizes=(125, 250, 500, 1000, 2000, 4000), generator=seeded())
    values = list(at.values())
    assert all(small > 1.5 * large for small, large in pairwise(values))
    assert values[0] > 0.5  # a score that means nothing but that N is small
    assert abs(fid_infinity(at)) < 0.1 * values[0]


def test_the_extrapolation_is_a_line_in_1_over_n() -> None:
    assert fid_infinity({n: 3 + 50 / n for n in (100, 200, 800)}) == pytest.approx(3)


# --- KID ------------------------------------------------------------------------------------------


def test_kid_by_hand() -> None:
    """D = 1, two samples each: pairs (1, 1), (0, 2) and the four products 0, 2, 0, 2."""
    real, fake = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    by_hand = (1 * 1 + 1) ** 3 + (0 * 2 + 1) ** 3 - 2 * (1 + 27 + 1 + 27) / 4
    assert float(polynomial_mmd(real, fake)) == pytest.approx(by_hand) == pytest.approx(-19)
    assert kid(real, fake, standardise=False) == pytest.approx(-19)


@pytest.mark.filterwarnings("ignore:Metric `Kernel")
def test_kid_agrees_with_torchmetrics() -> None:
    real, fake = normal(80, 6).double(), (normal(80, 6, seed=1) + 0.5).double()
    assert float(polynomial_mmd(real, fake)) == pytest.approx(float(poly_mmd(real, fake)), rel=1e-9)
    theirs = KernelInceptionDistance(feature=Flat(), subsets=3, subset_size=80)
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    ours = kid_of_subsets(real, fake, subsets=3, subset_size=80, generator=seeded(), standardise=False)
    assert ours == pytest.approx([float(value) for value in theirs.compute()], rel=1e-6, abs=1e-9)


def test_kid_is_0_on_average_where_fid_is_not() -> None:
    values = [
        kid(normal(50, 8, seed=2 * seed), normal(50, 8, seed=2 * seed + 1), standardise=False) for seed in range(200)
    ]
    mean, error = torch.tensor(values).mean(), torch.tensor(values).std() / 200**0.5
    assert abs(float(mean)) < 3 * float(error)
    assert min(values) < 0 < max(values)
    assert fid(normal(50, 8), normal(50, 8, seed=1)) > 0.5


def test_standardised_kid_does_not_know_the_unit_of_a_feature() -> None:
    real, fake = normal(60, 4).double(), normal(60, 4, seed=1).double() + 0.3
    units = torch.tensor([1.0, 100.0, 0.01, 5.0])
    assert kid(real * units + 7, fake * units + 7) == pytest.approx(kid(real, fake), rel=1e-6)
    assert kid(real * units, fake * units, standardise=False) != pytest.approx(kid(real, fake), rel=0.5)


def test_a_feature_that_never_varies_is_left_alone() -> None:
    constant = torch.cat([normal(50, 3), torch.zeros(50, 1)], dim=1)
    assert math.isfinite(kid(constant, constant + 0.1))


# --- inception score ------------------------------------------------------------------------------


def test_inception_score_of_certain_and_of_blank_answers() -> None:
    certain = torch.eye(5).repeat(20, 1)
    assert inception_score(certain, splits=1).mean == pytest.approx(5)
    assert inception_score(torch.full((40, 5), 0.2)).mean == pytest.approx(1)
    assert inception_score(certain[:1].repeat(30, 1)).mean == pytest.approx(1)  # one class: collapsed


def test_inception_score_cannot_see_memorised_samples() -> None:
    one_each = torch.eye(5)
    assert inception_score(one_each.repeat(100, 1), splits=1).mean == pytest.approx(5)


def test_splits_of_sorted_samples_need_a_shuffle() -> None:
    by_class = torch.eye(5).repeat_interleave(20, dim=0)
    assert inception_score(by_class, splits=5).mean == pytest.approx(1)
    assert inception_score(by_class, splits=5, generator=seeded()).mean > 4


@pytest.mark.filterwarnings("ignore:Metric `Inception", "ignore:std")
def test_inception_score_agrees_with_torchmetrics() -> None:
    logits = 2 * normal(100, 6)
    theirs = InceptionScore(feature=Flat(), splits=1)
    theirs.update(logits)
    assert inception_score(logits.softmax(dim=1), splits=1).mean == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


# --- precision and recall -------------------------------------------------------------------------


def test_precision_and_recall_of_equal_disjoint_and_partial_sets() -> None:
    real = normal(200, 3)
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)
    two_modes = torch.cat([normal(100, 2), normal(100, 2, seed=1) + 50])
    one_mode = precision_recall(two_modes, normal(200, 2, seed=2))
    assert one_mode.precision > 0.9 and one_mode.recall == pytest.approx(0.5, abs=0.06)
    doubled = precision_recall(normal(200, 2), two_modes)
    assert doubled.precision == pytest.approx(0.5, abs=0.06) and doubled.recall > 0.9


def test_precision_by_hand() -> None:
    """k = 1 on a line. Radii: real 1, 1, 9; fake 29.5, 1, 1."""
    real, fake = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[0.5], [30.0], [31.0]])
    score = precision_recall(real, fake, neighbours=1)
    assert score.precision == pytest.approx(1 / 3)
    assert score.recall == pytest.approx(1)


# --- the report -----------------------------------------------------------------------------------

PLANTED: dict[str, Callable[[Tensor], Tensor]] = {
    "blur": lambda x: nn.functional.avg_pool2d(x, 3, 1, padding=1),
    "noise": lambda x: (x + 0.2 * normal(*x.shape, seed=9)).clamp(-1, 1),
    "collapse": lambda x: x[:2].repeat(len(x) // 2, 1, 1, 1),
    "faded": lambda x: 0.6 * x,
}


@pytest.mark.parametrize("defect", PLANTED)
def test_every_defect_is_above_the_floor(defect: str) -> None:
    features = RandomConvFeatures()
    real, more, fake = (pictures(120, seed) for seed in (1, 2, 3))
    same = fidelity(real, fake, features, other_real=more)
    report = fidelity(real, PLANTED[defect](fake), features, other_real=more)
    assert 0.6 < same.fid_ratio < 1.6
    assert report.fid_ratio > 2 and report.kid > 5 * abs(same.kid)
    assert min(report.precision, report.recall) < min(same.precision, same.recall)


def test_the_report_prints_floor_number_of_samples_and_features() -> None:
    report = fidelity(pictures(80, 1), pictures(90, 2), RandomConvFeatures(3))
    assert report.n == 40  # the real pictures were halved
    for part in ("FID", f"{report.fid_floor:.3g}", "N = 40", "random-conv-3"):
        assert part in repr(report)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: fid(normal(1, 4), normal(9, 4)), "at least 2 feature vectors"),
        (lambda: fid(normal(9, 4) * torch.nan, normal(9, 4)), "NaN"),
        (lambda: fid(2 * pictures(4, 0), pictures(4, 1), RandomConvFeatures()), "clamp them"),
        (lambda: fid((100 * pictures(4, 0)).byte(), pictures(4, 1), RandomConvFeatures()), "torch.uint8"),
        (lambda: fid(pictures(4, 0)[0], pictures(4, 1), RandomConvFeatures()), "must have shape"),
        (lambda: RandomConvFeatures()(torch.zeros(1, 3, 8, 8)), "at least 16 pixels"),
        (lambda: polynomial_mmd(normal(4, 3), normal(4, 2)), "same features"),
        (lambda: kid_of_subsets(normal(9, 2), normal(9, 2), subset_size=10, generator=seeded()), "at least 10"),
        (lambda: kid_of_subsets(normal(9, 2), normal(9, 2), subsets=0, generator=seeded()), "at least one subset"),
        (lambda: inception_score(normal(20, 4)), "softmax"),
        (lambda: inception_score(torch.full((4, 2), 0.5), splits=5), "at least 5"),
        (lambda: precision_recall(normal(3, 2), normal(9, 2)), "at least 4"),
        (lambda: fidelity(pictures(4, 0), pictures(4, 1), RandomConvFeatures()), "Only 2 samples"),
        (lambda: fid_at_sizes(normal(9, 2), normal(9, 2), sizes=(5, 10), generator=seeded()), "the 9 samples"),
        (lambda: fid_infinity({10: 1.0}), "two sizes"),
    ],
)
def test_bad_input_speaks(call: Callable[[], object], says: str) -> None:
    with pytest.raises(MeasureError, match=says):
        call()
