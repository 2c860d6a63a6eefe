"""SPADE: what its norm does to labels, its networks, the terms of its game, and SPADE on a single photo."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from lib.baselines.inputs import PaintError
from lib.baselines.spade import TruePairs, paint, train_on_photo
from lib.data.conditions import Condition
from lib.data.pairs import Paired
from lib.data.single_photo import SinglePhoto, StreamConfig
from lib.data.worlds.catalogue import world_named
from lib.data.worlds.world import WorldStream, one_hot
from lib.games.game import GameError
from lib.games.spade import Spade, SpadeConfig, feature_gap, matched_features
from lib.losses.perceptual import FeatureMaps
from lib.nn.dcgan import NetworkError
from lib.nn.multiscale import FeaturePatchGAN, MultiscaleDiscriminator
from lib.nn.receptive_field import receptive_field
from lib.nn.spade import PYRAMIDS, SPADE, SPADEBlock, SPADEGenerator, SPADEGeneratorConfig
from lib.runtime import seeded
from lib.training.audit import assert_alive
from lib.training.play import play
from lib.training.streams import Repeat
from tests.scenes import CPU, labels, noise, photo

K = 3
TINY: dict[str, Any] = {"size": 32, "width": 4, "hidden": 8, "d_layers": 2, "d_width": 4, "batch": 1, "rounds": 3}


def game(shown: nn.Module | None = None, **changes: Any) -> Spade:
    torch.manual_seed(0)
    return Spade(K, SpadeConfig(**TINY | changes), perceptual=shown)


def layouts(count: int = 1, height: int = 32, width: int = 32) -> Tensor:
    """Blocks of 8 px with a class each."""
    coarse = torch.randint(K, (count, -(-height // 8), -(-width // 8)), generator=seeded(2))
    return one_hot(coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width], K)


def uniform(label: int, side: int = 16) -> Tensor:
    return one_hot(torch.full((1, side, side), label), K)


def batch(count: int = 2, side: int = 32) -> dict[str, Tensor]:
    return {"condition": layouts(count, side, side), "image": noise(count, 3, side, side, seed=3)}


def spade(norm: Any = "instance") -> SPADE:
    """With weights far from the start, where gamma and beta are nearly 0."""
    layer = SPADE(5, K, hidden=6, norm=norm)
    for weight in layer.parameters():
        nn.init.normal_(weight, 0.0, 0.3)
    return layer


# ------------------------------------------------------------------------------------------------------ norm


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_spade_is_its_formula(norm: str) -> None:
    """Pixel by pixel: mean and variance by hand, the layout's rows and columns picked by hand, 1 + gamma."""
    layer, x, layout = spade(norm), noise(2, 5, 4, 6), layouts(2, 16, 24)
    over = (2, 3) if norm == "instance" else (0, 2, 3)
    mean, variance = x.mean(dim=over, keepdim=True), x.var(dim=over, keepdim=True, correction=0)
    seen = F.relu(layer.shared(layout[:, :, ::4, ::4]))
    expected = (x - mean) / (variance + 1e-5).sqrt() * (1 + layer.gamma(seen)) + layer.beta(seen)
    torch.testing.assert_close(layer(x, layout), expected)


def test_without_modulation_it_is_the_plain_norm() -> None:
    layer, x = spade(), noise(2, 5, 8, 8)
    for conv in (layer.gamma, layer.beta):
        for weight in conv.parameters():
            nn.init.zeros_(weight)
    torch.testing.assert_close(layer(x, layouts(2)), F.instance_norm(x))


def test_a_uniform_layout_is_a_conditional_norm() -> None:
    """One gain and bias for each class and channel, but for two pixels at the border, where the padding shows."""
    layer = spade()
    inner = [part[..., 2:-2, 2:-2] for label in range(K) for part in layer.modulation(uniform(label), (16, 16))]
    spread = [float((part.amax(dim=(2, 3)) - part.amin(dim=(2, 3))).max().detach()) for part in inner]
    assert max(spread) < 1e-5
    assert not torch.allclose(inner[0], inner[2])  # the gains of two classes
    whole = layer.modulation(uniform(0), (16, 16))[0]
    assert not torch.allclose(whole[..., 1:-1, 1:-1], whole[..., 8:9, 8:9], atol=1e-4)


