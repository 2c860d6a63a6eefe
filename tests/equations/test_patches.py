"""Patch coherence against a naive double loop, and patch voting against its own objective."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lib.losses.patch_match import exhaustive
from lib.losses.patches import extract_patches, nearest_patches, patch_coherence, take_patches
from lib.losses.refine import follow_matches, patch_refine, vote_patches


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(*shape, generator=generator(seed)) - 1


def naive_patches(image: Tensor, size: int) -> list[Tensor]:
    _, height, width = image.shape
    return [
        image[:, y : y + size, x : x + size].reshape(-1)
        for y in range(height - size + 1)
        for x in range(width - size + 1)
    ]


def naive_coherence(output: Tensor, source: Tensor, size: int) -> Tensor:
    """The printed equation: a mean over V of a minimum over U."""
    minima = [min((v - u).square().mean() for u in naive_patches(source, size)) for v in naive_patches(output, size)]
    return torch.stack(minima).mean()


def half_texture(side: int = 32) -> tuple[Tensor, Tensor]:
    """A photo with a different texture in each half, and an output that knows the left half only."""
    source = noise(1, 3, side, side)
    source[..., side // 2 :] = 0.3 * source[..., side // 2 :] + 0.6
    output = torch.cat([source[..., : side // 2], source[..., : side // 2]], dim=-1)
    return output, source


def test_patches_are_the_windows_of_the_image() -> None:
    image = noise(2, 3, 6, 7)
    expected = torch.stack([torch.stack(naive_patches(one, 3)) for one in image])
    assert torch.equal(extract_patches(image, 3), expected)
    assert extract_patches(image, 3, stride=2).shape == (2, 2 * 3, 27)


@given(
    batch=st.integers(1, 3), count=st.integers(1, 20), keys=st.integers(1, 15), width=st.integers(1, 9),
    shared=st.booleans(), chunk=st.sampled_from([None, 1, 4]), seed=st.integers(0, 99),
)  # fmt: skip
def test_nearest_patches_is_exact(
    batch: int, count: int, keys: int, width: int, shared: bool, chunk: int | None, seed: int
) -> None:
    q, k = noise(batch, count, width, seed=seed), noise(1 if shared else batch, keys, width, seed=seed + 1)
    distances, indices = nearest_patches(q, k, chunk=chunk)
    table = (q[:, :, None] - k[:, None]).square().mean(dim=-1)  # (B, N, M)
    torch.testing.assert_close(distances, table.amin(dim=-1))
    torch.testing.assert_close(table.gather(2, indices[..., None])[..., 0], table.amin(dim=-1))


def test_a_patch_finds_itself_at_distance_zero_far_from_the_origin() -> None:
    rows = 100 + 0.01 * noise(1, 50, 12)  # the expansion alone would lose all digits here
    distances, indices = nearest_patches(rows, rows)
    assert distances.max() == 0
    assert torch.equal(indices[0], torch.arange(50))


def test_nearest_patches_ignores_autocast() -> None:
    q, k = noise(1, 40, 27), noise(1, 60, 27, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        inside = nearest_patches(q, k)
    assert torch.equal(inside[1], nearest_patches(q, k)[1])
    assert inside[0].dtype == torch.float32


def test_coherence_equals_the_naive_double_loop() -> None:
    output, source = noise(2, 3, 7, 6), noise(1, 3, 8, 7, seed=1)
    value = patch_coherence(output, source, sizes=(3,), distance="squared")
    expected = torch.stack([naive_coherence(one, source[0], 3) for one in output]).mean()
    torch.testing.assert_close(value, expected)


def test_completeness_equals_the_naive_double_loop_turned_round() -> None:
    output, source = noise(1, 3, 7, 6), noise(1, 3, 8, 7, seed=1)
    both = patch_coherence(output, source, sizes=(3,), distance="squared", completeness=2.0)
    expected = naive_coherence(output[0], source[0], 3) + 2 * naive_coherence(source[0], output[0], 3)
    torch.testing.assert_close(both, expected)


@pytest.mark.parametrize("completeness", [0.0, 0.5])
def test_gradient_by_finite_differences(completeness: float) -> None:
    output, source = noise(1, 3, 6, 6).requires_grad_(), noise(1, 3, 7, 7, seed=1)

    def loss(x: Tensor) -> Tensor:
        return patch_coherence(x, source, sizes=(3,), distance="squared", completeness=completeness)

    (gradient,) = torch.autograd.grad(loss(output), output)
    direction, step = noise(1, 3, 6, 6, seed=2), 1e-2
    with torch.no_grad():
        slope = (loss(output + step * direction) - loss(output - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=2e-2, atol=1e-4)


def test_the_gradient_stays_with_the_output() -> None:
    output, source = noise(1, 3, 8, 8).requires_grad_(), noise(1, 3, 8, 8, seed=1).requires_grad_()
    value = patch_coherence(output, source, distance="squared", completeness=1.0)
    gradient, none = torch.autograd.grad(value, [output, source], allow_unused=True)
    assert none is None
    assert gradient.abs().min() > 0  # every pixel is in some patch


def test_identity_is_zero_and_missing_content_shows_only_in_completeness() -> None:
    output, source = half_texture()
    assert patch_coherence(source, source, completeness=1.0) == 0
    coherence = patch_coherence(output, source, sizes=(5,), distance="squared")
    completeness = patch_coherence(source, output, sizes=(5,), distance="squared")
    assert completeness > 5 * coherence


def test_levels_and_sizes_are_averaged() -> None:
    output, source = noise(1, 3, 16, 16), noise(1, 3, 16, 16, seed=1)
    each = [patch_coherence(output, source, sizes=(s,), levels=(v,)) for s in (3, 5) for v in (1, 2)]
    together = patch_coherence(output, source, sizes=(3, 5), levels=(1, 2))
    torch.testing.assert_close(together, torch.stack(each).mean())


def test_a_random_subset_is_unbiased() -> None:
    output, source = noise(1, 3, 20, 20), noise(1, 3, 20, 20, seed=1)
    whole = patch_coherence(output, source, sizes=(3,))
    draw = generator(3)
    parts = torch.stack([patch_coherence(output, source, sizes=(3,), subset=40, generator=draw) for _ in range(60)])
    assert parts.std() > 0
    assert (parts.mean() - whole).abs() < 4 * parts.std() / 60**0.5


def test_labels_keep_the_match_within_its_class() -> None:
    source = torch.zeros(1, 3, 12, 24)  # the same colour in both classes, plus a tint that tells them apart
    source[..., 12:] = 0.2
    layout = torch.zeros(1, 2, 12, 24)
    layout[:, 0, :, :12], layout[:, 1, :, 12:] = 1, 1
    wrong = torch.zeros(1, 2, 12, 24)
    wrong[:, 1] = 1  # asks for the tinted class everywhere
    output = torch.zeros_like(source)
    free = patch_coherence(output, source, sizes=(3,), distance="squared")
    guided = patch_coherence(
        output, source, sizes=(3,), distance="squared",
        output_layout=wrong, source_layout=layout, label_weight=1.0,
    )  # fmt: skip
    assert free == 0
    torch.testing.assert_close(guided, torch.tensor(0.04))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"subset": 4}, "generator"),
        ({"label_weight": 1.0}, "output_layout"),
        ({"sizes": ()}, "at least one"),
        ({"sizes": (99,)}, "smaller"),
    ],
)
def test_coherence_says_what_is_wrong(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        patch_coherence(noise(1, 3, 8, 8), noise(1, 3, 8, 8), **arguments)  # type: ignore[arg-type]


def test_votes_of_all_patches_give_the_image_back() -> None:
    image = noise(2, 3, 9, 11)
    patches = extract_patches(image, 4)
    rows = torch.arange(patches.shape[1]).expand(2, -1)
    votes, weights = vote_patches(patches, torch.ones(rows.shape), rows, (9, 11), 4)
    torch.testing.assert_close(votes / weights, image)
    assert weights.min() == 1 and weights.max() == 16


@pytest.mark.parametrize("power", [2.0, 0.8])
def test_refinement_never_raises_the_objective(power: float) -> None:
    image, source = noise(2, 3, 24, 20), noise(1, 3, 22, 26, seed=1)
    values = []
    for _ in range(6):
        squared, _ = nearest_patches(extract_patches(image, 5), extract_patches(source, 5))
        values.append(float((squared + 1e-4).pow(power / 2).mean()))
        image = patch_refine(image, source, iterations=1, power=power)
    assert all(after <= before + 1e-6 for before, after in pairwise(values))
    assert values[-1] < 0.9 * values[0]


def test_with_power_2_the_objective_is_squared_coherence() -> None:
    image, source = noise(2, 3, 24, 20), noise(1, 3, 22, 26, seed=1)
    squared, _ = nearest_patches(extract_patches(image, 5), extract_patches(source, 5))
    assert squared.mean() == pytest.approx(float(patch_coherence(image, source, sizes=(5,), distance="squared")))


def test_a_small_power_trusts_a_patch_that_fits() -> None:
    """Reweighting leaves what is already the photo's as it is, where plain least squares compromises."""
    source = noise(1, 3, 24, 24)
    image = source.clone()
    image[..., 12:] = noise(1, 3, 24, 12, seed=1)
    change = [
        float((patch_refine(image, source, iterations=1, power=power) - image)[..., 8:12].abs().mean())
        for power in (2.0, 0.8)
    ]
    assert change[1] < 0.5 * change[0]


