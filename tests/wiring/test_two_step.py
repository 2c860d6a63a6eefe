"""The games of chapter 3: which terms they have, whom they move, and that two steps do translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from lib.data.domains import AttributeDomains, PersonDomains, Pool, rendered
from lib.data.worlds.world import Batch, Parameters, World, WorldError
from lib.games.acgan import ACGAN, CGAN, ClassGANConfig, every_class
from lib.games.game import GameError
from lib.games.two_step import EncoderConfig, EncoderGame, Translator
from lib.labelmaps import Palette
from lib.losses.adversarial import LOSSES
from lib.losses.conditioning import class_log_likelihood
from lib.losses.inversion import image_loss, latent_loss
from lib.nn.dcgan import DCGANDiscriminator, DCGANGenerator, Head
from lib.nn.image_encoder import ImageEncoder
from lib.runtime import seeded
from lib.training.audit import assert_alive, gradient_audit
from lib.training.optim import OptimConfig
from lib.training.play import play
from lib.training.streams import Repeat

K, LATENT, SIZE = 3, 6, 16


def networks(head: Head = "auxiliary") -> tuple[DCGANGenerator, DCGANDiscriminator]:
    torch.manual_seed(0)
    G = DCGANGenerator(LATENT, SIZE, 1, width=4, classes=K)
    return G, DCGANDiscriminator(SIZE, 1, width=4, norm="none", classes=K, head=head)


def acgan(**rules: Any) -> ACGAN:
    return ACGAN(*networks(), ClassGANConfig(latent=LATENT, classes=K, **rules), generator=seeded(1))


def cgan(**rules: Any) -> CGAN:
    return CGAN(*networks("projection"), ClassGANConfig(latent=LATENT, classes=K, **rules), generator=seeded(1))


def batch(count: int = 6) -> dict[str, Tensor]:
    images = torch.rand(count, 1, SIZE, SIZE, generator=seeded(2)) * 2 - 1
    return {"image": images, "domain": torch.arange(count) % K}


def values(terms: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


# ---------------------------------------------------------------------------------------- games with classes


def test_terms_of_acgan() -> None:
    """(3.7): L_S and L_C with the right signs for both players, the paper's class term on fakes included."""
    game, data = acgan(class_weight=0.5, class_on_fakes=0.25).eval(), batch()
    real, y = data["image"], data["domain"]
    fake = game.G(torch.randn(6, LATENT, generator=seeded(1)), y).detach()
    loss = LOSSES["non-saturating"]
    (source, named), (source_fake, named_fake) = game.D.judge(real), game.D.judge(fake)
    d_turn, g_turn = game.round(data)
    assert values(d_turn.terms) == pytest.approx({
        "real": float(loss.real(source)),
        "fake": float(loss.fake(source_fake)),
        "class": float(-0.5 * class_log_likelihood(named, y)),
        "class_fake": float(-0.25 * class_log_likelihood(named_fake, y)),
    }, rel=1e-4)  # fmt: skip
    assert list(g_turn.terms) == ["gan", "class"]
    source, named = game.D.judge(fake)
    assert values(game.g_terms_with(fake, y)) == pytest.approx({
        "gan": float(loss.fool(source)), "class": float(-0.5 * class_log_likelihood(named, y)),
    })  # fmt: skip


def test_terms_of_cgan() -> None:
    """D judges pairs: the same picture with another class has another logit, and G hears of it."""
    game, data = cgan().eval(), batch()
    y = data["domain"]
    assert not torch.equal(game.D(data["image"], y), game.D(data["image"], (y + 1) % K))
    d_turn, g_turn = game.round(data)
    assert list(d_turn.terms) == ["real", "fake"] and list(g_turn.terms) == ["gan"]
    assert float(d_turn.terms["real"]) == pytest.approx(float(game.loss.real(game.D(data["image"], y))))


@pytest.mark.parametrize("game", [acgan(r1=1.0), cgan(r1=1.0)], ids=["acgan", "cgan"])
def test_every_term_moves_its_player(game: ACGAN | CGAN) -> None:
    assert_alive(game, batch())


def test_the_class_term_reaches_both_players() -> None:
    rows = {row.name: row for row in gradient_audit(acgan(), batch())}
    assert rows["D/class"].norm > 0 and rows["G/class"].norm > 0
    # L_S does not move the head that names classes.
    assert any("classify" in name for name in rows["D/real"].unreached)


def test_a_blind_discriminator_has_no_class_term() -> None:
    d_turn, g_turn = acgan(class_weight=0.0).round(batch())
    assert list(d_turn.terms) == ["real", "fake"] and list(g_turn.terms) == ["gan"]


