"""FCN-score: confusion matrices by hand, pooling, a parser that learns, its file, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from lib.data.shuffled import Shuffled
from lib.games.judge_train import Schooling
from lib.games.parser_train import train_parser
from lib.metrics.checks import MeasureError
from lib.metrics.segmentation_score import (
    ParserConfig,
    SceneParser,
    confusion,
    fcn_score,
    load_parser,
    score_of,
)
from lib.runtime import Runtime
from lib.training.checkpoint import CheckpointError, save_weights

CPU = Runtime(torch.device("cpu"))
CONFIG = ParserConfig("toys", ("ground", "box"), size=16, widths=(8, 12))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def boxes(count: int, seed: int) -> dict[str, Tensor]:
    """A bright box on a dark, noisy ground, and its label map."""
    x, y = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="xy")
    corner = torch.randint(0, 9, (2, count, 1, 1), generator=seeded(seed))
    labels = (((x - corner[0] - 3).abs() < 4) & ((y - corner[1] - 3).abs() < 4)).long()
    noise = 0.3 * torch.randn(count, 3, 16, 16, generator=seeded(seed + 1))
    return {"image": (labels[:, None] * 1.0 - 0.5 + noise).clamp(-1, 1), "labels": labels}


@pytest.fixture(scope="module")
def parser() -> SceneParser:
    stream = Shuffled(boxes(64, 1), batch=16, generator=seeded())
    return train_parser(CONFIG, stream, Schooling(40, lr=1e-2), runtime=CPU)[0]


def test_scores_by_hand() -> None:
    """Ordered 0 0 0 0 | 1 1 | 2 2, predicted 0 0 0 1 | 1 1 | 0 0; a fourth class is in neither."""
    ordered = torch.tensor([[[0, 0, 0, 0, 1, 1, 2, 2]]])
    score = score_of(confusion(torch.tensor([[[0, 0, 0, 1, 1, 1, 0, 0]]]), ordered, 4))
    assert score.pixel_accuracy == pytest.approx(5 / 8)
    assert score.class_accuracy == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert score.per_class[:3] == pytest.approx((3 / 6, 2 / 3, 0)) and math.isnan(score.per_class[3])
    assert score.miou == pytest.approx((3 / 6 + 2 / 3 + 0) / 3)


def test_pooled_miou_is_not_the_mean_over_pictures() -> None:
    """One perfect object of 100 pixels, one missed object of one pixel: 0.990 pooled, 0.66 as a mean of pictures."""
    ordered = torch.stack([torch.ones(10, 10), torch.zeros(10, 10)]).long()
    predicted = ordered.clone()
    ordered[1, 0, 0] = 1
    pooled = score_of(confusion(predicted, ordered, 2))
    each = [score_of(confusion(predicted[i : i + 1], ordered[i : i + 1], 2)).miou for i in range(2)]
    assert pooled.miou == pytest.approx((100 / 101 + 99 / 100) / 2)
    assert sum(each) / 2 == pytest.approx((1 + (99 / 100 + 0) / 2) / 2)


def test_all_ground_has_high_pixel_accuracy_and_low_miou() -> None:
    ordered = torch.zeros(1, 10, 10, dtype=torch.int64)
    ordered[0, 0, :5] = 1
    score = score_of(confusion(torch.zeros_like(ordered), ordered, 2))
    assert (score.pixel_accuracy, score.class_accuracy, score.miou) == pytest.approx((0.95, 0.5, 0.475))


def test_scores_agree_with_torchmetrics() -> None:
    predicted = torch.randint(0, 4, (3, 9, 9), generator=seeded(1))
    ordered = torch.randint(0, 4, (3, 9, 9), generator=seeded(2))
    score = score_of(confusion(predicted, ordered, 4))
    assert score.miou == pytest.approx(float(MulticlassJaccardIndex(4)(predicted, ordered)), rel=1e-5)
    assert score.class_accuracy == pytest.approx(float(MulticlassAccuracy(4)(predicted, ordered)), rel=1e-5)
    assert score.pixel_accuracy == pytest.approx(
        float(MulticlassAccuracy(4, average="micro")(predicted, ordered)), rel=1e-5
    )


def test_the_parser_learns_and_the_ceiling_is_above_a_wrong_order(parser: SceneParser) -> None:
    test = boxes(32, 7)
    ceiling = fcn_score(parser, test["image"], test["labels"], classes=2)
    assert ceiling.miou > 0.8
    other = fcn_score(parser, test["image"], test["labels"].roll(1, 0), classes=2)
    assert other.relative(ceiling) < 0.8
    assert ceiling.relative(ceiling) == 1


def test_the_score_does_not_depend_on_the_batch(parser: SceneParser) -> None:
    test = boxes(10, 9)
    one, two = (fcn_score(parser, test["image"], test["labels"], classes=2, batch=size) for size in (3, 10))
    assert one == two


def test_a_saved_parser_parses_the_same(parser: SceneParser, tmp_path: Path) -> None:
    parser.save(tmp_path / "parser_toys.safetensors", {"seed": 0})
    again = SceneParser.load(tmp_path / "parser_toys.safetensors")
    assert again.config == CONFIG
    assert torch.equal(again.predict(boxes(4, 3)["image"]), parser.predict(boxes(4, 3)["image"]))
    assert not again.training


def test_files_that_hold_no_parser(tmp_path: Path) -> None:
    save_weights(tmp_path / "other.safetensors", torch.nn.Linear(1, 1), {"seed": 0})
    with pytest.raises(CheckpointError, match="holds no parser"):
        SceneParser.load(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="There is no"):
        load_parser("nowhere")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p: confusion(torch.zeros(1, 4, 4), torch.zeros(1, 4, 5), 2), "differ"),
        (lambda p: confusion(torch.zeros(1, 4, 4), torch.full((1, 4, 4), 2), 2), "from 0 to 1"),
        (lambda p: fcn_score(p, torch.zeros(2, 3, 16, 16), torch.zeros(1, 16, 16), classes=2), "label maps"),
        (lambda p: fcn_score(p, torch.full((1, 3, 16, 16), 9.0), torch.zeros(1, 16, 16), classes=2), "clamp"),
        (lambda p: p(torch.zeros(1, 3, 16, 15)), "divisible by 2"),
    ],
)
def test_bad_input_speaks(parser: SceneParser, call: Callable[[SceneParser], object], says: str) -> None:
    with pytest.raises(MeasureError, match=says):
        call(parser)
