"""The networks and the geometry of the copy: shapes, reach, precision, and what a known match must give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.augment import identity_grid
from lib.data.single_photo import CELL
from lib.games.analogy import Analogy, AnalogyConfig
from lib.nn.alignment import align, expected_position, pixel_grid, smooth_chunks
from lib.nn.blocks import SLOPE, ConvBlock, ResidualBlock, leaky_product, pixel_norm
from lib.nn.patchgan import PatchDiscriminator
from lib.nn.seams import heal_seams
from lib.nn.segmenter import Segmenter
from tests.scenes import labels, layout, noise, photo, tiny

# --------------------------------------------------------------------------------------------- networks


def support(gradient: Tensor) -> tuple[int, int]:
    """Height and width of the region where a gradient (1, C, H, W) is not zero."""
    rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero().T
    return int(rows.max() - rows.min() + 1), int(columns.max() - columns.min() + 1)


def test_the_discriminator_sees_26_pixels() -> None:
    image, one_hot = noise(1, 3, 64, 64).requires_grad_(), noise(1, 4, 64, 64).requires_grad_()
    logits, hidden = PatchDiscriminator(4, width=4)(image, one_hot)
    assert logits.shape == (1, 1, 16, 16) and [f.shape[1] for f in hidden] == [4, 8, 16]
    logits[0, 0, 8, 8].backward()
    assert image.grad is not None and one_hot.grad is not None
    assert support(image.grad) == support(one_hot.grad) == (26, 26)
    assert "receptive field 26 px" in " ".join((PatchDiscriminator.__doc__ or "").split())


def test_the_segmenter_sees_32_pixels() -> None:
    network, image = Segmenter(4, width=4), noise(1, 3, 64, 64).requires_grad_()
    logits = network(image)
    assert logits.shape == (1, 4, 64, 64)
    logits[0, :, 32, 32].sum().backward()
    assert image.grad is not None
    assert support(image.grad) == (32, 32)
    assert "receptive field 32 px" in " ".join((Segmenter.__doc__ or "").split())


def test_pixel_norm_looks_at_one_position() -> None:
    x = noise(1, 6, 5, 5)
    moved = x.clone()
    moved[..., 2, 2] *= 3
    changed = (pixel_norm(x) != pixel_norm(moved)).any(dim=1)[0]
    assert changed.sum() <= 1
    torch.testing.assert_close(pixel_norm(x).square().mean(dim=1), torch.ones(1, 5, 5), atol=0.05, rtol=0)
    assert pixel_norm(torch.zeros(1, 3, 2, 2)).abs().max() == 0


def test_blocks_keep_or_halve_the_size() -> None:
    x = noise(2, 3, 16, 24)
    assert ConvBlock(3, 5)(x).shape == ConvBlock(3, 5, kernel=5)(x).shape == (2, 5, 16, 24)
    assert ConvBlock(3, 5, down=True)(x).shape == (2, 5, 8, 12)
    near = ResidualBlock(3)(x)
    assert (near - x).abs().max() < 0.2 and not torch.equal(near, x)


def test_generator_and_segmenter_are_the_same_in_training_and_in_use() -> None:
    """No batch or instance norm, no dropout: a test-time gap would be a bug."""
    game = Analogy(3, tiny())
    image, source = photo()
    inputs = image[None], source.one_hot(), layout(40, 32).one_hot()
    with torch.no_grad():
        learning = game.train().G(*inputs).image, game.S(image[None])
        painting = game.eval().G(*inputs).image, game.S(image[None])
    assert all(torch.equal(a, b) for a, b in zip(learning, painting, strict=True))
    kinds = {type(module).__name__ for module in [*game.G.modules(), *game.S.modules()]}
    assert not any("Norm" in kind or "Dropout" in kind for kind in kinds)


def test_one_picture_of_a_batch_does_not_see_another() -> None:
    game = Analogy(3, tiny()).eval()
    image, source = photo()
    images, sources = torch.stack([image, image.flip(-1)]), torch.cat([source.one_hot(), source.one_hot().flip(-1)])
    targets = torch.cat([layout(40, 32).one_hot(), layout(40, 32, ball=(0.3, 0.7)).one_hot()])
    with torch.no_grad():
        together = game.G(images, sources, targets).image
        alone = game.G(images[1:], sources[1:], targets[1:]).image
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=0)


def test_bfloat16_stays_finite() -> None:
    game = Analogy(3, tiny())
    image, source = photo()
    one_hot, target = source.one_hot(), layout(ball=(0.4, 0.6)).one_hot()
    with torch.autocast("cpu", torch.bfloat16):
        painting = game.G(image[None], one_hot, target)
        scores, _ = game.D(painting.image, target)
        predicted = game.S(painting.image)
    for value in (painting.image, painting.gate, scores, predicted):
        assert value.dtype == torch.float32 and value.isfinite().all()
    (painting.image.sum() + scores.sum() + predicted.sum()).backward()
    gradients = [p.grad for p in game.G.parameters() if p.grad is not None]
    assert len(gradients) > 10 and all(bool(g.isfinite().all()) for g in gradients)


def test_the_full_generator_paints() -> None:
    game = Analogy(4, AnalogyConfig.full())
    game.check_players()
    one_hot = F.one_hot(torch.from_numpy(labels(64, 64)).long(), 4).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        painting = game.G(noise(1, 3, 64, 64), one_hot, one_hot.flip(-1))
    assert painting.image.shape == (1, 3, 64, 64) and painting.image.isfinite().all()
    assert len(painting.modulation) == 5


def test_the_networks_start_without_image_biases() -> None:
    game = Analogy(3, tiny())
    blocks = [m for m in game.G.modules() if isinstance(m, ConvBlock)]
    assert len(blocks) == 6
    assert all(isinstance(b.conv.bias, nn.Parameter) and not b.conv.bias.any() for b in blocks)


# --------------------------------------------------------------------------------------- the copy's grid


def sharp(matches: Tensor, sources: int) -> Tensor:
    """Logits (1, T, S) that are sure of the given source cells (T,)."""
    return 40 * F.one_hot(matches, sources).float().unsqueeze(0)


def cells(rows: int, columns: int) -> Tensor:
    return torch.arange(rows * columns).view(rows, columns)


def test_a_sure_match_has_the_position_of_its_cell() -> None:
    own = cells(4, 6)
    position = expected_position(sharp(own.flatten(), 24), (4, 6))
    torch.testing.assert_close(position.view(4, 6, 2), identity_grid(4, 6))
    swapped = expected_position(sharp(own.flip(0, 1).flatten(), 24), (4, 6))
    torch.testing.assert_close(swapped.view(4, 6, 2), identity_grid(4, 6).flip(0, 1))


def test_the_position_follows_one_of_two_matches() -> None:
    """Two matches far apart must not average to a place between them; two neighbours may."""
    logits = torch.full((1, 1, 5 * 7), -50.0)
    logits[0, 0, 0], logits[0, 0, 34] = 1.0, 1.01
    torch.testing.assert_close(expected_position(logits, (5, 7))[0, 0], identity_grid(5, 7)[4, 6])
    logits[0, 0, 33] = 1.01
    torch.testing.assert_close(expected_position(logits, (5, 7))[0, 0], identity_grid(5, 7)[4, 5:7].mean(dim=0))


def test_equal_layouts_copy_the_photo() -> None:
    image, source = photo()
    one_hot = source.one_hot()
    copy = align(sharp(cells(8, 12).flatten(), 96), image[None], one_hot, one_hot, consensus=2)
    torch.testing.assert_close(copy.grid[0], identity_grid(32, 48), atol=1e-4, rtol=0)
    torch.testing.assert_close(copy.image[0], image, atol=1e-3, rtol=0)
    assert torch.equal(copy.layout, one_hot)


@pytest.mark.parametrize("width", [32, 48, 96, 144])
def test_translations_are_exact_for_any_size_of_the_target(width: int) -> None:
    """Chunks of eight cells, copied side by side: every pixel comes from where its chunk says."""
    image, own = noise(1, 3, 32, 48), cells(8, 12)
    columns = [x % 8 + 2 for x in range(width // CELL)]
    came_from = sharp(own[:, columns].flatten(), 96)
    source, target = torch.ones(1, 1, 32, 48), torch.ones(1, 1, 32, width)
    grid = pixel_grid(expected_position(came_from, (8, 12)), target, source)
    expected = torch.cat([image[..., CELL * x : CELL * (x + 1)] for x in columns], dim=-1)
    torch.testing.assert_close(F.grid_sample(image, grid, align_corners=False), expected, atol=1e-4, rtol=0)
    copy = align(came_from, image, source, target, consensus=0)
    torch.testing.assert_close(copy.grid, grid, atol=1e-3, rtol=0)  # smoothing has nothing to do


def test_at_a_tear_each_pixel_takes_the_chunk_of_its_label() -> None:
    """The two halves of the photo swap places; the border of the target runs through a cell."""
    index, ordered = torch.zeros(32, 64, dtype=torch.long), torch.zeros(32, 48, dtype=torch.long)
    index[:, 32:] = 1  # source: 0 | 1
    ordered[:, :26] = 1  # target: 1 | 0, and the border is two pixels off the cells'
    source, target = (F.one_hot(i, 2).permute(2, 0, 1)[None].float() for i in (index, ordered))
    columns = [*range(9, 15), *range(1, 7)]  # the cell with the border takes its pixels from class 0
    position = expected_position(sharp(cells(8, 16)[:, columns].flatten(), 128), (8, 16))

    def came_from(grid: Tensor) -> Tensor:
        return ((grid[0, ..., 0] + 1) * 32 - 0.5).round().long()  # source column of each pixel

    grid = pixel_grid(position, target, source)
    expected = torch.tensor([*range(36, 62), *range(6, 28)]).expand(32, -1)
    assert torch.equal(came_from(grid), expected)  # exactly one of the two chunks, never what lies between
    blind = pixel_grid(position, torch.ones(1, 1, 32, 48), torch.ones(1, 1, 32, 64))
    assert (index[0, came_from(blind)] != ordered).float().mean() == 2 / 48  # without labels two columns go wrong


def test_smoothing_removes_jitter_and_keeps_growth_and_tears() -> None:
    rows, columns = 10, 12
    home = identity_grid(rows, columns)
    plain = torch.ones(1, 1, rows, columns)
    to_cells = torch.tensor([columns / 2, rows / 2])

    def smoothed(positions: Tensor, **more: int) -> Tensor:
        return smooth_chunks(positions.view(1, -1, 2), plain, plain, **more).view(rows, columns, 2)

    growth = 0.8 * home  # a part that grows: its moves are affine, not constant
    error = ((smoothed(growth) - growth) * to_cells).abs()
    assert error[3:-3, 3:-3].max() < 0.05 and error.max() < 0.4  # in cells
    jitter = growth + 0.3 * noise(rows, columns, 2) / to_cells
    before, after = (((p - growth) * to_cells)[2:-2, 2:-2].square().mean().sqrt() for p in (jitter, smoothed(jitter)))
    assert after < 0.6 * before
    torch.testing.assert_close(smoothed(jitter, iterations=0), jitter)

    torn = home.clone()
    torn[:, 6:] += torch.tensor([-8.0, 0.0]) / to_cells  # two chunks, eight cells apart
    torch.testing.assert_close(smoothed(torn), torn, atol=0.01, rtol=0)


# ------------------------------------------------------------------------------------------------- seams


def test_a_copy_without_seams_is_left_alone() -> None:
    image = noise(1, 3, 32, 48)
    one = torch.ones(1, 1, 32, 48)
    grid = identity_grid(32, 48)[None]
    torch.testing.assert_close(heal_seams(image, image, one, grid), image, atol=1e-4, rtol=0)


def ramp_in_two_chunks(step: float = 0.4) -> tuple[Tensor, Tensor, Tensor]:
    """A dark and a bright copy of the same flat sky meet: photo, copy, grid."""
    image = torch.zeros(1, 3, 32, 64)
    image[..., 32:] = step  # beside the copied region, never inside a chunk
    grid = identity_grid(32, 64)[None].clone()
    grid[:, :, 32:] = grid[:, :, :32]  # left half twice ...
    grid[:, :, :32, 0] += 1.0  # ... and the right half first
    copied = F.grid_sample(image, grid, mode="nearest", padding_mode="border", align_corners=False)
    return image, copied, grid


def test_a_seam_inside_one_class_is_healed_and_one_between_classes_stays() -> None:
    image, copied, grid = ramp_in_two_chunks()

    def step(x: Tensor) -> Tensor:
        return (x[..., 32] - x[..., 31]).abs().mean()

    assert step(copied) == pytest.approx(0.4)
    same = torch.ones(1, 1, 32, 64)
    healed = heal_seams(copied, image, same, grid)
    assert step(healed) < 0.03
    # The chunks keep their mean brightness level overall: only the step is spread.
    assert (healed.mean() - copied.mean()).abs() < 1e-3
    two = torch.zeros(1, 2, 32, 64)
    two[:, 0, :, :32] = two[:, 1, :, 32:] = 1
    torch.testing.assert_close(heal_seams(copied, image, two, grid), copied, atol=1e-4, rtol=0)


def test_a_mirrored_chunk_has_no_seams_inside() -> None:
    image, one = 0.5 * noise(1, 3, 32, 48), torch.ones(1, 1, 32, 48)
    grid = identity_grid(32, 48)[None].flip(2)
    mirrored = image.flip(-1)
    torch.testing.assert_close(heal_seams(mirrored, image, one, grid), mirrored, atol=1e-4, rtol=0)


def test_the_cell_is_four_pixels() -> None:
    assert CELL == 4  # the encoder's third level, whose features the matcher reads, is at 1/4 scale


def test_leaky_product_is_leaky_relu_without_the_zeros() -> None:
    """Values and both derivatives agree; a penalty's way back no longer visits the forward pass."""
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 3)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    found = {}
    for activation in (F.leaky_relu, leaky_product):
        y = last(activation(first(x), SLOPE))
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        penalty = slope.square().sum()
        weights = [first.weight, last.weight, first.bias]
        *moved, unused = torch.autograd.grad(penalty, weights, allow_unused=True)
        found[activation] = [y, slope, *moved]
        assert (unused is None) is (activation is leaky_product)
    torch.testing.assert_close(found[leaky_product], found[F.leaky_relu], rtol=0, atol=0)
    assert leaky_product(torch.ones(2, dtype=torch.bfloat16)).dtype is torch.bfloat16