def test_labels_are_not_washed_away() -> None:
    """A norm behind a convolution forgets which label a uniform layout has. SPADE does not."""
    conv = nn.Conv2d(K, 5, 1)
    forgotten = [F.instance_norm(conv(uniform(label))) for label in range(K)]
    assert max(float(answer.abs().max().detach()) for answer in forgotten) < 1e-3
    layer, x = spade(), noise(1, 5, 16, 16)
    kept = [layer(x, uniform(label)) for label in range(K)]
    assert float((kept[0] - kept[1]).abs().mean().detach()) > 0.1


def test_instance_norm_has_no_gap_between_training_and_use() -> None:
    """Batch norm has one, which is what users of the authors' code meet."""
    x, layout = noise(1, 5, 8, 8), layouts()
    gaps = {}
    for norm in ("instance", "batch"):
        layer = spade(norm)
        gaps[norm] = float((layer.train()(x, layout) - layer.eval()(x, layout)).abs().max().detach())
    assert gaps["instance"] == 0 and gaps["batch"] > 0.1


# ------------------------------------------------------------------------------------------------- generator


def test_spectral_norm_is_on_the_blocks_convolutions_alone() -> None:
    block = SPADEBlock(8, 4, K, hidden=6)
    normed = {name for name, part in block.named_modules() if is_parametrized(part)}
    assert normed == {"conv1", "conv2", "shortcut"} and block.shortcut is not None and block.shortcut.bias is None
    assert SPADEBlock(8, 8, K).shortcut is None
    with torch.no_grad():
        for _ in range(20):
            block(noise(1, 8, 8, 8), layouts())
    weight = block.conv1.weight.detach().flatten(1)
    assert float(torch.linalg.matrix_norm(weight, ord=2)) == pytest.approx(1, rel=0.02)


def test_a_block_is_a_residual_block() -> None:
    """Silenced convolutions leave x, or the modulated x through the 1 x 1 convolution without an activation."""
    x, layout = noise(1, 8, 8, 8), layouts()
    for c_out in (8, 4):
        block = SPADEBlock(8, c_out, K, hidden=6).eval()
        block.conv2 = nn.Conv2d(min(8, c_out), c_out, 3, padding=1)
        for weight in block.conv2.parameters():
            nn.init.zeros_(weight)
        expected = x
        if block.shortcut is not None and block.shortcut_norm is not None:
            expected = F.conv2d(block.shortcut_norm(x, layout), block.shortcut.weight)
        torch.testing.assert_close(block(x, layout), expected)


@pytest.mark.parametrize("size", [(32, 32), (50, 77), (97, 33), (16, 19)])
def test_any_size_can_be_painted(size: tuple[int, int]) -> None:
    picture = game().G(layouts(1, *size))
    assert picture.shape == (1, 3, *size) and float(picture.detach().abs().max()) <= 1


