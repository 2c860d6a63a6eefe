"""From a reader's file to a picture: conditions, streams of pairs, the translator, its file and its command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lib.data.conditions import Condition, ConditionError, edges, grey
from lib.data.pairs import Crops, Paired, PairError, photo_pairs
from lib.data.worlds.world import one_hot
from lib.games import pix2pix_train
from lib.games.pix2pix import Pix2PixConfig
from lib.games.pix2pix_measures import measure
from lib.games.pix2pix_train import Pix2PixCommand, held_out_pairs, main, train_pix2pix, training_stream
from lib.games.translator import NETWORKS, Translator
from lib.images import ImageError, to_pil
from lib.labelmaps import LabelError, LabelMap
from lib.metrics.segmentation_score import ParserConfig, SceneParser
from lib.nn.unet import UNetConfig, UNetGenerator
from lib.runtime import seeded
from lib.training.checkpoint import CheckpointError, save_weights
from lib.training.streams import Repeat
from tests.scenes import CPU, PALETTE, labels, noise, photo

LABELS = Condition("labels", PALETTE)
TINY: dict[str, Any] = {"size": 16, "width": 4, "widest": 2, "d_width": 4, "patch": 16, "batch": 2, "rounds": 2,
                        "pool": 4}  # fmt: skip


def translator(condition: Condition = LABELS, **options: Any) -> Translator:
    torch.manual_seed(0)
    G = UNetGenerator(UNetConfig(condition.channels, depth=4, width=4))
    for weight in G.parameters():
        nn.init.normal_(weight, 0.0, 0.2)
    return Translator(G, condition, runtime=CPU, **options)


# ---------------------------------------------------------------------------------------------- conditions


def test_a_label_map_can_come_in_any_form(tmp_path: Path) -> None:
    """Index array or tensor, one-hot tensor, label map, indexed PNG, colour picture: always the same condition."""
    index = labels(33, 50)
    layout, expected = LabelMap(index, PALETTE), one_hot(torch.from_numpy(index)[None], 3)
    layout.save(tmp_path / "layout.png")
    forms = [
        index, index.astype(np.int64), torch.from_numpy(index), torch.from_numpy(index)[None].long(), expected,
        expected[0], layout, layout.to_pil(), tmp_path / "layout.png", layout.to_pil().convert("RGB"),
        np.asarray(layout.to_pil().convert("RGB")),
    ]  # fmt: skip
    for form in forms:
        assert torch.equal(LABELS.read(form), expected)
    assert LABELS.read(layout, side=25).shape == (1, 3, 17, 25)


def test_a_picture_can_come_in_any_form(tmp_path: Path) -> None:
    image, _ = photo(33, 50)
    pil = to_pil(image)
    pil.save(tmp_path / "photo.png")
    exact = grey((torch.from_numpy(np.array(pil)).permute(2, 0, 1)[None].float() / 127.5) - 1)
    for form in (pil, np.asarray(pil), tmp_path / "photo.png", (tmp_path / "photo.png").read_bytes()):
        torch.testing.assert_close(Condition("grey").read(form), exact)
    for tensor in (image, image[None]):
        torch.testing.assert_close(Condition("grey").read(tensor), grey(image[None]))
        assert torch.equal(Condition("picture").read(tensor), image[None])
    line = noise(1, 33, 50)
    torch.testing.assert_close(Condition("edges").read(line), line[None])
    for source in (image, pil):
        assert Condition("picture").read(source, side=25).shape == (1, 3, 17, 25)


def test_grey_and_edges_have_known_answers() -> None:
    colours = torch.tensor([[1.0, 1, 1], [-1, -1, -1], [1, -1, -1]]).view(3, 3, 1, 1)
    assert grey(colours).flatten().tolist() == pytest.approx([1.0, -1.0, 2 * 0.299 - 1])
    half = torch.full((1, 3, 32, 32), -1.0)
    half[..., 16:] = 1.0
    drawing = edges(half)
    assert drawing.shape == (1, 1, 32, 32) and drawing.unique().tolist() == [-1.0, 1.0]
    columns = (drawing[0, 0] == -1).any(dim=0).nonzero()[:, 0]
    assert set(columns.tolist()) <= {15, 16} and len(columns) >= 1
    assert bool((edges(torch.zeros(1, 3, 16, 16)) == 1).all())


@pytest.mark.parametrize("condition", [LABELS, Condition("edges"), Condition("grey"), Condition("picture")])
def test_a_condition_knows_its_channels_and_survives_json(condition: Condition) -> None:
    batch = {"image": noise(2, 3, 16, 16), "labels": torch.zeros(2, 16, 16, dtype=torch.uint8)}
    x = condition.of(batch)
    assert x.shape == (2, condition.channels, 16, 16)
    assert Condition.from_dict(json.loads(json.dumps(condition.as_dict()))) == condition
    shown = condition.show(x[0])
    assert isinstance(shown, LabelMap) if condition is LABELS else shown.shape == (3, 16, 16)


def test_what_a_condition_refuses() -> None:
    with pytest.raises(ConditionError, match="needs a palette"):
        Condition("labels")
    with pytest.raises(ConditionError, match="no 'labels'"):
        LABELS.of({"image": noise(1, 3, 16, 16)})
    with pytest.raises(ConditionError, match="class indices"):
        LABELS.read(noise(3, 32, 32)[:2])
    with pytest.raises(LabelError, match="0 to 2"):
        LABELS.read(np.full((32, 32), 7))
    with pytest.raises(ConditionError, match="not a label map"):
        Condition("grey").read(LabelMap(labels(), PALETTE))
    with pytest.raises(ConditionError, match=r"\(3, H, W\)"):
        Condition("grey").read(torch.zeros(2, 3, 32, 32))
    for wrong in (noise(3, 32, 32) * 127, torch.full((3, 32, 32), torch.nan)):
        with pytest.raises(ImageError, match=r"\[-1, 1\]"):
            Condition("picture").read(wrong)


# --------------------------------------------------------------------------------------------------- pairs


def coordinates(height: int, width: int, number: int) -> dict[str, Tensor]:
    """A picture whose pixels say where they are; its condition is minus that."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([torch.full_like(rows, number), rows, columns]).float()
    return {"image": image, "condition": -image[1:]}


