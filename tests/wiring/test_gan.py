"""The GAN game: whose turn it is, what D sees, what the rules refuse; and the networks it is played with."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from lib.data.toys import PointStream, grid_of_gaussians, ring_of_gaussians
from lib.games.game import GameError
from lib.games.gan import GAN, GANConfig
from lib.losses.adversarial import LOSSES
from lib.nn.dcgan import SIZES, DCGANDiscriminator, DCGANGenerator, NetworkError, class_vector
from lib.nn.mlp import MLP
from lib.runtime import seeded
from lib.training.audit import assert_alive, gradient_audit
from lib.training.play import OptimConfig, play, play_round
from tests.scenes import noise


def point_game(config: GANConfig | None = None, *, seed: int = 0) -> GAN:
    torch.manual_seed(seed)
    config = config or GANConfig(latent=2, key="point")
    return GAN(MLP(2, 2, hidden=16), MLP(2, 1, hidden=16), config)


class Spy(nn.Module):
    """A D that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = MLP(2, 1, hidden=8), cast("list[Tensor]", [])

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        out: Tensor = self.inner(x)
        return out


def spied(**choices: Any) -> tuple[GAN, Spy]:
    torch.manual_seed(0)
    spy = Spy()
    return GAN(MLP(2, 2), spy, GANConfig(latent=2, key="point", **choices)), spy


# ------------------------------------------------------------------------------------------- the round


def test_algorithm_1() -> None:
    """k turns of D on fresh data and fresh noise, then one of G on fresh noise; D never steps G or back."""
    game, spy = spied(n_critic=3)
    points = noise(12, 2)
    turns = list(game.round({"point": points}))
    assert [turn.player for turn in turns] == ["D", "D", "D", "G"]
    assert [[*turn.terms] for turn in turns] == [["real", "fake"]] * 3 + [["gan"]]
    real, fake = spy.seen[0:6:2], [*spy.seen[1:6:2], spy.seen[6]]
    assert torch.equal(torch.cat(real), points) and all(len(x) == 4 for x in spy.seen)
    assert len({tuple(x.flatten().tolist()) for x in fake}) == 4
    assert [x.requires_grad for x in fake] == [False, False, False, True]


def test_each_turn_moves_its_own_player_only() -> None:
    game = point_game()
    built = OptimConfig(lr=1e-2).build(game)
    before = {name: value.clone() for name, value in game.state_dict().items()}
    for turn in play_round(game, {"point": noise(8, 2)}, built):
        now = game.state_dict()
        moved = {name[0] for name in now if not torch.equal(now[name], before[name])}
        assert moved == {turn.player}
        before = {name: value.clone() for name, value in now.items()}


@pytest.mark.parametrize("name", LOSSES)
def test_every_term_is_alive(name: str) -> None:
    penalty: dict[str, Any] = {"gp": 1.0} if name == "wgan" else {"r1": 1.0}
    game = point_game(GANConfig(loss=name, latent=2, key="point", n_critic=2, **penalty))
    rows = assert_alive(game, {"point": noise(8, 2)})
    assert [row.name for row in rows][:3] == ["D/real", "D/fake", "D/gp" if "gp" in penalty else "D/r1"]
    assert rows[-1].name == "G/gan" and all(not row.unreached or row.term != "gan" for row in rows)


def test_the_audit_starts_at_two_log_2() -> None:
    game = point_game()
    for parameter in game.D.parameters():
        nn.init.zeros_(parameter)
    values = {row.name: row.value for row in gradient_audit(game, {"point": noise(8, 2)})}
    assert values == pytest.approx(dict.fromkeys(values, 0.6931472))


def test_smoothed_labels_are_one_sided() -> None:
    """BCE with the target 0.9 for real samples, and still 0 for fakes."""
    smooth, spy = spied(smooth=0.1)
    x = noise(8, 2)
    terms = next(smooth.round({"point": x})).terms
    logits, logits_fake = (spy.inner(seen) for seen in spy.seen[:2])
    bce = nn.functional.binary_cross_entropy_with_logits
    torch.testing.assert_close(terms["real"], bce(logits, torch.full_like(logits, 0.9)))
    torch.testing.assert_close(terms["fake"], bce(logits_fake, torch.zeros_like(logits_fake)))


def test_instance_noise_fades() -> None:
    game, spy = spied(noise=0.5)
    x, spread = torch.zeros(4000, 2), []
    for game.progress in (0.0, 0.5, 1.0):
        spy.seen.clear()
        next(game.round({"point": x}))
        spread.append(float(spy.seen[0].std()))
    assert spread == pytest.approx([0.5, 0.25, 0.0], abs=0.02)


