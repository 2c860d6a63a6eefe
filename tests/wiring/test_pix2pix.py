"""The game of pix2pix: its two networks, its terms, its ablations, and a step next to a naive one."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lib.games.game import GameError
from lib.games.pix2pix import D_SCALE, LOSS_ABLATION, Pix2Pix, Pix2PixConfig, pixel_loss
from lib.losses.adversarial import LOSSES
from lib.nn.dcgan import NetworkError
from lib.nn.padding import cut, pad_to_multiple
from lib.nn.unet import UNetConfig, UNetGenerator
from lib.runtime import seeded
from lib.training.audit import assert_alive
from lib.training.optim import OptimConfig
from lib.training.play import play, play_round
from lib.training.streams import Repeat
from tests.scenes import noise

K = 3
TINY: dict[str, Any] = {"size": 32, "width": 4, "d_width": 4, "patch": 16, "rounds": 4}


def game(**changes: Any) -> Pix2Pix:
    torch.manual_seed(0)
    return Pix2Pix(K, Pix2PixConfig(**TINY | changes), generator=seeded(1))


def batch(count: int = 2, size: int = 32) -> dict[str, Tensor]:
    labels = torch.randint(K, (count, size // 4, size // 4), generator=seeded(2)).repeat_interleave(4, 1)
    x = F.one_hot(labels.repeat_interleave(4, 2), K).permute(0, 3, 1, 2).float()
    return {"condition": x, "image": noise(count, 3, size, size, seed=3)}


def unet(channels: int = K, **settings: Any) -> UNetGenerator:
    torch.manual_seed(0)
    return UNetGenerator(UNetConfig(channels, **{"depth": 4, "width": 4} | settings))


# ------------------------------------------------------------------------------------------------ generator


@given(st.integers(1, 90), st.integers(1, 90), st.booleans())
def test_any_size_comes_back(height: int, width: int, skips: bool) -> None:
    assert unet(skips=skips)(noise(1, K, height, width)).shape == (1, 3, height, width)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16))
def test_padding_is_undone_and_keeps_one_hot(height: int, width: int, multiple: int) -> None:
    x = F.one_hot(torch.arange(height * width).view(1, height, width) % K, K).permute(0, 3, 1, 2).float()
    larger, border = pad_to_multiple(x, multiple)
    assert larger.shape[2] % multiple == larger.shape[3] % multiple == 0 and max(border) < multiple
    assert torch.equal(cut(larger, border), x) and bool((larger.sum(dim=1) == 1).all())


def identity_weights(G: UNetGenerator) -> None:
    """Four pixels x three colours x two signs go through the outermost skip and come back in their places."""
    down, up = cast(Any, G.downs[0]).conv, cast(Any, G.ups[-1]).conv
    for weight in (down.weight, down.bias, up.weight, up.bias):
        nn.init.zeros_(weight)
    skipped = up.weight.shape[0] - 24
    with torch.no_grad():
        for place in range(24):
            colour, pixel, sign = place // 8, place // 2 % 4, 1 - 2 * (place % 2)
            down.weight[place, colour, 1 + pixel // 2, 1 + pixel % 2] = sign
            up.weight[skipped + place, colour, 1 + pixel // 2, 1 + pixel % 2] = sign


@pytest.mark.parametrize("size", [(64, 64), (50, 77), (97, 33), (128, 96)])
def test_the_skips_can_copy_a_picture_exactly(size: tuple[int, int]) -> None:
    """Every pixel in its place, at sizes that need padding too."""
    G, x = unet(3, depth=5, width=24, widest=1), noise(1, 3, *size)
    identity_weights(G)
    torch.testing.assert_close(G(x), torch.tanh(x))


def test_the_size_of_the_paper() -> None:
    """The reference's 54,413,955 and 41,828,995 weights, and 576 biases in the two layers without a norm behind."""
    with torch.device("meta"):
        count = {d: sum(w.numel() for w in UNetGenerator(UNetConfig(3, depth=d)).parameters()) for d in (7, 8)}
    assert count == {7: 41_828_995 + 576, 8: 54_413_955 + 576}


