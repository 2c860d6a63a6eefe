"""Joint augmentation: exact at strength 0, the same for image and layout, and never folded over."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lib.data.augment import (
    WarpConfig,
    identity_grid,
    jacobian_determinant,
    random_grid,
    tps_displacement,
    warp_image,
    warp_layout,
)

NOTHING = WarpConfig(zoom=1, stretch=1, shift=0, rotation=0, flip=0, tps=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(batch: int = 1, height: int = 24, width: int = 32) -> Tensor:
    return 2 * torch.rand(batch, 3, height, width, generator=generator(7)) - 1


def layout(height: int = 24, width: int = 32) -> Tensor:
    index = torch.randint(0, 4, (height, width), generator=generator(8))
    return torch.nn.functional.one_hot(index, 4).permute(2, 0, 1)[None].float()


@given(height=st.integers(2, 40), width=st.integers(2, 40), seed=st.integers(0, 99))
def test_strength_zero_is_the_identity(height: int, width: int, seed: int) -> None:
    grid = random_grid(2, height, width, 0.0, generator=generator(seed))
    assert torch.equal(grid, identity_grid(height, width).expand(2, -1, -1, -1))
    image = picture(2, height, width)
    torch.testing.assert_close(warp_image(image, grid), image, atol=1e-5, rtol=0)
    one_hot = layout(height, width)
    assert torch.equal(warp_layout(one_hot, grid), one_hot.expand(2, -1, -1, -1))


def test_layouts_stay_one_hot_and_images_stay_in_range() -> None:
    grid = random_grid(8, 24, 32, 1.0, generator=generator())
    warped = warp_layout(layout(), grid)
    assert set(warped.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(warped.sum(dim=1), torch.ones(8, 24, 32))
    for mode in ("bilinear", "bicubic"):
        assert warp_image(picture(), grid, mode=mode).abs().max() <= picture().abs().max() + 1e-6


def test_image_and_layout_move_together() -> None:
    blocks = torch.zeros(1, 2, 64, 64)  # a picture that is its own layout
    blocks[:, 1, 16:48, 16:48] = 1
    blocks[:, 0] = 1 - blocks[:, 1]
    grid = random_grid(6, 64, 64, 1.0, generator=generator(1))
    image, labels = warp_image(blocks, grid), warp_layout(blocks, grid)
    sure = (image[:, 1] - 0.5).abs() > 0.49  # away from the soft border
    assert sure.float().mean() > 0.7
    assert torch.equal(image[:, 1].round()[sure], labels[:, 1][sure])


def test_a_shift_moves_the_picture_by_that_fraction() -> None:
    draw = random_grid(64, 8, 8, 0.5, WarpConfig(1, 1, 0.25, 0, 0, 0), generator=generator())
    moved = draw - identity_grid(8, 8)
    assert moved.std(dim=(1, 2)).max() < 1e-6  # the same for every pixel
    assert 0.2 < moved.abs().max() <= 2 * 0.25 * 0.5


def test_zoom_goes_in_and_out_alike() -> None:
    grid = random_grid(512, 8, 8, 1.0, WarpConfig(2.0, 1, 0, 0, 0, 0), generator=generator())
    scale = (grid / identity_grid(8, 8)).mean(dim=(1, 2, 3))
    assert 0.5 <= scale.min() < 0.55 and 1.8 < scale.max() <= 2
    assert scale.log().mean().abs() < 0.06


def test_rotation_keeps_pixels_square_on_a_wide_image() -> None:
    grid = random_grid(16, 20, 60, 1.0, WarpConfig(1, 1, 0, 30, 0, 0), generator=generator())
    pixels = grid * torch.tensor([60 / 2, 20 / 2])
    step_x = (pixels[:, :, 1:] - pixels[:, :, :-1]).norm(dim=-1)
    step_y = (pixels[:, 1:] - pixels[:, :-1]).norm(dim=-1)
    torch.testing.assert_close(step_x, torch.ones_like(step_x), atol=1e-4, rtol=0)
    torch.testing.assert_close(step_y, torch.ones_like(step_y), atol=1e-4, rtol=0)


def test_a_flip_is_a_mirror_and_as_likely_as_asked() -> None:
    config = WarpConfig(1, 1, 0, 0, 0.5, 0)
    grid = random_grid(400, 8, 8, 1.0, config, generator=generator())
    mirrored = grid[:, 0, 0, 0] > 0
    assert 0.4 < mirrored.float().mean() < 0.6
    image = picture(1, 8, 8)
    torch.testing.assert_close(warp_image(image, grid[mirrored][:1]), image.flip(-1), atol=1e-5, rtol=0)
    half = random_grid(400, 8, 8, 0.5, config, generator=generator())
    assert 0.18 < (half[:, 0, 0, 0] > 0).float().mean() < 0.32


def test_the_spline_passes_through_its_control_points() -> None:
    side = 41  # its outermost pixel centres are close to the edge, where the outer control points lie
    moves = 0.1 * torch.randn(2, 9, 2, generator=generator())
    field = tps_displacement(moves, side, side).reshape(2, side, side, 2)
    torch.testing.assert_close(field[:, side // 2, side // 2], moves[:, 4], atol=1e-5, rtol=0)
    assert (field[:, 0, 0] - moves[:, 0]).abs().max() < 0.03


def test_the_spline_reproduces_affine_moves_exactly() -> None:
    control = identity_grid(4, 4).reshape(-1, 2) * (4 / 3)  # control points at -1, -1/3, 1/3, 1
    matrix = torch.tensor([[0.1, -0.2], [0.3, 0.05]])
    field = tps_displacement((control @ matrix + 0.1)[None], 10, 14)
    expected = identity_grid(10, 14).reshape(-1, 2) @ matrix + 0.1
    torch.testing.assert_close(field[0], expected, atol=1e-5, rtol=0)


def test_the_picture_does_not_fold_over() -> None:
    for tps in (WarpConfig().tps, 0.4):  # the default, and the most that is allowed
        config = WarpConfig(flip=0, tps=tps)
        grid = random_grid(128, 64, 64, 1.0, config, generator=generator(2))
        assert (jacobian_determinant(grid) > 0).float().mean() >= 0.99
    ones = jacobian_determinant(identity_grid(9, 7)[None])
    torch.testing.assert_close(ones, torch.ones_like(ones))


def test_the_generator_is_the_only_randomness() -> None:
    first = random_grid(3, 8, 8, 1.0, generator=generator(5))
    torch.rand(10)
    assert torch.equal(first, random_grid(3, 8, 8, 1.0, generator=generator(5)))
    assert not torch.equal(first, random_grid(3, 8, 8, 1.0, generator=generator(6)))
    assert not torch.equal(first[0], first[1])


def test_the_grid_is_differentiable_and_half_precision_keeps_its_dtype() -> None:
    grid = random_grid(1, 24, 32, 1.0, generator=generator()).requires_grad_()
    warp_image(picture(), grid).sum().backward()
    assert grid.grad is not None and grid.grad.abs().sum() > 0
    assert warp_image(picture().bfloat16(), grid).dtype == torch.bfloat16


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="strength"):
        random_grid(1, 8, 8, 1.5, generator=generator())
    with pytest.raises(ValueError, match="folds over"):
        WarpConfig(tps=0.6)
    with pytest.raises(ValueError, match="ratios"):
        WarpConfig(zoom=0.5)
    with pytest.raises(ValueError, match="grid"):
        warp_image(picture(2), random_grid(3, 8, 8, 1.0, NOTHING, generator=generator()))