def test_crops_are_true_pieces() -> None:
    """Neighbours stay neighbours, pairs stay pairs, all pictures and both mirrorings occur, borders included."""
    sizes = [(20, 31), (16, 16), (40, 17)]
    pictures = [coordinates(*size, number) for number, size in enumerate(sizes)]
    stream = Crops(pictures, size=16, batch=400, generator=seeded(0))
    batch = stream.draw()
    image, condition = batch["image"], batch["condition"]
    assert image.shape == (400, 3, 16, 16) and torch.equal(condition, -image[:, 1:])
    assert bool((image[:, 1].diff(dim=1) == 1).all()) and set(image[:, 2].diff(dim=2).flatten().tolist()) == {-1, 1}
    for number, (height, width) in enumerate(sizes):
        mine = image[image[:, 0, 0, 0] == number]
        assert len(mine) and bool((mine[:, 0] == number).all())
        assert (float(mine[:, 1].max()), float(mine[:, 2].max())) == (height - 1, width - 1)
        places = (height - 15) * (width - 15)
        assert len(mine) / 400 == pytest.approx(places / (80 + 1 + 50), abs=0.08)


def test_crops_resume_and_repeat() -> None:
    stream, twin = (Crops([coordinates(30, 30, 0)], size=8, batch=3, generator=seeded(5)) for _ in range(2))
    twin.load_state_dict(stream.state_dict())
    first = stream.draw()["image"]
    assert torch.equal(first, twin.draw()["image"]) and not torch.equal(first, stream.draw()["image"])
    plain = Crops([coordinates(30, 30, 0)], size=8, batch=9, generator=seeded(5), mirror=False).draw()["image"]
    assert bool((plain[:, 2].diff(dim=2) == 1).all())


def test_bad_pairs_speak() -> None:
    with pytest.raises(PairError, match="smaller than the crops"):
        Crops([coordinates(30, 12, 0)], size=16, batch=1, generator=seeded(0))
    with pytest.raises(PairError, match="one size"):
        Crops([{"image": noise(3, 20, 20), "condition": noise(1, 20, 21)}], size=8, batch=1, generator=seeded(0))


def test_a_paired_stream_tells_the_condition_and_keeps_the_state() -> None:
    inner = Repeat({"image": noise(2, 3, 16, 16), "labels": torch.from_numpy(labels(16, 16)).expand(2, -1, -1)})
    stream = Paired(inner, LABELS)
    batch = stream.draw()
    assert torch.equal(batch["condition"], one_hot(batch["labels"], 3)) and stream.state_dict() == {}
    stream.load_state_dict({})


