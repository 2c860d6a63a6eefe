"""Train, paint, save, load, resume; and one clear sentence for every photo or layout that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lib.data.augment import identity_grid
from lib.games.analogist import REST, Analogist, untrained
from lib.games.analogy import AnalogyConfig
from lib.labelmaps import LabelError, LabelMap, Palette
from lib.nn.ground import with_rest
from lib.training.checkpoint import CheckpointError, load_training, read_card, save_weights
from lib.training.play import Report
from lib.training.state import Training
from tests.scenes import CPU, PALETTE, layout, noise, photo, tiny

FEW = tiny(rounds=3)


def train(config: AnalogyConfig = FEW, **more: Any) -> Analogist:
    image, own = photo()
    return Analogist.train(image, own, config, runtime=CPU, **more)


@pytest.fixture(scope="module")
def trained() -> Analogist:
    return train()


def same_weights(a: Analogist, b: Analogist) -> bool:
    first, second = a.generator.state_dict(), b.generator.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# ------------------------------------------------------------------------------------ train and paint


def test_training_changes_the_average_generator_and_keeps_a_history(trained: Analogist) -> None:
    start = untrained(3, FEW, seed=0, runtime=CPU).G.state_dict()
    moved = [not torch.equal(start[key], value) for key, value in trained.generator.state_dict().items()]
    assert all(moved)
    assert not trained.generator.training and not any(p.requires_grad for p in trained.generator.parameters())
    assert trained.history.tail(1).keys() >= {"D/real", "D/fake", "S/labels", "G/gan", "G/patches"}
    assert trained.history.seconds > 0 and not trained.history.interrupted


@pytest.mark.parametrize("size", [(32, 48), (48, 32), (40, 64)])
@pytest.mark.parametrize("refine", [True, False])
def test_it_paints_layouts_of_any_size(trained: Analogist, size: tuple[int, int], refine: bool) -> None:
    picture = trained.paint(layout(*size, ball=(0.4, 0.7)), refine=refine)
    assert picture.shape == (3, *size) and picture.dtype == torch.float32
    assert picture.isfinite().all() and picture.abs().max() <= 1 and not picture.requires_grad


def test_painting_is_repeatable_and_obeys_the_layout(trained: Analogist) -> None:
    """Three rounds are no training, but the copy already puts the ball where it is asked for."""
    here, there = layout(ball=(0.55, 0.3)), layout(ball=(0.4, 0.7))
    picture = trained.paint(there)
    assert torch.equal(picture, trained.paint(there))
    colours = 0.8 * torch.stack([m.to_rgb() for m in (here, there)])
    gap = (picture - colours).abs().mean(dim=(1, 2, 3))
    assert gap[1] < 0.5 * gap[0]


@pytest.mark.parametrize("refine", [True, False])
def test_several_targets_in_one_pass_are_painted_as_one_by_one(trained: Analogist, refine: bool) -> None:
    targets = [layout(40, 64, ball=(0.4, 0.7)), layout(40, 64, ball=(0.6, 0.3)), layout(40, 64)]
    together = trained.paint_all(targets, refine=refine)
    alone = torch.stack([trained.paint(target, refine=refine) for target in targets])
    assert together.shape == (3, 3, 40, 64) and not torch.allclose(together[0], together[1], atol=0.1)
    assert (together - alone).abs().mean() < 1e-3  # a match may tip over to its equal, the picture may not change


def test_one_pass_needs_targets_of_one_size(trained: Analogist) -> None:
    with pytest.raises(LabelError, match=r"must have one size, not 48 x 32 and 64 x 40 px: use target\.resized"):
        trained.paint_all([layout(), layout(40, 64)])
    with pytest.raises(LabelError, match="must have one size, not none at all"):
        trained.paint_all([])
    with pytest.raises(LabelError, match="both sides must be"):
        trained.paint_all([layout(36, 48), layout(36, 48)])


def test_a_painting_tells_how_it_was_made(trained: Analogist) -> None:
    painting = trained.painting(layout(40, 64))
    assert painting.image.shape == (1, 3, 40, 64) and painting.gate.shape == (1, 1, 40, 64)
    assert len(painting.modulation) == 3 and painting.aligned.layout.shape == (1, 3, 40, 64)


def test_an_edit_leaves_the_ground_at_rest_and_training_does_not_know_of_it(
    trained: Analogist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(12.20) belongs to painting: a matcher of three rounds finds places at random, and rest sends the ground home."""
    bonuses: list[float] = []

    def noted(logits: Tensor, *args: Any, bonus: float) -> Tensor:
        bonuses.append(bonus)
        return with_rest(logits, *args, bonus=bonus)

    monkeypatch.setattr("lib.nn.alignment.with_rest", noted)
    target = layout(ball=(0.4, 0.7))
    rested, free = (trained.painting(target, **options).aligned.position for options in ({}, {"rest": 0.0}))
    home = identity_grid(8, 12).reshape(1, -1, 2)
    astray = [float((position - home).norm(dim=-1).gt(0.2).float().mean()) for position in (rested, free)]
    assert astray[0] < 0.5 * astray[1]
    trained.paint(target, refine=False)
    assert bonuses == [REST, 0.0, REST]
    train()
    assert set(bonuses[3:]) == {0.0}


