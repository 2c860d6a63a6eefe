"""PatchMatch against the exhaustive search, and the exhaustive search against a loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.losses.patch_match import Field, MatchSearch, exhaustive, patch_match, patch_rows, random_field, take
from tests.scenes import generator, noise


def natural(count: int = 1, height: int = 40, width: int = 48, seed: int = 0) -> Tensor:
    """Smooth noise with some grain: neighbours are alike, as in photographs."""
    coarse = F.interpolate(noise(count, 3, height // 4, width // 4, seed=seed), (height, width), mode="bicubic")
    return coarse + 0.1 * noise(count, 3, height, width, seed=seed + 1)


def test_the_exhaustive_field_is_the_naive_one() -> None:
    queries, keys = noise(1, 2, 6, 7), noise(1, 2, 5, 8, seed=1)
    field = exhaustive(queries, keys, 3)
    padded = [F.pad(maps, (1, 1, 1, 1), mode="replicate")[0] for maps in (queries, keys)]
    for y in range(6):
        for x in range(7):
            patch = padded[0][:, y : y + 3, x : x + 3]
            gaps = [
                float((patch - padded[1][:, v : v + 3, u : u + 3]).square().mean()) for v in range(5) for u in range(8)
            ]
            assert int(field.place[0, y, x]) == min(range(40), key=gaps.__getitem__)
            assert float(field.distance[0, y, x]) == pytest.approx(min(gaps), rel=1e-4)


def test_patch_match_comes_near_the_exhaustive_search() -> None:
    """Another picture of the same kind: most matches exact, the others hardly worse."""
    queries, keys = natural(seed=3), natural(seed=3).flip(3) * 0.9
    exact = exhaustive(queries, keys, 5)
    found: list[Field] = []
    patch_match(
        queries, keys, MatchSearch(size=5, iterations=8), generator=generator(),
        on_iteration=lambda _, field: found.append(field),
    )  # fmt: skip
    ratios = [field.mean() / exact.mean() for field in found]
    shares = [float((field.place == exact.place).float().mean()) for field in found]
    assert len(found) == 9 and ratios[0] > 5 and ratios[-1] < 1.25 and shares[-1] > 0.6 > 0.1 > shares[0]
    assert ratios == sorted(ratios, reverse=True), "no iteration makes a match worse"


def test_distances_are_those_of_the_places() -> None:
    queries, keys = natural(2, 16, 20), natural(2, 24, 12, seed=5)
    field = patch_match(queries, keys, MatchSearch(iterations=2), generator=generator())
    assert field.place.shape == (2, 16, 20) and int(field.place.max()) < 24 * 12
    copied = take(patch_rows(keys, 3).transpose(1, 2).reshape(2, 27, 24, 12), field.place)
    own = patch_rows(queries, 3).transpose(1, 2).reshape(2, 27, 16, 20)
    torch.testing.assert_close(field.distance, (copied - own).square().mean(dim=1))


def test_a_lucky_guess_travels_fifteen_pixels() -> None:
    """The picture itself, all matches wrong but one: one propagation mends all round it."""
    picture = natural(1, 48, 48)
    start = torch.full((1, 48, 48), 5 * 48 + 5)  # a place far away
    start[0, 24, 24] = 24 * 48 + 24
    field = patch_match(picture, picture, MatchSearch(iterations=1, radius=1), generator=generator(), start=start)
    own = torch.arange(48 * 48).view(1, 48, 48)
    right = field.place == own
    assert bool(right[0, 24 - 15 : 24 + 16, 24 - 15 : 24 + 16].all())
    nearer = patch_match(
        picture, picture, MatchSearch(iterations=1, radius=1, steps=(1,)), generator=generator(), start=start
    )
    assert int((nearer.place == own).sum()) < int(right.sum()) / 10


def test_the_pictures_of_a_batch_do_not_mix() -> None:
    """Each is found in itself, not in its neighbour."""
    both = natural(2, 32, 32)
    field = patch_match(both, both, MatchSearch(iterations=12), generator=generator())
    own = torch.arange(32 * 32).view(1, 32, 32)
    assert float((field.place == own).float().mean()) > 0.95
    swapped = patch_match(both, both.flip(0), MatchSearch(iterations=12), generator=generator())
    assert float((swapped.place == own).float().mean()) < 0.05


def test_the_generator_decides() -> None:
    queries, keys = natural(1, 16, 16), natural(1, 16, 16, seed=7)
    runs = [
        patch_match(queries, keys, MatchSearch(iterations=1), generator=generator(seed)).place for seed in (0, 0, 1)
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    drawn = random_field((1, 200, 200), 7, generator=generator())
    assert torch.bincount(drawn.flatten(), minlength=7).float().std() < 0.05 * 200 * 200 / 7


@pytest.mark.parametrize("wrong", [{"size": 4}, {"iterations": -1}, {"steps": ()}, {"steps": (2, 0)}])
def test_wrong_settings_speak(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="PatchMatch needs"):
        MatchSearch(**wrong)


def test_what_does_not_fit_speaks() -> None:
    with pytest.raises(ValueError, match="same batch and channels"):
        patch_match(noise(1, 3, 8, 8), noise(1, 2, 8, 8), generator=generator())
    with pytest.raises(ValueError, match="does not fit queries"):
        patch_match(noise(1, 3, 8, 8), noise(1, 3, 8, 8), generator=generator(), start=torch.zeros(1, 8, 9).long())
