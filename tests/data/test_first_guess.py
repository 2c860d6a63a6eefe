"""The automatic first segmentation: right where the answer is known, better than chance on real photos."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from lib.data.first_guess import Agreement, GuessConfig, agreement, first_guess, superpixels, swept
from lib.data.photos import load_photo
from lib.labelmaps import LabelError, LabelMap, Palette
from tests.scenes import layout, noise, photo


def numbered(index: np.ndarray, classes: int) -> LabelMap:
    colours = tuple((40 * k, 0, 0) for k in range(classes))
    return LabelMap(index.astype(np.uint8), Palette(tuple(f"c{k}" for k in range(classes)), colours))


def test_a_scene_with_a_known_answer_is_found() -> None:
    image, truth = photo(64, 96, grain=0.15)
    found = agreement(first_guess(image, classes=3), truth)
    assert found.accuracy > 0.97 and found.miou > 0.92
    assert sorted(found.pairs.values()) == ["ball", "ground", "sky"]


def test_texture_alone_tells_regions_of_one_colour_apart() -> None:
    image = torch.zeros(3, 64, 64)
    image[:, :, 32:] = 0.6 * noise(1, 64, 32).sign()  # mean 0 like the left half, but rough
    truth = numbered(np.repeat(np.arange(2), 32)[None].repeat(64, 0), 2)
    seeing = agreement(first_guess(image, 2, GuessConfig(pieces=64, texture=1.0, place=0.0)), truth)
    assert seeing.accuracy > 0.9


@pytest.mark.parametrize(("name", "least"), [("flower", 0.35), ("coffee", 0.15)])
def test_a_guess_beats_chance_on_a_real_photo(name: str, least: float) -> None:
    bundled = load_photo(name, side=96)
    guess = first_guess(bundled.image, classes=5)
    shuffled = np.random.default_rng(0).permutation(guess.index.ravel()).reshape(guess.index.shape)
    chance = agreement(LabelMap(shuffled, guess.palette), bundled.layout)
    found = agreement(guess, bundled.layout)
    assert found.miou > max(least, 2 * chance.miou)
    assert found.accuracy > chance.accuracy + 0.2


def test_the_same_seed_gives_the_same_guess_and_it_fits_the_photo() -> None:
    image, _ = photo(48, 64)
    first, again = (first_guess(image, 4, seed=3) for _ in range(2))
    assert np.array_equal(first.index, again.index) and first.palette == again.palette
    assert (first.height, first.width) == (48, 64)
    assert first.palette.names == tuple(f"region {k}" for k in range(1, first.classes + 1))
    shares = first.shares()
    assert min(shares) > 0 and list(shares) == sorted(shares, reverse=True)


def test_crumbs_go_to_their_surroundings() -> None:
    index = np.zeros((20, 20), dtype=np.intp)
    index[:, 10:] = 1
    clean = index.copy()
    index[4, 4], index[15, 15], index[2:4, 18] = 1, 0, 2
    assert np.array_equal(swept(index, 0.02), clean)
    assert np.array_equal(swept(index, 0.0), index)
    speckled = np.indices((4, 4)).sum(0) % 2  # crumbs only
    assert np.array_equal(swept(speckled, 0.1), speckled)


def test_superpixels_cover_the_photo_without_gaps() -> None:
    image, truth = photo(48, 64, grain=0.05)
    pieces = superpixels(image, GuessConfig(pieces=100))
    assert pieces.shape == (48, 64) and set(np.unique(pieces)) == set(range(int(pieces.max()) + 1))
    mixed = sum(len(np.unique(truth.index[pieces == k])) > 1 for k in range(int(pieces.max()) + 1))
    assert mixed < 0.2 * pieces.max()


def test_the_pairing_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    guess, truth = (numbered(rng.integers(0, 4, (12, 12)), 4) for _ in range(2))
    best = 0.0
    for order in permutations(range(4)):
        ious = [
            np.logical_and(guess.index == k, truth.index == order[k]).sum()
            / np.logical_or(guess.index == k, truth.index == order[k]).sum()
            for k in range(4)
        ]
        best = max(best, float(np.mean(ious)))
    assert agreement(guess, truth).miou == pytest.approx(best)


def test_agreement_of_equal_and_of_merged_layouts() -> None:
    truth = layout(20, 30)
    renamed = LabelMap(2 - truth.index, Palette(("a", "b", "c"), ((0, 0, 0), (9, 9, 9), (99, 99, 99))))
    same = agreement(renamed, truth)
    assert same == Agreement(1.0, 1.0, {"a": "ball", "b": "ground", "c": "sky"})
    merged = agreement(numbered(np.minimum(truth.index, 1), 2), truth)  # ground and ball are one
    assert merged.miou < 2 / 3 and len(merged.pairs) == 2
    assert merged.accuracy == pytest.approx(1 - min(truth.shares()[1:]))


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((1, 3, 32, 32), 3, r"shape \(3, height, width\)"),
        ((3, 8, 32), 3, "sides of 16 px or more"),
        ((3, 32, 32), 1, "2 to 12 classes, not 1"),
        ((3, 32, 32), 40, "2 to 12 classes, not 40"),
        ((3, 32, 32), 3, "too few for 3 classes"),
    ],
)
def test_what_cannot_be_guessed_says_so(shape: tuple[int, ...], classes: int, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        first_guess(torch.zeros(shape), classes, GuessConfig(place=0.0))


def test_damaged_values_and_settings_are_refused() -> None:
    with pytest.raises(LabelError, match="finite values"):
        first_guess(torch.full((3, 32, 32), torch.nan))
    with pytest.raises(LabelError, match=r"\[-1, 1\]"):
        first_guess(torch.full((3, 32, 32), 255.0))
    with pytest.raises(LabelError, match="not all 0"):
        GuessConfig(colour=0, texture=0, place=0)
    with pytest.raises(LabelError, match="crumbs"):
        GuessConfig(crumbs=0.7)
    with pytest.raises(LabelError, match="pieces"):
        GuessConfig(pieces=1)
    with pytest.raises(LabelError, match="the guess is 30x20"):
        agreement(layout(20, 30), layout(32, 48))