@pytest.mark.parametrize("doublings", PYRAMIDS)
def test_blocks_work_at_the_scales_of_the_pyramid(doublings: int) -> None:
    G = SPADEGenerator(SPADEGeneratorConfig(K, doublings=doublings, width=1, hidden=1))
    met = []
    for block in G.blocks:
        block.register_forward_hook(lambda module, inputs, output: met.append((*inputs[0].shape[2:], output.shape[1])))
    side = 2 ** (doublings + 1)
    G(layouts(1, side, 2 * side))
    assert met == [(side // scale, 2 * side // scale, channels) for scale, channels in PYRAMIDS[doublings]]
    assert PYRAMIDS[doublings][0][0] == 2**doublings and PYRAMIDS[doublings][-1] == (1, 1)


def test_the_sizes_of_the_paper() -> None:
    """Weights counted by hand. 93.0, 96.5 and 97.5 million for Cityscapes, ADE20K and COCO-Stuff (with their "don't
    care" or edge channels) are what the authors' code prints (from memory, UNVERIFIED)."""

    def conv(before: int, after: int, kernel: int = 3, bias: bool = True) -> int:
        return before * after * kernel**2 + bias * after

    def by_hand(classes: int, width: int, hidden: int) -> int:
        widths = [width * multiple for multiple in (16, 16, 16, 16, 8, 4, 2, 1)]
        total = conv(classes, 16 * width) + conv(width, 3)
        for before, after in pairwise(widths):
            middle = min(before, after)
            total += conv(before, middle) + conv(middle, after)
            norms = [before, middle, before] if before != after else [before, middle]
            total += sum(conv(classes, hidden) + 2 * conv(hidden, channels) for channels in norms)
            total += conv(before, after, 1, bias=False) * (before != after)
        return total

    G = SPADEGenerator(SPADEGeneratorConfig(7, doublings=5, width=2, hidden=5))
    assert sum(w.numel() for w in G.parameters()) == by_hand(7, 2, 5)
    full = SpadeConfig.full().network(151)
    assert (full.doublings, full.width, full.hidden, full.norm) == (5, 64, 128, "batch")
    assert [round(by_hand(k, 64, 128) / 1e6, 1) for k in (36, 151, 184)] == [93.0, 96.5, 97.5]


def test_only_the_layout_decides() -> None:
    """Deterministic, and every class is heard."""
    G = game().G.eval()
    assert torch.equal(G(uniform(0, 32)), G(uniform(0, 32)))
    assert not torch.equal(G(uniform(0, 32)), G(uniform(1, 32)))


def test_what_the_networks_refuse() -> None:
    with pytest.raises(NetworkError, match=r"\(B, 3, H, W\), a channel for each class, not \(1, 4, 32, 32\)"):
        game().G(noise(1, 4, 32, 32))
    with pytest.raises(NetworkError, match="at least 16 px"):
        game().G(layouts(1, 15, 40))
    with pytest.raises(NetworkError, match="doublings=2 does not exist"):
        SPADEGeneratorConfig(K, doublings=2)
    with pytest.raises(NetworkError, match="no norm 'layer'"):
        SPADE(4, K, norm="layer")  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match=r"3 \+ 3 channels of at least 4 px"):
        game().D(noise(1, 3, 32, 32), noise(1, 4, 32, 32))


# --------------------------------------------------------------------------------------------- discriminator


@pytest.mark.parametrize(("count", "field"), [(3, 34), (4, 70)])
def test_field_and_features_of_a_patchgan(count: int, field: int) -> None:
    D = FeaturePatchGAN(3 + K, layers=count, width=2)
    assert receptive_field(D).size == field
    answers = D(noise(2, 3 + K, 64, 64))
    assert [answer.shape[1] for answer in answers] == [*[2, 4, 8, 16][:count], 1]
    normed = [is_parametrized(part) for part in D.modules() if isinstance(part, nn.Conv2d)]
    assert normed == [False, *[True] * (count - 1), False]


def test_the_second_d_sees_half_the_size() -> None:
    """It judges the averaged pair, and a constant picture stays constant at its border."""
    D = MultiscaleDiscriminator(K, layers=2, width=4)
    seen: list[Tensor] = []
    for patch in D.patches:
        patch.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    judgement = D(torch.full((1, 3, 32, 48), 0.5), layouts(1, 32, 48))
    assert [tuple(shown.shape[1:]) for shown in seen] == [(6, 32, 48), (6, 16, 24)]
    torch.testing.assert_close(seen[1][:, :3], torch.full((1, 3, 16, 24), 0.5))
    assert [len(answers) for answers in judgement] == [3, 3]
    D(noise(1, 3, D.least_side, 40), layouts(1, D.least_side, 40))  # the smallest picture can be judged


# ------------------------------------------------------------------------------------------------------ game


def maps() -> FeatureMaps:
    torch.manual_seed(5)
    return FeatureMaps(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3)), ("0", "2"))


