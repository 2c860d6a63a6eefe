"""What a translated picture kept: cases whose scores are known by construction."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lib.metrics.checks import MeasureError
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.metrics.translation import (
    border,
    by_scale,
    contours,
    dial_error,
    explained,
    kept,
    painted,
    sharpness,
    strangeness,
    translation_scores,
)
from lib.runtime import seeded


def scene() -> tuple[Tensor, Tensor]:
    """Four pictures; the upper half is background."""
    image = torch.rand(4, 3, 32, 32, generator=seeded(0)) * 2 - 1
    labels = torch.zeros(4, 32, 32, dtype=torch.uint8)
    labels[:, 16:] = 3
    return image, labels


def test_explained() -> None:
    """A copy keeps all, a flat wall of the mean colour nothing, a stranger's noise less than nothing."""
    image, labels = scene()
    mask = labels == 0
    mean = image[:, :, :16].mean(dim=(2, 3), keepdim=True).expand_as(image)
    stranger = image.roll(1, 0)
    assert explained(image, image, mask) == pytest.approx(1)
    assert explained(mean, image, mask) == pytest.approx(0, abs=1e-5)
    assert explained(stranger, image, mask) == pytest.approx(-1, abs=0.1)  # twice the variance is wrong
    broken = image.clone()
    broken[:, :, 16:] = 0  # outside the region
    assert explained(broken, image, mask) == pytest.approx(1)


def test_sharpness() -> None:
    """Half the contrast has a quarter of the energy; outside the region nothing counts."""
    image, labels = scene()
    mask = labels != 0
    assert sharpness(image / 2, image, mask) == pytest.approx(0.25)
    flat_above = image.clone()
    flat_above[:, :, :16] = 0
    assert sharpness(flat_above, image, mask) == pytest.approx(1)


def test_contours_see_neither_contrast_nor_brightness() -> None:
    """A copy, a pale one and a negative; a wall without any; another picture's."""
    image, _ = scene()
    assert contours(0.5 * image + 0.3, image) == pytest.approx(1)
    assert contours(-image, image) == pytest.approx(-1)
    assert contours(torch.full_like(image, 0.2), image) == 0
    assert abs(contours(image.roll(1, 0), image)) < 0.05
    with pytest.raises(MeasureError, match="flat"):
        contours(image, torch.zeros_like(image))
    with pytest.raises(MeasureError, match="differ"):
        contours(image[:1], image)


def test_contours_are_a_mean_over_pictures() -> None:
    """A picture of strong contrast counts no more than a faint one."""
    image, _ = scene()
    truth = torch.cat([image[:1], 0.01 * image[1:2]])
    assert contours(torch.cat([image[:1], -image[1:2]]), truth) == pytest.approx(0, abs=1e-4)


def edge(at: int) -> Tensor:
    """One sharp edge in front of column `at`."""
    picture = -torch.ones(1, 3, 8, 32)
    picture[..., at:] = 1
    return picture


def test_an_average_of_edges_pays_for_its_blur() -> None:
    """By hand: a third of the step in three places, so the correlation with one step is 1 / sqrt(3)."""
    average = torch.stack([edge(15), edge(16), edge(17)]).mean(dim=0)
    assert contours(edge(16), edge(16)) == pytest.approx(1)
    assert contours(average, edge(16)) == pytest.approx(3**-0.5)
    assert contours(edge(20), edge(16)) == 0


def colours(image: Tensor) -> list[Tensor]:
    """The simplest network: the picture itself is the only map."""
    return [image]


def test_strangeness_is_zero_for_the_truth_and_one_for_another_true_picture() -> None:
    image, _ = scene()
    assert strangeness(image, image, colours) == 0
    assert strangeness(image.roll(1, 0), image, colours) == pytest.approx(1)
    assert strangeness(3 * image, image, colours) == pytest.approx(0, abs=1e-6)  # features are scaled to length 1
    half = torch.cat([image[:2], image.roll(1, 0)[2:]])
    assert 0.3 < strangeness(half, image, colours) < 0.7
    with pytest.raises(MeasureError, match="all alike"):
        strangeness(image, image[:1].expand_as(image), colours)
    with pytest.raises(MeasureError, match="differ"):
        strangeness(image[:2], image, colours)


def test_strangeness_sums_over_layers() -> None:
    """By hand: orthogonal unit vectors are 2 apart, opposite ones 4; the second layer is alike."""
    truth = torch.zeros(2, 2, 1, 1)
    truth[0, 0], truth[1, 1] = 1, 1
    fake = -truth

    def maps(x: Tensor) -> list[Tensor]:
        return [x, x.abs()]

    assert strangeness(fake, truth, maps) == pytest.approx((4 + 0) / (2 + 2))


