"""SinGAN: the pyramid, what is frozen, what is bound to z*, resuming, and every application."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib.baselines import singan as painter
from lib.baselines.inputs import PaintError
from lib.data.photos import load_photo
from lib.games import singan_train
from lib.games.game import GameError
from lib.games.singan import SinGANConfig, SinGANScale
from lib.games.singan_enlarge import EnlargingScale, enlarging
from lib.games.singan_measures import diversity, measure
from lib.games.singan_model import SinGAN, SinGANError, soft_mask
from lib.games.singan_train import SinGANCommand, main
from lib.nn.dcgan import NetworkError
from lib.nn.singan import Norm, Pyramid, ScaleCritic, ScaleGenerator, pyramid_sizes, resized, shrunk
from lib.runtime import Runtime, seeded
from lib.training.audit import assert_alive
from lib.training.checkpoint import CheckpointError
from lib.training.play import Report, play
from lib.training.streams import Repeat
from tests.scenes import photo

CPU = Runtime(torch.device("cpu"))
HEIGHT, WIDTH = 32, 48


def config(**changes: Any) -> SinGANConfig:
    tiny: dict[str, Any] = {"side": 48, "least": 16, "width": 6, "widest": 6, "rounds": 4, "fade": 1.0}
    return SinGANConfig(**tiny | changes)


def picture(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    return photo(height, width, grain=0.3)[0].float()


def trained(**options: Any) -> SinGAN:
    chosen = options.pop("config", config())
    return SinGAN.train(picture(), chosen, runtime=CPU, **options)


@pytest.fixture(scope="module")
def singan() -> SinGAN:
    made = trained()
    made.train_enlarger(2)
    return made


def game(place: int = 0, **changes: Any) -> tuple[SinGANScale, dict[str, Tensor]]:
    """An untrained game at a scale, and its batch."""
    chosen, sizes = config(**changes), pyramid_sizes(HEIGHT, WIDTH, least=16)
    torch.manual_seed(0)
    pyramid = Pyramid(sizes)
    pyramid.fix_noise(seeded(0))
    for below in range(place):
        pyramid.add(ScaleGenerator(chosen.width_at(below), norm=chosen.norm), torch.ones(()))
    image = shrunk(picture()[None], sizes[place])
    return SinGANScale(pyramid, image, chosen, generator=seeded(1)), {"image": image}


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# -------------------------------------------------------------------------------------------------- networks
@pytest.mark.parametrize("size", [(80, 128), (250, 188), (25, 25), (30, 200)])
def test_the_pyramid_meets_both_ends(size: tuple[int, int]) -> None:
    sizes = pyramid_sizes(*size, least=20, factor=0.75)
    assert sizes[-1] == size and min(sizes[0]) == 20
    ratios = [a[1] / b[1] for a, b in pairwise(sizes)]
    assert all(0.64 < ratio < 0.84 for ratio in ratios), ratios


def test_a_pyramid_of_one_scale() -> None:
    assert pyramid_sizes(20, 30, least=20) == [(20, 30)]


@pytest.mark.parametrize(
    ("width", "counts"), [(32, (29_763, 29_185)), (64, (114_819, 113_665)), (128, (450_819, 448_513))]
)
def test_the_networks_are_those_of_the_paper(width: int, counts: tuple[int, int]) -> None:
    full = SinGANConfig.full()
    assert [full.width_at(place) for place in (0, 3, 4, 8, 12)] == [32, 32, 64, 128, 128]
    with torch.device("meta"):
        made = [
            weights(network(width, blocks=full.blocks, norm=full.norm)) for network in (ScaleGenerator, ScaleCritic)
        ]
    assert tuple(made) == counts


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_every_network_sees_eleven_pixels(norm: Norm) -> None:
    torch.manual_seed(0)
    G, D = ScaleGenerator(4, norm=norm).eval(), ScaleCritic(4, norm=norm).eval()
    x = torch.rand(1, 3, 31, 31, requires_grad=True)
    assert D(x).shape == (1, 1, 21, 21) and G(x, torch.zeros(())).shape == x.shape
    for scored in (D(x)[0, 0, 10, 10], G(x, torch.zeros(()))[0, :, 15, 15].sum()):
        (slope,) = torch.autograd.grad(scored, x)
        seen = slope.abs().sum(dim=(0, 1)).nonzero()
        assert seen.min().item() == 10 and seen.max().item() == 20


# ------------------------------------------------------------------------------------------------------ game
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("place", [0, 2])
def test_every_term_moves_its_player(norm: Norm, place: int) -> None:
    played, batch = game(place, norm=norm)
    names = ["D/real", "D/fake", "D/penalty", "G/gan", "G/rebuild"]
    rows = assert_alive(played, batch, names)
    assert [row.name for row in rows] == names


def test_several_turns_draw_several_fakes() -> None:
    """Three turns of G on one fake need a graph that the first has used up; here each has its own."""
    played, batch = game(1, critic_turns=3, generator_turns=3)
    history = play(played, Repeat(batch), 2, optimisers=played.config.optimisers())
    assert len(history) == 2
    turns = [
        (turn.player, turn.terms[name].item())
        for turn in played.round(batch)
        for name in turn.terms
        if name in ("fake", "gan")
    ]
    assert [player for player, _ in turns] == ["D"] * 3 + ["G"] * 3
    # Only G's first turn meets the fake that D has just judged.
    assert len({value for _, value in turns[:3]}) == 3 and turns[3][1] == pytest.approx(-turns[2][1], rel=1e-5)
    assert len({value for _, value in turns[3:]}) == 3


def test_the_rebuilding_learns_and_needs_its_own_noise() -> None:
    """z* leads to the photo after a while; another noise does not."""
    played, batch = game(0, width=16, widest=16, lr=5e-3, alpha=100.0)
    play(played, Repeat(batch), 60, optimisers=played.config.optimisers())
    other = played.below.noise(0, 1, played.size, seeded(9))
    with torch.no_grad():
        errors = [
            float((made - batch["image"]).square().mean())
            for made in (played.rebuild(), played.G(played.base_rec, other))
        ]
    assert errors[0] < 0.7 * errors[1], errors


def test_a_scale_begins_with_the_weights_of_the_one_below() -> None:
    lower, upper, wider = game(0)[0], game(1)[0], game(1, width=8, widest=8)[0]
    before = [weight.clone() for weight in wider.G.parameters()]
    upper.begin_from(lower)
    wider.begin_from(lower)
    assert all(torch.equal(a, b) for a, b in zip(upper.G.parameters(), lower.G.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(wider.G.parameters(), before, strict=True))


def test_a_round_in_bfloat16_is_finite() -> None:
    played, batch = game(1)
    runtime = Runtime(torch.device("cpu"), torch.bfloat16, True)
    runtime.place(played)
    play(played, Repeat(batch), 2, optimisers=played.config.optimisers(), runtime=runtime)
    assert all(bool(parameter.isfinite().all()) for parameter in played.parameters())


# -------------------------------------------------------------------------------------------------- training
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_finished_scales_are_frozen(norm: Norm) -> None:
    """Weights and running statistics of a scale are the same when the next scales have been trained."""
    kept: dict[int, dict[str, Tensor]] = {}

    def watch(played: SinGANScale) -> list[Any]:
        for place, scale in enumerate(played.below.scales):
            kept.setdefault(place, {name: value.clone() for name, value in scale.state_dict().items()})
        return []

    singan = trained(config=config(norm=norm), watch=watch)
    assert len(kept) == len(singan.pyramid.scales) - 1 >= 2
    for place, before in kept.items():
        after = singan.pyramid.scales[place].state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())
    singan.pyramid.train()
    assert not any(module.training for module in singan.pyramid.modules())
    assert not any(parameter.requires_grad for parameter in singan.pyramid.parameters())


def test_the_reconstruction_is_that_of_the_training() -> None:
    """z* is drawn once: at every scale the frozen pyramid rebuilds what the training rebuilt, bit by bit."""
    noises: list[Tensor] = []
    rebuilt: list[Tensor] = []

    class Last:
        def __init__(self, played: SinGANScale) -> None:
            self.played = played

        def __call__(self, report: Report) -> None:
            noises.append(self.played.below.z_rec.clone())

        def finish(self, report: Report) -> None:
            rebuilt.append(self.played.rebuild().detach())

    singan = trained(watch=Last)
    assert all(torch.equal(noise, singan.pyramid.z_rec) for noise in noises) and float(noises[0].std()) > 0.5
    torch.testing.assert_close(singan.reconstruct(), rebuilt[-1][0].clamp(-1, 1), rtol=0, atol=1e-6)
    assert torch.equal(singan.reconstruct(), singan.reconstruct())
    lower = resized(rebuilt[-2], singan.pyramid.sizes[-1])
    expected = singan.config.noise * (lower - singan.image).square().mean().sqrt()
    torch.testing.assert_close(singan.pyramid.sigma[-1], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_training_goes_on_where_it_stopped(norm: Norm, tmp_path: Path) -> None:
    chosen = config(norm=norm, generator_turns=2, rounds=3)
    whole = trained(config=chosen)

    def cut(played: SinGANScale) -> Any:
        def callback(report: Report) -> None:
            if played.place == 1 and report.rounds_done == 1:
                raise KeyboardInterrupt

        return callback

    part = trained(config=chosen, checkpoint=tmp_path, watch=cut)
    assert part.coarsest == 1 and len(part.histories[1]) == 1 and part.sample().shape[-2:] == part.image.shape[-2:]
    again = trained(config=chosen, checkpoint=tmp_path, resume=True)
    finished = trained(config=chosen, checkpoint=tmp_path, resume=True)  # nothing is left to play
    for other in (again, finished):
        assert [len(history) for history in other.histories] == [3, 3, 3]
        for name, value in whole.pyramid.state_dict().items():
            assert torch.equal(value, other.pyramid.state_dict()[name]), name
    assert torch.equal(whole.sample(seed=3), again.sample(seed=3))


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    SinGAN.train(picture(), config(rounds=1), checkpoint=tmp_path, scales=1, runtime=CPU)
    with pytest.raises(CheckpointError, match="another photo and seed"):
        SinGAN.train(-picture(), config(rounds=1), checkpoint=tmp_path, scales=1, runtime=CPU, resume=True, seed=1)
    SinGAN.train(-picture(), config(rounds=1), checkpoint=tmp_path, scales=1, runtime=CPU)  # anew
    SinGAN.train(-picture(), config(rounds=1), checkpoint=tmp_path, scales=1, runtime=CPU, resume=True)


# ---------------------------------------------------------------------------------------------- applications
def test_samples_of_any_size(singan: SinGAN) -> None:
    assert singan.sample(3).shape == (3, 3, HEIGHT, WIDTH)
    assert singan.sample(height=50, width=31).shape == (1, 3, 50, 31)
    assert singan.sizes(64, 48)[0] == (32, 24)
    one, same, other = (singan.sample(seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.allclose(one, other) and float(one.abs().max()) <= 1
    by_seed = [singan.pyramid.draw(1, generator=seeded(seed), sizes=singan.sizes()) for seed in (0, 1)]
    assert not any(torch.allclose(one, drawn.clamp(-1, 1)) for drawn in by_seed if drawn is not None)  # z* is not met


def test_from_finer_scales_more_of_the_photo_stays(singan: SinGAN) -> None:
    gaps = [
        float((singan.sample(from_scale=scale) - shrunk(singan.image[None], (HEIGHT, WIDTH))).abs().mean())
        for scale in (2, 1, 0)
    ]
    assert gaps[0] > gaps[1] > gaps[2] > 0, gaps


def test_an_edit_changes_nothing_far_from_its_mask(singan: SinGAN) -> None:
    edited, mask = picture().clone(), torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[10:20, 6:14] = True
    edited[:, mask] = 1.0
    for mended in (singan.edit(edited, 1, mask), singan.harmonise(edited, mask, 1)):
        assert torch.equal(mended[:, :, 36:], edited[:, :, 36:])
        assert not torch.allclose(mended[:, mask], edited[:, mask], atol=0.01)
    whole = singan.edit(edited, 1)
    torch.testing.assert_close(whole, singan.paint_to_image(edited, 1)[0])
    assert not torch.allclose(whole[:, :, 36:], edited[:, :, 36:], atol=0.01)


def test_a_soft_mask_falls_with_the_distance() -> None:
    mask = torch.zeros(1, 12, dtype=torch.bool)
    mask[0, 0] = True
    expected = [1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0, 0]
    torch.testing.assert_close(soft_mask(mask, grow=2, feather=4)[0], torch.tensor(expected))


def test_only_what_survives_shrinking_enters(singan: SinGAN) -> None:
    """A painting enters at the size of the scale below: finer detail of it has no effect."""
    small = torch.rand(3, *singan.pyramid.sizes[0], generator=seeded(0)) * 2 - 1
    painting = resized(small[None], (HEIGHT, WIDTH))[0].clamp(-1, 1)
    entered = singan.paint_to_image(painting, 1)
    assert torch.equal(singan.paint_to_image(painting), singan.paint_to_image(painting, 0))  # N - 2
    assert entered.shape == (1, 3, HEIGHT, WIDTH)
    by_hand = singan.pyramid.draw(
        1, generator=seeded(2**31), start=1, below=shrunk(painting[None], singan.pyramid.sizes[0])
    )
    assert by_hand is not None
    torch.testing.assert_close(entered, by_hand.clamp(-1, 1))


def test_super_resolution_repeats_one_scale(singan: SinGAN) -> None:
    assert singan.super_resolve(4.0).shape == (3, 4 * HEIGHT, 4 * WIDTH)
    once = singan.super_resolve(4 / 3)
    base = resized(singan.image[None], (round(HEIGHT * 4 / 3), round(WIDTH * 4 / 3)))
    assert singan.enlarger is not None
    torch.testing.assert_close(once, singan.enlarger(base, torch.zeros(()))[0].clamp(-1, 1))
    assert singan.super_resolve(2, picture(20, 30)).shape == (3, 40, 60)


def test_the_enlarger_learns_to_bring_back_the_photo() -> None:
    """From three quarters of the size: nearer to the photo than plain enlarging."""
    image = shrunk(load_photo("flower", side=48).image[None], (30, 48))
    chosen = enlarging(config(width=16, widest=16, lr=3e-3), rounds=60)
    torch.manual_seed(0)
    played = EnlargingScale(image, chosen, generator=seeded(0))
    names = ["D/real", "D/fake", "D/penalty", "G/gan", "G/rebuild"]
    assert [row.name for row in assert_alive(played, {"image": image})] == names
    play(played, Repeat({"image": image}), 60, optimisers=chosen.optimisers(), schedule=chosen.learning_rate)
    with torch.no_grad():
        errors = [float((made - image).square().mean()) for made in (played.rebuild(), played.base_rec)]
    assert errors[0] < 0.9 * errors[1], errors


def test_saving_and_loading(singan: SinGAN, tmp_path: Path) -> None:
    path = tmp_path / "singan.safetensors"
    singan.save(path, metrics={"rebuild": 0.1}, data="scene")
    loaded = SinGAN.load(path, runtime=CPU)
    assert torch.equal(loaded.sample(2), singan.sample(2)) and torch.equal(loaded.reconstruct(), singan.reconstruct())
    assert torch.equal(loaded.super_resolve(2), singan.super_resolve(2))
    assert loaded.config == singan.config and loaded.coarsest == 2
    short = trained(scales=2)
    short.save(path)
    again = SinGAN.load(path, runtime=CPU)
    assert torch.equal(again.sample(), short.sample())
    with pytest.raises(SinGANError, match="train_enlarger"):
        again.super_resolve(2)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sizes"] == [list(size) for size in short.pyramid.sizes]
    with pytest.raises(CheckpointError, match="no SinGAN"):
        SinGAN.load(Path("assets/checkpoints/reader_digits.safetensors").resolve(), runtime=CPU)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda s: SinGAN.train(torch.zeros(3, 8, 48), config(), runtime=CPU), "closer to a square"),
        (lambda s: SinGAN.train(torch.zeros(1, 3, 32, 48), config(), runtime=CPU), "must be floating point"),
        (lambda s: SinGAN.train(torch.full((3, 32, 48), torch.nan), config(), runtime=CPU), "NaN"),
        (lambda s: s.sample(from_scale=3), "There is no scale 3"),
        (lambda s: s.paint_to_image(picture(), 2), "from noise alone"),
        (lambda s: s.edit(picture(), 1, torch.zeros(4, 4)), "mask is"),
        (lambda s: s.edit(picture(), 1, torch.zeros(HEIGHT, WIDTH)), "mask is empty"),
        (lambda s: s.super_resolve(1.0), "more than 1"),
    ],
    ids=["too flat", "a batch", "nan", "no scale", "coarsest", "other mask", "empty mask", "factor"],
)
def test_what_cannot_be_used_is_refused(singan: SinGAN, call: Any, complaint: str) -> None:
    with pytest.raises(SinGANError, match=complaint):
        call(singan)


def test_wrong_settings_are_refused_and_the_profiles_survive_a_card() -> None:
    with pytest.raises(GameError, match="raise `least`"):
        config(least=10).check()
    with pytest.raises(GameError, match="at least 1"):
        config(rounds=0).check()
    with pytest.raises(NetworkError, match="too small"):
        pyramid_sizes(10, 100, least=16)
    full, pyramid = game(0)[0], Pyramid([(16, 24)])
    with pytest.raises(GameError, match="at this scale"):
        SinGANScale(full.below, torch.zeros(1, 3, 5, 5), full.config, generator=seeded(0))
    pyramid.add(full.G, torch.ones(()))
    with pytest.raises(NetworkError, match="All 1 scales"):
        pyramid.add(full.G, torch.ones(()))
    for chosen in (SinGANConfig.full(), SinGANConfig.quick()):
        chosen.check()
        assert SinGANConfig(**json.loads(json.dumps(asdict(chosen)))) == chosen
    assert [chosen.learning_rate(at) for at in (0.0, 0.79, 0.8)] == [1, 1, pytest.approx(0.1)]


# ------------------------------------------------------------------------------------- measures and command
def test_diversity_has_known_ends() -> None:
    scene = torch.rand(3, 20, 20, generator=seeded(0)) * 2 - 1
    shuffled = torch.stack(
        [scene.flatten(1)[:, torch.randperm(400, generator=seeded(seed))].reshape(3, 20, 20) for seed in range(200)]
    )
    assert diversity(scene.expand(5, -1, -1, -1), scene) == pytest.approx(0, abs=1e-6)
    assert diversity(shuffled, scene) == pytest.approx(1, abs=0.05)


def test_the_measures_are_there_and_finite(singan: SinGAN) -> None:
    scores = measure(singan, count=2)
    expected = {"rebuild", "N/diversity", "N/sifid", "N-1/coherence@1", "N-1/sharpness"}
    assert expected <= set(scores) and all(value == value for value in scores.values())


def test_the_command_writes_a_pyramid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = config
    monkeypatch.setattr(SinGANConfig, "quick", classmethod(lambda cls: small(rounds=2)))
    results = tmp_path / "results"
    command = SinGANCommand(
        profile="quick", device="cpu", photo="flower", checkpoints=tmp_path, results=results, side=40,
        sheet=tmp_path / "sheet.png", work=tmp_path / "work",
    )  # fmt: skip
    assert main(command) == 0 and (tmp_path / "sheet.png").is_file()
    record: Mapping[str, Any] = json.loads((results / "singan_flower.json").read_text())
    assert record["config"]["side"] == 40 and record["rounds"] == [2] * len(record["sizes"]) + [1]
    loaded = SinGAN.load(tmp_path / "singan_flower.safetensors", runtime=CPU)
    torch.testing.assert_close(loaded.image, load_photo("flower", side=40).image)
    assert len(list((tmp_path / "work").glob("scale_*.safetensors"))) == len(record["sizes"])
    assert singan_train.__all__


# -------------------------------------------------------------------------------------------- with a layout
def test_painting_a_layout(singan: SinGAN) -> None:
    image, layout = photo(HEIGHT, WIDTH, grain=0.3)
    own = torch.from_numpy(layout.index.astype("int64"))
    target = own.roll(7, dims=1)
    made = {
        start: painter.paint(image.float(), own, target, model=singan, start=start)
        for start in ("copy-paste", "colours")
    }
    assert all(paint.shape == (3, HEIGHT, WIDTH) for paint in made.values())
    assert not torch.allclose(made["colours"], made["copy-paste"], atol=0.05)
    wide = torch.cat([own, own], dim=1)
    assert painter.paint(image.float(), own, wide, model=singan).shape == (3, HEIGHT, 2 * WIDTH)
    rough = painter.rough(image.float(), own, target, "colours")
    for label in own.unique().tolist():
        mean = image.float()[:, own == label].mean(dim=1, keepdim=True)
        torch.testing.assert_close(rough[:, target == label], mean.expand(-1, int((target == label).sum())))
    with pytest.raises(PaintError, match="copy-paste"):
        painter.rough(image.float(), own, target, "nothing")  # type: ignore[arg-type]
    with pytest.raises(PaintError, match="does not show"):
        painter.paint(image.float(), own, target + 9, model=singan)