def test_terms_are_the_papers() -> None:
    """Hinge over both sizes; 10 x the sum over layers of the features' gaps; 10 x the perceptual gap."""
    own, data = game(maps()).eval(), batch()
    turns = {turn.player: {k: float(v.detach()) for k, v in turn.terms.items()} for turn in own.round(data)}
    x, y = data["condition"], data["image"]
    with torch.no_grad():
        fake = own.G(x)
        true, painted = own.D(y, x), own.D(fake, x)
        seen_true, seen_fake = maps()(y), maps()(fake)
    scales = range(2)
    gaps = [[float((a - b).abs().mean()) for a, b in zip(true[s][:-1], painted[s][:-1], strict=True)] for s in scales]
    shown = [float((a - b).abs().mean()) for a, b in zip(seen_true, seen_fake, strict=True)]
    assert turns["D"] == pytest.approx({
        "real": sum(float(F.relu(1 - true[s][-1]).mean()) for s in scales) / 2,
        "fake": sum(float(F.relu(1 + painted[s][-1]).mean()) for s in scales) / 2,
    }, rel=1e-4)  # fmt: skip
    assert turns["G"] == pytest.approx({
        "gan": sum(-float(painted[s][-1].mean()) for s in scales) / 2,
        "features": 10 * (sum(gaps[0]) + sum(gaps[1])) / 2,
        "perceptual": 10 * (shown[0] / 4 + shown[1]),
    }, rel=1e-4)  # fmt: skip


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_every_term_moves_all_of_its_player(norm: str) -> None:
    rows = assert_alive(game(maps(), norm=norm), batch())
    assert [row.name for row in rows] == ["D/real", "D/fake", "G/gan", "G/features", "G/perceptual"]
    assert all(not row.unreached for row in rows)


def test_terms_can_be_left_out() -> None:
    for changes, shown, left in (
        ({}, None, ["gan", "features"]),
        ({"features": 0.0, "perceptual": 0.0}, maps(), ["gan"]),
    ):
        *_, turn = game(shown, **changes).round(batch())
        assert list(turn.terms) == left


def test_weights_of_the_perceptual_layers() -> None:
    """1/32, 1/16, 1/8, 1/4, 1 for five layers; the target gets no gradient."""
    for layer, weight in enumerate((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)):
        fake = [torch.full((2, 3), float(layer == place), requires_grad=True) for place in range(5)]
        real = [torch.zeros(2, 3, requires_grad=True) for _ in range(5)]
        gap = feature_gap(fake, real)
        assert float(gap.detach()) == pytest.approx(weight)
        gap.backward()
        assert fake[layer].grad is not None and real[layer].grad is None


def test_matched_features_leave_the_logits_out() -> None:
    same = [[torch.ones(1, 2), torch.ones(1, 2), torch.zeros(1)] for _ in range(2)]
    other = [[torch.zeros(1, 2), torch.full((1, 2), 3.0), torch.full((1,), 99.0)] for _ in range(2)]
    assert float(matched_features(same, other)) == pytest.approx(1 + 2)


def test_two_time_scales() -> None:
    built = SpadeConfig.full().optimisers().build(game())
    assert {player: adam.param_groups[0]["lr"] for player, adam in built.items()} == {"D": 4e-4, "G": 1e-4}
    assert all(adam.param_groups[0]["betas"] == (0.0, 0.9) for adam in built.values())


def test_overfitting_a_pair() -> None:
    """Feature matching alone, without a pixel term, brings the colours of a flat picture."""
    own, data = game(width=8, lr_g=4e-3, lr_d=4e-3), batch(1, 16)
    colours = torch.tensor([[0.8, -0.5, -0.5], [-0.6, 0.7, 0.0], [0.0, -0.2, 0.9]])
    data["image"] = torch.einsum("bkhw,kc->bchw", data["condition"], colours)

    def gap() -> float:
        return float((own.G(data["condition"]) - data["image"]).abs().mean().detach())

    before = gap()
    play(own, Repeat(data), 30, optimisers=own.config.optimisers())
    assert gap() < 0.5 * before


def test_a_world_is_played() -> None:
    """Façades with their layouts, as the training streams of the book give them."""
    world = world_named("facades")
    condition = Condition("labels", world.palette)
    stream = Paired(WorldStream(world, batch=2, size=32, seed=0), condition)
    own = Spade(condition.channels, SpadeConfig(**TINY))
    history = play(own, stream, 1, optimisers=own.config.optimisers())
    assert {"D/real", "D/fake", "G/gan", "G/features"} <= set(history.names) and history.non_finite() is None


