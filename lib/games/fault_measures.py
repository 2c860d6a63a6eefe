"""Numbers that tell a broken GAN from a healthy one: each measured with a mistake switched on, or off.

The mistakes are in `lib.games.gan_faults`; `lib.games.fault_clinic` makes a table of symptoms from both. Points and
small networks are enough, so each number takes a second or two. Every function takes ``broken`` and a seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lib.data.toys import GaussianMixture, PointStream, ring_of_gaussians
from lib.data.worlds.digits import HandwrittenDigits
from lib.games.dirac import DiracGAN
from lib.games.game import Game
from lib.games.gan import GAN, GANConfig
from lib.games.gan_faults import (
    CutGAN,
    HalfRange,
    LeakyGAN,
    NormalisedInput,
    OverlapGenerator,
    SigmoidTwice,
    normal_interpolates,
    overlaps,
    sigmoid_then_log,
    swapped_labels,
    targets_above_one,
    with_loss,
)
from lib.losses.adversarial import AdversarialLoss
from lib.losses.penalties import interpolates
from lib.nn.dcgan import DCGANDiscriminator, DCGANGenerator
from lib.nn.mlp import MLP
from lib.training.audit import gradient_audit
from lib.training.history import History
from lib.training.play import NonFiniteLoss, OptimConfig, play
from lib.training.streams import Repeat, Stream

LATENT = 4


def ring() -> GaussianMixture:
    """The clinic's data: eight modes, wide enough for a short training."""
    return ring_of_gaussians(8, std=0.15)


def point_gan(
    seed: int,
    D: nn.Module | None = None,
    *,
    kind: type[GAN] = GAN,
    hidden: int = 32,
    loss: AdversarialLoss | str = "non-saturating",
) -> GAN:
    """A GAN on points of the plane, its weights drawn with `seed`; its loss a name in `LOSSES`, or a broken one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G, own = MLP(LATENT, 2, hidden=hidden), MLP(2, 1, hidden=hidden)
    name = loss if isinstance(loss, str) else "non-saturating"
    game = kind(G, own if D is None else D, GANConfig(name, LATENT, key="point"), generator=_seeded(seed))
    return with_loss(game, loss) if isinstance(loss, AdversarialLoss) else game


def train(game: Game, stream: Stream, rounds: int, lr: float | Mapping[str, float]) -> History:
    """Play with Adam; a learning rate of 0 keeps a player still."""
    return play(game, stream, rounds, optimisers=OptimConfig(lr=lr))


def train_d(game: GAN, rounds: int, seed: int, *, lr: float = 1e-2, mixture: GaussianMixture | None = None) -> History:
    """Let D learn against a G that stands still; data far from G unless a mixture is given."""
    data = mixture or GaussianMixture(torch.tensor([[4.0, 0.0]]), 0.5)
    return train(game, PointStream(data, batch=128, seed=seed), rounds, {"D": lr, "G": 0.0})


def fresh_verdict(game: GAN, mixture: GaussianMixture, *, rounds: int = 80, seed: int = 0) -> float:
    """The loss, in nats, that a *new* D reaches against G as it stands: near 2 log 2 = 1.386 if nothing is to be seen.

    The loss of the D that G was trained against says nothing about that: it may have been too weak, or deceived.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        judge = GAN(game.G, MLP(2, 1, hidden=64), game.config, generator=_seeded(seed + 1))
    history = train_d(judge, rounds, seed + 1, lr=5e-3, mixture=mixture)
    return _d_loss(history)


def _d_loss(history: History) -> float:
    """D's whole loss, the mean of its last 20 rounds."""
    return sum(value for name, value in history.tail(20).items() if name.startswith("D/"))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vanished_gradient(broken: bool, seed: int) -> float:
    """The norm of G's gradient once D is sure."""
    game = point_gan(seed, loss="minimax" if broken else "non-saturating")
    train_d(game, 80, seed)
    return _g_norm(game, seed)


def _g_norm(game: GAN, seed: int) -> float:
    rows = gradient_audit(game, PointStream(ring(), batch=128, seed=seed).draw())
    return next(row.norm for row in rows if row.name == "G/gan")


def fresh_loss_after(broken: bool, seed: int) -> float:
    """What a fresh D makes of a training against an affine D, or against a real one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        D = MLP(2, 1, depth=0) if broken else MLP(2, 1, hidden=64)
    game = point_gan(seed, D, hidden=64)
    train(game, PointStream(ring(), batch=128, seed=seed), 250, 3e-3)
    return fresh_verdict(game, ring(), seed=seed)


def modes_covered(broken: bool, seed: int) -> float:
    """Modes of the ring that G draws; broken: G learns ten times as fast as D."""
    game = point_gan(seed, hidden=64)
    train(game, PointStream(ring(), batch=128, seed=seed), 300, {"D": 1e-3, "G": 1e-2} if broken else 3e-3)
    with torch.no_grad():
        return ring().score(game.fakes(2000)).modes


def darkest_pixel(broken: bool, seed: int) -> float:
    """The least value in the first batch of real pictures."""
    digits = HandwrittenDigits(batch=64, size=16, seed=seed)
    seen = (HalfRange(digits) if broken else digits).draw(0.0)["image"]
    return float(seen.min())


def unevenness(broken: bool, seed: int) -> float:
    """Of G's last layer."""
    G = (OverlapGenerator if broken else DCGANGenerator)(LATENT, 16, 1, width=8)
    shares = overlaps(next(layer for layer in G.layers if isinstance(layer, nn.ConvTranspose2d)))
    return float(shares.max() / shares.min())