def naive_unet(weights: dict[str, Tensor], x: Tensor, depth: int, *, skips: bool = True, level: int = 0) -> Tensor:
    """Recursion from the outside in: what is between going down and coming up at one level."""

    def norm(h: Tensor, layer: str) -> Tensor:
        if f"{layer}.norm.weight" not in weights:
            return h
        mean, variance = h.mean(dim=(2, 3), keepdim=True), h.var(dim=(2, 3), keepdim=True, correction=0)
        gain, bias = (weights[f"{layer}.norm.{name}"].view(1, -1, 1, 1) for name in ("weight", "bias"))
        return gain * (h - mean) / (variance + 1e-5).sqrt() + bias

    down, up = f"downs.{level}", f"ups.{depth - 1 - level}"
    h = F.leaky_relu(x, 0.2) if level else x
    h = norm(F.conv2d(h, weights[f"{down}.conv.weight"], weights.get(f"{down}.conv.bias"), 2, 1), down)
    if level < depth - 1:
        inner = naive_unet(weights, h, depth, skips=skips, level=level + 1)
        h = torch.cat([inner, h], dim=1) if skips else inner
    h = F.conv_transpose2d(F.relu(h), weights[f"{up}.conv.weight"], weights.get(f"{up}.conv.bias"), 2, 1)
    return torch.tanh(h) if level == 0 else norm(h, up)


@pytest.mark.parametrize("skips", [True, False])
def test_the_network_equals_a_naive_one(skips: bool) -> None:
    G, x = unet(skips=skips), noise(2, K, 32, 32)
    for weight in G.parameters():
        nn.init.normal_(weight, 0.0, 0.2)  # far from the start, where everything is nearly 0
    torch.testing.assert_close(G(x), naive_unet(G.state_dict(), x, 4, skips=skips), atol=1e-5, rtol=1e-4)


def test_weights_start_as_in_the_paper() -> None:
    G, D = game(width=16, d_width=32).G, game(d_width=32).D
    for network in (G, D):
        convs = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        stds = [float(m.weight.detach().std()) for m in convs if m.weight.numel() > 3000]
        assert len(stds) >= 1 and stds == pytest.approx([0.02] * len(stds), rel=0.05)
        assert all(float(m.bias.detach().abs().sum()) == 0 for m in convs if m.bias is not None)


@pytest.mark.parametrize("size", [32, 48])
def test_no_gap_between_training_and_use(size: int) -> None:
    """Modes change nothing, and neither does who else is in the batch, nor the 1 x 1 bottleneck at batch 1."""
    G, x = unet(depth=5), noise(3, K, size, size)
    calm = G.eval()(x)
    assert torch.equal(calm, G.train()(x)) and bool(calm.std(dim=0).gt(0).any())
    torch.testing.assert_close(calm[1:2], G(x[1:2]))


def test_batch_norm_at_batch_1_is_instance_norm() -> None:
    """So the paper's networks and ours are the same function there."""
    h = noise(1, 5, 8, 8)
    batch_norm, own = nn.BatchNorm2d(5).train(), nn.InstanceNorm2d(5, affine=True)
    torch.testing.assert_close(batch_norm(h), own(h))


