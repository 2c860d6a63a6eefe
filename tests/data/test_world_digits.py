"""Digits, handwritten and on the street: true to their source, exact answer keys, nothing downloaded."""

from __future__ import annotations

import socket

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from lib.data.worlds import digits as digits_module
from lib.data.worlds import glyphs
from lib.data.worlds.digits import HandwrittenDigits, StreetDigits, handwritten_digits
from lib.data.worlds.glyphs import FONTS, glyph_distance, glyph_fields, half_widths
from lib.data.worlds.world import SPLITS, Parameters, WorldError, WorldStream

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def street(count: int = 32, seed: int = 0) -> tuple[StreetDigits, Parameters]:
    world = StreetDigits()
    return world, world.sample(count, generator=seeded(seed))


def plain(count: int) -> tuple[StreetDigits, Parameters]:
    """Upright bold numbers without neighbours, in the middle of a plain wall in plain light."""
    world, parameters = street(count)
    none = dict.fromkeys(
        ("angle", "slant", "soft", "outline", "relief", "shadow", "dapple", "haze", "grain", "uneven"), 0.0
    )
    parameters = world.changed(parameters, wall="plaster", plate="none", font=1, scale=0.7, stretch=1.0, **none)
    return world, world.changed(parameters, present=torch.tensor(False), centre=torch.zeros(2), contrast=0.6)


# ------------------------------------------------------------------------------------------------ handwritten


def test_the_splits_are_fixed_disjoint_stratified_and_complete() -> None:
    counts = {split: handwritten_digits(split, size=8) for split in SPLITS}
    assert [len(counts[split][1]) for split in SPLITS] == [1257, 270, 270]
    everything = torch.cat([images for images, _ in counts.values()]).flatten(1)
    original = torch.from_numpy(load_digits().data).float() / 8 - 1
    assert torch.equal(*(rows[rows.sum(1).argsort(stable=True)].sum(1) for rows in (everything, original)))
    for images, digits in counts.values():
        assert images.shape[1:] == (1, 8, 8) and digits.dtype == torch.int64
        share = digits.bincount(minlength=10) / len(digits)
        assert share.sub(0.1).abs().max() < 0.01, "each digit is a tenth of each split"
    rows = [set(digits_module._rows(split).tolist()) for split in SPLITS]
    assert len(set.union(*rows)) == sum(map(len, rows)) == 1797