def test_what_the_game_refuses() -> None:
    with pytest.raises(GameError, match="'condition' is not in"):
        next(game().round({"image": noise(1, 3, 32, 32)}))
    with pytest.raises(GameError, match="do not fit layouts"):
        next(game().round({"condition": layouts(1, 16, 16), "image": noise(1, 3, 32, 32)}))
    for wrong in ({"features": -1.0}, {"ema": 1.0}):
        with pytest.raises(GameError, match=f"{next(iter(wrong))}"):
            game(**wrong)


@pytest.mark.parametrize("config", [SpadeConfig.quick(), SpadeConfig.full(rounds=7)])
def test_a_config_survives_its_card(config: SpadeConfig) -> None:
    config.check()
    assert SpadeConfig.from_dict(asdict(config)) == config
    with pytest.raises(TypeError, match="colour"):
        SpadeConfig.from_dict(asdict(config) | {"colour": 1})


# ---------------------------------------------------------------------------------------------- single photo


def test_pairs_of_a_photo_are_true() -> None:
    """Warped alike: away from class borders, each pixel keeps the colour of its class. A state is continued."""
    image, layout = photo(32, 48, grain=0.0)
    stream, again = (
        TruePairs(SinglePhoto(image, layout.one_hot(), StreamConfig(batch=2), generator=seeded(seed)))
        for seed in (0, 1)
    )
    for round_ in range(5):
        pair = stream.draw(round_ / 4)
        assert torch.equal(pair["condition"].sum(dim=1), torch.ones(2, 32, 48))
        colours = torch.einsum("bkhw,kc->bchw", pair["condition"], 2 * torch.tensor(layout.palette.colours) / 255 - 1)
        gap = (pair["image"] - 0.8 * colours).abs().amax(dim=1)
        assert float((gap < 0.02).float().mean()) > 0.8
    again.load_state_dict(stream.state_dict())
    assert torch.equal(stream.draw(1.0)["image"], again.draw(1.0)["image"])


def test_paint_any_target() -> None:
    """Odd sizes of photo and target; the seed alone decides; the average paints, or the last weights."""
    image, layout = photo(34, 45)
    source, target = torch.from_numpy(layout.index.copy()), torch.from_numpy(labels(41, 30, ball=(0.3, 0.6)))
    config = SpadeConfig(**TINY)
    first = paint(image, source, target, config, seed=1, runtime=CPU)
    assert first.shape == (3, 41, 30) and float(first.abs().max()) <= 1 and first.dtype == torch.float32
    torch.manual_seed(77)
    assert torch.equal(first, paint(image, source, target, config, seed=1, runtime=CPU))
    assert not torch.equal(first, paint(image, source, target, config, seed=2, runtime=CPU))
    assert not torch.equal(first, paint(image, source, target, SpadeConfig(**TINY | {"ema": 0.0}), seed=1, runtime=CPU))


def test_a_training_can_be_continued(tmp_path: Path) -> None:
    """Stopped after one round of three, with average, spectral vectors and warps: the same picture in the end."""
    image, layout = photo(32, 48)
    source, config, path = torch.from_numpy(layout.index.copy()), SpadeConfig(**TINY), tmp_path / "spade"
    whole = train_on_photo(image, source, config, runtime=CPU)

    first = SpadeConfig(**TINY | {"rounds": 1})  # its only round is the first of three: the schedules begin alike
    train_on_photo(image, source, first, runtime=CPU, checkpoint=path)
    again = train_on_photo(image, source, config, runtime=CPU, checkpoint=path, resume=True)
    assert torch.equal(whole(layout.one_hot()), again(layout.one_hot()))


def test_what_a_photo_must_be() -> None:
    image, layout = photo(32, 48)
    source = torch.from_numpy(layout.index.copy())
    config = SpadeConfig(**TINY | {"rounds": 0})
    with pytest.raises(PaintError, match="at least 16"):
        paint(image, source, source[:8], config, runtime=CPU)
    with pytest.raises(PaintError, match="does not fit the photo"):
        train_on_photo(image, source[:, :-1], config, runtime=CPU)
    with pytest.raises(PaintError, match="does not show"):
        paint(image, source, source + 1, config, runtime=CPU)