def test_test_photos_share_no_pixel_with_training_photos() -> None:
    """A photo is cut across its long side: three eighths, the quarter for testing, three eighths."""
    from lib.data.photos import load_photo

    (test,) = photo_pairs(Condition("grey"), "test", side=64, names=("china",))
    left, right = photo_pairs(Condition("grey"), "train", side=64, names=("china",))
    whole = torch.cat([part["image"] for part in (left, test, right)], dim=2)
    assert torch.equal(whole, load_photo("china", side=64).image)
    assert [part["image"].shape[2] for part in (left, test, right)] == [24, 16, 24]
    assert test["condition"].shape == (1, *test["image"].shape[1:])


# --------------------------------------------------------------------------------------------- translator


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (100, 41)])
def test_one_call_at_any_size(size: tuple[int, int]) -> None:
    own, index = translator(), labels(*size)
    picture = own.translate(index)
    assert picture.shape == (3, *size) and picture.dtype == torch.float32 and float(picture.abs().max()) <= 1
    assert torch.equal(picture, own.translate(LabelMap(index, PALETTE).to_pil()))
    with torch.no_grad():
        torch.testing.assert_close(picture, own.G(LABELS.read(index))[0])


def test_seeds_choose_the_answer() -> None:
    own, index = translator(noisy=True), labels()
    default, again, other, calm = (own.translate(index, seed=seed) for seed in (0, 0, 1, None))
    assert torch.equal(default, own.translate(index)) and torch.equal(default, again)
    assert not torch.equal(default, other) and not torch.equal(default, calm)
    quiet = translator()
    assert torch.equal(quiet.translate(index, seed=0), quiet.translate(index, seed=1))


def test_options_reach_the_generator() -> None:
    """As a StarGAN needs it: which domain is wanted."""

    class Shift(nn.Module):
        def forward(self, x: Tensor, *, to: float) -> Tensor:
            return x + to

    own = Translator(Shift(), Condition("picture"), runtime=CPU)
    image, _ = photo(32, 32)
    torch.testing.assert_close(own.translate(image, to=0.25), (image + 0.25).clamp(-1, 1))
    with pytest.raises(CheckpointError, match="add its class"):
        own.save("x.safetensors", config={}, seed=0, data="", metrics={}, seconds=0)


@pytest.mark.parametrize("condition", [LABELS, Condition("grey")])
def test_a_translator_survives_its_file(tmp_path: Path, condition: Condition) -> None:
    own = translator(condition, noisy=True)
    own.save(tmp_path / "t.safetensors", config=Pix2PixConfig(), seed=3, data="none", metrics={"l1": 0.5}, seconds=1)
    loaded = Translator.load(tmp_path / "t.safetensors", runtime=CPU)
    x = condition.of({"image": noise(2, 3, 30, 44), "labels": torch.from_numpy(labels(30, 44)).expand(2, -1, -1)})
    assert torch.equal(own.paint(x, seed=7), loaded.paint(x, seed=7)) and not loaded.G.training
    assert loaded.condition == condition and loaded.card["metrics"] == {"l1": 0.5} and loaded.card["seed"] == 3
    assert Pix2PixConfig.from_dict(loaded.card["config"]) == Pix2PixConfig()
    assert all(not weight.requires_grad for weight in loaded.G.parameters())


def test_a_file_of_something_else_speaks(tmp_path: Path) -> None:
    save_weights(tmp_path / "other.safetensors", nn.Linear(1, 1), {"config": {}})
    with pytest.raises(CheckpointError, match="holds no translator"):
        Translator.load(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Translator.load(tmp_path / "missing.safetensors")
    config, network = NETWORKS["unet"]
    assert network(config(1, depth=2, width=2)).config.channels == 1


# ------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize(("task", "data"), [
    ("labels", "facades"), ("edges", "facades"), ("grey", "photos"), ("edges", "photos"),
])  # fmt: skip
def test_every_task_has_pairs_to_learn_from_and_others_to_be_judged_by(task: Any, data: Any) -> None:
    config = Pix2PixConfig(task=task, data=data, **TINY)
    batch, test = training_stream(config).draw(0.0), held_out_pairs(config, 3)
    for pairs, count in ((batch, 2), (test, 3)):
        assert pairs["image"].shape == (count, 3, 16, 16) and float(pairs["image"].abs().max()) <= 1
        assert pairs["condition"].shape[0] == count and pairs["condition"].shape[2:] == (16, 16)
    assert torch.equal(test["image"], held_out_pairs(config, 3)["image"])
    assert torch.equal(batch["condition"], training_stream(config).draw(0.0)["condition"])