@pytest.mark.parametrize("power", [2.0, 0.8])
def test_a_photo_is_its_own_fixed_point(power: float) -> None:
    photo = noise(1, 3, 21, 18)
    torch.testing.assert_close(patch_refine(photo, photo, size=3, power=power), photo, atol=2e-5, rtol=0)


def test_take_patches_is_a_gather() -> None:
    patches, indices = noise(2, 5, 3), torch.tensor([[4, 0], [1, 1]])
    expected = torch.stack([patches[b][indices[b]] for b in range(2)])
    assert torch.equal(take_patches(patches, indices), expected)
    assert torch.equal(take_patches(patches[:1], indices), patches[0][indices])


def test_following_matches_lowers_its_objective() -> None:
    """(12.19) for a fixed picture: no correction of the matches may raise the distance it minimises."""
    image, source = noise(1, 3, 16, 20), noise(1, 3, 16, 20, seed=1)
    asked, known = (
        F.one_hot(torch.randint(3, (1, 16, 20), generator=generator(s)), 3).permute(0, 3, 1, 2).float() for s in (2, 3)
    )

    def objective(place: Tensor) -> float:
        total = 0.0
        for a, b, weight in ((image, source, 1 / 4), (asked, known, 1 / 2)):
            rows = [F.unfold(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5)[0].T for x in (a, b)]
            total += weight * float((rows[0] - rows[1][place.flatten()]).square().sum())
        return total

    home = torch.arange(16 * 20).view(1, 16, 20)
    seen: list[Tensor] = []
    # one sweep: the vote shows which matches were found
    counted = torch.arange(16 * 20.0).view(1, 1, 16, 20).expand(-1, 3, -1, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.losses.refine.vote", lambda photo, place, size: seen.append(place) or counted)
        follow_matches(image, source, asked, known, sweeps=1)
    assert objective(seen[0]) < 0.9 * objective(home)
    maps = [torch.cat([pixels / 2, labels * 0.5**0.5], dim=1) for pixels, labels in ((image, asked), (source, known))]
    exact = objective(exhaustive(maps[0], maps[1], 5).place)
    assert exact <= objective(seen[0]) < 1.5 * exact