def distance_from_equilibrium(broken: bool, seed: int) -> float:
    """Where the Dirac-GAN is after 150 rounds, in units of where it began."""
    game, momentum = DiracGAN("wgan"), 0.5 if broken else 0.0
    optimisers = {p: torch.optim.SGD(game.parameters_of(p), lr=0.1, momentum=momentum) for p in game.players}
    play(game, Repeat({}), 150, optimisers=optimisers)
    return math.hypot(game.theta.item(), game.psi.item()) / math.sqrt(2)


def stopped_by_guard(broken: bool, seed: int) -> float:
    """1 where `play` stopped for NaN or infinity, else 0; the learning rate is high in both cases."""
    game = point_gan(seed, loss=sigmoid_then_log() if broken else "non-saturating")
    try:
        train(game, PointStream(ring(), batch=128, seed=seed), 100, 0.5)
    except NonFiniteLoss:
        return 1.0
    return 0.0


def loss_on_easy_data(broken: bool, seed: int) -> float:
    """D's loss after it could learn in peace."""
    game = point_gan(seed)
    if broken:
        game.D = SigmoidTwice(game.D)
    return _d_loss(train_d(game, 100, seed))


def gradient_reaching_g(broken: bool, seed: int) -> float:
    """The norm of G's gradient before any training."""
    return _g_norm(point_gan(seed, kind=CutGAN if broken else GAN), seed)


def pull_with_leak(broken: bool, seed: int) -> float:
    """How far G still follows its wish when D's gradient is in its own."""
    return _alignment(point_gan(seed, kind=LeakyGAN) if broken else point_gan(seed), seed)


def pull_with_swapped_labels(broken: bool, seed: int) -> float:
    """The same, when G descends the loss of D."""
    return _alignment(point_gan(seed, loss=swapped_labels() if broken else "non-saturating"), seed)


def _alignment(game: GAN, seed: int) -> float:
    """G's whole gradient along the gradient of log D(G(z)), in units of that gradient's length."""
    *_, last = game.round(PointStream(ring(), batch=128, seed=seed).draw())
    whole = _flat(torch.autograd.grad(last.loss, game.parameters_of("G")))
    game.generator.manual_seed(seed)
    *_, last = GAN(game.G, game.D, game.config, generator=game.generator).round({"point": torch.zeros(128, 2)})
    wish = _flat(torch.autograd.grad(last.loss, game.parameters_of("G")))
    return float(whole @ wish / wish.square().sum())


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


def answer_to_scaling(broken: bool, seed: int) -> float:
    """How much D's logits change for x -> 3 x + 2, in their standard deviations."""
    game = point_gan(seed)
    D = NormalisedInput(game.D, 2) if broken else game.D
    x = ring().sample(256, generator=_seeded(seed))
    with torch.no_grad():
        return float((D(3 * x + 2) - D(x)).abs().mean() / D(x).std())


def train_eval_gap(broken: bool, seed: int) -> float:
    """Between G's pictures in training and in evaluation mode; broken: after 4 rounds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G, D = DCGANGenerator(LATENT, 16, 1, width=8), DCGANDiscriminator(16, 1, width=8)
    game = GAN(G, D, GANConfig(latent=LATENT), generator=_seeded(seed))
    train(game, HandwrittenDigits(batch=64, size=16, seed=seed), 4 if broken else 40, 1e-3)
    z = game.latents(128)
    with torch.no_grad():
        judged = [G.train(mode)(z) for mode in (True, False)]
    return float((judged[0] - judged[1]).square().mean().sqrt() / judged[0].std())


def lowest_real_loss(broken: bool, seed: int) -> float:
    """The lowest loss that D reached on real data."""
    game = point_gan(seed, loss=targets_above_one() if broken else "non-saturating")
    return float(train_d(game, 150, seed).smoothed("D/real", 5).min())


def share_off_the_line(broken: bool, seed: int) -> float:
    """Of the points where the gradient penalty is measured: between real ones and fake zeros a point *is* its eps."""
    ones = torch.ones(20_000, 1)
    eps = (normal_interpolates if broken else interpolates)(ones, torch.zeros_like(ones), generator=_seeded(seed))
    return float(((eps < 0) | (eps > 1)).float().mean())