def test_the_seed_decides_everything(trained: Analogist) -> None:
    torch.rand(5)  # whatever ran before
    state = torch.random.get_rng_state()
    again, other = train(), train(seed=1)
    assert torch.equal(state, torch.random.get_rng_state())  # and nothing after it is disturbed
    assert same_weights(trained, again) and not same_weights(trained, other)


def test_a_budget_ends_the_training() -> None:
    short = train(tiny(rounds=100_000), budget_s=0.3)
    assert 0.3 <= short.history.seconds < 5


# ---------------------------------------------------------------------------------------- save and load


def test_a_saved_analogist_paints_the_same_pictures(trained: Analogist, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    trained.save(path, metrics={"miou": 0.5}, data="scene")
    loaded = Analogist.load(path, runtime=CPU)
    assert torch.equal(loaded.image, trained.image) and np.array_equal(loaded.layout.index, trained.layout.index)
    assert loaded.layout.palette == PALETTE and loaded.config == FEW and loaded.seed == 0
    assert same_weights(loaded, trained)
    for target in (layout(ball=(0.4, 0.7)), layout(40, 64)):
        assert torch.equal(loaded.paint(target), trained.paint(target))
    card = read_card(path)
    assert card["metrics"] == {"miou": 0.5} and card["data"] == "scene" and card["size"] == [32, 48]


def test_a_loaded_analogist_can_be_saved_again(trained: Analogist, tmp_path: Path) -> None:
    trained.save(tmp_path / "a.safetensors")
    Analogist.load(tmp_path / "a.safetensors", runtime=CPU).save(tmp_path / "b.safetensors")
    assert same_weights(Analogist.load(tmp_path / "b.safetensors", runtime=CPU), trained)


def test_files_that_are_no_analogist_are_refused(trained: Analogist, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        Analogist.load(tmp_path / "nothing.safetensors", runtime=CPU)
    text = tmp_path / "notes.safetensors"
    text.write_text("not a model")
    with pytest.raises(CheckpointError, match="is not a whole safetensors file"):
        Analogist.load(text, runtime=CPU)
    other = tmp_path / "linear.safetensors"
    save_weights(other, torch.nn.Linear(2, 2), {"config": {}})
    with pytest.raises(CheckpointError, match=r"is no trained analogy .*train one with Analogist\.train"):
        Analogist.load(other, runtime=CPU)
    whole = tmp_path / "model.safetensors"
    trained.save(whole)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        Analogist.load(cut, runtime=CPU)


# --------------------------------------------------------------------------------------------- resume


def interrupt_after(rounds: int) -> Callable[[Report], None]:
    def callback(report: Report) -> None:
        if report.rounds_done == rounds and not report.finished:
            raise KeyboardInterrupt

    return callback


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """3 rounds, Ctrl-C, 3 more equal 6 in one go: weights, average, losses, randomness."""
    config, path = tiny(rounds=6), tmp_path / "training.safetensors"
    whole = train(config, checkpoint=tmp_path / "whole.safetensors")
    half = train(config, checkpoint=path, on_round=interrupt_after(3))
    assert half.history.interrupted and not same_weights(half, whole)
    resumed = train(config, checkpoint=path, resume=True)
    assert same_weights(resumed, whole) and not resumed.history.interrupted
    target = layout(ball=(0.4, 0.7))
    assert torch.equal(resumed.paint(target), whole.paint(target))
    assert resumed.history.tail(6) == whole.history.tail(6)


def test_an_interrupt_keeps_what_was_learned() -> None:
    stopped = train(tiny(rounds=50), on_round=interrupt_after(2))
    assert stopped.history.interrupted
    assert stopped.paint(layout()).isfinite().all()


def test_without_resume_an_old_checkpoint_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    first = train(checkpoint=path)
    assert same_weights(train(checkpoint=path), first)  # not three rounds further


def test_a_checkpoint_of_other_networks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    train(checkpoint=path)
    with pytest.raises(CheckpointError, match="does not fit this training"):
        train(tiny(rounds=3, widths=(8, 16, 24)), checkpoint=path, resume=True)
    with pytest.raises(CheckpointError, match="does not fit this training"):
        load_training(path, Training(untrained(5, FEW, seed=0, runtime=CPU)))


# ------------------------------------------------------------------------------------------- bad inputs


def nan_image() -> Tensor:
    image = photo()[0].clone()
    image[0, 3, 3] = float("nan")
    return image


def blind_layout() -> LabelMap:
    """The palette has a class that the photo does not show."""
    return LabelMap(layout().index, Palette((*PALETTE.names, "boat"), (*PALETTE.colours, (0, 0, 0))))


@pytest.mark.parametrize(
    ("image", "own", "sentence"),
    [
        (noise(1, 3, 32, 48), layout(), r"The photo must have shape \(3, height, width\), not \(1, 3, 32, 48\)\."),
        (noise(32, 48), layout(), r"The photo must have shape \(3, height, width\), not \(32, 48\)\."),
        (noise(48), layout(), r"The photo must have shape \(3, height, width\), not \(48,\)\."),
        (noise(1, 32, 48), layout(), r"The photo must have shape \(3, height, width\), not \(1, 32, 48\)\."),
        (noise(3, 36, 48), layout(36, 48), "The photo is 48 x 36 px; both sides must be multiples of 8 and at least"),
        (noise(3, 24, 48), layout(24, 48), "The photo is 48 x 24 px; both sides must be multiples of 8 and at least"),
        (nan_image(), layout(), "The photo holds NaN or infinite values; read it again"),
        (photo()[0], layout(48, 48), "The label map is 48x48 pixels but the photo is 48x32; pass size=|resize"),
        (photo()[0], blind_layout(), "The layout needs at least two classes, each with some pixels"),
        (photo()[0], LabelMap(np.zeros((32, 48), np.uint8), Palette(("all",), ((1, 2, 3),))), "at least two classes"),
    ],
    ids=["batch", "grey", "row", "one channel", "odd", "small", "nan", "other size", "unseen class", "one class"],
)
def test_photos_that_cannot_be_used(image: Tensor, own: LabelMap, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        Analogist.train(image, own, FEW, runtime=CPU)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (LabelMap(layout().index.clip(max=1), Palette(("a", "b"), ((0, 0, 0), (9, 9, 9)))),
         "The target has 2 classes and the photo's layout 3; read both with read_layouts"),
        (layout(36, 48), r"The target is 48 x 36 px; both sides must be multiples of 8 .*target\.resized"),
        (layout(24, 48), "The target is 48 x 24 px; both sides must be .* at least 32"),
    ],
    ids=["other palette", "odd", "small"],
)  # fmt: skip
def test_targets_that_cannot_be_painted(trained: Analogist, target: LabelMap, sentence: str) -> None:
    with pytest.raises(LabelError, match=sentence) as caught:
        trained.paint(target)
    assert "\n" not in str(caught.value)


def test_a_target_with_the_classes_in_another_order_is_refused(trained: Analogist) -> None:
    """As many classes, but sky means ground: painted silently, that would be a wrong picture."""
    shuffled = Palette(PALETTE.names[::-1], PALETTE.colours[::-1])
    with pytest.raises(LabelError, match="palette"):
        trained.paint(LabelMap(layout().index, shuffled))
