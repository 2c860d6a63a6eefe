"""Measures with known answers: closed forms, planted defects and the trivial competitors."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.metrics import copy_paste, copy_source, evaluate
from lib.metrics.appearance import checkerboard_energy, colour_cast, patch_distances, sharpness_ratio
from lib.metrics.layout import PatchJudge, ceiling, layout_scores
from lib.metrics.segmenter import SegmenterConfig, SegmenterJudge
from lib.metrics.sifid import frechet_distance, gaussian_moments, sifid


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(left: int = 24, top: int = 16, side: int = 48, box: int = 20) -> tuple[Tensor, Tensor]:
    """A striped box on a smooth, coloured ground: image (1, 3, S, S) and one-hot layout (1, 2, S, S)."""
    rows = torch.arange(side, dtype=torch.float32)
    ground = (
        0.1 * torch.randn(1, 3, side, side, generator=generator(1))
        + torch.tensor([-0.4, 0.3, -0.5])[None, :, None, None]
    )
    stripes = torch.sin(rows[None, :] * 1.6 + 0.4 * rows[:, None]).expand(1, 3, side, side) * 0.9
    layout = torch.zeros(1, 2, side, side)
    layout[:, 1, top : top + box, left : left + box] = 1
    layout[:, 0] = 1 - layout[:, 1]
    return torch.where(layout[:, 1:] > 0, stripes, ground).clamp(-1, 1), layout


PHOTO, LAYOUT = scene()
MOVED, TARGET = scene(left=4, top=24)  # the answer that an ideal analogy would give


@pytest.fixture(scope="module")
def patch_judge() -> PatchJudge:
    return PatchJudge(PHOTO, LAYOUT)


# --- layout ---------------------------------------------------------------------------------------


def test_pooled_scores_on_a_confusion_matrix_done_by_hand() -> None:
    truth = torch.tensor([[[0, 0, 0, 0], [1, 1, 1, 1]]])
    predicted = torch.tensor([[[0, 0, 0, 1], [1, 1, 1, 1]]])
    ordered = F.one_hot(truth, 3).permute(0, 3, 1, 2).float()
    scores = layout_scores(predicted, ordered)
    assert scores.accuracy == pytest.approx(7 / 8)
    assert scores.per_class[:2] == pytest.approx((3 / 4, 4 / 5))
    assert math.isnan(scores.per_class[2])  # a class in neither layout does not count
    assert scores.miou == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert scores.relative(scores) == 1


def test_miou_is_pooled_over_images_not_averaged() -> None:
    truth = torch.zeros(2, 10, 10, dtype=torch.int64)
    truth[0] = 1  # one perfect object of 100 pixels
    predicted = truth.clone()
    truth[1, 0, 0] = 1  # and one missed object of a single pixel
    scores = layout_scores(predicted, F.one_hot(truth, 2).permute(0, 3, 1, 2).float())
    assert scores.per_class[1] == pytest.approx(100 / 101)


def test_all_background_has_high_accuracy_and_low_miou() -> None:
    truth = torch.zeros(1, 10, 10, dtype=torch.int64)
    truth[0, 0, :5] = 1
    scores = layout_scores(torch.zeros_like(truth), F.one_hot(truth, 2).permute(0, 3, 1, 2).float())
    assert (scores.accuracy, scores.miou) == (pytest.approx(0.95), pytest.approx(0.475))


def test_the_patch_judge_reads_layouts_that_it_has_not_seen(patch_judge: PatchJudge) -> None:
    fresh = MOVED + 0.05 * torch.randn(MOVED.shape, generator=generator(3))
    assert layout_scores(patch_judge.predict(fresh), TARGET).miou > 0.9
    assert layout_scores(patch_judge.predict(PHOTO), TARGET).miou < 0.7  # the copied photo disobeys
    assert ceiling(patch_judge, PHOTO, LAYOUT, views=2, generator=generator()).accuracy > 0.9


def test_the_segmenter_judge_reads_layouts_that_it_has_not_seen() -> None:
    config = SegmenterConfig(steps=40, width=8)
    judge = SegmenterJudge.fit(PHOTO, LAYOUT, config=config, generator=generator())
    assert layout_scores(judge.predict(MOVED), TARGET).miou > 0.8
    assert layout_scores(judge.predict(PHOTO), TARGET).miou < 0.7


def test_the_segmenter_judge_depends_on_its_generator_alone() -> None:
    def weights(seed: int) -> Tensor:
        config = SegmenterConfig(steps=2, width=4)
        judge = SegmenterJudge.fit(PHOTO, LAYOUT, config=config, generator=generator(seed))
        return torch.nn.utils.parameters_to_vector(judge.network.parameters())

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_judges_reject_a_layout_of_another_size() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        PatchJudge(PHOTO, LAYOUT[..., :-1])
    with pytest.raises(ValueError, match="does not fit"):
        SegmenterJudge.fit(PHOTO, LAYOUT[..., :-1], generator=generator())
    with pytest.raises(ValueError, match="must fit"):
        layout_scores(torch.zeros(1, 5, 5, dtype=torch.int64), LAYOUT)


# --- appearance -----------------------------------------------------------------------------------


def test_patch_distances_tell_invention_from_loss() -> None:
    same = patch_distances(PHOTO, PHOTO)
    assert max(same.values()) < 1e-5
    ground_only = PHOTO[..., :12].repeat(1, 1, 1, 4)
    row = patch_distances(ground_only, PHOTO)
    assert row["completeness@1"] > 3 * row["coherence@1"]
    invented = PHOTO.clone()
    invented[..., :16, :16] = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None]
    row = patch_distances(invented, PHOTO)
    assert row["coherence@1"] > 3 * row["completeness@1"]


def test_a_colour_cast_is_measured_in_image_units() -> None:
    cast = PHOTO + torch.tensor([0.3, 0.0, -0.4])[None, :, None, None]
    row = colour_cast(cast, LAYOUT, PHOTO, LAYOUT)
    assert row["colour_mean"] == pytest.approx(0.5, rel=1e-4)
    assert row["colour_frechet"] == pytest.approx(0.5, rel=1e-3)
    moved = colour_cast(MOVED, TARGET, PHOTO, LAYOUT)
    assert moved["colour_mean"] < 0.1  # a new layout alone is no cast
    faded = colour_cast(0.5 * PHOTO, LAYOUT, 0.5 * PHOTO.mean(dim=(2, 3), keepdim=True) + PHOTO * 0, LAYOUT)
    assert faded["colour_frechet"] > faded["colour_mean"]


def test_sharpness_sees_blur_and_noise_but_not_the_border() -> None:
    blurred = F.avg_pool2d(F.pad(PHOTO, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    noisy = PHOTO + 0.2 * torch.randn(PHOTO.shape, generator=generator())
    assert sharpness_ratio(PHOTO, LAYOUT, PHOTO, LAYOUT) == pytest.approx(1)
    assert sharpness_ratio(blurred, LAYOUT, PHOTO, LAYOUT) < 0.6
    assert sharpness_ratio(noisy, LAYOUT, PHOTO, LAYOUT) > 1.3
    assert sharpness_ratio(MOVED, TARGET, PHOTO, LAYOUT) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("period", [2, 4])
def test_a_checkerboard_is_found_even_in_a_blurred_picture(period: int) -> None:
    photo = 0.3 * torch.randn(1, 3, 64, 64, generator=generator())
    other = 0.3 * torch.randn(1, 3, 64, 64, generator=generator(1))
    blurred = F.avg_pool2d(F.pad(other, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    pattern = ((y % period == 0) & (x % period == 0)).float()
    assert checkerboard_energy(photo, photo, period=period) == pytest.approx(1)
    assert checkerboard_energy(other, photo, period=period) == pytest.approx(1, abs=0.25)
    assert checkerboard_energy(blurred + 0.2 * pattern, photo, period=period) > 2
    with pytest.raises(ValueError, match="block"):
        checkerboard_energy(photo[..., :8], photo, period=period)


# --- SIFID ----------------------------------------------------------------------------------------


def test_frechet_distance_in_closed_form() -> None:
    dimension, scale = 6, 1.7
    mean, eye = torch.arange(6.0), torch.eye(dimension)
    value = frechet_distance(torch.zeros(6), eye, mean, scale**2 * eye)
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(float(mean.square().sum()) + dimension * (1 - scale) ** 2)
    diagonal = torch.diag(torch.tensor([4.0, 9.0, 1.0]))  # commuting covariances: sum (sqrt a - sqrt b)^2
    assert float(frechet_distance(torch.zeros(3), diagonal, torch.zeros(3), torch.eye(3))) == pytest.approx(5)


def test_frechet_distance_of_singular_covariances_is_zero_at_equality() -> None:
    rows = torch.randn(5, 12, generator=generator())  # rank 4 in 12 dimensions
    moments = gaussian_moments(rows)
    assert float(frechet_distance(*moments, *moments)) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(moments[1], torch.cov(rows.double().T))
    with pytest.raises(ValueError, match="two rows"):
        gaussian_moments(rows[:1])


@pytest.mark.parametrize("features", ["random-conv", "patch-pca"])
def test_sifid_orders_defects(features: str) -> None:
    def score(output: Tensor) -> float:
        return sifid(output, PHOTO, features)  # type: ignore[arg-type]

    blurred = F.avg_pool2d(F.pad(PHOTO, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
    assert score(PHOTO) == pytest.approx(0, abs=1e-6)
    assert score(MOVED) < 0.5 * score(blurred)
    assert score(PHOTO + 0.5) > 0.1


# --- baselines and the row ------------------------------------------------------------------------


def test_copy_paste_obeys_and_invents_no_colour(patch_judge: PatchJudge) -> None:
    pasted = copy_paste(PHOTO, LAYOUT, TARGET)
    known = {tuple(p) for p in PHOTO[0].flatten(1).T.tolist()}
    assert {tuple(p) for p in pasted[0].flatten(1).T.tolist()} <= known
    box = TARGET[0, 1].bool()
    stripes = PHOTO[0][:, LAYOUT[0, 1].bool()]
    assert torch.equal(pasted[0][:, box], stripes)  # equal boxes are moved pixel by pixel
    assert layout_scores(patch_judge.predict(pasted), TARGET).accuracy > 0.9


def test_copy_paste_of_the_own_layout_is_the_photo() -> None:
    assert torch.equal(copy_paste(PHOTO, LAYOUT, LAYOUT), PHOTO)
    assert torch.equal(copy_source(PHOTO, LAYOUT), PHOTO)
    assert copy_source(PHOTO, TARGET[..., :24, :]).shape == (1, 3, 24, 48)


def test_copy_paste_takes_another_size_and_an_absent_class() -> None:
    index = torch.zeros(30, 70, dtype=torch.int64)
    index[5:15, 8:30], index[20:28, 50:60] = 1, 2
    target = F.one_hot(index, 3).permute(2, 0, 1)[None].float()
    wide = torch.cat([LAYOUT, torch.zeros_like(LAYOUT[:, :1])], dim=1)
    assert copy_paste(PHOTO, wide, target).shape == (1, 3, 30, 70)
    with pytest.raises(ValueError, match="palette"):
        copy_paste(PHOTO, LAYOUT, target)


def test_a_row_separates_obedience_from_appearance(patch_judge: PatchJudge) -> None:
    judges = {"patch": patch_judge}
    copied = evaluate(copy_source(PHOTO, TARGET), TARGET, PHOTO, LAYOUT, judges)
    ideal = evaluate(MOVED[0], TARGET, PHOTO[0], LAYOUT, judges)
    assert all(isinstance(v, float) and math.isfinite(v) for v in ideal.values())
    assert copied["coherence@1"] < 1e-5 and copied["miou/patch"] < 0.7
    assert ideal["miou/patch"] > 0.9
    assert copied["colour_mean"] > 3 * ideal["colour_mean"]
    with pytest.raises(ValueError, match="resize"):
        evaluate(MOVED, TARGET[..., 1:], PHOTO, LAYOUT, judges)
