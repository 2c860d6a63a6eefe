"""The numbered equations of chapter 9 against answers worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.games.srgan import SRGAN, SRGANConfig
from lib.games.srgan_measures import grid
from lib.games.srgan_toy import (
    BRIGHT,
    DARK,
    ToyError,
    expected_errors,
    meadow,
    posterior_mean,
    small_version,
)
from lib.metrics.reconstruction import luminance, psnr
from lib.nn.srresnet import Doubling, icnr_
from lib.runtime import seeded


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=seeded(seed)) * 2 - 1


def every_meadow(columns: int, factor: int = 4) -> Tensor:
    """All sharp pictures of one row of cells: (factor ** columns, 1, factor, factor * columns)."""
    pictures = []
    for places in itertools.product(range(factor), repeat=columns):
        picture = torch.full((1, factor, factor * columns), DARK)
        for cell, place in enumerate(places):
            picture[..., factor * cell + place] = BRIGHT
        pictures.append(picture)
    return torch.stack(pictures)


# ------------------------------------------------------------------------------------------- why MSE blurs


def test_posterior_mean() -> None:
    """No step away from it lowers the expected squared error, whatever the probabilities; and it is flat here."""
    answers = every_meadow(2)
    weights = torch.softmax(noise(len(answers)), dim=0)
    best = posterior_mean(answers, weights).requires_grad_()
    loss = (weights[:, None, None, None] * (answers - best).square()).sum()
    (slope,) = torch.autograd.grad(loss, best)
    assert slope.abs().max() < 1e-5
    for seed in range(3):
        guess = best.detach() + 0.1 * noise(*best.shape, seed=seed)
        assert (weights[:, None, None, None] * (answers - guess).square()).sum() > loss
    flat = posterior_mean(answers)
    torch.testing.assert_close(flat, torch.full_like(flat, (BRIGHT + 3 * DARK) / 4))


def test_expected_errors() -> None:
    """Twice as much, by summing over all pairs of answers; and of unequal answers, too."""
    answers = every_meadow(2)
    mean, drawn = expected_errors(answers)
    by_hand = torch.stack([(a - b).square().mean() for a in answers for b in answers]).mean()
    torch.testing.assert_close(drawn, by_hand)
    torch.testing.assert_close(drawn, 2 * mean)
    torch.testing.assert_close(mean, torch.tensor((BRIGHT - DARK) ** 2 * 0.25 * 0.75))
    weights = torch.softmax(3 * noise(len(answers)), dim=0)
    mean, drawn = expected_errors(answers, weights)
    torch.testing.assert_close(drawn, 2 * mean)


def test_every_meadow_has_the_same_small_version() -> None:
    grass, fence = (meadow(5, 4, 3, generator=seeded(0), tall=tall) for tall in (1, 4))
    for pictures in (grass, fence):
        small = small_version(pictures)
        torch.testing.assert_close(small, torch.full_like(small, (BRIGHT + 3 * DARK) / 4))
        torch.testing.assert_close(pictures.unique(), torch.tensor([DARK, BRIGHT]))
    assert torch.equal(fence[..., :1, :], fence[..., -1:, :]) and not torch.equal(grass[..., :1, :], grass[..., -1:, :])
    spread = meadow(400, 1, 1, generator=seeded(1))[:, 0, 0].gt(0).float().mean(dim=0)
    assert (spread - 0.25).abs().max() < 0.08
    with pytest.raises(ToyError, match="no multiple"):
        meadow(1, 5, 5, generator=seeded(0), tall=2)
    with pytest.raises(ToyError, match="sum to 1"):
        posterior_mean(grass, torch.ones(5))


# ------------------------------------------------------------------------------------------------ measures


def test_psnr() -> None:
    """10 log10 of peak² over the mean square: an error of 0.1 everywhere in [-1, 1] is 20 log10(20) = 26.02 dB."""
    a = 0.8 * noise(1, 3, 12, 12)
    value = psnr(a, a + 0.1, data_range=(-1, 1))
    assert float(value) == pytest.approx(20 * math.log10(2 / 0.1), abs=1e-3)


def test_luminance() -> None:
    corners = {(-1, -1, -1): 16, (1, 1, 1): 235, (1, -1, -1): 81.481, (-1, 1, -1): 144.553, (-1, -1, 1): 40.966}
    for colour, level in corners.items():
        picture = torch.tensor(colour, dtype=torch.float32)[None, :, None, None].expand(1, 3, 2, 2)
        assert float(255 * luminance(picture, data_range=(-1, 1))[0, 0, 0, 0]) == pytest.approx(level, abs=1e-3)


def test_grid() -> None:
    """Grain of 1 at one of the 4 places of a 2x2 cell, and of 0 at the others: sqrt(3)."""
    plain = torch.zeros(1, 1, 40, 40)
    plain[..., ::2, ::2] = 1.0
    energy = (plain - (plain.roll(1, -1) + plain.roll(-1, -1) + plain.roll(1, -2) + plain.roll(-1, -2)) / 4).square()
    places = torch.stack([energy[..., i::2, j::2].mean() for i in range(2) for j in range(2)])
    assert grid(plain, factor=2) == pytest.approx(float(places.std(correction=0) / places.mean()), rel=1e-5)
    assert grid(noise(2, 3, 200, 200), factor=2) < 0.05


# -------------------------------------------------------------------------------------------------- losses


class Looks(torch.nn.Module):
    """A stand-in for phi: one map of two channels, with a bend in it."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.cat([x[:, :1].tanh() * 2, x[:, 1:2].square()], dim=1)[..., ::2, ::2]]


