"""StarGAN: whether the label is heard, what each term moves, and two data sets in one game."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib.data.label_space import ATTRIBUTES, EXPRESSIONS, LabelError, LabelSpace
from lib.data.unpaired_worlds import Alternating, LabelledPool, labelled_pictures
from lib.data.worlds.faces import Faces
from lib.games.game import GameError
from lib.games.stargan import StarGAN, StarGANConfig, build_stargan, label_sensitivity
from lib.losses.adversarial import critic_fake, critic_real
from lib.losses.domain_labels import label_loss, wrong_labels
from lib.nn.dcgan import NetworkError
from lib.nn.resnet_generator import InstanceNorm, Padding
from lib.nn.stargan import Blur, Conditioning, LabelConfig, LabelDiscriminator, LabelGenerator
from lib.runtime import Runtime, seeded
from lib.training.audit import assert_alive, gradient_audit
from lib.training.optim import OptimConfig
from lib.training.play import play
from lib.training.streams import Repeat

SIZE = 16
ONE, TWO = LabelSpace(ATTRIBUTES), LabelSpace(ATTRIBUTES, EXPRESSIONS)
TINY: dict[str, Any] = {
    "size": SIZE, "width": 4, "blocks": 1, "d_width": 4, "d_layers": 2, "n_critic": 2, "batch": 2,
}  # fmt: skip


def tiny(space: LabelSpace = ONE, **changes: Any) -> StarGAN:
    return build_stargan(space, StarGANConfig(**TINY | changes))


def batch(count: int = 4, index: int = 0) -> dict[str, Any]:
    labels = torch.eye(6 if index == 0 else 5)[torch.arange(count) % 4]
    return {"image": torch.rand(count, 3, SIZE, SIZE, generator=seeded(index)) * 2 - 1, "label": labels, "set": index}


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# -------------------------------------------------------------------------------------------------- networks


def test_the_networks_have_the_papers_size() -> None:
    """53.2 M, as in the paper's table 3. Hearing the label by the norms instead costs 0.3 % more in G."""
    with torch.device("meta"):
        G, D = LabelGenerator(LabelConfig(5, conditioning="concat")), LabelDiscriminator(5)
        assert (weights(G), weights(D)) == (8_430_528, 44_762_048)
        assert weights(G) + weights(D) == 53_192_576
        assert weights(LabelGenerator(LabelConfig(5))) == 8_451_968


def heard(conditioning: Conditioning, padding: Padding) -> float:
    G = LabelGenerator(LabelConfig(2, width=8, blocks=2, conditioning=conditioning, padding=padding))
    return label_sensitivity(G, batch()["image"], torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))


def test_constant_label_channels_are_erased_by_the_norm() -> None:
    """The trap: a convolution makes a constant channel a constant shift, and instance norm takes that out.

    What remains with zero padding comes from the frame, where the channel is not constant.
    """
    assert heard("concat", "reflect") < 1e-5
    assert heard("concat", "zeros") > 1e-3
    for padding in ("reflect", "zeros"):
        assert heard("modulate", padding) > 0.03, padding


def test_at_the_first_norm_the_label_is_gone_in_the_middle_too() -> None:
    conv = nn.Conv2d(2, 4, 7, padding=3, padding_mode="reflect")
    x = torch.randn(1, 1, 16, 16, generator=seeded(0))
    plain, told = (torch.cat([x, torch.full_like(x, value)], dim=1) for value in (0.0, 1.0))
    norm = InstanceNorm(4)
    torch.testing.assert_close(norm(conv(plain)), norm(conv(told)), atol=1e-5, rtol=0)
    assert (conv(plain) - conv(told)).abs().max() > 0.1  # before the norm it was there


def test_dead_conditioning_shows_in_the_audit() -> None:
    """The class term reaches the weights of the label channels, but its gradient there is nothing but rounding."""
    shares = {}
    for padding in ("reflect", "zeros"):
        game = tiny(conditioning="concat", padding=padding)
        named = game.D.judge(game.G(batch()["image"], batch()["label"]))[1]
        label_loss(named, batch()["label"].flip(0), ATTRIBUTES).backward()
        gradient = game.G.layers[0].conv.weight.grad  # type: ignore[index, union-attr]
        assert isinstance(gradient, Tensor)
        shares[padding] = float(gradient[:, 3:].norm() / gradient[:, :3].norm())
    assert shares["reflect"] < 1e-4 < 1e-2 < shares["zeros"]


