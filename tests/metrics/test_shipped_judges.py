"""The readers and parsers that the book ships: what their cards promise, and what their features see."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib.data.worlds.digits import handwritten_digits
from lib.data.worlds.draw import Canvas
from lib.data.worlds.world import Batch, Parameters, World, WorldStream, collect
from lib.games import judge_train, parser_train, reader_train
from lib.games.judge_train import Drawn, world_of
from lib.labelmaps import Palette
from lib.metrics.features import RandomConvFeatures, ReaderFeatures
from lib.metrics.fidelity import fidelity, inception_score
from lib.metrics.judge_files import judge_path
from lib.metrics.reader import AttributeReader, load_reader
from lib.metrics.segmentation_score import SceneParser, fcn_score, load_parser
from lib.training.checkpoint import read_card

CHECKPOINTS = judge_path("reader", "digits").parent


def shipped(kind: str) -> list[str]:
    """The worlds of which the book ships a judge of this kind."""
    return sorted(path.stem.removeprefix(f"{kind}_") for path in CHECKPOINTS.glob(f"{kind}_*.safetensors"))


def test_the_digit_reader_reads_real_handwriting() -> None:
    images, digits = handwritten_digits("test", size=16)
    reader = load_reader("digits")
    scores = reader.scores(images, {"digit": digits})
    assert scores.accuracy["digit"] >= 0.97
    assert scores.accuracy["digit"] == pytest.approx(
        read_card(judge_path("reader", "digits"))["metrics"]["accuracy/digit"]
    )
    probabilities = reader.read(images).probabilities("digit")
    assert 9 < inception_score(probabilities, splits=1).mean < 10


@pytest.mark.parametrize("world", sorted({"faces", *shipped("reader")} - {"digits"}))
def test_a_reader_keeps_the_promise_of_its_card(world: Drawn) -> None:
    """The look of a world and its reader must move together: train it again after changing the world."""
    reader, card = load_reader(world), read_card(judge_path("reader", world))
    assert judge_path("reader", world).stat().st_size < 3e6
    source, _ = world_of(world)
    batch = collect(WorldStream(source, batch=48, size=reader.config.size, split="test", seed=1), 48)
    scores = reader.scores(batch["image"], batch)
    for name, accuracy in scores.accuracy.items():
        assert accuracy > card["metrics"][f"accuracy/{name}"] - 0.2
    for name, r2 in scores.r2.items():
        assert r2 > card["metrics"][f"r2/{name}"] - 0.3


@pytest.mark.parametrize("world", shipped("parser"))
def test_a_parser_keeps_the_promise_of_its_card(world: Drawn) -> None:
    parser, card = load_parser(world), read_card(judge_path("parser", world))
    assert judge_path("parser", world).stat().st_size < 3e6
    source, _ = world_of(world)
    assert parser.config.classes == source.palette.names
    batch = collect(WorldStream(source, batch=24, size=parser.config.size, split="test", seed=1), 24)
    score = fcn_score(parser, batch["image"], batch["labels"], classes=len(parser.config.classes))
    assert score.pixel_accuracy > card["metrics"]["pixel_accuracy"] - 0.08
    assert score.miou > card["metrics"]["miou"] - 0.12


def test_two_feature_spaces_see_different_defects() -> None:
    """Missing classes show in the reader's features, noise in random ones; each is the other's weak spot."""
    images, digits = handwritten_digits("train", size=16)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, digits = images[order], digits[order]
    real, other, other_digits = images[:600], images[600:1200], digits[600:1200]
    few = other[(other_digits != 3) & (other_digits != 5) & (other_digits != 7)]
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(1))
    noisy = (other + 0.15 * noise).clamp(-1, 1)
    content, look = ReaderFeatures(load_reader("digits")), RandomConvFeatures()

    def ratio(features: ReaderFeatures | RandomConvFeatures, fake: Tensor) -> float:
        return fidelity(real, fake, features, other_real=other).fid_ratio

    assert ratio(content, few) > 2 * ratio(look, few)
    assert ratio(look, noisy) > ratio(content, noisy)


# --- the commands ---------------------------------------------------------------------------------


class Spots(World):
    """A disc on a ground; the attribute is its colour."""

    name = "spots"
    palette = Palette(("ground", "disc"), ((0, 0, 0), (255, 255, 255)))
    attributes = {"colour": ("red", "blue")}  # noqa: RUF012 - as in every world

    def sample(self, count: int, *, generator: torch.Generator) -> Parameters:
        return {
            "colour": torch.randint(0, 2, (count,), generator=generator),
            "place": torch.rand(count, 2, generator=generator) - 0.5,
        }

    def render(self, parameters: Parameters, size: int) -> Batch:
        canvas = Canvas(len(parameters["place"]), size)
        x = torch.linspace(-1, 1, size)
        place = parameters["place"][:, :, None, None]
        inside = ((x[None, None, :] - place[:, 0]).square() + (x[None, :, None] - place[:, 1]).square() < 0.2).float()
        canvas.paint(inside, torch.eye(3)[parameters["colour"] * 2], 1)
        return canvas.finished()


def test_the_reader_command_writes_weights_and_card(tmp_path: Path) -> None:
    command = reader_train.ReaderCommand(world="digits", rounds=2, batch=8, out=tmp_path)
    assert reader_train.main(command) == 0
    reader = AttributeReader.load(tmp_path / "reader_digits.safetensors")
    assert reader.config.attributes == {"digit": tuple("0123456789")}
    card = read_card(tmp_path / "reader_digits.safetensors")
    assert card["config"]["rounds"] == 2 and "accuracy/digit" in card["metrics"]


def test_the_commands_on_a_drawn_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reader_train, parser_train):
        monkeypatch.setattr(module, "world_of", lambda name: (Spots(), {"place": 2}))
    monkeypatch.setattr(judge_train, "HELD_OUT", 8)
    assert (
        reader_train.main(reader_train.ReaderCommand(world="faces", rounds=2, pictures=16, batch=8, out=tmp_path)) == 0
    )
    reader = AttributeReader.load(tmp_path / "reader_faces.safetensors")
    assert set(reader.config.attributes) == {"colour"} and reader.config.parameters == {"place": 2}
    assert (
        parser_train.main(
            parser_train.ParserCommand(world="faces", rounds=2, pictures=16, batch=8, size=32, out=tmp_path)
        )
        == 0
    )
    assert SceneParser.load(tmp_path / "parser_faces.safetensors").config.classes == ("ground", "disc")
