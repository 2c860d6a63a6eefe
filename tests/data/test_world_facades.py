"""Street fronts: one layout under every light, labels that agree with the picture, streams that never meet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lib.data.worlds.facades import TRAITS, Facades
from lib.data.worlds.facades_scene import LABEL
from lib.data.worlds.world import Batch, Parameters, WorldStream, split_generator

WORLD = Facades()


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return WORLD.sample(64, generator=split_generator("train", 3))


@pytest.fixture(scope="module")
def day(parameters: Parameters) -> Batch:
    return WORLD.render(WORLD.changed(parameters, time="day"), 64)


def brightness(image: Tensor) -> Tensor:
    return image.mean(1)


def few(parameters: Parameters, count: int) -> Parameters:
    return {name: value[:count] for name, value in parameters.items()}


def test_parameters_are_what_the_world_says(parameters: Parameters) -> None:
    sizes = {name: len(values) for name, values in WORLD.attributes.items()}
    sizes |= {name: len(weights) for name, weights in TRAITS.items()}
    for name, values in sizes.items():
        assert parameters[name].dtype == torch.int64 and parameters[name].shape == (64,)
        assert set(parameters[name].tolist()) == set(range(values)), name
    assert set(parameters["floors"].tolist()) == {2, 3, 4, 5, 6}
    assert set(parameters["bays"].tolist()) <= set(range(2, 8)) and len(set(parameters["bays"].tolist())) >= 5
    assert all(sum(weights) == pytest.approx(1) for weights in TRAITS.values())


def test_the_same_parameters_give_the_same_picture(parameters: Parameters, day: Batch) -> None:
    again = WORLD.render(WORLD.changed(parameters, time="day"), 64)
    assert torch.equal(again["image"], day["image"]) and torch.equal(again["labels"], day["labels"])


def test_a_picture_does_not_depend_on_its_batch(parameters: Parameters, day: Batch) -> None:
    alone = WORLD.render({name: value[5:7] for name, value in WORLD.changed(parameters, time="day").items()}, 64)
    torch.testing.assert_close(alone["image"], day["image"][5:7], atol=2e-5, rtol=0)
    assert torch.equal(alone["labels"], day["labels"][5:7])


@pytest.mark.parametrize(
    "attribute, value", [(name, value) for name, values in WORLD.attributes.items() for value in values]
)
def test_appearance_changes_the_picture_and_never_the_labels(
    parameters: Parameters, attribute: str, value: str
) -> None:
    some = few(parameters, 12)
    before, after = WORLD.render(some, 48), WORLD.render(WORLD.changed(some, **{attribute: value}), 48)
    assert torch.equal(before["labels"], after["labels"])
    differs = (before["image"] - after["image"]).abs().amax(dim=(1, 2, 3)) > 0.05
    assert torch.equal(differs, some[attribute] != WORLD.value(attribute, value))


@pytest.mark.parametrize("name", ["surface", "colours", "light", "evening"])
def test_hidden_appearance_leaves_the_labels_too(parameters: Parameters, name: str) -> None:
    some = few(parameters, 8)
    other = {**some, name: some[name].flip(0)}
    before, after = WORLD.render(some, 48), WORLD.render(other, 48)
    assert torch.equal(before["labels"], after["labels"])
    assert not torch.equal(before["image"], after["image"])


def test_the_layout_changes_the_labels(parameters: Parameters) -> None:
    some = few(parameters, 8)
    before = WORLD.render(some, 32)["labels"]
    for name in ("structure", "floors", "bays", "frame", "roof", "shop", "tree"):
        labels = WORLD.render({**some, name: some[name].flip(0)}, 32)["labels"]
        assert not torch.equal(labels, before), name


def test_every_class_appears_and_most_are_in_most_pictures(day: Batch) -> None:
    present = torch.stack([(day["labels"] == k).flatten(1).any(1).float().mean() for k in range(len(WORLD.palette))])
    assert (present > 0.1).all(), dict(zip(WORLD.palette.names, present.tolist(), strict=True))
    for name in ("wall", "window", "door", "roof", "cornice", "ground", "sky"):
        assert present[LABEL[name]] > 0.85, name
    assert int(day["labels"].max()) < len(WORLD.palette)


def test_sky_is_above_and_ground_below(day: Batch) -> None:
    height = torch.arange(64.0)[None, :, None].expand(64, 64, 64)

    def mean_row(name: str) -> Tensor:
        here = day["labels"] == LABEL[name]
        return (height * here).sum((1, 2)) / here.sum((1, 2))

    for above, below in (("sky", "roof"), ("roof", "wall"), ("wall", "ground")):
        difference = mean_row(below) - mean_row(above)
        assert (difference[~difference.isnan()] > 0).float().mean() > 0.95, (above, below)


def test_lit_windows_outshine_the_wall_at_night_only(parameters: Parameters, day: Batch) -> None:
    day = {name: value[:24] for name, value in day.items()}
    night = WORLD.render(few(WORLD.changed(parameters, time="night", evening=1.0), 24), 64)
    dark = WORLD.render(few(WORLD.changed(parameters, time="night", evening=0.0), 24), 64)
    window, wall = (day["labels"] == LABEL[name] for name in ("window", "wall"))
    gap = brightness(night["image"])[window].mean() - brightness(night["image"])[wall].mean()
    assert gap > 0.15
    assert brightness(day["image"])[window].mean() < brightness(day["image"])[wall].mean()
    assert brightness(dark["image"])[window].mean() < brightness(night["image"])[window].mean() - 0.2
    assert brightness(night["image"]).mean() < brightness(day["image"]).mean() - 0.3


def test_winter_whitens_roofs_and_autumn_reddens_leaves(parameters: Parameters, day: Batch) -> None:
    scenes = {
        season: WORLD.render(few(WORLD.changed(parameters, time="day", season=season), 24), 64)["image"]
        for season in WORLD.attributes["season"]
    }
    roof, leaves = (day["labels"][:24] == LABEL[name] for name in ("roof", "vegetation"))
    assert brightness(scenes["winter"])[roof].mean() > brightness(scenes["summer"])[roof].mean() + 0.2
    redness = {season: (image[:, 0] - image[:, 1])[leaves].mean() for season, image in scenes.items()}
    assert redness["autumn"] > redness["summer"] + 0.2


def test_one_picture_at_every_size(parameters: Parameters) -> None:
    some = few(parameters, 2)
    fine = WORLD.render(some, 256)
    for size in (32, 48, 100, 128, 512):
        batch = WORLD.render(some, size)
        image, labels = batch["image"], batch["labels"]
        assert image.shape == (2, 3, size, size) and labels.dtype == torch.uint8
        assert image.dtype == torch.float32 and image.isfinite().all() and image.min() >= -1 and image.max() <= 1
        small = torch.nn.functional.interpolate(fine["image"], size=(32, 32), mode="area")
        again = torch.nn.functional.adaptive_avg_pool2d(image, 32)
        assert (small - again).abs().mean() < 0.08, size


def test_layouts_vary(day: Batch) -> None:
    walls = (day["labels"] == LABEL["wall"]).flatten(1).float()
    both = walls @ walls.T
    either = walls.sum(1)[:, None] + walls.sum(1)[None] - both
    overlap = (both / either)[~torch.eye(len(walls), dtype=torch.bool)].mean()
    assert overlap < 0.25
    assert len({row.numpy().tobytes() for row in day["labels"]}) == len(walls)


def test_splits_never_meet_and_a_stream_resumes_exactly() -> None:
    batches = {split: WorldStream(WORLD, batch=16, size=16, split=split).draw() for split in ("train", "val", "test")}
    seeds = torch.cat([batch["structure"] for batch in batches.values()])
    assert len(seeds.unique()) == len(seeds)
    stream = WorldStream(WORLD, batch=4, size=32, seed=5)
    stream.draw()
    state = stream.state_dict()
    expected = stream.draw()
    other = WorldStream(WORLD, batch=4, size=32, seed=9)
    other.load_state_dict(state)
    actual = other.draw()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
