"""The losses of DIAT and DTN by hand, where they rest, and what they are blind to."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lib.games.identity_train import matching_loss
from lib.losses.diat import (
    artefact_map,
    artefacts,
    content_loss,
    denoising_losses,
    masked_loss,
    misprinted_attribute_loss,
)
from lib.losses.perceptual import (
    FeatureMaps,
    PerceptualError,
    feature_maps,
    perceptual_loss,
    reader_maps,
    vgg19_layer,
    vgg19_maps,
)
from lib.losses.ternary import (
    FROM_SOURCE,
    FROM_TARGET,
    REAL,
    best_ternary,
    constancy,
    minus_log,
    target_identity,
)
from lib.losses.total_variation import TotalVariationError, total_variation
from lib.runtime import seeded


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=seeded(seed)) * 2 - 1


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU())


# ------------------------------------------------------------------------------------------------ perceptual


def test_the_distance_by_hand_and_its_normaliser() -> None:
    """(1, 3) against (0, 1): mean (1, 4) = 2.5; a map repeated over a larger area counts no more."""
    fake, real = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert float(perceptual_loss([fake], [real])) == 2.5
    assert float(perceptual_loss([fake, fake], [real, fake], [2.0, 7.0])) == 5.0
    assert float(content_loss([fake], [real])) == 1.25  # ||.||^2 / (2 C H W) = 5 / 4
    assert float(perceptual_loss([fake.repeat(1, 2, 4, 4)], [real.repeat(1, 2, 4, 4)])) == 2.5
    with pytest.raises(PerceptualError, match="layer by layer"):
        perceptual_loss([fake], [real.repeat(1, 1, 2, 1)])


def test_the_gradient_goes_to_the_fake_through_the_frozen_network_alone() -> None:
    maps = FeatureMaps(small_network(), ("1", "3"))
    fake, real = pictures(2, 3, 8, 8).requires_grad_(), pictures(2, 3, 8, 8, seed=1).requires_grad_()
    perceptual_loss(maps(fake), maps(real)).backward()
    assert fake.grad is not None and float(fake.grad.abs().sum()) > 0
    assert real.grad is None and all(weight.grad is None for weight in maps.parameters())


def test_without_a_graph_the_number_is_right_and_nothing_is_taught() -> None:
    """The control: the same value, and no gradient. A history would not show it."""
    maps = FeatureMaps(small_network(), ("3",))
    fake, real = pictures(2, 3, 8, 8).requires_grad_(), pictures(2, 3, 8, 8, seed=1)
    alive = perceptual_loss(maps(fake), maps(real))
    with torch.no_grad():
        dead = perceptual_loss(maps(fake), maps(real))
    assert float(alive.detach()) == float(dead) > 0
    assert alive.requires_grad and not dead.requires_grad


def test_named_layers_are_those_of_a_forward_pass() -> None:
    network, x = small_network(), pictures(1, 3, 8, 8)
    first, last = feature_maps(network, x, ("0", "3"))
    torch.testing.assert_close(first, network[0](x))
    torch.testing.assert_close(last, network(x))
    assert not network[0]._forward_hooks  # nothing stays behind
    with pytest.raises(PerceptualError, match="no layer 'conv'"):
        feature_maps(network, x, ("conv",))
    network.add_module("idle", nn.Identity())
    network.forward = lambda x: network[0](x)  # type: ignore[method-assign, assignment]
    with pytest.raises(PerceptualError, match="never runs 'idle'"):
        feature_maps(network, x, ("0", "idle"))


def test_the_units_of_a_network_that_was_trained_on_zero_to_one() -> None:
    network = nn.Sequential(nn.Identity())
    x = pictures(1, 3, 4, 4)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    (seen,) = FeatureMaps(network, ("0",), mean=mean, std=std)(x)
    expected = ((x + 1) / 2 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(seen, expected)
    torch.testing.assert_close(FeatureMaps(network, ("0",))(x)[0], x)
    assert FeatureMaps(network, ("0",), side=2)(x)[0].shape == (1, 3, 2, 2)


def test_frozen_features_do_not_depend_on_the_batch_or_the_mode() -> None:
    maps = FeatureMaps(nn.Sequential(nn.BatchNorm2d(3)), ("0",)).train()
    x = pictures(4, 3, 4, 4)
    torch.testing.assert_close(maps(x)[0][:1], maps(x[:1])[0])


def test_the_books_own_features_see_content() -> None:
    maps, x = reader_maps("faces"), pictures(2, 3, 32, 32)
    first, second = maps(x)
    assert first.shape[1] < second.shape[1] and first.shape[-1] == 2 * second.shape[-1]
    assert float(perceptual_loss(maps(x), maps(x))) == 0 < float(perceptual_loss(maps(x), maps(-x)))


@pytest.mark.parametrize(("layer", "name"), [((1, 1), "1"), ((2, 2), "8"), ((3, 4), "17"), ((5, 4), "35")])
def test_srgans_names_of_vgg_layers(layer: tuple[int, int], name: str) -> None:
    """phi_{2,2} is torchvision's features.8 (relu2_2), phi_{5,4} its features.35 (relu5_4)."""
    from torchvision import models

    assert vgg19_layer(*layer) == name and vgg19_layer(*layer, activated=False) == str(int(name) - 1)
    with torch.device("meta"):
        features = models.vgg19().features
    assert isinstance(features[int(name)], nn.ReLU) and isinstance(features[int(name) - 1], nn.Conv2d)
    poolings = sum(isinstance(part, nn.MaxPool2d) for part in features[: int(name)])
    assert poolings == layer[0] - 1
    with pytest.raises(PerceptualError, match=r"no \(1, 3\)"):
        vgg19_layer(1, 3)


