"""CycleGAN: its networks, its buffer, its data, what each term moves, and every game of its ablation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib.data.unpaired_worlds import TASKS, ParameterDomains, UnpairedPool, facade_domains, true_pairs
from lib.data.worlds.world import WorldError, split_generator
from lib.games.cyclegan import CycleGAN, CycleGANConfig, build_cyclegan, cycle_under_noise
from lib.games.game import GameError
from lib.losses.adversarial import lsgan_fake, lsgan_real
from lib.nn.image_buffer import BufferSizeError, ImageBuffer
from lib.nn.patch_family import PatchGAN
from lib.nn.resnet_generator import ConvLayer, ResidualLayer, ResnetConfig, ResnetGenerator
from lib.runtime import Runtime, seeded
from lib.training.audit import assert_alive, gradient_audit
from lib.training.optim import OptimConfig
from lib.training.play import play
from lib.training.streams import Repeat

SIZE = 16
TINY: dict[str, Any] = {"size": SIZE, "width": 4, "blocks": 1, "d_width": 4, "patch": 16, "batch": 2, "buffer": 4}


def tiny(**changes: Any) -> CycleGAN:
    return build_cyclegan(CycleGANConfig(**TINY | changes))


def batch(count: int = 2) -> dict[str, Tensor]:
    return {name: torch.rand(count, 3, SIZE, SIZE, generator=seeded(place)) * 2 - 1 for place, name in enumerate("AB")}


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# -------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(("blocks", "ours", "theirs"), [(9, 11_372_931, 11_378_179), (6, 7_833_987, 7_837_699)])
def test_the_generator_has_the_papers_size(blocks: int, ours: int, theirs: int) -> None:
    """The difference is the biases that stand before a norm: one for each normed channel."""
    with torch.device("meta"):
        network = ResnetGenerator(ResnetConfig(blocks=blocks))
    normed = sum(layer.out_channels for layer in network.layers.modules() if hasattr(layer, "out_channels"))
    assert weights(network) == ours and ours + normed == theirs


@pytest.mark.parametrize("size", [(16, 16), (18, 23), (9, 32)])
def test_the_generator_draws_any_size(size: tuple[int, int]) -> None:
    network = ResnetGenerator(ResnetConfig(5, 3, width=4, blocks=1))
    picture = network(torch.rand(1, 5, *size))
    assert picture.shape == (1, 3, *size) and float(picture.detach().abs().max()) <= 1


def test_a_doubling_with_a_kernel_of_4_covers_every_pixel_alike() -> None:
    """3 is not divisible by the stride 2: with equal weights, neighbouring pixels get 1, 2 or 4 contributions."""
    for kernel, levels in ((3, {1.0, 2.0, 4.0}), (4, {4.0})):
        conv = ConvLayer(1, 1, scale="up", kernel=kernel).conv
        nn.init.ones_(conv.weight)  # type: ignore[arg-type]
        assert set(conv(torch.ones(1, 1, 8, 8))[..., 3:-3, 3:-3].flatten().tolist()) == levels


def test_one_halving_leaves_the_blocks_more_of_the_picture() -> None:
    network = ResnetGenerator(ResnetConfig(width=4, blocks=1, halvings=1, up_kernel=4))
    assert network(torch.rand(1, 3, 10, 13)).shape == (1, 3, 10, 13)
    (block,) = (layer for layer in network.layers if isinstance(layer, ResidualLayer))
    sizes: list[torch.Size] = []
    block.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape))
    network(torch.rand(1, 3, 16, 16))
    assert sizes == [torch.Size((1, 8, 8, 8))]


def test_a_picture_depends_neither_on_its_batch_nor_on_the_mode() -> None:
    network, x = ResnetGenerator(ResnetConfig(width=4, blocks=1)), batch()["A"]
    both = network(x)
    torch.testing.assert_close(torch.cat([network(x[:1]), network(x[1:])]), both, atol=1e-5, rtol=0)
    assert torch.equal(network.eval()(x), both)


# ---------------------------------------------------------------------------------------------------- buffer


def numbered(first: int, count: int) -> Tensor:
    return torch.arange(first, first + count).float().reshape(count, 1)


def test_a_full_buffer_swaps_half_and_keeps_fakes_for_a_while() -> None:
    """Half of what D sees is old; an old fake waited 2 * capacity turns on average (100 for the paper's 50)."""
    store = ImageBuffer(10, (1,), generator=seeded(0))
    ages = torch.tensor([step - float(store(numbered(step, 1))) for step in range(2000)])
    assert ages[:10].max() == 0  # while it fills, every fake is shown at once
    settled = ages[200:]
    old = settled[settled > 0]
    assert len(old) / len(settled) == pytest.approx(0.5, abs=0.03)
    assert float(old.mean()) == pytest.approx(20, rel=0.1)


def test_nothing_is_lost_or_doubled_by_a_swap() -> None:
    store = ImageBuffer(6, (1,), generator=seeded(0))
    seen: list[float] = []
    for first in range(0, 60, 3):
        seen += store(numbered(first, 3)).flatten().tolist()
    # The six that filled the buffer have been shown already: they may come once more, all others once.
    later = [value for value in seen if value >= 6]
    assert len(set(later)) == len(later)
    assert sorted({*seen, *store.images.flatten().tolist()}) == [float(value) for value in range(60)]


def test_a_buffer_without_room_or_swaps_shows_new_fakes() -> None:
    for store in (ImageBuffer(0, (1,)), ImageBuffer(4, (1,), swap=0.0)):
        for first in range(0, 20, 2):
            fakes = numbered(first, 2).requires_grad_()
            shown = store(fakes)
            assert torch.equal(shown, fakes) and not shown.requires_grad


def test_the_buffer_refuses_what_does_not_fit() -> None:
    with pytest.raises(BufferSizeError, match="build it for the size"):
        ImageBuffer(4, (3, 8, 8))(torch.zeros(1, 3, 16, 16))
    with pytest.raises(BufferSizeError, match="holds 2 fakes"):
        ImageBuffer(2, (1,))(torch.zeros(3, 1))
    with pytest.raises(BufferSizeError, match="capacity from 0"):
        ImageBuffer(-1, (1,))


# ------------------------------------------------------------------------------------------------------ game


def test_the_terms_by_hand() -> None:
    """Objective (3) with least squares, D's half, and the identity term; the fakes are drawn once."""
    game, data = tiny(identity=5.0), batch()
    x, y = data["A"], data["B"]
    d_turn, g_turn = game.round(data)
    fake_x, fake_y = game.F(y), game.G(x)
    expected = {
        "real_x": 0.5 * lsgan_real(game.D_X(x)), "fake_x": 0.5 * lsgan_fake(game.D_X(fake_x)),
        "real_y": 0.5 * lsgan_real(game.D_Y(y)), "fake_y": 0.5 * lsgan_fake(game.D_Y(fake_y)),
        "gan_x": lsgan_real(game.D_X(fake_x)), "gan_y": lsgan_real(game.D_Y(fake_y)),
        "forward": 10 * (game.F(fake_y) - x).abs().mean(), "backward": 10 * (game.G(fake_x) - y).abs().mean(),
        "identity_x": 5 * (game.F(x) - x).abs().mean(), "identity_y": 5 * (game.G(y) - y).abs().mean(),
    }  # fmt: skip
    made = d_turn.terms | g_turn.terms
    assert list(made) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(made[name], value, msg=name, atol=1e-5, rtol=1e-4)


ABLATION = {
    "cycle alone": ({"gan": 0.0}, ["forward", "backward"]),
    "GAN alone": ({"forward_cycle": 0.0, "backward_cycle": 0.0}, ["gan_x", "gan_y"]),
    "GAN + forward": ({"backward_cycle": 0.0}, ["gan_x", "gan_y", "forward"]),
    "GAN + backward": ({"forward_cycle": 0.0}, ["gan_x", "gan_y", "backward"]),
    "CycleGAN": ({}, ["gan_x", "gan_y", "forward", "backward"]),
}


@pytest.mark.parametrize("row", ABLATION)
def test_every_row_of_the_ablation_is_a_config(row: str) -> None:
    changes, terms = ABLATION[row]
    turns = {turn.player: turn for turn in tiny(**changes).round(batch())}
    assert list(turns["G"].terms) == terms
    assert ("D" in turns) == ("gan" not in changes)


def test_every_term_moves_its_player_and_its_networks() -> None:
    rows = {row.name: row for row in assert_alive(tiny(identity=5.0), batch())}
    moved = {name: [network for network, norm in row.by_network.items() if norm > 0] for name, row in rows.items()}
    assert moved == {
        "D/real_x": ["D_X"], "D/fake_x": ["D_X"], "D/real_y": ["D_Y"], "D/fake_y": ["D_Y"],
        "G/gan_x": ["F"], "G/gan_y": ["G"], "G/forward": ["G", "F"], "G/backward": ["G", "F"],
        "G/identity_x": ["F"], "G/identity_y": ["G"],
    }  # fmt: skip


def test_an_audit_leaves_the_buffer_as_it_was() -> None:
    game = tiny()
    gradient_audit(game, batch())
    assert int(game.state_dict()["buffer_X.stored"]) == 0


def test_the_cycles_can_be_learned() -> None:
    """Two pictures, twenty rounds: each translator learns to undo the other."""
    history = play(tiny(gan=0.0), Repeat(batch()), 20, optimisers=OptimConfig(lr=1e-2))
    for name in ("G/forward", "G/backward"):
        values = history.values(name)
        assert values[-1] < 0.85 * values[0], (name, values)


class Blurred(nn.Module):
    """A translator that throws details away."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """The buffer and its generator are part of the state: with 2 fakes in 4 places it is full from round 2 on."""
    whole, parts = tiny(), tiny()
    options: dict[str, Any] = {"optimisers": OptimConfig(lr=1e-3), "checkpoint": tmp_path / "cut.safetensors"}
    play(whole, Repeat(batch()), 8, optimisers=OptimConfig(lr=1e-3))
    play(parts, Repeat(batch()), 5, **options)
    again = build_cyclegan(CycleGANConfig(**TINY), seed=9)
    play(again, Repeat(batch()), 8, resume=True, **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_round_in_bfloat16_is_finite() -> None:
    game = tiny()
    runtime = Runtime(torch.device("cpu"), torch.bfloat16, True)
    play(runtime.place(game), Repeat(batch()), 3, optimisers=OptimConfig(lr=1e-3), runtime=runtime)
    assert all(bool(parameter.isfinite().all()) for parameter in game.parameters())
    assert game.state_dict()["buffer_X.images"].dtype is torch.float32


def test_label_maps_and_pictures_can_be_translated() -> None:
    game = build_cyclegan(CycleGANConfig(**TINY), channels=(5, 3))
    data = {"A": torch.rand(1, 5, SIZE, SIZE), "B": torch.rand(1, 3, SIZE, SIZE)}
    assert [turn.player for turn in game.round(data)] == ["D", "G"]
    with pytest.raises(GameError, match="set identity=0"):
        build_cyclegan(CycleGANConfig(**TINY, identity=5.0), channels=(5, 3))


def test_wrong_rules_and_batches_are_refused() -> None:
    with pytest.raises(GameError, match="nor all 0"):
        tiny(gan=0.0, forward_cycle=0.0, backward_cycle=0.0)
    with pytest.raises(GameError, match="no 'B'"):
        next(tiny().round({"A": batch()["A"]}))


def test_the_configs_build_and_the_rate_falls_to_nothing() -> None:
    for config in (CycleGANConfig.quick(), CycleGANConfig.full()):
        with torch.device("meta"):
            PatchGAN(3, patch=config.patch, width=config.d_width)
        config.check()
        assert [config.learning_rate(at) for at in (0.0, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]
    assert CycleGANConfig.full(identity=5.0).identity == 5


# -------------------------------------------------------------------------------------------- hidden signals


def test_noise_reveals_a_hidden_picture() -> None:
    """A translator that hides x in the last 2 % of its answer closes the cycle, until somebody adds noise."""

    def hide(x: Tensor) -> Tensor:
        return 0.9 * Blurred()(x) + 0.02 * x

    def reveal(y: Tensor) -> Tensor:
        # The blur of y is 0.92 of x's blur, so what is hidden can be taken out exactly.
        return (y - 0.9 / 0.92 * Blurred()(y)) / 0.02

    x = 0.9 * batch()["A"]
    sigmas = torch.tensor([0.0, 0.01])
    hidden = cycle_under_noise(hide, reveal, x, sigmas, generator=seeded(0))
    honest = cycle_under_noise(lambda x: x, lambda y: y, x, sigmas, generator=seeded(0))
    assert float(hidden[0]) < 1e-4 and float(honest[0]) == 0
    assert float(hidden[1]) > 0.2 and float(honest[1]) == pytest.approx(0.01 * (2 / torch.pi) ** 0.5, rel=0.1)


# ------------------------------------------------------------------------------------------------------ data


def test_no_layout_is_seen_in_both_domains() -> None:
    domains = facade_domains("night")
    pool = UnpairedPool(domains, count=6, size=16, batch=2, seed=3, mirror=False)
    drawn = [pool.draw() for _ in range(6)]
    pairs = true_pairs(domains, 6, 16, split="train", seed=3)  # the same layouts, in both domains

    def shown(name: str) -> set[int]:
        pictures = torch.cat([one[name] for one in drawn])
        distance = (pictures[:, None] - pairs[name][None]).abs().amax(dim=(2, 3, 4))
        assert float(distance.min(dim=1).values.max()) < 0.01  # every picture is one of them, up to its bytes
        return set(distance.argmin(dim=1).tolist())

    assert shown("A") <= {0, 2, 4} and shown("B") <= {1, 3, 5}
    assert drawn[0]["A"].shape == (2, 3, 16, 16)


def test_the_answer_key_shows_one_layout_twice() -> None:
    pairs = true_pairs(facade_domains("night"), 2, 16)
    assert torch.equal(pairs["A_labels"], pairs["B_labels"]) and not torch.equal(pairs["A"], pairs["B"])
    assert float(pairs["A"].mean()) > float(pairs["B"].mean()) + 0.2  # the night is darker
    assert torch.equal(true_pairs(facade_domains("night"), 2, 16)["B"], pairs["B"])


def test_a_shape_task_changes_the_labels() -> None:
    pairs = true_pairs(facade_domains("gable"), 2, 16)
    assert not torch.equal(pairs["A_labels"], pairs["B_labels"])


def test_the_stream_goes_on_where_it_was_saved() -> None:
    first, second = (UnpairedPool(facade_domains(), count=4, size=16, seed=0) for _ in range(2))
    first.draw()
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(first.draw().values(), second.draw().values(), strict=True))


@pytest.mark.parametrize("task", TASKS)
def test_domains_change_what_defines_them_only(task: str) -> None:
    domains = facade_domains(task, always={"tree": 0})
    people = domains.world.sample(4, generator=split_generator("test", 0))
    wanted = torch.tensor([0, 1, 1, 0])
    moved = domains.put(people, wanted)
    (name,) = domains.changes[0]
    value = [domains.changes[index][name] for index in wanted.tolist()]
    indices = [domains.world.value(name, v) if isinstance(v, str) else v for v in value]
    assert moved[name].tolist() == indices and moved["tree"].tolist() == [0] * 4
    assert all(torch.equal(moved[key], people[key]) for key in people if key not in (name, "tree"))


def test_wrong_domains_are_refused() -> None:
    world = facade_domains().world
    with pytest.raises(WorldError, match="no task 'noon'"):
        facade_domains("noon")
    with pytest.raises(WorldError, match="same parameters"):
        ParameterDomains(world, {"a": {"tree": 0}, "b": {"ivy": 1}})
    three = ParameterDomains(world, {str(roof): {"roof": roof} for roof in range(3)})
    with pytest.raises(WorldError, match="two domains"):
        UnpairedPool(three, count=6, size=16)