def test_turns_and_lazy_penalty() -> None:
    """Two turns of G for one of D, as in the authors' code; R1 in every second turn of D, twice as strong."""
    game = acgan(g_turns=2, r1=3.0, every=2)
    first = [turn for turn in game.round(batch())]
    assert [turn.player for turn in first] == ["D", "G", "G"] and "r1" in first[0].terms
    game.rounds_done = 1
    assert "r1" not in next(game.round(batch())).terms
    plain = acgan(r1=3.0)
    twice = float(first[0].terms["r1"].detach()) / float(next(plain.round(batch())).terms["r1"].detach())
    assert twice == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [({"gp": 1.0}, "R1 only"), ({"noise": 0.1}, "R1 only"), ({"g_turns": 0}, "start at 1"),
     ({"class_weight": -1.0}, "at 0")],
)  # fmt: skip
def test_bad_rules_speak(rules: dict[str, Any], complaint: str) -> None:
    with pytest.raises(GameError, match=complaint):
        ClassGANConfig(**rules).check()


def test_a_batch_without_classes_speaks() -> None:
    with pytest.raises(GameError, match="no classes 'domain'"):
        list(acgan().round({"image": batch()["image"]}))


def test_every_class_is_one_row_for_each_latent() -> None:
    G, _ = networks()
    G.eval()
    z = torch.randn(2, LATENT, generator=seeded(0))
    pictures = every_class(G, z, K)
    assert pictures.shape == (2, K, 1, SIZE, SIZE)
    torch.testing.assert_close(pictures[1, 2], G(z[1:], torch.tensor([2]))[0])


# --------------------------------------------------------------------------------------------- the encoder


def encoder_game(**rules: Any) -> EncoderGame:
    G, _ = networks()
    config = EncoderConfig(batch=8, **rules)
    E = ImageEncoder(LATENT, size=SIZE, channels=1, width=4, classes=K if config.told else 0)
    return EncoderGame(G, E, config, latent=LATENT, classes=K, generator=seeded(3))


def test_terms_of_the_encoder() -> None:
    """Each of the three lessons has the one term that its equation says; only E owns parameters."""
    for rules, name in (({}, "latent"), ({"loss": "image"}, "image"), ({"loss": "image", "pictures": "real"}, "image")):
        game = encoder_game(**rules)
        (row,) = assert_alive(game, batch())
        assert row.name == f"E/{name}"
        assert all(not weight.requires_grad for weight in game.G.parameters())
    game = encoder_game().eval()
    (turn,) = game.round({})
    z = torch.randn(8, LATENT, generator=seeded(3))
    y = torch.randint(K, (8,), generator=seeded(3))
    del y  # drawn after z from the same generator
    game.generator = seeded(3)
    drawn, classes = game.draw(8)
    torch.testing.assert_close(drawn, z)
    assert float(turn.loss.detach()) == pytest.approx(
        float(latent_loss(game.E(game.G(drawn, classes)), drawn).detach())
    )


def test_image_loss_on_real_pictures() -> None:
    game, data = encoder_game(loss="image", pictures="real").eval(), batch()
    (turn,) = game.round(data)
    expected = image_loss(game.G(game.E(data["image"]), data["domain"]), data["image"])
    assert float(turn.loss.detach()) == pytest.approx(float(expected.detach()))


def test_the_generator_stays_in_evaluation_mode() -> None:
    """`play` puts the game into training mode; G's batch statistics must not move."""
    game = encoder_game()
    before = {name: value.clone() for name, value in game.G.state_dict().items()}
    play(game, Repeat({}), 3, optimisers=OptimConfig(lr=1e-3))
    assert not game.G.training and game.E.training
    assert all(torch.equal(value, before[name]) for name, value in game.G.state_dict().items())


def test_the_latent_of_a_real_picture_is_unknown() -> None:
    with pytest.raises(GameError, match="not known"):
        EncoderConfig(pictures="real").check()


class Linear(nn.Module):
    """G(z, c) = A z + b_c as a picture of n values."""

    def __init__(self, A: Tensor, b: Tensor) -> None:
        super().__init__()
        self.A, self.b = nn.Parameter(A), nn.Parameter(b)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return z @ self.A.T + self.b[y]


def test_translation() -> None:
    """(3.12) on a linear world: where the classes differ outside the span of A, E learns to translate exactly."""
    rng = seeded(0)
    basis, _ = torch.linalg.qr(torch.randn(6, 4, generator=rng))
    A, outside = basis[:, :3], basis[:, 3]
    G = Linear(A, torch.stack([torch.zeros(6), 2 * outside]))
    E = nn.Linear(6, 3)
    game = EncoderGame(G, E, EncoderConfig(batch=128), latent=3, classes=2, generator=seeded(1))
    play(game, Repeat({}), 600, optimisers=OptimConfig(lr=3e-2, betas=(0.9, 0.99)), schedule=lambda p: 1.001 - p)
    translator = Translator(G, E, latent=3)
    z = torch.randn(50, 3, generator=rng)
    here, there = torch.zeros(50, dtype=torch.int64), torch.ones(50, dtype=torch.int64)
    moved = translator.translate(G(z, here), there)
    torch.testing.assert_close(moved, G(z, there), atol=2e-2, rtol=0)


