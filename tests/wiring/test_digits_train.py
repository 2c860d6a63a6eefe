"""``python -m lib train digits``: what it writes can be read, resumed, and is a generator of digits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor
from torch.nn import functional as F

from lib.data.worlds.digits import handwritten_digits
from lib.games.digits_train import (
    DigitsCommand,
    DigitsConfig,
    digits_game,
    load_digits_generator,
    main,
    train_digits,
)
from lib.runtime import seeded
from lib.training.checkpoint import CheckpointError
from lib.training.ema import EMA

TINY = dataclasses.replace(DigitsConfig.quick(), width=4, batch=8, rounds=6)


def trained(config: DigitsConfig, work: Path | None = None) -> Tensor:
    game = digits_game(config)
    average = EMA(game.G, config.ema)
    train_digits(game, config, average, (), work=work)
    return torch.cat([weight.flatten() for weight in average.module.parameters()])


def test_the_command_writes_a_generator_that_loads(tmp_path: Path) -> None:
    out = tmp_path / "digits.safetensors"
    assert main(DigitsCommand(profile="quick", rounds=2, device="cpu", out=out)) == 0
    generator, card = load_digits_generator(out)
    assert card["config"]["rounds"] == 2 and card["data"].startswith("handwritten digits")
    pictures = generator(torch.randn(3, card["config"]["latent"], generator=seeded(0)))
    assert pictures.shape == (3, 1, 16, 16) and pictures.abs().max() <= 1 and not pictures.requires_grad


def test_a_training_in_two_halves_is_the_training_in_one(tmp_path: Path) -> None:
    work = tmp_path / "work.safetensors"
    whole = trained(TINY)

    def stop(report: object) -> None:
        if getattr(report, "rounds_done", 0) == 3 and not getattr(report, "finished", False):
            raise KeyboardInterrupt

    game = digits_game(TINY)
    assert train_digits(game, TINY, EMA(game.G, TINY.ema), stop, work=work) is None
    assert game.rounds_done == 3 and work.exists()
    assert torch.equal(trained(TINY, work), whole)


def test_profiles_differ_in_numbers_only() -> None:
    quick, full = DigitsConfig.quick(), DigitsConfig.full()
    assert full.size == 32 and full.rounds > quick.rounds
    assert [quick.learning_rate(progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 1.0, 0.02])


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        load_digits_generator(tmp_path / "nothing.safetensors")


def test_the_shipped_generator_writes_all_ten_digits() -> None:
    """Read by the nearest real digits, at 8 x 8: most are as near to one as a person's are, and none is missing."""
    generator, card = load_digits_generator()
    fakes = generator(torch.randn(1000, card["config"]["latent"], generator=seeded(1)))

    def rows(images: Tensor) -> Tensor:
        return F.avg_pool2d(images, images.shape[-1] // 8).flatten(1)

    (train, labels), (held_out, _) = (handwritten_digits(split, size=16) for split in ("train", "test"))
    reader = KNeighborsClassifier(5).fit(rows(train).numpy(), labels.numpy())
    limit = torch.cdist(rows(held_out), rows(train)).amin(dim=1).quantile(0.95)
    near = torch.cdist(rows(fakes), rows(train)).amin(dim=1) <= limit
    shares = torch.from_numpy(reader.predict(rows(fakes).numpy())).bincount(minlength=10) / len(fakes)
    assert near.float().mean() > 0.75 and shares.min() > 0.03
    assert fakes.std(dim=0).mean() > 0.3  # many handwritings, not one