@pytest.mark.parametrize("size", [(16, 16), (19, 22)])
def test_the_generator_draws_any_size_alike_in_both_modes(size: tuple[int, int]) -> None:
    G, x = LabelGenerator(LabelConfig(3, width=4, blocks=1)), torch.rand(2, 3, *size)
    picture = G(x, torch.eye(3)[:2])
    assert picture.shape == x.shape and torch.equal(G.eval()(x, torch.eye(3)[:2]), picture)


def test_a_generator_that_edits_starts_by_changing_little() -> None:
    x, label = batch()["image"], torch.eye(6)[:4]
    change = {
        edit: float((LabelGenerator(LabelConfig(6, width=4, blocks=1, edit=edit))(x, label) - x).detach().abs().mean())
        for edit in (False, True)
    }
    assert change[True] < 0.15 < 0.4 < change[False]
    assert_alive(tiny(edit=True, smooth=True), batch())


def test_a_coat_lies_between_the_picture_and_the_colour() -> None:
    """Where it does not cover, the picture stays exactly; where it covers, only the colour counts."""
    G, x = LabelGenerator(LabelConfig(2, width=4, blocks=1, edit=True)), batch()["image"]
    label = torch.eye(2)[[0, 1, 0, 1]]
    with torch.no_grad():
        G.paint.weight.zero_()
        few = torch.sigmoid(torch.tensor(-2.0))
        torch.testing.assert_close(G(x, label), (1 - few) * x)  # the colour is grey


def test_a_blur_keeps_the_mean_and_lowers_a_checkerboard() -> None:
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)[None, None]
    blur = Blur()
    assert blur(board)[..., 1:-1, 1:-1].abs().max() < 1e-6
    torch.testing.assert_close(blur(torch.ones(1, 2, 5, 5))[..., 1:-1, 1:-1], torch.ones(1, 2, 3, 3))
    assert not blur.state_dict()


def test_wrong_labels_and_sizes_are_refused() -> None:
    with pytest.raises(NetworkError, match="label vector of 3"):
        LabelGenerator(LabelConfig(3, width=4, blocks=1))(torch.rand(2, 3, 8, 8), torch.zeros(2, 4))
    with pytest.raises(NetworkError, match="halved 6 times"):
        LabelDiscriminator(3, size=100)
    with pytest.raises(NetworkError, match="looks at 16 x 16"):
        LabelDiscriminator(3, size=16, width=4, layers=2)(torch.rand(1, 3, 32, 32))
    with pytest.raises(NetworkError, match="from a label"):
        InstanceNorm(4, labels=2)(torch.rand(1, 4, 8, 8))


# ------------------------------------------------------------------------------------------------------ game


def test_the_terms_by_hand() -> None:
    """Objectives (5) and (6): the class loss on real pictures for D, on fakes for G, and the cycle with x's labels."""
    game, data = tiny(n_critic=1, gp=0.0), batch(2)
    x, own = data["image"], data["label"]
    d_turn, g_turn = game.round(data)
    target = own[torch.randperm(2, generator=seeded(0))]
    fake = game.G(x, target)
    expected = {
        "real": critic_real(game.D(x)), "fake": critic_fake(game.D(fake)),
        "class": label_loss(game.D.judge(x)[1], own, ATTRIBUTES),
    }  # fmt: skip
    assert list(d_turn.terms) == list(expected)
    torch.testing.assert_close(d_turn.terms, expected)
    expected = {
        "gan": critic_real(game.D(fake)), "class": label_loss(game.D.judge(fake)[1], target, ATTRIBUTES),
        "cycle": 10 * (game.G(fake, own) - x).abs().mean(),
    }  # fmt: skip
    assert list(g_turn.terms) == list(expected)
    torch.testing.assert_close(g_turn.terms, expected)