def test_new_pictures_in_every_round() -> None:
    stream = training_stream(Pix2PixConfig(**TINY | {"pool": 0, "data": "faces"}))
    first, second = stream.draw(0.0), stream.draw(0.0)
    assert first["condition"].shape[1] == len(pix2pix_train.condition_of(Pix2PixConfig(data="faces")).palette or ())
    assert not torch.equal(first["image"], second["image"])


def test_what_is_always_so_is_so_in_training_and_in_the_test() -> None:
    """Summer days unless asked otherwise; the material stays free."""
    batch = training_stream(Pix2PixConfig.quick(**TINY | {"pool": 0, "batch": 24, "data": "facades"})).draw(0.0)
    assert {int(batch[name].min()) for name in ("time", "season", "weather")} == {0}
    assert {int(batch[name].max()) for name in ("time", "season", "weather")} == {0} and batch[
        "material"
    ].unique().numel() > 2
    free = training_stream(Pix2PixConfig.quick(**TINY | {"pool": 0, "batch": 24, "always": {}})).draw(0.0)
    assert free["time"].unique().numel() == 2
    assert Pix2PixConfig.full(data="faces").always == {}


def test_a_training_of_ones_own_pairs_can_be_cut_off(tmp_path: Path) -> None:
    """Interrupted and resumed, it ends in the same weights as in one go, noise included."""
    config = Pix2PixConfig(task="grey", data="photos", **TINY | {"rounds": 4})
    pairs = {"condition": noise(2, 1, 16, 16), "image": noise(2, 3, 16, 16, seed=1)}

    def train(rounds: int, **options: Any) -> Translator:
        from dataclasses import replace

        flat = replace(config, rounds=rounds)
        return train_pix2pix(flat, stream=Repeat(pairs), runtime=CPU, **options)[0]

    whole = train(4)
    file = tmp_path / "work.safetensors"
    train_pix2pix(config, stream=Repeat(pairs), runtime=CPU, checkpoint=file, on_round=stop_after(2))
    resumed, history = train_pix2pix(config, stream=Repeat(pairs), runtime=CPU, checkpoint=file, resume=True)
    assert len(history) == 4
    weights = whole.G.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in resumed.G.state_dict().items())


def stop_after(rounds: int) -> Any:
    """A callback that interrupts as Ctrl-C does."""

    def callback(report: Any) -> None:
        if report.rounds_done == rounds:
            raise KeyboardInterrupt

    return callback


def test_measures_of_a_perfect_translator() -> None:
    """The truth itself: no error, as sharp as the truth, FCN-score at the ceiling."""

    class Answer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    image = noise(4, 3, 16, 16)
    parser = SceneParser(ParserConfig("none", ("a", "b"), size=16, widths=(4, 4))).eval()
    pairs = {"condition": image, "image": image, "labels": torch.zeros(4, 16, 16, dtype=torch.uint8)}
    scores = measure(Translator(Answer(), Condition("picture"), runtime=CPU), pairs, parser, batch=3)
    assert scores["l1"] == 0 and scores["sharpness"] == pytest.approx(1)
    assert scores["fcn/miou"] == scores["ceiling/miou"] and scores["fcn/pixel"] == scores["ceiling/pixel"]
    flat = measure(Translator(_Flat(), Condition("picture"), runtime=CPU), pairs)
    assert flat["sharpness"] == 0 and flat["l1"] == pytest.approx(float(image.abs().mean())) and len(flat) == 3


class _Flat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_the_command_writes_weights_measures_and_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(**changes: Any) -> Pix2PixConfig:
        return Pix2PixConfig(**{**TINY, **changes})

    monkeypatch.setattr(Pix2PixConfig, "shipped", small)
    command = Pix2PixCommand(
        task="grey", data="photos", row="L1+GAN", no_noise=True, profile="quick", device="cpu", pairs=3,
        checkpoints=tmp_path, results=tmp_path / "results", sheet=tmp_path / "sheet.png",
    )  # fmt: skip
    assert main(command) == 0
    loaded = Translator.load(tmp_path / "pix2pix_photos_grey.safetensors", runtime=CPU)
    assert loaded.condition.kind == "grey" and not loaded.noisy and loaded.card["config"]["conditional"] is False
    record: Mapping[str, Any] = json.loads((tmp_path / "results" / "pix2pix_photos_grey.json").read_text())
    assert record["measures"] == loaded.card["metrics"] and record["rounds"] == 2
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 3 * 16
