"""Texture-by-numbers against a naive version, patch nearest neighbours against their formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from lib.baselines import patch_neighbours, texture_by_numbers
from lib.baselines.inputs import PaintError, one_hot_layouts
from lib.baselines.patch_neighbours import Neighbours, level_sizes, normalised_matches
from lib.baselines.texture_by_numbers import CAUSAL, Numbers, gaussian_pyramid, prefers_coherent, synthesise, wavefronts
from lib.losses.patches import patch_coherence
from tests.scenes import generator, labels, noise, photo

Array = npt.NDArray[np.float64]
PAINTERS: list[Callable[..., Tensor]] = [texture_by_numbers.paint, patch_neighbours.paint]


def scene(height: int = 32, width: int = 48) -> tuple[Tensor, Tensor, Tensor]:
    """A photo with coarse grain, its layout, and a target with the ball elsewhere."""
    image, own = photo(height, width, grain=0.3)
    return image, torch.from_numpy(own.index.astype(np.int64)), target(height, width)


def target(height: int, width: int) -> Tensor:
    return torch.from_numpy(labels(height, width, ball=(0.5, 0.65)).astype(np.int64))


def random_labels(height: int, width: int, seed: int) -> Tensor:
    return torch.randint(3, (height, width), generator=generator(seed))


# ------------------------------------------------------------------------------------ texture by numbers
def window(side: int) -> Array:
    middle = side // 2
    rows = [
        [math.exp(-((y - middle) ** 2 + (x - middle) ** 2) / (2 * (side / 4) ** 2)) for x in range(side)]
        for y in range(side)
    ]
    return np.array(rows).ravel() / np.sum(rows)


def clamped(image: Array, y: int, x: int) -> Array:
    value: Array = image[min(max(y, 0), image.shape[0] - 1), min(max(x, 0), image.shape[1] - 1)]
    return value


def halved(image: Array) -> Array:
    taps = (1, 4, 6, 4, 1)
    small = np.zeros(((image.shape[0] + 1) // 2, (image.shape[1] + 1) // 2, image.shape[2]))
    for y, x in np.ndindex(*small.shape[:2]):
        for dy, dx in np.ndindex(5, 5):
            small[y, x] += taps[dy] * taps[dx] / 256 * clamped(image, 2 * y + dy - 2, 2 * x + dx - 2)
    return small


def around(image: Array, y: int, x: int, side: int, weight: float) -> list[Array]:
    weights, half = window(side), side // 2
    return [
        math.sqrt(weight * weights[(dy + half) * side + dx + half]) * clamped(image, y + dy, x + dx)
        for dy in range(-half, half + 1)
        for dx in range(-half, half + 1)
    ]


def fixed(shown: Array, coarse: tuple[Array, Array] | None, y: int, x: int, weights: Numbers) -> Array:
    place = np.array([(y + 0.5) / shown.shape[0], (x + 0.5) / shown.shape[1]])
    weight = weights.label_weight
    parts = [math.sqrt(weights.place_weight) * place, *around(shown, y, x, 5, weight / 2)]
    if coarse is not None:
        parts += around(coarse[0], y // 2, x // 2, 3, 1 / 3) + around(coarse[1], y // 2, x // 2, 3, weight / 2)
    return np.concatenate(parts)


def naive_level(a: Array, a2: Array, b: Array, coarse: list[Array] | None, slack: float, weight: Numbers) -> Array:
    """One level in raster order, one pixel at a time; returns (H', W', 3): y and x of the source, coherent."""
    (height, width), (rows, columns) = a.shape[:2], b.shape[:2]
    spread = window(5)[:12] / window(5)[:12].sum() / 3
    known = np.array([
        fixed(a, None if coarse is None else (coarse[0], coarse[1]), y, x, weight) for y, x in np.ndindex(height, width)
    ])  # fmt: skip
    before = np.array([
        [clamped(a2, y + dy, x + dx) for dy, dx in CAUSAL] for y, x in np.ndindex(height, width)
    ])  # fmt: skip
    found = np.zeros((rows, columns, 3), int)
    for y, x in np.ndindex(rows, columns):
        distance = (
            (known - fixed(b, None if coarse is None else (coarse[2], coarse[3]), y, x, weight)) ** 2
        ).sum(axis=1)  # fmt: skip
        continued = []
        for index, (dy, dx) in enumerate(CAUSAL):
            if y + dy >= 0 and 0 <= x + dx < columns:
                sy, sx, _ = found[y + dy, x + dx]
                distance = distance + spread[index] * ((before[:, index] - a2[sy, sx]) ** 2).sum(axis=1)
                if 0 <= sy - dy < height and 0 <= sx - dx < width:
                    continued.append((sy - dy) * width + sx - dx)
        nearest = int(distance.argmin())
        best = min(continued, key=lambda p: float(distance[p]), default=None)
        coherent = best is not None and distance[best] <= distance[nearest] * (1 + slack)
        chosen = best if coherent and best is not None else nearest
        found[y, x] = chosen // width, chosen % width, coherent
    return found


def naive(image: Tensor, layout: Tensor, wanted: Tensor, settings: Numbers) -> Array:
    def pyramid(finest: Array) -> list[Array]:
        levels = [finest]
        while len(levels) < settings.levels:
            levels.append(halved(levels[-1]))
        return levels

    photos = pyramid(image.permute(1, 2, 0).numpy())
    layouts, targets = (pyramid(np.eye(3)[one.numpy()]) for one in (layout, wanted))
    below: list[Array] | None = None
    for level in reversed(range(settings.levels)):
        a, a2, b = layouts[level], photos[level], targets[level]
        found = naive_level(a, a2, b, below, settings.kappa * 2.0**-level, settings)
        below = [a2, a, a2[found[..., 0], found[..., 1]], b]
    return found


@pytest.mark.parametrize("kappa", [0.0, 1.0, 10.0])
def test_wavefronts_equal_the_naive_raster_order(kappa: float) -> None:
    image = noise(3, 17, 20).double()
    layout, wanted = (torch.from_numpy(labels(*size).astype(np.int64)) for size in ((17, 20), (21, 16)))
    settings = Numbers(levels=2, kappa=kappa)
    fast, slow = synthesise(image, layout, wanted, settings), naive(image, layout, wanted, settings)
    assert np.array_equal(fast.source.numpy(), slow[..., 0] * 20 + slow[..., 1])
    assert np.array_equal(fast.coherent.numpy(), slow[..., 2] > 0)
    assert 0 < fast.coherent.float().mean() < 1  # both branches were taken


def test_a_coherent_copy_may_be_worse_by_kappa() -> None:
    nearest, coherent = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([2.9, 3.1, 0.1])
    assert prefers_coherent(coherent, nearest, kappa=2.0).tolist() == [True, False, False]
    assert not bool(prefers_coherent(coherent, nearest, kappa=2.0, level=1).any())
    assert bool(prefers_coherent(nearest, nearest, kappa=0.0).all())


def test_a_pixel_comes_after_all_that_it_waits_for() -> None:
    fronts = wavefronts(5, 7)
    time = torch.zeros(35, dtype=torch.int64)
    for number, front in enumerate(fronts):
        time[front] = number
    assert sorted(torch.cat(fronts).tolist()) == list(range(35)) and len(fronts) == 7 + 3 * 4
    for y, x in np.ndindex(5, 7):
        for dy, dx in CAUSAL:
            if y + dy >= 0 and 0 <= x + dx < 7:
                assert time[(y + dy) * 7 + x + dx] < time[y * 7 + x]


def test_float32_search_rarely_differs_from_float64() -> None:
    image, layout, wanted = scene()
    single, double = (synthesise(one, layout, wanted).source for one in (image, image.double()))
    assert (single == double).float().mean() > 0.9


def test_pixels_are_copied_from_the_class_that_is_asked_for() -> None:
    image, layout, wanted = scene()
    made = synthesise(image, layout, wanted)
    assert torch.allclose(made.image.flatten(1), image.flatten(1)[:, made.source.flatten()], atol=1e-6)
    assert (layout.flatten()[made.source] == wanted).float().mean() > 0.95


def test_the_own_layout_gives_the_photo_back() -> None:
    image, layout = noise(3, 24, 20), random_labels(24, 20, seed=1)  # random labels: no two neighbourhoods are equal
    made = synthesise(image, layout, layout)
    assert torch.equal(made.source, torch.arange(24 * 20).reshape(24, 20))


def test_kappa_copies_in_larger_pieces() -> None:
    image, layout, wanted = scene()

    def continued(kappa: float) -> float:
        source = synthesise(image, layout, wanted, Numbers(kappa=kappa)).source
        return float((source[:, 1:] == source[:, :-1] + 1).float().mean())

    assert continued(5.0) > continued(0.0) + 0.1


def test_a_pyramid_keeps_constants_and_rounds_odd_sides_up() -> None:
    levels = gaussian_pyramid(torch.full((1, 2, 17, 10), 0.3), 3)
    assert [tuple(level.shape[2:]) for level in levels] == [(17, 10), (9, 5), (5, 3)]
    assert all(torch.allclose(level, torch.tensor(0.3)) for level in levels)


# ------------------------------------------------------------------------------------ patch neighbours
@pytest.mark.parametrize("alpha", [0.01, math.inf])
def test_matches_equal_the_formula(alpha: float) -> None:
    queries, keys = noise(30, 12, seed=1), noise(25, 12, seed=2)
    here, there = noise(30, 4, seed=3), noise(25, 4, seed=4)
    d = ((queries[:, None] - keys) ** 2).mean(dim=2)
    share = ((here[:, None] - there) ** 2).sum(dim=2)
    score = d + 0.5 * share if alpha == math.inf else d / (alpha + (d + share).amin(dim=0)) + 0.5 * share
    found = normalised_matches(queries, keys, alpha=alpha, labels=(here, there), label_weight=0.5)
    assert torch.equal(found, score.argmin(dim=1))


def test_blocks_do_not_change_the_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys = noise(31, 12, seed=1), noise(25, 12, seed=2)
    whole = normalised_matches(queries, keys, alpha=0.01)
    monkeypatch.setattr(patch_neighbours, "_BLOCK_CPU", 100)
    assert torch.equal(normalised_matches(queries, keys, alpha=0.01), whole)


def test_small_alpha_asks_for_more_of_the_photo() -> None:
    queries, keys = 0.1 * noise(200, 12, seed=1), noise(200, 12, seed=2)  # dull queries: the same keys are nearest
    used = {alpha: len(normalised_matches(queries, keys, alpha=alpha).unique()) for alpha in (0.001, math.inf)}
    assert used[0.001] > 2 * used[math.inf]


def test_the_own_layout_gives_nearly_the_photo_back() -> None:
    image, layout, _ = scene()
    shown = one_hot_layouts(layout, layout, torch.float32)
    flat = patch_neighbours._first_picture(image[None], *shown)
    made = patch_neighbours.paint(image, layout, layout)
    assert made.shape == image.shape and made.abs().max() <= 1
    assert patch_coherence(made[None], image[None]) < 0.5 * patch_coherence(flat, image[None])


def test_patches_follow_the_target() -> None:
    image, layout, wanted = scene()
    made = patch_neighbours.paint(image, layout, wanted)
    means = torch.stack([image[:, layout == index].mean(dim=1) for index in range(3)])  # (K, 3)
    read = (made[:, None] - means.T[:, :, None, None]).square().sum(dim=0).argmin(dim=0)
    assert (read == wanted).float().mean() > 0.9


def test_noise_draws_another_picture_and_the_seed_the_same() -> None:
    inputs, settings = scene(), Neighbours(noise=0.5, iterations=2)
    first, again, other = (patch_neighbours.paint(*inputs, settings, generator=generator(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.01


def test_level_sizes_keep_one_patch() -> None:
    assert level_sizes((64, 12), [0.25, 1.0], 7) == [(16, 7), (64, 12)]


# ------------------------------------------------------------------------------------ both
@pytest.mark.parametrize("painter", PAINTERS)
@pytest.mark.parametrize("size", [(32, 48), (27, 35), (40, 56)])
def test_any_size_of_target(painter: Callable[..., Tensor], size: tuple[int, int]) -> None:
    image, layout, _ = scene()
    made = painter(image, layout, target(*size))
    assert made.shape == (3, *size) and made.dtype == torch.float32 and bool(made.isfinite().all())


@pytest.mark.parametrize("painter", PAINTERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photo": noise(1, 32, 48)}, "floating point"),
        ({"photo": torch.full((3, 32, 48), torch.nan)}, "NaN"),
        ({"photo": noise(3, 32, 40)}, "does not fit"),
        ({"layout": torch.rand(32, 48)}, "class indices"),
        ({"target": torch.full((32, 48), 7)}, "does not show"),
        ({"target": torch.full((32, 48), -1)}, "from 0"),
        ({"target": torch.zeros(2, 48, dtype=torch.int64)}, "at least"),
    ],
)
def test_errors_speak(painter: Callable[..., Tensor], change: dict[str, Tensor], message: str) -> None:
    inputs: dict[str, Any] = dict(zip(("photo", "layout", "target"), scene(), strict=True)) | change
    with pytest.raises(PaintError, match=message):
        painter(**inputs)


@pytest.mark.parametrize(
    ("settings", "changes"),
    [(Numbers, {"levels": 0}), (Numbers, {"kappa": -1.0}), (Neighbours, {"size": 4}), (Neighbours, {"alpha": 0.0})],
)
def test_settings_out_of_range_are_refused(settings: Callable[..., object], changes: dict[str, Any]) -> None:
    with pytest.raises(PaintError, match="need"):
        settings(**changes)


def test_noise_needs_a_generator() -> None:
    with pytest.raises(PaintError, match="generator"):
        patch_neighbours.paint(*scene(), Neighbours(noise=0.1))