def test_noise_is_an_explicit_switch() -> None:
    G, x = unet(), noise(2, K, 32, 32)
    first, again, other = (G.eval()(x, noise=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first, G(x))
    assert torch.equal(unet(dropout=0.0)(x, noise=seeded(0)), unet(dropout=0.0)(x))
    assert not torch.equal(first[0], G(x[:1].expand(2, -1, -1, -1), noise=seeded(1))[1])


def test_noise_drops_half_of_three_layers_and_keeps_the_mean() -> None:
    G, maps = unet(1, depth=6, width=64), []
    for up in G.ups:
        up.register_forward_hook(lambda module, inputs, output: maps.append((inputs[0], output)))
    G(noise(1, 1, 64, 64), noise=seeded(0))
    for place in range(1, 6):
        before, after = maps[place - 1][1], maps[place][0][:, : maps[place - 1][1].shape[1]]
        dropped = float((after == 0).float().mean())
        if place <= 3:
            assert dropped == pytest.approx(0.5, abs=0.05)
            kept = after != 0
            torch.testing.assert_close(after[kept], 2 * before[kept])
        else:
            assert torch.equal(after, before)


def test_what_the_generator_refuses() -> None:
    with pytest.raises(NetworkError, match=r"\(B, 3, H, W\), not \(1, 13, 32, 32\)"):
        unet()(noise(1, 13, 32, 32))
    with pytest.raises(NetworkError, match="depth of 2"):
        unet(depth=1)


# ----------------------------------------------------------------------------------------------------- game


@pytest.mark.parametrize("row", LOSS_ABLATION)
def test_terms_of_each_row_of_the_ablation(row: str) -> None:
    """Equations (1)–(4) of the paper, term by term; D's halves are 1/2 of its cross-entropies."""
    own, data = game(noise=False, **LOSS_ABLATION[row]), batch()
    x, y = data["condition"], data["image"]
    turns = {turn.player: {k: float(v.detach()) for k, v in turn.terms.items()} for turn in own.round(data)}
    with torch.no_grad():
        fake = own.G(x)
    seen_real, seen_fake = ((x, y), (x, fake)) if "cGAN" in row else ((y,), (fake,))
    expected: dict[str, dict[str, float]] = {"G": {}}
    if "GAN" in row:
        real, fooled = (torch.sigmoid(own.D(*seen)).detach() for seen in (seen_real, seen_fake))
        expected["D"] = {"real": -0.5 * float(real.log().mean()), "fake": -0.5 * float((1 - fooled).log().mean())}
        expected["G"]["gan"] = -float(fooled.log().mean())
    if "L1" in row:
        expected["G"]["l1"] = 100 * float((y - fake).abs().mean())
    assert turns.keys() == expected.keys()
    for player, terms in expected.items():
        assert turns[player] == pytest.approx(terms, rel=1e-4)


@pytest.mark.parametrize("row", LOSS_ABLATION)
@pytest.mark.parametrize("skips", [True, False])
def test_every_term_moves_all_of_its_player(row: str, skips: bool) -> None:
    own, data = game(skips=skips, **LOSS_ABLATION[row]), batch()
    rows = assert_alive(own, data)
    assert all(not found.unreached for found in rows)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_every_loss_plays(loss: str, distance: str) -> None:
    own = game(loss=loss, distance=distance)
    _, turn = play_round(own, batch(), OptimConfig().build(own))
    assert list(turn.terms) == ["gan", distance]


class Spy(nn.Module):
    """A D that keeps what it was shown."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = inner, cast("list[tuple[Tensor, ...]]", [])

    def forward(self, *pictures: Tensor) -> Tensor:
        self.seen.append(pictures)
        out: Tensor = self.inner(*pictures)
        return out


def test_one_fake_for_both_players() -> None:
    """D learns on the very picture that G is then judged by; x goes with it, and D's turn does not reach G."""
    own, data = game(), batch()
    spy = own.D = Spy(own.D)  # type: ignore[assignment]
    list(own.round(data))
    (x, y), (x_fake, fake), (x_again, again) = spy.seen
    assert x is x_fake is x_again is data["condition"] and y is data["image"]
    assert torch.equal(fake, again) and again.requires_grad and not fake.requires_grad


def test_only_a_conditional_d_can_complain_about_the_condition() -> None:
    """Other labels for the same picture: the unconditional D's loss stays bit for bit."""
    data = batch()
    swapped = data["condition"].roll(1, 0)
    for conditional in (True, False):
        own = game(conditional=conditional)
        logits = [own.judge(x, data["image"]) for x in (data["condition"], swapped)]
        assert torch.equal(*logits) != conditional


def test_two_rounds_equal_a_naive_training() -> None:
    """Plain PyTorch, as one would write it in a notebook: the same weights after two rounds of Adam."""
    own, data = game(noise=False), batch()
    G, D = copy.deepcopy(own.G), copy.deepcopy(own.D)
    optimisers = OptimConfig().build(own)
    for _ in range(2):
        list(play_round(own, data, optimisers))

    x, y = data["condition"], data["image"]
    adam_d = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_g = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for _ in range(2):
        fake = G(x)
        on_true, on_fake = D(torch.cat([x, y], dim=1)), D(torch.cat([x, fake.detach()], dim=1))
        true_loss = F.binary_cross_entropy_with_logits(on_true, torch.ones_like(on_true))
        fake_loss = F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
        adam_d.zero_grad()
        (D_SCALE * (true_loss + fake_loss)).backward()
        adam_d.step()
        fooled = D(torch.cat([x, fake], dim=1))
        loss = F.binary_cross_entropy_with_logits(fooled, torch.ones_like(fooled)) + 100 * F.l1_loss(fake, y)
        adam_g.zero_grad()
        loss.backward()
        adam_g.step()
    for mine, naive in ((own.G, G), (own.D, D)):
        for (name, weight), other in zip(mine.named_parameters(), naive.parameters(), strict=True):
            torch.testing.assert_close(weight, other, atol=2e-6, rtol=1e-4, msg=name)


def test_a_training_repeats_itself_bit_for_bit() -> None:
    """Noise, weights and order come from seeds alone; the global generator is left out of it."""
    results = []
    for disturbance in (0, 1):
        own = game()
        torch.manual_seed(disturbance)
        torch.rand(disturbance)
        play(own, Repeat(batch()), 3, optimisers=OptimConfig(lr=1e-3))
        results.append(own.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_overfitting_a_pair() -> None:
    """One pair, L1 + cGAN: the picture is learned, and the noise does not stop it."""
    own, data = game(width=12, lr=2e-3), batch(1)
    data["image"] = F.interpolate(noise(1, 3, 4, 4), scale_factor=8.0, mode="nearest")
    before = float(pixel_loss(own.paint(data["condition"]), data["image"]).detach())
    play(own, Repeat(data), 60, optimisers=OptimConfig(lr=2e-3))
    assert float(pixel_loss(own.paint(data["condition"]), data["image"]).detach()) < 0.35 * before


@pytest.mark.parametrize(("distance", "answer"), [("l1", 0.1), ("l2", 0.427)])
def test_l1_asks_for_the_median_and_l2_for_the_mean(distance: Any, answer: float) -> None:
    """One x, several true y: 60 % of them 0.1, the rest 0.9175."""
    y = torch.tensor([0.1] * 60 + [0.9175] * 40, dtype=torch.float64)
    guesses = torch.linspace(0, 1, 1001, dtype=torch.float64)
    losses = torch.stack([pixel_loss(guess.expand(100), y, distance) for guess in guesses])
    assert float(guesses[losses.argmin()]) == pytest.approx(answer, abs=1e-3)


# --------------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize("config", [Pix2PixConfig.quick(), Pix2PixConfig.full(task="edges", data="photos")])
def test_a_config_survives_its_card(config: Pix2PixConfig) -> None:
    config.check()
    assert Pix2PixConfig.from_dict(asdict(config)) == config
    assert set(config.ablation()) == set(LOSS_ABLATION) and config.ablation()["L1+cGAN"] == config
    with pytest.raises(TypeError, match="colour"):
        Pix2PixConfig.from_dict(asdict(config) | {"colour": 1})


def test_full_is_the_papers() -> None:
    """256 px -> 1 x 1 in eight halvings, the 70 px D, lambda 100, Adam at 2e-4, batch 1."""
    full = Pix2PixConfig.full()
    assert full.network(3) == UNetConfig(3)
    assert (full.patch, full.d_width, full.l1, full.lr, full.batch) == (70, 64, 100.0, 2e-4, 1)


def test_the_learning_rate_falls_over_the_second_half() -> None:
    rate = Pix2PixConfig().learning_rate
    assert rate(0.0) == rate(0.5) == 1.0 and rate(0.75) == pytest.approx(0.52) and rate(1.0) == pytest.approx(0.02)


@pytest.mark.parametrize(("rules", "complaint"), [
    ({"size": 48}, "power of two"), ({"gan": 0.0, "l1": 0.0}, "not both 0"), ({"l1": -1.0}, "not negative"),
    ({"data": "photos"}, "no common classes"), ({"patch": 71}, "no PatchGAN"), ({"patch": 142}, "48 px or more"),
])  # fmt: skip
def test_bad_rules_speak(rules: dict[str, Any], complaint: str) -> None:
    with pytest.raises(GameError, match=complaint):
        game(**rules)


def test_a_batch_that_holds_no_pairs_speaks() -> None:
    own, data = game(), batch()
    with pytest.raises(GameError, match="no 'condition'"):
        list(own.round({"image": data["image"]}))
    with pytest.raises(GameError, match="no pairs"):
        list(own.round(data | {"image": data["image"][:1]}))


def test_without_a_gan_term_the_size_of_the_patch_does_not_matter() -> None:
    own = replace(Pix2PixConfig(**TINY), patch=286, gan=0.0)
    assert [turn.player for turn in Pix2Pix(K, own).round(batch())] == ["G"]
