"""The world of faces: the answer key agrees with the picture, and each parameter changes only what it should."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.data.worlds.faces import Faces
from lib.data.worlds.faces_anatomy import GAZE, TRAITS
from lib.data.worlds.faces_easel import Easel
from lib.data.worlds.faces_hair import STYLES, hairstyle
from lib.data.worlds.world import SPLITS, Parameters, WorldError, WorldStream, collect

WORLD = Faces()
NAMES = WORLD.palette.names
BARE = {"glasses": "none", "beard": "none", "hat": "none"}


def people(count: int, seed: int = 0, **values: str | int | Tensor) -> Parameters:
    generator = torch.Generator().manual_seed(seed)
    return WORLD.changed(WORLD.sample(count, generator=generator), **values)


def frontal(count: int, seed: int = 0, **values: str | int | Tensor) -> Parameters:
    """People who look straight at us, the head upright and in the middle."""
    still: dict[str, str | int | Tensor] = {name: torch.zeros(2) for name in ("pose", "gaze", "light")}
    still |= {"roll": 0, "placement": torch.tensor([0.0, 0.0, 1.0])}
    return people(count, seed, **{**BARE, **still, **values})


def region(labels: Tensor, *names: str, grow: int = 0) -> Tensor:
    """Where a pixel is of one of the classes, or within `grow` pixels of it."""
    mask = torch.stack([labels == NAMES.index(name) for name in names]).any(0)
    return F.max_pool2d(mask.float()[:, None], 2 * grow + 1, 1, grow)[:, 0] > 0


def moved(a: Tensor, b: Tensor) -> Tensor:
    """Pixels that are not exactly the same in two pictures."""
    return (a - b).abs().amax(1) > 1e-6


def with_trait(parameters: Parameters, **values: float) -> Parameters:
    identity = parameters["identity"].clone()
    for name, value in values.items():
        identity[:, TRAITS.index(name)] = value
    return {**parameters, "identity": identity}


def test_the_classes_and_attributes_are_those_the_chapters_rely_on() -> None:
    assert len(WORLD.palette) >= 12
    assert WORLD.attributes == {
        "hair": ("black", "blond", "brown", "grey"),
        "gender": ("female", "male"),
        "age": ("young", "middle", "old"),
        "glasses": ("none", "glasses"),
        "beard": ("none", "beard"),
        "expression": ("neutral", "smile", "sad", "surprised", "angry"),
        "hat": ("none", "hat"),
    }
    parameters = people(600, 3)
    for name, values in WORLD.attributes.items():
        assert set(parameters[name].tolist()) == set(range(len(values))), name
    assert not (parameters["beard"].bool() & (parameters["gender"] == 0)).any(), "beards are offered to men only"
    assert parameters["identity"].shape == (600, 32) and parameters["gaze"].abs().max() <= 1


def test_the_same_parameters_give_the_same_picture() -> None:
    first, second = (WORLD.render(people(3, 5), 48) for _ in range(2))
    assert torch.equal(first["image"], second["image"]) and torch.equal(first["labels"], second["labels"])


@pytest.mark.parametrize("size", [32, 50, 64, 128, 512])
def test_every_size_is_finite_and_in_range(size: int) -> None:
    batch = WORLD.draw(1, size, generator=torch.Generator().manual_seed(size))
    assert batch["image"].shape == (1, 3, size, size) and batch["labels"].shape == (1, size, size)
    assert batch["labels"].dtype == torch.uint8 and batch["labels"].max() < len(NAMES)
    assert batch["image"].isfinite().all() and batch["image"].abs().max() <= 1


def test_a_small_picture_is_the_large_one_seen_from_afar() -> None:
    parameters = people(8, 6)
    large, small = WORLD.render(parameters, 128), WORLD.render(parameters, 64)
    shrunk = F.avg_pool2d(large["image"], 2)
    assert (shrunk - small["image"]).abs().mean() < 0.03
    assert (large["labels"][:, ::2, ::2] == small["labels"]).float().mean() > 0.96


def test_a_batch_of_one_is_the_same_row() -> None:
    parameters = people(4, 7)
    whole = WORLD.render(parameters, 64)
    alone = WORLD.render({name: value[2:3] for name, value in parameters.items()}, 64)
    torch.testing.assert_close(alone["image"], whole["image"][2:3], atol=1e-4, rtol=0)
    assert (alone["labels"] == whole["labels"][2:3]).float().mean() > 0.999


def test_every_class_appears_and_the_attribute_classes_only_when_worn() -> None:
    parameters = people(96, 1)
    labels = WORLD.render(parameters, 64)["labels"]
    found = torch.stack([(labels == k).flatten(1).any(1) for k in range(len(NAMES))], 1)
    assert found.any(0).all(), [name for name, seen in zip(NAMES, found.any(0), strict=True) if not seen]
    for attribute, name in (("hat", "hat"), ("glasses", "eye_g")):
        assert torch.equal(found[:, NAMES.index(name)], parameters[attribute] == 1)
    for name in ("skin", "nose", "u_lip", "l_lip", "cloth", "neck", "background"):
        assert found[:, NAMES.index(name)].all(), name


def test_the_labels_lie_on_what_they_name() -> None:
    batch = WORLD.render(frontal(24, 2, hair="blond", gender="female", expression="neutral"), 96)

    def mean(*names: str) -> Tensor:
        inside = region(batch["labels"], *names).float()[:, None]
        return (batch["image"] * inside).sum((2, 3)) / inside.sum((2, 3))

    lips, skin, eyes = mean("l_lip", "u_lip"), mean("skin"), mean("l_eye", "r_eye")
    redness = (lips[:, 0] - lips[:, 1]) - (skin[:, 0] - skin[:, 1])
    assert (redness > 0.02).float().mean() > 0.9
    assert (eyes[:, 2] - eyes[:, 0] > skin[:, 2] - skin[:, 0]).all(), "eyes are less orange than skin"
    for left, right in (("l_eye", "r_eye"), ("l_brow", "r_brow")):
        assert (
            not region(batch["labels"], left)[:, :, 48:].any() and not region(batch["labels"], right)[:, :, :48].any()
        )


def test_landmarks_lie_in_their_classes_whatever_the_pose() -> None:
    parameters = people(32, 8, **BARE, gaze=torch.zeros(2), expression="neutral")
    labels = WORLD.render(parameters, 96)["labels"].long()
    points = WORLD.landmarks(parameters, 96)
    rows = torch.arange(32)
    wanted = {"l_eye": ("l_eye",), "r_iris": ("r_eye",), "nose": ("nose",), "mouth": ("u_lip", "l_lip")}
    for name, classes in wanted.items():
        x, y = points[name].round().long().unbind(1)
        hit = torch.stack([labels[rows, y, x] == NAMES.index(c) for c in classes]).any(0)
        covered = labels[rows, y, x] == NAMES.index("hair")
        assert (hit | covered).float().mean() > 0.95, name


def test_gaze_moves_the_iris_by_the_stated_number_of_pixels() -> None:
    size = 256
    sitter = with_trait(frontal(6, 9, expression="surprised", age="young"), melanin=-1.0, eye_colour=2.0)
    look = [WORLD.changed(sitter, gaze=torch.tensor([g, 0.0])) for g in (-0.5, 0.5)]
    points = [WORLD.landmarks(p, size) for p in look]
    for side in ("l_iris", "r_iris"):
        step = points[1][side] - points[0][side]
        # On the turned ellipsoid a step across the face is nearly, not exactly, a step across the picture.
        torch.testing.assert_close(step[:, 0], torch.full((6,), GAZE[0] * size / 2), atol=0.02, rtol=0)
        assert step[:, 1].abs().max() < 1e-3
    # The pupil in the picture takes the same step; its catchlight travels with it.
    axis, seen = torch.arange(size, dtype=torch.float32), []
    for parameters in look:
        batch = WORLD.render(parameters, size)
        pupil = (region(batch["labels"], "l_eye") & (batch["image"].mean(1) < -0.82)).float()
        assert (pupil.sum((1, 2)) > 10).all()
        seen.append((pupil.sum(1) @ axis) / pupil.sum((1, 2)))
    torch.testing.assert_close(seen[1] - seen[0], torch.full((6,), GAZE[0] * size / 2), atol=0.6, rtol=0)


def test_gaze_changes_the_eyes_and_nothing_else() -> None:
    sitter = people(8, 10, **BARE)
    a, b = (WORLD.render(WORLD.changed(sitter, gaze=torch.tensor([g, 0.3])), 96) for g in (-1.0, 1.0))
    assert torch.equal(a["labels"], b["labels"])
    changed = moved(a["image"], b["image"])
    assert not (changed & ~region(a["labels"], "l_eye", "r_eye", grow=1)).any()
    assert changed.flatten(1).any(1).float().mean() > 0.9


def test_hair_colour_changes_hair_and_brows_and_no_label() -> None:
    sitter = people(12, 11, **BARE)
    a, b = (WORLD.render(WORLD.changed(sitter, hair=name), 96) for name in ("black", "blond"))
    assert torch.equal(a["labels"], b["labels"])
    stray = moved(a["image"], b["image"]) & ~region(a["labels"], "hair", "l_brow", "r_brow", grow=2)
    # Slivers of hair thinner than half a pixel colour it, but do not own it.
    assert stray.sum((1, 2)).max() <= 8 and stray.float().mean() < 3e-4


def test_glasses_change_only_what_they_cover() -> None:
    sitter = people(12, 12, beard="none", hat="none")
    a, b = (WORLD.render(WORLD.changed(sitter, glasses=name), 96) for name in ("none", "glasses"))
    near = region(b["labels"], "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", grow=3)
    assert not (moved(a["image"], b["image"]) & ~near).any()


def test_a_hat_leaves_mouth_and_clothes_alone() -> None:
    sitter = people(12, 13)
    a, b = (WORLD.render(WORLD.changed(sitter, hat=name), 64) for name in ("none", "hat"))
    low = region(b["labels"], "u_lip", "l_lip", "mouth", "cloth") & ~region(b["labels"], "hair", grow=2)
    assert low.any() and not (moved(a["image"], b["image"]) & low).any()


@pytest.mark.parametrize("attribute", WORLD.attributes)
def test_no_attribute_touches_the_background(attribute: str) -> None:
    sitter = people(6, 14)
    for first, second in itertools.pairwise(WORLD.attributes[attribute]):
        a, b = (WORLD.render(WORLD.changed(sitter, **{attribute: name}), 64) for name in (first, second))
        others = [name for name in NAMES if name != "background"]
        clear = ~region(a["labels"], *others, grow=3) & ~region(b["labels"], *others, grow=3)
        assert clear.any() and not (moved(a["image"], b["image"]) & clear).any(), (first, second)
        assert moved(a["image"], b["image"]).flatten(1).any(1).float().mean() > 0.6, "the change must show"


def test_another_identity_stands_before_the_same_background() -> None:
    sitter = people(8, 15, **BARE)
    other = {**sitter, "identity": sitter["identity"].flip(0)}
    a, b = WORLD.render(sitter, 64), WORLD.render(other, 64)
    others = [name for name in NAMES if name != "background"]
    clear = ~region(a["labels"], *others, grow=3) & ~region(b["labels"], *others, grow=3)
    assert not (moved(a["image"], b["image"]) & clear).any()
    assert (a["image"] - b["image"]).abs().mean((1, 2, 3)).min() > 0.03


def test_light_from_the_left_brightens_the_left() -> None:
    left, right = (WORLD.render(frontal(12, 16, light=torch.tensor([x, 0.0])), 64) for x in (-1.0, 1.0))
    change = (left["image"] - right["image"]).mean(1)
    skin = region(left["labels"], "skin")
    assert torch.equal(left["labels"], right["labels"])
    assert change[:, :, :32][skin[:, :, :32]].mean() > 0.1 > -0.1 > change[:, :, 32:][skin[:, :, 32:]].mean()


def test_gender_presentation_changes_the_choice_of_hairstyle() -> None:
    long = STYLES.index("bob")
    share = [(hairstyle(Easel(people(400, 17, gender=name), 16)) >= long).float().mean() for name in ("female", "male")]
    assert share[0] > 0.6 and share[1] < 0.15


def test_splits_never_meet_and_a_stream_resumes_where_it_stopped() -> None:
    rows = {split: collect(WorldStream(WORLD, batch=8, size=16, split=split), 16)["identity"] for split in SPLITS}
    for a, b in itertools.combinations(SPLITS, 2):
        assert torch.cdist(rows[a], rows[b]).min() > 0.5
    stream = WorldStream(WORLD, batch=4, size=32, seed=3)
    stream.draw()
    state = stream.state_dict()
    wanted = stream.draw()["image"]
    resumed = WorldStream(WORLD, batch=4, size=32, seed=99)
    resumed.load_state_dict(state)
    assert torch.equal(resumed.draw()["image"], wanted)


@pytest.mark.parametrize("hair", [-1, 4, torch.tensor([0, 4]), torch.tensor([-1, 3])])
def test_an_index_outside_the_values_is_refused(hair: int | Tensor) -> None:
    people = WORLD.sample(2, generator=torch.Generator().manual_seed(0))
    with pytest.raises(WorldError, match=r"'hair' are black, .* indices from 0 to 3"):
        WORLD.changed(people, hair=hair)
    assert WORLD.changed(people, hair=3)["hair"].tolist() == [3, 3]
    assert WORLD.changed(people, hair=torch.tensor([0, 3]))["hair"].tolist() == [0, 3]


def test_nobody_cannot_be_drawn() -> None:
    with pytest.raises(WorldError, match="At least one face"):
        WORLD.sample(0, generator=torch.Generator())