def game(**changes: object) -> SRGAN:
    small: dict[str, object] = {"size": 16, "width": 4, "blocks": 1, "kernel": 3, "d_width": 2, "content": (5, 4)}
    torch.manual_seed(0)
    return SRGAN(SRGANConfig(**{**small, **changes}), Looks())  # type: ignore[arg-type]


def test_content_terms() -> None:
    """l_MSE and l_VGG/i.j as sums over pixels: 1 / (r² W H) and 1 / (W_ij H_ij), and channels counted in the mean."""
    fake, image = noise(1, 3, 16, 16), noise(1, 3, 16, 16, seed=1)
    pixels = sum(
        float(image[0, c, y, x] - fake[0, c, y, x]) ** 2 for c in range(3) for y in range(16) for x in range(16)
    )
    played = game(content="mse")
    assert float(played.content_terms(fake, image)["mse"]) == pytest.approx(pixels / (3 * 16 * 16), rel=1e-5)
    maps = [Looks()(picture)[0] for picture in (image, fake)]
    seen = sum(float(maps[0][0, c, y, x] - maps[1][0, c, y, x]) ** 2 for c in range(2) for y in range(8)
               for x in range(8))  # fmt: skip
    terms = game(feature_scale=1 / 12.75**2).content_terms(fake, image)
    assert float(terms["features"]) == pytest.approx(seen / (2 * 8 * 8) / 12.75**2, rel=1e-5)
    both = game(feature_scale=1.0, pixel=0.5).content_terms(fake, image)
    assert float(both["pixel"]) == pytest.approx(0.5 * pixels / (3 * 16 * 16), rel=1e-5)


def test_gan_term() -> None:
    """The mean of -log D, with D = sigmoid(logit)."""
    played, fake = game(), noise(3, 3, 16, 16)
    logits = played.D(fake).detach()
    played.D.forward = lambda x: logits  # type: ignore[method-assign]
    expected = sum(-math.log(1 / (1 + math.exp(-float(logit)))) for logit in logits.flatten()) / 3
    assert float(played.gan_term(fake)) == pytest.approx(expected, rel=1e-5)


def test_g_terms() -> None:
    """l_SR is the sum of the terms that the player steps: content, and a thousandth of l_Gen."""
    played, fake, image = game(), noise(2, 3, 16, 16), noise(2, 3, 16, 16, seed=1)
    terms = played.eval().g_terms(fake, image)
    assert set(terms) == {"features", "gan"}
    expected = played.content_terms(fake, image)["features"] + 1e-3 * played.gan_term(fake)
    torch.testing.assert_close(sum(terms.values()), expected)


def test_r1_comes_in_every_so_many_rounds_and_weighs_as_much_more() -> None:
    fake, image = noise(2, 3, 16, 16), noise(2, 3, 16, 16, seed=1)
    often, seldom = game(r1=0.1, every=1, d_norm=False), game(r1=0.1, every=3, d_norm=False)
    torch.testing.assert_close(3 * often.d_terms(fake, image)["r1"], seldom.d_terms(fake, image)["r1"])
    seldom.rounds_done = 1
    assert set(seldom.d_terms(fake, image)) == {"real", "fake"} == set(game().d_terms(fake, image))


# ---------------------------------------------------------------------------------------------- upsampling


def test_doubling() -> None:
    """Channel 4c + 2i + j of the convolution becomes pixel (2y + i, 2x + j) of channel c; then PReLU."""
    torch.manual_seed(0)
    layer, x = Doubling(2, "shuffle"), noise(1, 2, 3, 4)
    maps, large = layer.conv(x), torch.empty(1, 2, 6, 8)
    for c, y, column, i, j in itertools.product(range(2), range(3), range(4), range(2), range(2)):
        large[0, c, 2 * y + i, 2 * column + j] = maps[0, 4 * c + 2 * i + j, y, column]
    torch.testing.assert_close(layer(x), torch.where(large > 0, large, 0.25 * large))


def test_icnr_begins_without_a_grid_and_may_learn_one() -> None:
    torch.manual_seed(0)
    layer, x = Doubling(4, "icnr"), noise(1, 4, 6, 6)
    large = layer(x)
    torch.testing.assert_close(large, F.interpolate(large[..., ::2, ::2], scale_factor=2.0, mode="nearest"))
    conv = torch.nn.Conv2d(3, 8, 3)
    icnr_(conv)
    assert torch.equal(conv.weight[0], conv.weight[3]) and not torch.equal(conv.weight[0], conv.weight[4])
    large[..., 1::2, 1::2].sum().backward()  # what only one of the four places wants
    gradient = layer.conv.weight.grad
    assert gradient is not None and not torch.equal(gradient[0], gradient[3])