def test_border() -> None:
    """Two rows on either side of the edge between rows 15 and 16."""
    _, labels = scene()
    edge = border(labels, [3])
    assert edge.sum(dim=(1, 2)).tolist() == [2 * 32] * 4 and bool(edge[:, 15:17].all())


def test_by_scale() -> None:
    """A copy agrees at every scale, a stranger at none; a blur has lost the fine scale only."""
    image, labels = scene()
    whole = labels < 9
    for energy, agreement in by_scale(image, image, whole):
        assert energy == pytest.approx(1, abs=1e-5) and agreement == pytest.approx(1, abs=1e-5)
    energy, agreement = by_scale(image.roll(1, 0), image, whole)[0]
    assert energy == pytest.approx(1, abs=0.05) and abs(agreement) < 0.05
    soft = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(image, 4), scale_factor=4.0)
    fine, *_, coarse = by_scale(soft, image, whole)
    broken_below = torch.where((labels == 0)[:, None], image, 0.0)
    assert by_scale(broken_below, image, labels == 0)[0] == pytest.approx((1, 1), abs=1e-5)
    assert fine[0] < 0.2 and coarse[0] == pytest.approx(1, abs=0.01)


def reader() -> AttributeReader:
    torch.manual_seed(0)
    config = ReaderConfig("toy", {"hair": ("dark", "light")}, {"gaze": 2}, size=32, width=4, features=8)
    return AttributeReader(config).eval()


def test_kept_and_dials() -> None:
    """Against the reader's own answers every attribute is kept and every dial error 0."""
    judge, (image, _) = reader(), scene()
    answers = judge.read(image).values()
    assert kept(judge, image, {"hair": answers["hair"], "other": torch.zeros(4)}) == {"hair": 1.0}
    assert dial_error(judge, image, answers["gaze"], "gaze") == pytest.approx(0, abs=1e-6)
    shifted = answers["gaze"] + torch.tensor([3.0, 4.0])
    assert dial_error(judge, image, shifted, "gaze") == pytest.approx(5, rel=1e-5)


def test_translation_scores_of_a_perfect_translation() -> None:
    judge, (image, labels) = reader(), scene()
    answers = judge.read(image).values()
    truth = {"image": image, "labels": labels, "hair": answers["hair"], "gaze": answers["gaze"]}
    scores = translation_scores(judge, image.clone(), truth, truth)
    assert scores["read/hair"] == 1 and scores["gaze"] == pytest.approx(0, abs=1e-6)
    for region in ("background", "person"):
        assert scores[f"explained/{region}"] == pytest.approx(1)
        assert scores[f"sharpness/{region}"] == pytest.approx(1)


def test_regions_must_be_shown_and_fit() -> None:
    image, labels = scene()
    with pytest.raises(MeasureError, match="shows the region"):
        explained(image, image, labels == 7)
    with pytest.raises(MeasureError, match="same size"):
        sharpness(image, image, (labels == 0)[:, :8])


def test_the_share_of_the_true_change_that_was_painted() -> None:
    """Pale glasses in the right place have a share and no stray; a change elsewhere is all stray; both by hand."""
    original, _ = scene()
    truth, beside = original.clone(), torch.zeros_like(original)
    truth[:, :, 4:8] += 0.5
    beside[:, :, 20:22] = 0.5  # half as many pixels, changed as much
    for share, stray in ((0.0, 0.0), (0.3, 0.0), (1.0, 0.0), (1.4, 0.0), (0.0, 0.5), (0.7, 0.5), (-0.2, 0.5)):
        picture = original + share * (truth - original) + (beside if stray else 0.0)
        assert painted(picture, original, truth) == pytest.approx((share, stray), abs=1e-5)
        error = (picture - truth).square().sum() / (original - truth).square().sum()
        assert float(error) == pytest.approx((1 - share) ** 2 + stray, abs=1e-5)
    with pytest.raises(MeasureError, match="no change to paint"):
        painted(original, truth, truth)
    with pytest.raises(MeasureError, match="differ"):
        painted(original[:1], original, truth)


@pytest.mark.parametrize("measure", [explained, sharpness])
def test_a_flat_region_has_no_structure_to_keep(measure: Callable[[Tensor, Tensor, Tensor], float]) -> None:
    image, labels = scene()
    image[:, :, :16] = 0.3
    for picture in (image, image + 0.1, torch.zeros_like(image), scene()[0]):
        with pytest.raises(MeasureError, match="flat within the region"):
            measure(picture, image, labels == 0)
    image[0, 0, 3, 3] += 1 / 127.5  # one step of a byte in one picture is structure
    assert measure(image, image, labels == 0) == pytest.approx(1)