def test_bad_encoders_speak() -> None:
    with pytest.raises(ValueError, match="8, 16, 32"):
        ImageEncoder(4, size=20)
    with pytest.raises(ValueError, match=r"E\(x, y\)"):
        ImageEncoder(4, size=8, classes=2)(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"E\(x\)"):
        ImageEncoder(4, size=8)(torch.zeros(1, 3, 8, 8), torch.zeros(1, dtype=torch.int64))


# ------------------------------------------------------------------------------------------------- domains


class Squares(World):
    """Grey squares: two attributes set the shade, a free parameter the place of a dot."""

    name: ClassVar[str] = "squares"
    palette: ClassVar[Palette] = Palette(("grey", "dot"), ((90, 90, 90), (255, 255, 255)))
    attributes: ClassVar[Mapping[str, tuple[str, ...]]] = {"shade": ("dark", "light"), "tone": ("a", "b", "c")}

    def sample(self, count: int, *, generator: torch.Generator) -> Parameters:
        def draw(high: int) -> Tensor:
            return torch.randint(high, (count,), generator=generator)

        return {"shade": draw(2), "tone": draw(3), "place": draw(16)}

    def render(self, parameters: Parameters, size: int) -> Batch:
        grey = (parameters["shade"] * 0.5 + parameters["tone"] * 0.1)[:, None, None, None] - 0.6
        image = grey.expand(-1, 3, size, size).clone()
        image[torch.arange(len(image)), :, 0, parameters["place"]] = 1.0
        return {"image": image, "labels": torch.zeros(len(image), size, size, dtype=torch.uint8)}


def test_domains_are_all_combinations_in_order() -> None:
    domains = AttributeDomains(Squares(), ("shade", "tone"))
    assert domains.names == ("dark a", "dark b", "dark c", "light a", "light b", "light c")
    values_ = domains.values(torch.tensor([4]))
    assert int(values_["shade"]) == 1 and int(values_["tone"]) == 1
    with pytest.raises(WorldError, match="colour"):
        AttributeDomains(Squares(), ("colour",))


def test_the_same_picture_in_another_domain_is_a_true_pair() -> None:
    domains = AttributeDomains(Squares(), ("shade",), always={"tone": "b"})
    here = rendered(domains, 10, 16, domain=torch.zeros(10, dtype=torch.int64))
    there = rendered(domains, 10, 16, domain=torch.ones(10, dtype=torch.int64))
    assert torch.equal(here["place"], there["place"]) and bool((there["tone"] == 1).all())
    changed = (there["image"] - here["image"]).flatten(1)
    assert bool(((changed - 0.5).abs() < 1e-6).sum(dim=1).eq(3 * 255).all())  # all but the dot
    turns = rendered(domains, 5, 16)
    assert turns["domain"].tolist() == [0, 1, 0, 1, 0] and torch.equal(turns["shade"], turns["domain"])


def test_a_person_is_what_is_kept() -> None:
    domains = PersonDomains(Squares(), seeds=(0, 1), keeps=("tone", "shade"), looks={"shade": ("dark", "light")})
    drawn = rendered(domains, 8, 16)
    assert drawn["shade"].tolist() == [0, 1] * 4
    assert len(set(drawn["tone"][::2].tolist())) == 1 and len(set(drawn["place"].tolist())) > 1


def test_the_pool_is_balanced_mirrored_and_resumes() -> None:
    domains = AttributeDomains(Squares(), ("shade",))
    data = rendered(domains, 30, 16, domain=(torch.arange(30) % 10 == 0).long())  # 3 of 30 are light
    pool = Pool(data["image"], data["domain"], batch=8, seed=1)
    state = {"generator": pool.state_dict()["generator"].clone()}
    first = pool.draw()
    assert first["domain"].bincount().tolist() == [4, 4]
    torch.testing.assert_close(first["image"][:4, :, 8, 8].mean(dim=1) < 0, torch.ones(4, dtype=torch.bool))
    pool.load_state_dict(state)
    assert torch.equal(pool.draw()["image"], first["image"])
    draws = torch.cat([pool.draw()["image"] for _ in range(20)])
    originals = ((data["image"] + 1) * 127.5).round() / 127.5 - 1
    kept = (draws[:, None] - originals).abs().flatten(2).amax(dim=2).min(dim=1).values < 1e-5
    assert 0.3 < float(kept.float().mean()) < 0.9
    with pytest.raises(WorldError, match="multiple of 2"):
        Pool(data["image"], data["domain"], batch=7)
    with pytest.raises(WorldError, match="no picture"):
        Pool(data["image"], data["domain"] * 2, batch=6)


def test_the_pool_clamps_what_bytes_cannot_hold() -> None:
    image = torch.tensor([1.02, -1.02])[:, None, None, None].expand(2, 3, 4, 4)
    drawn = Pool(image, torch.tensor([0, 1]), batch=2).draw()["image"]
    assert drawn[:, 0, 0, 0].tolist() == [1, -1]
