"""``python -m lib bench translators``: one round of each translator game, beside a plain step with the same networks.

The plain steps follow the order of operations of the papers' released PyTorch codes as they are described, written
here anew: Adam as a loop over the parameters, one forward pass for every term that the paper names, and gradients
for whatever the graph holds. Both sides of a row run in turn, in one process, on the same batch, so their ratio says
more than either time.
"""

from __future__ import annotations

import copy
import itertools
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from lib.book.paths import repository_root
from lib.data.label_space import EXPRESSIONS, LabelSpace
from lib.games.cyclegan import CycleGANConfig, build_cyclegan
from lib.games.game import Game
from lib.games.pix2pix import Pix2Pix, Pix2PixConfig
from lib.games.stargan import StarGANConfig, build_stargan
from lib.images import write_atomically
from lib.nn.image_buffer import ImageBuffer
from lib.nn.stargan import LabelDiscriminator
from lib.runtime import RunCard, Runtime, seeded
from lib.training.optim import OptimConfig
from lib.training.play import play_round

__all__ = ["CASES", "Case", "TranslatorBenchCommand", "main", "measure_case"]

Batch = dict[str, Tensor]
Step = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class TranslatorBenchCommand:
    """Time one round of pix2pix, CycleGAN and StarGAN beside a plain step with the same networks."""

    games: tuple[str, ...] = ("pix2pix", "cyclegan", "stargan")
    """which"""
    repeats: int = 5
    """timed rounds of each; the median counts"""
    device: str | None = None
    """cuda, mps or cpu; default: the fastest"""
    out: Path = repository_root() / "assets" / "results" / "translators_speed.json"
    """the JSON file to write"""


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        what: the case in words.
        game: makes the game.
        batch: makes a batch for one round of it.
        plain: (game, batch) -> a step that does the same work plainly, with copies of the game's networks.
    """

    what: str
    game: Callable[[], Game]
    batch: Callable[[], Batch]
    plain: Callable[[Any, Batch], Step]


def main(config: TranslatorBenchCommand) -> int:
    """Measure, write the JSON file and print one line for each game.

    Raises:
        ValueError: there is no such game.
    """
    unknown = set(config.games) - set(CASES)
    if unknown or config.repeats < 1:
        raise ValueError(f"Give at least one repeat and games among {', '.join(CASES)}.")
    runtime = Runtime.detect(config.device)
    rows: dict[str, dict[str, Any]] = {}
    with RunCard("translators speed", seed=0, device=runtime.device, dtype=runtime.dtype) as card:
        for name in config.games:
            rows[name] = measure_case(CASES[name], runtime, repeats=config.repeats)
            row = rows[name]
            print(f"{name:>9}: ours {row['ours_ms']:.0f} ms, plain {row['plain_ms']:.0f} ms, {row['ratio']:.2f} x "
                  f"({row['what']})", flush=True)  # fmt: skip
    record = {"card": {"command": "python -m lib bench translators", **card.as_dict()}, "games": rows}
    write_atomically(config.out, (json.dumps(record, indent=1) + "\n").encode())
    return 0


def measure_case(case: Case, runtime: Runtime, *, repeats: int = 5) -> dict[str, Any]:
    """Median milliseconds of both sides and their ratio, plain over ours; the sides take turns."""
    game, batch = case.game(), {name: runtime.place(value) for name, value in case.batch().items()}
    runtime.place(game)
    plain = case.plain(copy.deepcopy(game), batch)
    optimisers = OptimConfig().build(game)

    def ours() -> None:
        for _ in play_round(game, batch, optimisers, runtime=runtime):
            pass

    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for repeat, (name, step) in itertools.product(range(repeats + 1), (("ours", ours), ("plain", plain))):
        with RunCard(device=runtime.device) as card:  # waits for the device before and after
            step()
        if repeat:  # the first round warms caches up
            times[name].append(1000 * (card.wall_seconds or 0.0))
    medians = {f"{name}_ms": round(statistics.median(found), 1) for name, found in times.items()}
    ratios = [plain_ms / own for own, plain_ms in zip(times["ours"], times["plain"], strict=True)]
    return {"what": case.what, "repeats": repeats, **medians, "ratio": round(statistics.median(ratios), 3)}


def _adam(*networks: nn.Module) -> Adam:
    """Adam as the released codes have it: a Python loop over the parameters."""
    parameters = [weight for network in networks for weight in network.parameters()]
    return Adam(parameters, lr=2e-4, betas=(0.5, 0.999), foreach=False, fused=False)


def _frozen(wanted: bool, *networks: nn.Module) -> None:
    for network in networks:
        network.requires_grad_(not wanted)


def _bce(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def _lsgan(logits: Tensor, real: bool) -> Tensor:
    return F.mse_loss(logits, torch.full_like(logits, float(real)))


def _plain_pix2pix(game: Pix2Pix, batch: Batch) -> Step:
    """D on the fake and on the real pair apart, its halved loss; then G with D frozen and evaluated again."""
    x, y, G, D = batch["condition"], batch["image"], game.G, game.D
    d_adam, g_adam = _adam(D), _adam(G)

    def step() -> None:
        fake = G(x, noise=game.generator)
        _frozen(False, D)
        d_adam.zero_grad()
        on_fake, on_true = D(torch.cat([x, fake.detach()], 1)), D(torch.cat([x, y], 1))
        (0.5 * (_bce(on_fake, False) + _bce(on_true, True))).backward()
        d_adam.step()
        _frozen(True, D)
        g_adam.zero_grad()
        (_bce(D(torch.cat([x, fake], 1)), True) + 100 * F.l1_loss(fake, y)).backward()
        g_adam.step()

    return step


def _plain_cyclegan(game: Any, batch: Batch) -> Step:
    """Both translators first, with a pass of their own for every term; then the discriminators, one by one."""
    x, y, G, back, D_X, D_Y = batch["A"], batch["B"], game.G, game.F, game.D_X, game.D_Y
    c, shape = game.config, tuple(x.shape[1:])
    g_adam, d_adam = _adam(G, back), _adam(D_X, D_Y)
    pools = [ImageBuffer(c.buffer, shape, generator=seeded(seed)).to(x.device) for seed in (0, 1)]

    def step() -> None:
        fake_y, fake_x = G(x), back(y)
        rebuilt_x, rebuilt_y = back(fake_y), G(fake_x)
        _frozen(True, D_X, D_Y)
        g_adam.zero_grad()
        loss = c.identity * (F.l1_loss(G(y), y) + F.l1_loss(back(x), x))
        loss = loss + _lsgan(D_Y(fake_y), True) + _lsgan(D_X(fake_x), True)
        loss = loss + c.forward_cycle * F.l1_loss(rebuilt_x, x) + c.backward_cycle * F.l1_loss(rebuilt_y, y)
        loss.backward()
        g_adam.step()
        _frozen(False, D_X, D_Y)
        d_adam.zero_grad()
        for D, real, fake, pool in ((D_X, x, fake_x, pools[0]), (D_Y, y, fake_y, pools[1])):
            (0.5 * (_lsgan(D(real), True) + _lsgan(D(pool(fake.detach())), False))).backward()
        d_adam.step()

    return step


def _plain_stargan(game: Any, batch: Batch) -> Step:
    """Every turn of D draws its fakes with a graph, D sees real and fake apart; G's turn fills D's gradients too."""
    G, D, c = game.G, game.D, game.config
    d_adam, g_adam = _adam(D), _adam(G)
    parts = list(zip(batch["image"].chunk(c.n_critic), batch["label"].chunk(c.n_critic), strict=True))

    def d_step(x: Tensor, own: Tensor, target: Tensor) -> None:
        d_adam.zero_grad()
        g_adam.zero_grad()
        source, named = D.judge(x)
        fake = G(x, target).detach()
        loss = D.judge(fake)[0].mean() - source.mean() + F.cross_entropy(named, own)
        (loss + c.gp * _plain_penalty(D, x, fake)).backward()
        d_adam.step()

    def step() -> None:
        for x, own in parts:
            target = own.flip(0)
            d_step(x, own, target)
        d_adam.zero_grad()
        g_adam.zero_grad()
        fake = G(x, target)
        source, named = D.judge(fake)
        rebuilt = G(fake, own)
        (-source.mean() + F.cross_entropy(named, target) + c.cycle * F.l1_loss(rebuilt, x)).backward()
        g_adam.step()

    return step


def _plain_penalty(D: LabelDiscriminator, real: Tensor, fake: Tensor) -> Tensor:
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_()
    source = D.judge(between)[0]
    (slope,) = torch.autograd.grad(source, between, torch.ones_like(source), create_graph=True)
    penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def _pictures(count: int, size: int, seed: int, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, size, size, generator=seeded(seed)) * 2 - 1


def _pix2pix() -> Pix2Pix:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Pix2Pix(3, Pix2PixConfig.full(size=128))


_CYCLEGAN = CycleGANConfig(size=64, identity=5.0)
_STARGAN = StarGANConfig(size=64, d_layers=5, batch=2)
_SPACE = LabelSpace(EXPRESSIONS)


def _labelled() -> Batch:
    count = _STARGAN.round_batch
    label = F.one_hot(torch.arange(count) % _SPACE.classified, _SPACE.classified).float()
    return {"image": _pictures(count, 64, 0), "label": label}


def _paired() -> Batch:
    return {"condition": _pictures(1, 128, 0), "image": _pictures(1, 128, 1)}


def _unpaired() -> Batch:
    return {"A": _pictures(1, 64, 0), "B": _pictures(1, 64, 1)}


CASES: Mapping[str, Case] = {
    "pix2pix": Case("the paper's U-Net of width 64 and 70 px D at 128 px, batch 1", _pix2pix, _paired, _plain_pix2pix),
    "cyclegan": Case(
        "the paper's ResNet-6 and 70 px D at 64 px, identity on, batch 1",
        lambda: build_cyclegan(_CYCLEGAN), _unpaired, _plain_cyclegan,
    ),
    "stargan": Case(
        "the paper's G and D at 64 px, gradient penalty, five turns of D and one of G, batch 2",
        lambda: build_stargan(_SPACE, _STARGAN), _labelled, _plain_stargan,
    ),
}  # fmt: skip
