"""What the generator reads in its photo is read once, and again as soon as anything that it depends on has changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from lib.games.analogist import Analogist, untrained
from lib.nn.analogy_generator import AnalogyGenerator, SourceReading
from lib.training.ema import EMA
from tests.scenes import CPU, layout, photo, tiny

TARGET = layout(ball=(0.4, 0.7))


@pytest.fixture(params=[True, False], ids=["aligned", "unmoved"])
def painter(request: pytest.FixtureRequest) -> Iterator[Analogist]:
    config = tiny(aligned=request.param)
    yield Analogist(untrained(3, config, seed=0, runtime=CPU).G, *photo(), config, runtime=CPU)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of layouts in each reading of a source."""
    counts: list[int] = []
    read = AnalogyGenerator.read

    def counted(self: AnalogyGenerator, source: Tensor) -> SourceReading:
        counts.append(len(source))
        return read(self, source)

    monkeypatch.setattr(AnalogyGenerator, "read", counted)
    return counts


def afresh(painter: Analogist) -> Tensor:
    """The painting of somebody who has kept nothing."""
    other = Analogist(copy.deepcopy(painter.generator), painter.image, painter.layout, painter.config, runtime=CPU)
    return other.painting(TARGET).image


def test_a_kept_reading_paints_the_same_picture(painter: Analogist, readings: list[int]) -> None:
    first = painter.painting(TARGET).image
    again = painter.painting(TARGET).image
    assert readings == [1] and torch.equal(first, again)
    plain = painter.generator(painter.image[None], painter.layout.one_hot(), TARGET.one_hot(), rest=6.0).image
    torch.testing.assert_close(again, plain, atol=1e-5, rtol=0)
    pictures = painter.paint_all([TARGET, layout(), TARGET], refine=False)  # one reading serves a batch
    # Kernels for three pictures round otherwise than those for one; another reading would differ by hundredths.
    torch.testing.assert_close(pictures[2], first[0].clamp(-1, 1), atol=1e-4, rtol=0)
    assert readings == [1, 1]  # the second is that of `plain`


def test_new_weights_are_read_anew(painter: Analogist, readings: list[int]) -> None:
    painter.painting(TARGET)
    stale = painter._read()[1]
    with torch.no_grad():
        for weight in painter.generator.encoder_seg.parameters():
            weight.add_(0.1)
    found = painter.painting(TARGET).image
    assert len(readings) == 2 and not torch.equal(painter._read()[1].keys, stale.keys)
    assert torch.equal(found, afresh(painter))


def test_an_average_that_goes_on_learning_is_read_anew() -> None:
    """A live board paints with the average while it is trained."""
    game = untrained(3, tiny(), seed=0, runtime=CPU)
    ema = EMA(game.G, 0.5)
    painter = Analogist(ema.module, *photo(), tiny(), runtime=CPU)
    before = painter.painting(TARGET).image
    with torch.no_grad():
        for weight in game.G.parameters():
            weight.mul_(1.5)
    ema.update()
    after = painter.painting(TARGET).image
    assert not torch.equal(before, after) and torch.equal(after, afresh(painter))


@pytest.mark.parametrize("what", ["generator", "layout", "image", "weights"])
def test_another_generator_photo_or_layout_is_read_anew(painter: Analogist, what: str) -> None:
    before = painter.painting(TARGET).image
    if what == "generator":
        painter.generator = untrained(3, painter.config, seed=1, runtime=CPU).G.eval()
    elif what == "layout":
        painter.layout = layout(ball=(0.3, 0.6))
    elif what == "image":
        painter.image = -painter.image
    else:
        painter.generator.load_state_dict(untrained(3, painter.config, seed=1, runtime=CPU).G.state_dict())
    after = painter.painting(TARGET).image
    assert not torch.equal(before, after) and torch.equal(after, afresh(painter))
