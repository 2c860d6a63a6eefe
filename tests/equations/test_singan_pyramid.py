"""SinGAN's three equations, each against a computation by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.games.singan import SinGANConfig, SinGANScale, noise_amplitude, slope_penalty
from lib.losses.penalties import input_gradient, interpolates
from lib.nn.singan import Pyramid, ScaleGenerator
from lib.runtime import seeded


def pictures(count: int, height: int = 16, width: int = 20, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, height, width, generator=seeded(seed)) * 2 - 1


def test_a_scale_adds_what_is_missing() -> None:
    """x~_n = up(x~_{n+1}) + psi_n(up(x~_{n+1}) + sigma_n z_n), with zeros once round the input."""
    torch.manual_seed(0)
    G = ScaleGenerator(8, blocks=3, norm="none")
    below, noise = pictures(2), 0.3 * torch.randn(2, 3, 16, 20, generator=seeded(1))
    x = F.pad(below + noise, (3, 3, 3, 3))
    convolutions = [layer for layer in G.modules() if isinstance(layer, nn.Conv2d)]
    for conv in convolutions[:-1]:
        x = F.leaky_relu(F.conv2d(x, conv.weight, conv.bias), 0.2)
    added = torch.tanh(F.conv2d(x, convolutions[-1].weight, convolutions[-1].bias))
    torch.testing.assert_close(G(below, noise), below + added)
    assert float(added.detach().abs().max()) > 1e-3


def test_the_noise_is_as_strong_as_the_missing_detail() -> None:
    image, rebuilt = pictures(1), pictures(1, seed=1)
    by_hand = 0.1 * (sum((a - b) ** 2 for a, b in zip(image.flatten(), rebuilt.flatten(), strict=True)) / 960) ** 0.5
    torch.testing.assert_close(noise_amplitude(rebuilt, image), torch.as_tensor(by_hand))
    torch.testing.assert_close(noise_amplitude(rebuilt, image, 1.0), torch.as_tensor(10 * by_hand))
    assert float(noise_amplitude(None, image)) == 1 and float(noise_amplitude(image, image)) == 0


def test_the_objective_of_a_scale() -> None:
    """Critic, penalty with its lambda, and alpha times the mean squared error of the rebuilt photo."""
    config = SinGANConfig(width=6, widest=6, least=16, alpha=7.0, penalty=0.3)
    pyramid = Pyramid([(16, 20), (20, 25)])
    pyramid.fix_noise(seeded(0))
    torch.manual_seed(0)
    pyramid.add(ScaleGenerator(6, norm="none"), torch.ones(()))
    image = pictures(1, 20, 25)
    game = SinGANScale(pyramid, image, config, generator=seeded(1))
    d_turn, g_turn = game.round({"image": image})

    again = seeded(1)
    z_coarse, z = (torch.randn(1, c, *size, generator=again) for c, size in ((1, (16, 20)), (3, (20, 25))))
    below = pyramid.scales[0](torch.zeros(1, 3, 16, 20), z_coarse)
    up = F.interpolate(below, size=(20, 25), mode="bicubic", align_corners=False)
    up_rec = F.interpolate(
        pyramid.scales[0](torch.zeros(1, 3, 16, 20), pyramid.z_rec), size=(20, 25), mode="bicubic", align_corners=False
    )
    sigma = noise_amplitude(up_rec, image, config.noise)
    fake = game.G(up, sigma * z)
    slopes = input_gradient(game.D, interpolates(image, fake, generator=again)).square().sum(dim=1).sqrt()
    expected = {
        "real": -game.D(image).mean(), "fake": game.D(fake).mean(), "penalty": 0.3 * (slopes - 1).square().mean(),
    }  # fmt: skip
    torch.testing.assert_close(d_turn.terms, expected)
    rebuilt = game.G(up_rec, torch.zeros(()))
    expected = {"gan": -game.D(fake).mean(), "rebuild": 7 * (rebuilt - image).square().mean()}
    torch.testing.assert_close(g_turn.terms, expected)


def test_the_penalty_looks_at_each_pixel() -> None:
    """A critic that is linear in each pixel has the same slope everywhere, whatever the size of the picture."""
    for size in (8, 32):
        real, fake = pictures(1, size, size), pictures(1, size, size, seed=1)

        def linear(x: Tensor) -> Tensor:
            return (x * torch.tensor([2.0, 1.0, 2.0]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)

        torch.testing.assert_close(slope_penalty(linear, real, fake, generator=seeded(0)), torch.tensor(4.0))