def test_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(PerceptualError, match="not on this machine"):
        vgg19_maps(((2, 2),))


# ------------------------------------------------------------------------------------------- total variation


def test_total_variation_by_hand() -> None:
    """One step of height 3 to the right and 4 down at one of four places: sqrt(9 + 16) / 4, and 25 / 4."""
    z = torch.tensor([[0.0, 3.0, 3.0], [4.0, 3.0, 3.0], [4.0, 3.0, 3.0]])[None, None]
    step = torch.tensor([[5.0, 0.0], [1.0, 0.0]])
    assert float(total_variation(z)) == pytest.approx(float(step.mean()), abs=1e-3)
    assert float(total_variation(z, power=2)) == pytest.approx(float(step.square().mean()), abs=1e-5)


@given(st.floats(0.2, 3.0))
def test_a_flat_picture_costs_nothing_and_has_a_finite_slope(power: float) -> None:
    z = torch.full((1, 2, 4, 4), 0.3, requires_grad=True)
    loss = total_variation(z, power)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert z.grad is not None and bool(z.grad.isfinite().all())


def test_power_one_prefers_sharp_edges_and_power_two_soft_ones() -> None:
    """A step of 1 at once or in four parts: the same total variation, a quarter of the squares."""
    sharp = torch.tensor([0.0, 0, 0, 1, 1, 1, 1]).expand(1, 1, 4, 7)
    soft = torch.tensor([0.0, 0, 0.25, 0.5, 0.75, 1, 1]).expand(1, 1, 4, 7)
    assert float(total_variation(soft)) == pytest.approx(float(total_variation(sharp)), rel=0.01)
    assert float(total_variation(soft, 2)) == pytest.approx(float(total_variation(sharp, 2)) / 4)
    with pytest.raises(TotalVariationError, match="at least 2 x 2"):
        total_variation(torch.zeros(1, 3, 1, 4))


# ------------------------------------------------------------------------------------------------------ DIAT