def test_lazy_penalties_keep_their_mean() -> None:
    game = point_game(GANConfig(latent=2, key="point", r1=2.0, every=3, n_critic=2))
    eager = point_game(GANConfig(latent=2, key="point", r1=2.0, n_critic=2))
    batch, found = {"point": noise(8, 2)}, []
    for game.rounds_done in range(3):
        found += ["r1" in turn.terms for turn in game.round(batch) if turn.player == "D"]
    assert found == [True, False, False, True, False, False]
    game.rounds_done = 0
    lazy, each = next(game.round(batch)).terms["r1"], next(eager.round(batch)).terms["r1"]
    torch.testing.assert_close(lazy, 3 * each)


def test_the_same_seed_gives_the_same_training() -> None:
    runs = []
    for _ in range(2):
        game = point_game(GANConfig(latent=2, key="point", gp=1.0, noise=0.1))
        play(game, PointStream(ring_of_gaussians(), batch=16), 5, optimisers=OptimConfig())
        runs.append(torch.cat([weight.flatten() for weight in game.parameters()]))
    assert torch.equal(*runs)


def test_a_line_is_learned() -> None:
    """One mode at (1, 0): G's mean has to come to it, from the origin, within seconds."""
    target = grid_of_gaussians(1, std=0.3)
    target = type(target)(target.means + torch.tensor([1.0, 0.0]), target.std)
    torch.manual_seed(0)
    game = GAN(MLP(2, 2, depth=0), MLP(2, 1, hidden=32, depth=1), GANConfig(latent=2, key="point", r1=0.5))
    play(game, PointStream(target, batch=64), 400, optimisers=OptimConfig(lr=1e-2, betas=(0.0, 0.9)))
    mean = game.fakes(2000).mean(dim=0)
    assert (mean - torch.tensor([1.0, 0.0])).norm() < 0.25


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [
        ({"loss": "nope"}, "no adversarial loss 'nope'"),
        ({"loss": "wgan", "smooth": 0.1}, "no labels to smooth"),
        ({"smooth": 1.0}, r"outside \(0, 1\]"),
        ({"n_critic": 0}, "start at 1"),
        ({"r1": -1.0}, "start at 1; r1"),
    ],
)
def test_contradictory_rules_are_refused(choices: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        point_game(GANConfig(**choices))


def test_batches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GameError, match=r"no 'point', only 'image'; set GANConfig\.key"):
        next(point_game().round({"image": noise(4, 2)}))
    with pytest.raises(GameError, match="cannot be shared evenly by 3 turns"):
        next(spied(n_critic=3)[0].round({"point": noise(8, 2)}))
    for penalty in ({"gp": 10.0}, {"r1": 1.0}):
        with pytest.raises(GameError, match="Batch norm in D mixes"):
            GAN(DCGANGenerator(8, 16, 1), DCGANDiscriminator(16, 1), GANConfig(latent=8, **penalty))


# ----------------------------------------------------------------------------------------------- DCGAN


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("norm", ["batch", "instance", "spectral", "none"])
def test_dcgan_shapes_and_gradients(size: int, norm: Any) -> None:
    torch.manual_seed(0)
    G, D = DCGANGenerator(8, size, 1, width=4), DCGANDiscriminator(size, 1, width=4, norm=norm)
    picture = G(noise(3, 8))
    assert picture.shape == (3, 1, size, size) and picture.abs().max() <= 1
    assert D(picture).shape == (3, 1) and D.features(picture).shape[2:] == (4, 4)
    assert_alive(GAN(G, D, GANConfig(latent=8)), {"image": noise(4, 1, size, size)})


def test_dcgan_starts_as_the_paper_says() -> None:
    """On the networks as they are built: an initialiser that is tested but never called is a known bug."""
    torch.manual_seed(0)
    for network in (DCGANGenerator(64, 32), DCGANDiscriminator(32)):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert float(layer.weight.std()) == pytest.approx(0.02, rel=0.1)
            elif isinstance(layer, nn.BatchNorm2d):
                assert float(layer.weight.mean()) == pytest.approx(1, abs=0.02) and not layer.bias.any()


def test_every_pixel_gets_equally_many_contributions() -> None:
    """No checkerboard in the weights' pattern: all-ones kernels draw a flat interior."""
    layer = nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False)
    nn.init.ones_(layer.weight)
    assert layer(torch.ones(1, 1, 6, 6))[0, 0, 1:-1, 1:-1].unique().tolist() == [4.0]
    bad = nn.ConvTranspose2d(1, 1, 5, stride=2, padding=2, bias=False)
    nn.init.ones_(bad.weight)
    assert bad(torch.ones(1, 1, 6, 6))[0, 0, 2:-2, 2:-2].unique().tolist() == [4.0, 6.0, 9.0]