def test_a_round_is_n_critic_turns_of_d_and_one_of_g() -> None:
    turns = list(tiny(n_critic=2, every=2).round(batch()))
    assert [turn.player for turn in turns] == ["D", "D", "G"]
    assert ["gp" in turn.terms for turn in turns[:2]] == [True, False]
    assert list(next(tiny(gp=0.0, r1=1.0).round(batch())).terms) == ["real", "fake", "class", "r1"]
    assert StarGANConfig().round_batch == 80


@pytest.mark.parametrize(
    "rules",
    [{}, {"gp": 0.0, "r1": 1.0, "loss": "hinge"}, {"gp": 0.0, "r1": 1.0, "told": True, "doubt": 0.5}],
    ids=["wgan-gp", "hinge-r1", "told-doubt"],
)
@pytest.mark.parametrize("index", [0, 1])
def test_every_term_moves_its_player(rules: dict[str, Any], index: int) -> None:
    rows = assert_alive(tiny(TWO, **rules), batch(index=index))
    assert {row.name for row in rows} >= {"D/real", "D/fake", "D/class", "G/gan", "G/class", "G/cycle"}
    # The score does not move the classifier, the class does not move the score.
    unreached = {row.name: row.unreached for row in rows}
    assert "D.classify.weight" in unreached["D/real"] and "D.score.weight" in unreached["D/class"]
    assert ("D/doubt" in unreached) == ("doubt" in rules)
    assert "D.score.weight" in unreached.get("D/doubt", ["D.score.weight"])
    assert not unreached["G/class"] and not unreached["G/cycle"]


def test_the_class_term_of_d_does_not_see_fakes() -> None:
    game, data = tiny(), batch(2)
    own = data["label"]
    fakes = [torch.full_like(data["image"], value) for value in (-1.0, 1.0)]
    first, second = (game.d_terms(data["image"], fake, own, own)["class"] for fake in fakes)
    torch.testing.assert_close(first, second)


def test_a_doubting_head_names_the_old_labels_of_fakes() -> None:
    """(6.8): the fakes' logits against the labels of the originals, in the block that the set knows; never G's wish."""
    game, data = tiny(TWO, gp=0.0, doubt=0.25, classes=2.0), batch(2, index=1)
    x, own = data["image"], data["label"]
    target, fake = own.flip(0), 0.5 * x.flip(-1)
    terms = game.d_terms(x, fake, own, target, index=1)
    assert list(terms) == ["real", "fake", "class", "doubt"]
    named = game.D.judge(fake)[1]
    torch.testing.assert_close(game.doubt(named, own, 1), label_loss(named[:, 6:], own, EXPRESSIONS))
    torch.testing.assert_close(terms["doubt"], 2.0 * 0.25 * label_loss(named[:, 6:], own, EXPRESSIONS))
    torch.testing.assert_close(terms["doubt"], game.d_terms(x, fake, own, own, index=1)["doubt"])
    plain = tiny(TWO, gp=0.0, classes=2.0).d_terms(x, fake, own, target, index=1)
    torch.testing.assert_close({name: terms[name] for name in plain}, plain)  # the paper's terms stay as they were
    (gradient,) = torch.autograd.grad(terms["doubt"], [game.D.classify.weight])
    assert float(gradient[:6].abs().max()) == 0 < float(gradient[6:].abs().max())