@pytest.mark.parametrize("size", [16, 32])
def test_enlarged_digits_keep_the_ink_of_the_scan(size: int) -> None:
    small, digits = handwritten_digits("test", size=8)
    large, same = handwritten_digits("test", size=size)
    assert large.shape == (270, 1, size, size) and torch.equal(digits, same)
    assert large.min() == -1 and large.max() == 1
    kept = F.avg_pool2d(large, size // 8)
    smooth = F.interpolate(small, size=(size, size), mode="bicubic").clamp(-1, 1)
    assert (kept - small).abs().mean() < 0.04, "the blocks hold the ink that was counted in them"
    grey = [(images.abs() < 0.5).float().mean() for images in (large, smooth)]
    assert grey[0] < grey[1] / 2, "strokes are crisp, not grey"


def test_a_classifier_of_the_originals_still_reads_the_enlarged_ones() -> None:
    train, digits = handwritten_digits("train", size=8)
    test, truth = handwritten_digits("test", size=16)
    seen = F.avg_pool2d(test, 2).flatten(1)
    nearest = torch.cdist(seen, train.flatten(1)).argmin(dim=1)
    assert (digits[nearest] == truth).float().mean() > 0.97


@pytest.mark.parametrize("options", [{"split": "all"}, {"size": 28}])
def test_an_unknown_split_or_size_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(WorldError, match="come in the splits train, val, test and the sizes 8, 16, 32"):
        handwritten_digits(**options)  # type: ignore[arg-type]


def test_images_may_be_changed_without_changing_the_data() -> None:
    images, _ = handwritten_digits("val")
    images.zero_()
    assert handwritten_digits("val")[0].abs().max() == 1


@given(batch=st.integers(1, 40), drawn=st.integers(0, 40), channels=st.sampled_from([1, 3]))
def test_a_stream_resumes_exactly(batch: int, drawn: int, channels: int) -> None:
    def stream(seed: int) -> HandwrittenDigits:
        return HandwrittenDigits(batch=batch, split="val", channels=channels, jitter=0.5, seed=seed, size=8)

    first, second = stream(1), stream(2)
    for _ in range(drawn):
        first.draw()
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        ours, theirs = first.draw(0.0), second.draw(0.0)
        assert ours["image"].shape == (batch, channels, 8, 8)
        assert all(torch.equal(ours[name], theirs[name]) for name in ("image", "digit"))


def test_each_pass_shows_every_picture_once_in_a_new_order() -> None:
    stream = HandwrittenDigits(batch=90, split="val", size=8)
    passes = [torch.cat([stream.draw()["image"] for _ in range(3)]).flatten(1) for _ in range(2)]
    known = handwritten_digits("val", size=8)[0].flatten(1)
    for shown in passes:
        assert torch.equal(torch.cdist(shown, known).argmin(dim=1).sort().values, torch.arange(270))
    assert not torch.equal(*passes)


def test_jitter_moves_ink_a_little_and_zero_not_at_all() -> None:
    still, jittered = (HandwrittenDigits(batch=64, jitter=j, seed=3).draw() for j in (0.0, 1.0))
    known = handwritten_digits("train")[0].flatten(1)
    assert torch.cdist(still["image"].flatten(1), known).amin(dim=1).max() < 0.05
    moved = torch.cdist(jittered["image"].flatten(1), known).amin(dim=1)
    assert moved.min() > 0.5 and jittered["image"].abs().max() <= 1
    ink = [float((batch["image"] + 1).mean()) for batch in (still, jittered)]
    assert ink[1] == pytest.approx(ink[0], rel=0.15)


@pytest.mark.parametrize("options", [{"batch": 0}, {"batch": 4, "channels": 2}, {"batch": 4, "jitter": 2.0}])
def test_impossible_streams_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(WorldError, match="a batch of at least 1, 1 or 3 channels and a jitter"):
        HandwrittenDigits(**options)  # type: ignore[arg-type]


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a digit must not open a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for cached in (digits_module._all_digits, digits_module._rows):
        cached.cache_clear()
    assert len(handwritten_digits("train")[1]) == 1257
    assert torch.equal(glyphs._font_fields(FONTS[3]), glyph_fields(CPU)[3])


# ----------------------------------------------------------------------------------------------------- glyphs


def test_glyph_fields_are_distances_of_centred_digits() -> None:
    fields = glyph_fields(CPU)
    assert fields.shape[:2] == (len(FONTS), 10)
    step = 3.0 / fields.shape[-1]
    slope = torch.stack(torch.gradient(fields[::4], spacing=step, dim=(2, 3))).norm(dim=0)
    assert slope.quantile(0.999) < 1.1 and 0.95 < slope.median() < 1.01, "a distance changes by 1 for each unit of way"
    x = (torch.arange(fields.shape[-1]) + 0.5) * step - 1.5
    inked = fields < 0
    for dim, reach in ((2, half_widths(CPU)), (3, torch.ones(len(FONTS), 10))):
        where = torch.where(inked.any(dim=dim), x.abs(), 0).amax(dim=-1)
        assert (where <= reach + step).all() and (where > reach - 0.25).all()
    assert inked.flatten(2).any(dim=2).all() and (fields[..., 0, :] > 0).all()


def test_every_font_has_ten_different_digits() -> None:
    """A character that a font lacks is drawn as the same empty box for all."""
    flat = glyph_fields(CPU).flatten(2)
    apart = torch.cdist(flat, flat) / flat.shape[-1] ** 0.5  # (fonts, 10, 10), root mean square
    assert (apart + torch.eye(10)).min() > 0.03


def test_some_ones_stand_on_a_foot_and_some_do_not() -> None:
    ink = glyph_fields(CPU)[:, 1] < 0  # (fonts, y, x)
    side = ink.shape[1]
    upright = [place for place, font in enumerate(FONTS) if font.file != "cmti10"]  # its 1 is shorter, and leans
    foot, stem = (ink[upright, round(side * place)].sum(dim=1) for place in (0.80, 0.6))
    assert (foot < 1.5 * stem).tolist() == [FONTS[place].zero != "0" for place in upright]


def test_a_glyph_is_drawn_where_it_is_asked_for() -> None:
    x, y = torch.meshgrid(torch.linspace(-1.4, 1.4, 57), torch.linspace(-1.4, 1.4, 57), indexing="xy")
    font, digit = torch.tensor([1, 0]), torch.tensor([8, 1])
    distance = glyph_distance(font, digit, x.expand(2, -1, -1), y.expand(2, -1, -1))
    assert distance.shape == (2, 57, 57)
    spine = distance[0, :, 28] < 0  # down the middle of an 8: paper, ink, hole, ink, hole, ink, paper
    assert (spine[1:] != spine[:-1]).sum() == 6
    stem = distance[1, 28] < 0  # across a 1: one stroke, near the middle
    assert (stem[1:] != stem[:-1]).sum() == 2 and stem[24:36].any()


# ----------------------------------------------------------------------------------------------------- street


def test_pictures_have_range_labels_and_seeded_content() -> None:
    stream = WorldStream(StreetDigits(), batch=16, size=48, seed=5)
    batch = stream.draw()
    assert batch["image"].shape == (16, 3, 48, 48) and batch["labels"].shape == (16, 48, 48)
    assert batch["image"].dtype == torch.float32 and batch["labels"].dtype == torch.uint8
    assert batch["image"].isfinite().all() and batch["image"].abs().max() <= 1
    again = WorldStream(StreetDigits(), batch=16, size=48, seed=5).draw()
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    other = WorldStream(StreetDigits(), batch=16, size=48, seed=5, split="test").draw()
    assert not torch.equal(batch["image"], other["image"])


def test_every_value_of_every_attribute_is_drawn() -> None:
    world, parameters = street(2000)
    for name, values in world.attributes.items():
        share = parameters[name].bincount(minlength=len(values)) / 2000
        assert len(share) == len(values) and share.min() > 0.5 / len(values) - 0.05, name


@given(seed=st.integers(0, 1000), size=st.sampled_from([16, 32, 64]))
def test_the_digit_is_always_there_and_is_in_the_middle(seed: int, size: int) -> None:
    world, parameters = street(8, seed)
    labels = world.render(parameters, size)["labels"]
    digit = labels == 1
    share = digit.flatten(1).float().mean(dim=1)
    assert share.min() > 0.015 and share.max() < 0.5
    y = torch.arange(size).float()
    rows = (digit.sum(dim=2) * y).sum(dim=1) / digit.flatten(1).sum(dim=1)
    assert ((rows + 0.5) / size).sub(0.5).abs().max() < 0.2


def test_a_picture_is_the_same_at_another_size() -> None:
    world, parameters = street(24)
    small, large = world.render(parameters, 32), world.render(parameters, 128)
    reduced = F.avg_pool2d(large["image"], 4)
    assert (reduced - small["image"]).abs().mean() < 0.07
    assert (large["labels"][:, 2::4, 2::4] == small["labels"]).float().mean() > 0.95


def test_another_digit_leaves_the_rest_as_it_was() -> None:
    world, parameters = plain(10)
    parameters = world.changed(parameters, wall="brick")
    pictures = [world.render(world.changed(parameters, digit=digit), 64) for digit in ("1", "8")]
    background = (pictures[0]["labels"] == 0) & (pictures[1]["labels"] == 0)
    far = F.max_pool2d((~background).float()[:, None], 5, stride=1, padding=2)[:, 0] == 0
    gap = (pictures[0]["image"] - pictures[1]["image"]).abs().amax(dim=1)
    assert gap[far].max() < 1e-6 and gap[~far].max() > 0.3


def test_labels_follow_the_ink_and_the_contrast_is_the_one_asked_for() -> None:
    world, parameters = plain(32)
    parameters = world.changed(parameters, exposure=1.0, cast=torch.ones(3), contrast=0.4)
    picture = world.render(parameters, 64)
    luma = ((picture["image"] + 1) / 2 * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1)

    def mean_where(mask: Tensor) -> Tensor:
        inner = 1 - F.max_pool2d(1 - mask.float()[:, None], 3, stride=1, padding=1)[:, 0]
        return (luma * inner).flatten(1).sum(dim=1) / inner.flatten(1).sum(dim=1)

    gap = (mean_where(picture["labels"] == 1) - mean_where(picture["labels"] == 0)).abs()
    assert gap.sub(0.4).abs().max() < 0.05


def test_neighbours_reach_in_from_the_sides_only_when_they_are_there() -> None:
    world, parameters = street(64)
    parameters = world.changed(parameters, vertical=torch.tensor(False), angle=0.0, slant=0.0)
    both = world.render(world.changed(parameters, present=torch.tensor(True)), 32)["labels"] == 2
    none = world.render(world.changed(parameters, present=torch.tensor(False)), 32)["labels"] == 2
    assert not none.any()
    assert both[:, :, :12].flatten(1).any(dim=1).float().mean() > 0.8
    assert both[:, :, 20:].flatten(1).any(dim=1).float().mean() > 0.8
    assert not both[:, :, 15:17].any(), "the middle belongs to the digit"


def test_street_digits_are_readable_but_not_trivially_so() -> None:
    """Nearest neighbours on raw pixels fail here, though they read nearly all handwritten digits."""
    stream = WorldStream(StreetDigits(), batch=250, size=16, seed=1)
    train, test = stream.draw(), stream.draw()
    grey, asked = (batch["image"].mean(dim=1).flatten(1) for batch in (train, test))
    raw = (train["digit"][torch.cdist(asked, grey).argmin(dim=1)] == test["digit"]).float().mean()
    exact = [(batch["labels"] == 1).float().flatten(1) for batch in (train, test)]
    keyed = (train["digit"][torch.cdist(exact[1], exact[0]).argmin(dim=1)] == test["digit"]).float().mean()
    assert raw < 0.45 < 0.55 < keyed, (raw, keyed)