def test_batch_norm_stands_where_the_paper_puts_it() -> None:
    G, D = DCGANGenerator(8, 32, width=4), DCGANDiscriminator(32, width=4)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in G.modules()) == 3  # not on the output
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in D.modules()) == 2  # not on the input
    assert isinstance(D.trunk[1], nn.LeakyReLU)


def test_classes_reach_g_and_d() -> None:
    torch.manual_seed(0)
    G = DCGANGenerator(8, 16, 1, width=4, classes=3).eval()
    D = DCGANDiscriminator(16, 1, width=4, norm="none", classes=3, head="projection")
    z, first, second = noise(2, 8), torch.tensor([0, 1]), torch.tensor([0, 2])
    pictures, other = G(z, first), G(z, second)
    assert torch.equal(pictures[0], other[0]) and not torch.equal(pictures[1], other[1])
    one_hot = nn.functional.one_hot(first, 3).float()
    assert torch.equal(G(z, one_hot), pictures)
    logits = D(pictures, first)
    assert logits.shape == (2, 1) and not torch.equal(logits[1], D(pictures, second)[1])
    torch.testing.assert_close(D(pictures, one_hot), logits)
    source, names = DCGANDiscriminator(16, 1, width=4, classes=3, head="auxiliary").judge(pictures)
    assert source.shape == (2, 1) and names.shape == (2, 3)


def test_the_projection_is_an_inner_product_with_the_class() -> None:
    torch.manual_seed(0)
    D = DCGANDiscriminator(16, 1, width=4, norm="none", classes=3, head="projection")
    x, y = noise(2, 1, 16, 16), torch.tensor([2, 0])
    features = D.features(x)
    assert D.project is not None
    expected = D.score(features.flatten(1)) + torch.stack(
        [(D.project.weight[:, c] * f.sum(dim=(1, 2))).sum() for c, f in zip(y, features, strict=True)]
    ).unsqueeze(1)
    torch.testing.assert_close(D(x, y), expected)


def test_networks_refuse_what_they_were_not_built_for() -> None:
    with pytest.raises(NetworkError, match="16, 32, 64 px, not 28"):
        DCGANGenerator(8, 28)
    with pytest.raises(NetworkError, match="give both, or neither"):
        DCGANDiscriminator(16, classes=3)
    with pytest.raises(NetworkError, match="no norm 'Batch'; use 'batch', 'instance', 'spectral', 'none'"):
        DCGANDiscriminator(16, norm=cast(Any, "Batch"))
    with pytest.raises(NetworkError, match="looks at 16 x 16 px, not at"):
        DCGANDiscriminator(16)(noise(1, 3, 32, 32))
    with pytest.raises(NetworkError, match="exactly where there are classes"):
        DCGANGenerator(8, 16, classes=3)(noise(1, 8))
    with pytest.raises(NetworkError, match="takes no class"):
        DCGANDiscriminator(16)(noise(1, 3, 16, 16), torch.tensor([0]))
    with pytest.raises(NetworkError, match="names no class"):
        DCGANDiscriminator(16).judge(noise(1, 3, 16, 16))
    with pytest.raises(NetworkError, match=r"a vector \(B, 3\)"):
        class_vector(torch.zeros(2, 4), 3, torch.zeros(1))


# ------------------------------------------------------------------------------------------------ toys


def test_the_density_of_a_mixture() -> None:
    mixture = ring_of_gaussians(8, std=0.3)
    axis = torch.linspace(-5, 5, 401, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    total = mixture.log_density(points).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(total) == pytest.approx(1, abs=1e-6)


def test_mode_scores_of_known_points() -> None:
    mixture = ring_of_gaussians(8)
    data = mixture.sample(4000, generator=seeded(0))
    score = mixture.score(data)
    assert score.modes == 8 and abs(score.quality - 0.9889) < 0.01  # 1 - exp(-9/2) within 3 sigma in the plane
    assert float(score.shares.max()) < 0.15
    collapsed = mixture.score(mixture.means[:1].expand(100, -1))
    assert collapsed.modes == 1 and collapsed.quality == 1.0
    assert mixture.score(torch.zeros(50, 2)).modes == 0
    assert grid_of_gaussians(5).score(grid_of_gaussians(5).means.repeat(20, 1)).modes == 25


def test_the_point_stream_resumes() -> None:
    stream = PointStream(ring_of_gaussians(), batch=4)
    stream.draw()
    state, following = stream.state_dict(), stream.draw()["point"]
    other = PointStream(ring_of_gaussians(), batch=4, seed=9)
    other.load_state_dict(state)
    assert torch.equal(other.draw()["point"], following)
