"""Readers: they learn a toy world, keep their units and their file; the classification accuracy score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib.data.shuffled import Shuffled
from lib.games.classification_score import classification_accuracy_score
from lib.games.judge_train import Schooling
from lib.games.reader_train import train_reader
from lib.games.reading import WorldReading, mirrored, one_cycle, roughened
from lib.metrics.checks import MeasureError
from lib.metrics.reader import AttributeReader, ReaderConfig, load_reader
from lib.runtime import Runtime
from lib.training.audit import assert_alive
from lib.training.checkpoint import CheckpointError, save_weights

CPU = Runtime(torch.device("cpu"))
CONFIG = ReaderConfig("toys", {"colour": ("red", "green", "blue")}, {"place": 2}, size=16, width=8, features=32)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spots(count: int, seed: int) -> dict[str, Tensor]:
    """A coloured spot somewhere: its colour is the attribute, its place (100 times as large) the parameter."""
    draw = seeded(seed)
    colour = torch.randint(0, 3, (count,), generator=draw)
    place = torch.rand(count, 2, generator=draw) - 0.5
    x = torch.linspace(-1, 1, 16)
    near = torch.exp(
        -8 * ((x[None, None, :] - place[:, 0, None, None]) ** 2 + (x[None, :, None] - place[:, 1, None, None]) ** 2)
    )
    image = torch.zeros(count, 3, 16, 16)
    image[torch.arange(count), colour] = near
    return {"image": image * 1.6 - 0.8, "colour": colour, "place": 100 * place}


@pytest.fixture(scope="module")
def reader() -> AttributeReader:
    stream = Shuffled(spots(256, 1), batch=32, generator=seeded())
    return train_reader(CONFIG, stream, Schooling(100, lr=5e-3), share=0.1, runtime=CPU)[0]


def test_a_reader_reads_attributes_and_parameters_it_has_not_seen(reader: AttributeReader) -> None:
    test = spots(128, 9)
    scores = reader.scores(test["image"], test)
    assert scores.accuracy["colour"] > 0.97
    assert scores.r2["place"] > 0.85
    assert "colour" in str(scores) and set(scores.as_metrics()) == {"accuracy/colour", "r2/place"}


def test_the_answer_is_in_the_units_of_the_world(reader: AttributeReader) -> None:
    mean, std = reader.unit("place")
    assert mean.abs().max() < 10 and std.tolist() == pytest.approx([29, 29], abs=4)
    assert reader.read(spots(16, 3)["image"]).parameters["place"].abs().max() > 20


def test_reading_is_a_function_of_one_picture_at_any_size(reader: AttributeReader) -> None:
    images = spots(5, 4)["image"]
    together, alone = reader.read(images), reader.read(images[2:3])
    assert torch.allclose(together.logits["colour"][2:3], alone.logits["colour"], atol=1e-4)
    large = torch.nn.functional.interpolate(images, scale_factor=2, mode="bilinear")
    assert torch.equal(reader.read(large).values()["colour"], together.values()["colour"])
    assert together.probabilities("colour").sum(dim=1).tolist() == pytest.approx([1] * 5)


def test_a_saved_reader_reads_the_same(reader: AttributeReader, tmp_path: Path) -> None:
    path = tmp_path / "reader_toys.safetensors"
    reader.save(path, {"seed": 0})
    again = AttributeReader.load(path)
    assert again.config == CONFIG
    images = spots(4, 5)["image"]
    assert torch.equal(again.read(images).parameters["place"], reader.read(images).parameters["place"])
    save_weights(tmp_path / "other.safetensors", torch.nn.Linear(1, 1), {"seed": 0})
    with pytest.raises(CheckpointError, match="holds no reader"):
        AttributeReader.load(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="There is no"):
        load_reader("nowhere")


def test_the_same_seed_gives_the_same_reader() -> None:
    data = spots(32, 1)
    streams = [Shuffled(data, batch=16, generator=seeded()) for _ in range(2)]
    readers = [train_reader(CONFIG, stream, Schooling(2), runtime=CPU)[0] for stream in streams]
    for one, two in zip(readers[0].parameters(), readers[1].parameters(), strict=True):
        assert torch.equal(one, two)


def test_every_head_of_the_game_is_alive() -> None:
    game = WorldReading(AttributeReader(CONFIG), generator=seeded())
    batch = spots(16, 2)
    (turn,) = list(game.round(batch))
    assert list(turn.terms) == ["colour", "place"]
    assert_alive(game, batch)


def test_roughening_keeps_range_and_shape_and_share_0_keeps_the_picture() -> None:
    images = spots(16, 2)["image"]
    rough = roughened(images, seeded(), share=1.0)
    assert rough.shape == images.shape and rough.abs().max() <= 1
    assert (rough - images).abs().mean() > 0.02
    assert torch.allclose(roughened(images, seeded(), share=0.0), images, atol=1e-6)


def test_mirroring_changes_the_sign_of_what_points_to_the_right() -> None:
    batch = spots(40, 2)
    result = mirrored(batch, ("place",), seeded())
    flipped = (result["place"][:, 0] != batch["place"][:, 0]).nonzero()[:, 0]
    assert 10 < len(flipped) < 30
    assert torch.equal(result["image"][flipped], batch["image"][flipped].flip(-1))
    assert torch.equal(result["place"][:, 1], batch["place"][:, 1])
    kept = (result["place"][:, 0] == batch["place"][:, 0]).nonzero()[:, 0]
    assert torch.equal(result["image"][kept], batch["image"][kept])


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [one_cycle(step / 100) for step in range(101)]
    assert factors[0] < 0.2 and factors[10] == pytest.approx(1) and factors[100] == pytest.approx(0, abs=1e-9)
    assert max(factors) <= 1 and factors[50] > factors[80]


def test_a_shuffled_stream_sees_every_row_and_resumes() -> None:
    data = {"row": torch.arange(10), "square": torch.arange(10) ** 2}
    stream = Shuffled(data, batch=5, generator=seeded())
    rows = torch.cat([stream.draw()["row"] for _ in range(2)])
    assert sorted(rows.tolist()) == list(range(10))
    stream.draw()
    state = {name: value.clone() if isinstance(value, Tensor) else value for name, value in stream.state_dict().items()}
    expected = [stream.draw() for _ in range(3)]
    other = Shuffled(data, batch=5, generator=seeded(8))
    other.load_state_dict(state)
    for batch in expected:
        assert torch.equal(other.draw()["square"], batch["square"])
        assert torch.equal(batch["square"], batch["row"] ** 2)
    with pytest.raises(ValueError, match="one length"):
        Shuffled({"a": torch.zeros(3), "b": torch.zeros(4)}, batch=2, generator=seeded())


# --- classification accuracy score ----------------------------------------------------------------


def labelled(count: int, seed: int) -> tuple[Tensor, Tensor]:
    batch = spots(count, seed)
    return batch["image"], batch["colour"]


def test_a_missing_class_and_wrong_labels_cost_accuracy_on_real_pictures() -> None:
    real, test = labelled(96, 1), labelled(90, 2)
    images, labels = labelled(140, 3)
    missing = images[labels != 2], labels[labels != 2]
    score = classification_accuracy_score(missing, real, test, classes=3, rounds=25, batch=32, runtime=CPU)
    assert score.reference > 0.95
    assert score.per_class[2] == 0 and score.accuracy < 0.75
    assert score.gap == pytest.approx(score.reference - score.accuracy)
    assert score.n_train == min(len(missing[1]), 96)
    assert f"real {score.reference:.1%}" in str(score)


def test_the_sets_are_moved_to_the_device_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Exception):
        pass

    def look(config: ReaderConfig, stream: Shuffled, *rest: object, runtime: Runtime, **options: object) -> None:
        raise Seen(*{value.device.type for value in stream.data.values()}, runtime.device.type)

    monkeypatch.setattr(Runtime, "detect", classmethod(lambda cls, name=None: cls(torch.device("meta"))))
    monkeypatch.setattr("lib.games.classification_score.train_reader", look)
    sets = labelled(40, 1), labelled(40, 2), labelled(40, 3)
    with pytest.raises(Seen, match=r"\('meta', 'meta'\)"):
        classification_accuracy_score(*sets, classes=3, batch=32)


def test_a_class_without_test_pictures_speaks() -> None:
    images, labels = labelled(60, 2)
    test = images[labels != 1], labels[labels != 1]
    with pytest.raises(MeasureError, match="no picture of class 1"):
        classification_accuracy_score(
            labelled(40, 1), labelled(40, 3), test, classes=3, rounds=1, batch=32, runtime=CPU
        )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda r: r.read(torch.zeros(1, 3, 16, 16) + 7), "clamp"),
        (lambda r: r.scores(torch.zeros(1, 3, 16, 16), {"age": torch.zeros(1)}), "reads colour, place, not age"),
        (
            lambda r: classification_accuracy_score(labelled(9, 1), labelled(9, 1), labelled(9, 1), classes=3),
            "9 pictures",
        ),
        (lambda r: classification_accuracy_score(labelled(9, 1), labelled(9, 1), labelled(9, 1), classes=2), "to 1"),
    ],
)
def test_bad_input_speaks(reader: AttributeReader, call: Callable[[AttributeReader], object], says: str) -> None:
    with pytest.raises(MeasureError, match=says):
        call(reader)