def test_the_denoisers_losses_by_hand() -> None:
    """f doubles. (2 * 1 - 0)^2 = 4 on the rough picture; (2 * 0.5 - 0.5)^2 = 1/4 on a clean one."""
    repair, _ = denoising_losses(lambda y: 2 * y, torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
    _, keep = denoising_losses(lambda y: 2 * y, torch.ones(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5))
    assert (float(repair), float(keep)) == (4.0, 0.25)
    half = torch.full((2, 3, 2, 2), 0.5)
    half[1] = 1
    assert artefact_map(lambda y: 2 * y, half).mean(dim=(1, 2)).tolist() == [0.25, 1.0]
    assert float(artefacts(lambda y: 2 * y, half)) == 0.625


def test_a_denoiser_sees_checkers_where_total_variation_rewards_blur() -> None:
    """An exact stand-in for f: take away the highest frequency of 2 x 2 cells, and nothing else.

    Smooth and blurred pictures are its fixed points. Total variation prefers the blurred one to the clean one.
    """
    checker = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])

    def f(y: Tensor) -> Tensor:
        weight = (checker / 4).expand(y.shape[1], 1, 2, 2)
        amount = F.conv2d(y, weight, stride=2, groups=y.shape[1])
        return y - F.interpolate(amount, scale_factor=2.0) * checker.repeat(y.shape[-2] // 2, y.shape[-1] // 2)

    clean = torch.sign(torch.linspace(-1, 1, 16))[None, None, None].expand(1, 3, 16, 16)
    blurred = F.avg_pool2d(F.pad(clean, (2, 2, 0, 0), mode="replicate"), (1, 5), stride=1)
    checkered = clean + 0.1 * checker.repeat(8, 8)
    assert float(artefacts(f, clean)) == 0 and float(artefacts(f, blurred)) < 1e-10
    assert float(artefacts(f, checkered)) == pytest.approx(0.01, rel=1e-3)
    tv = [float(total_variation(picture, 2)) for picture in (blurred, clean, checkered)]
    assert tv[0] < 0.5 * tv[1] and tv[1] < tv[2]


def test_the_local_loss_looks_outside_the_mask_only() -> None:
    x, picture = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert float(masked_loss(picture, x, 1 - mask)) == 0.75
    assert float(masked_loss(picture, x, mask)) == 0.25
    picture.requires_grad_()
    masked_loss(picture, x, 1 - mask).backward()
    assert picture.grad is not None and bool((picture.grad[:, :, 0, 0] == 0).all())


@pytest.mark.parametrize("a", [-3.0, 0.0, 2.0])
def test_the_misprinted_logarithm_is_the_non_saturating_loss(a: float) -> None:
    """d/da log(1 - sigma) = -sigma, and of the printed 1 - log sigma it is -(1 - sigma): the strength is swapped."""
    logit = torch.tensor([a], requires_grad=True)
    sigma = torch.sigmoid(logit.detach())
    (printed,) = torch.autograd.grad(misprinted_attribute_loss(logit), logit)
    (meant,) = torch.autograd.grad(-F.softplus(logit).mean(), logit)
    torch.testing.assert_close(printed, -(1 - sigma))
    torch.testing.assert_close(meant, -sigma)
    assert float(misprinted_attribute_loss(logit.detach())) == pytest.approx(1 - math.log(float(sigma)), rel=1e-5)


def test_matching_by_hand() -> None:
    """Nothing learned: log B; everybody alike to their own picture alone: near 0."""
    assert float(matching_loss(torch.zeros(8, 8), 0.1)) == pytest.approx(math.log(8), rel=1e-6)
    assert float(matching_loss(torch.eye(8), 0.1)) == pytest.approx(math.log(1 + 7 * math.exp(-10)), rel=1e-3)


# ------------------------------------------------------------------------------------------------------- DTN


def test_each_ternary_term_is_a_minus_log_of_one_answer() -> None:
    logits = torch.log(torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]))
    values = [float(minus_log(logits, answer)) for answer in (FROM_SOURCE, FROM_TARGET, REAL)]
    assert values == pytest.approx([-math.log(p) for p in (0.2, 0.3, 0.5)], rel=1e-5)


def test_a_perfect_g_leaves_every_term_at_log_3() -> None:
    """All three densities agree: the best D says 1/3, so L_D = 3 log 3 and L_GANG = 2 log 3. No other D does better."""
    same = torch.rand(20, generator=seeded(0), dtype=torch.float64)
    best = best_ternary(same, same, same).log()
    each = [float(minus_log(best, answer)) for answer in range(3)]
    assert each == pytest.approx([math.log(3)] * 3)
    for seed in range(5):
        other = best + 0.3 * torch.randn(best.shape, generator=seeded(seed), dtype=torch.float64)
        assert sum(float(minus_log(other, answer)) for answer in range(3)) > sum(each)


def test_the_best_ternary_d_knows_which_route_is_off() -> None:
    """The target's route is perfect, the source's is not: D_2 = D_3 everywhere, and D_1 gives the source away.

    A binary D with both fakes as one class has the same D(real) where all agree, 1/3, but no word for the difference.
    """
    points = torch.arange(6, dtype=torch.float64)
    real = torch.softmax(-((points - 2) ** 2), 0)
    off = torch.softmax(-((points - 4) ** 2), 0)
    d = best_ternary(off, real, real)
    torch.testing.assert_close(d[:, FROM_TARGET], d[:, REAL])
    assert float(d[4, FROM_SOURCE]) > 0.9 > 0.1 > float(d[1, FROM_SOURCE])
    torch.testing.assert_close(d.sum(dim=1), torch.ones(6, dtype=torch.float64))


def test_the_best_ternary_d_is_where_descent_ends() -> None:
    generator = seeded(1)
    densities = torch.rand(3, 7, generator=generator, dtype=torch.float64)
    densities = densities / densities.sum(dim=1, keepdim=True)
    logits = torch.zeros(7, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = -(densities.T * F.log_softmax(logits, dim=1)).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(torch.softmax(logits.detach(), dim=1), best_ternary(*densities), atol=1e-4, rtol=0)


def test_constancy_and_target_identity_by_hand() -> None:
    code, again = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]], requires_grad=True)
    assert float(constancy(code, again)) == 2.5
    assert float(constancy(code, again, "cosine")) == 1.0
    assert float(constancy(code, 5 * code, "cosine")) == pytest.approx(0)  # cosine does not see the length
    constancy(code.requires_grad_(), again).backward()
    assert code.grad is None and again.grad is not None
    assert float(target_identity(torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3))) == 1