def test_a_d_that_is_told_judges_picture_and_label_together() -> None:
    """Real pictures with their own labels, fakes with the target; the maps of unknown labels take no part."""
    game, data = tiny(TWO, n_critic=1, gp=0.0, r1=0.0, told=True), batch(2, index=1)
    x, own = data["image"], data["label"]
    target, fake = own.flip(0), 0.5 * x.flip(-1)
    terms = game.d_terms(x, fake, own, target, index=1)

    def pair(picture: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        maps = game.D.score(game.D.features(picture))
        return maps[:, :1] + torch.einsum("bn,bnhw->bhw", label, maps[:, 1 + 6 :])[:, None]  # 6 labels of the other set

    torch.testing.assert_close(terms["real"], critic_real(pair(x, own)))
    torch.testing.assert_close(terms["fake"], critic_fake(pair(fake, target)))
    assert not torch.equal(terms["fake"], game.d_terms(x, fake, own, own, index=1)["fake"])
    (gradient,) = torch.autograd.grad(terms["real"] + terms["fake"], [game.D.score.weight])
    assert float(gradient[1:7].abs().max()) == 0 < float(gradient[7:].abs().max())
    torch.testing.assert_close(game.D(x), game.D.judge(x)[0][:, :1])


def test_a_group_that_is_left_open_keeps_its_own_value() -> None:
    """G is told zeros, and the class loss asks for what the picture has."""
    game, own = tiny(TWO, leave=0.5), batch(4)["label"] + torch.tensor([0.0, 0, 0, 0, 1, 1])
    target, asked = game.targets(own, 0)
    groups = [(0, 4), (4, 5), (5, 6)]
    for start, stop in groups:
        left = asked[:, start:stop].abs().sum(dim=1) == 0
        assert torch.equal(target[left, start:stop], own[left, start:stop])
        assert torch.equal(target[~left, start:stop], asked[~left, start:stop])
    everything, nothing = tiny(TWO, leave=1.0).targets(own, 0)
    assert torch.equal(everything, own) and nothing.abs().sum() == 0
    same = tiny(TWO).targets(own, 0)
    assert torch.equal(same[0], same[1])


def test_d_may_learn_the_labels_before_g_joins_in() -> None:
    game = tiny(warm=2, gp=0.0, r1=1.0, every=2)
    before = {name: weight.clone() for name, weight in game.G.named_parameters()}
    play(game, Repeat(batch()), 2, optimisers=OptimConfig(lr=1e-2))
    assert all(torch.equal(weight, before[name]) for name, weight in game.G.named_parameters())
    turns = list(game.round(batch()))
    assert [turn.player for turn in turns] == ["D", "D", "G"]
    game.rounds_done = 1
    assert [list(turn.terms) for turn in game.round(batch())] == [["class"], ["class", "r1"]]


def test_r1_smooths_both_answers() -> None:
    game, data = tiny(gp=0.0, r1=1.0, n_critic=1), batch(2)
    penalty = next(iter(game.round(data))).terms["r1"]
    gradients = torch.autograd.grad(penalty, [game.D.score.weight, game.D.classify.weight])
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_terms_with_weight_zero_are_not_computed() -> None:
    *_, g_turn = tiny(classes=0.0, cycle=0.0).round(batch())
    assert list(g_turn.terms) == ["gan"]


def test_unknown_labels_move_nothing() -> None:
    """A batch of expressions: no gradient at the classifier's or the norms' weights of hair, gender and age."""
    game = tiny(TWO)
    turns = list(game.round(batch(index=1)))
    (gradient,) = torch.autograd.grad(turns[0].terms["class"], [game.D.classify.weight])
    assert gradient[:6].abs().max() == 0 and gradient[6:].abs().min(dim=0).values.max() > 0
    norms = [layer for layer in game.G.modules() if isinstance(layer, InstanceNorm)]
    told = [norm.modulate.weight for norm in norms if norm.modulate is not None]
    for gradient in torch.autograd.grad(turns[-1].loss, told):
        assert gradient[:, :6].abs().max() == 0 and gradient[:, 12].abs().max() > 0
    assert all(gradient[:, 11].abs().max() == 0 for gradient in [gradient])  # the mask of the other data set


def test_the_unknown_half_of_the_logits_may_even_be_broken() -> None:
    """Losses of unknown labels are not computed, not multiplied by zero: NaN there would come through."""
    game = tiny(TWO)
    with torch.no_grad():
        game.D.classify.weight[:6] = torch.nan
    turns = list(game.round(batch(index=1)))
    assert all(bool(term.isfinite()) for turn in turns for name, term in turn.terms.items() if name == "class")


def test_d_learns_the_labels_and_g_the_way_back() -> None:
    """Four pictures: D names them, and both halves of the cycle come to agree."""
    game = tiny(n_critic=1, batch=4, loss="non-saturating", gp=0.0)
    data = batch()
    before = {row.name: row.value for row in gradient_audit(game, data)}
    play(game, Repeat(data), 25, optimisers=OptimConfig(lr=1e-2))
    after = {row.name: row.value for row in gradient_audit(game, data)}
    assert after["D/class"] < 0.5 * before["D/class"] and after["G/cycle"] < 0.8 * before["G/cycle"]
    errors = wrong_labels(game.D.judge(data["image"])[1], data["label"], ATTRIBUTES)
    assert errors["hair"] == 0


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    def streams() -> Alternating:
        return Alternating([LabelledPool(**pictures(index), batch=4, seed=index) for index in range(2)])

    def pictures(index: int) -> dict[str, Tensor]:
        data = batch(8, index)
        return {"images": data["image"], "labels": (data["image"][:, 0, 0, : data["label"].shape[1]] > 0).float()}

    whole, part, again = (tiny(TWO) for _ in range(3))
    options: dict[str, Any] = {"optimisers": OptimConfig(lr=1e-3), "checkpoint": tmp_path / "cut.safetensors"}
    play(whole, streams(), 5, optimisers=OptimConfig(lr=1e-3))
    play(part, streams(), 3, **options)
    play(again, streams(), 5, resume=True, **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_round_in_bfloat16_is_finite() -> None:
    runtime = Runtime(torch.device("cpu"), torch.bfloat16, True)
    game = runtime.place(tiny(TWO))
    play(game, Repeat(batch(index=1)), 2, optimisers=OptimConfig(lr=1e-3), runtime=runtime)
    assert all(bool(parameter.isfinite().all()) for parameter in game.parameters())


@pytest.mark.parametrize(
    ("data", "complaint"),
    [({"image": 0}, "no 'label'"), (batch(3), "shared evenly"), (batch() | {"set": 5}, "one of 1 data sets")],
    ids=["no labels", "odd batch", "unknown set"],
)
def test_wrong_batches_are_refused(data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(GameError, match=complaint):
        next(tiny().round(data))


def test_wrong_rules_are_refused_and_the_profiles_are_right() -> None:
    with pytest.raises(GameError, match="n_critic"):
        tiny(n_critic=0)
    with pytest.raises(GameError, match="doubt, cycle and leave at 0"):
        tiny(doubt=-1.0)
    with pytest.raises(GameError, match="no slope between"):
        tiny(told=True)
    assert StarGANConfig.full() == StarGANConfig()
    assert StarGANConfig.shipped().told and not StarGANConfig.quick().told
    assert StarGANConfig().doubt == StarGANConfig.quick().doubt == 0  # the paper's game
    assert StarGANConfig.shipped(leave=0.0).leave == 0
    quick = StarGANConfig.quick(conditioning="concat")
    quick.check()
    assert replace(quick, conditioning="modulate") == StarGANConfig.quick()
    assert [quick.learning_rate(at) for at in (0.0, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]


# ------------------------------------------------------------------------------------------------------ data


def test_data_sets_know_their_own_labels_only() -> None:
    world = Faces()
    for index, width in enumerate((6, 5)):
        data = labelled_pictures(world, TWO, index, 3, 16, seed=index, always={"hat": "none"})
        assert data["image"].shape == (3, 3, 16, 16) and data["label"].shape == (3, width)
        assert torch.equal(data["label"], TWO.encode(world, data, index)) and int(data["hat"].sum()) == 0


def test_the_streams_take_turns() -> None:
    def stream() -> Alternating:
        labels = torch.eye(6)[:5]
        images = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, 4, 4)
        return Alternating([LabelledPool(images, labels[:, :5], batch=2, seed=seed) for seed in (1, 2)])

    first = stream()
    assert [first.draw()["set"] for _ in range(3)] == [0, 1, 0]
    second = stream()
    second.load_state_dict(first.state_dict())
    one, other = first.draw(), second.draw()
    assert one["set"] == other["set"] == 1 and torch.equal(one["image"], other["image"])
    assert one["image"].abs().max() <= 1 and one["label"].shape == (2, 5)


def test_a_label_that_never_changes_is_refused() -> None:
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    with pytest.raises(LabelError, match="number 0 are the same"):
        LabelledPool(torch.zeros(2, 3, 8, 8), labels, batch=1)
