"""SRGAN: the paper's networks, live losses, the data that is never mixed, and measures that notice what they should."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lib.data.super_resolution import (
    PhotoSet,
    bundled_photos,
    downscale,
    enlarge,
)
from lib.games.game import GameError
from lib.games.photo_features_train import (
    accuracy,
    content_features,
    load_photo_features,
    matched_scale,
    named_patches,
    save_photo_features,
    train_photo_features,
)
from lib.games.srgan import LAST_LAYER, SRGAN, TABLE_1, SRGANConfig, SRResNetGame, build, warm_start
from lib.games.srgan_measures import enlarged, grid, patches_of, sr_scores, sr_table
from lib.games.srgan_train import SRGANCommand, main, phi_of, photo_crops, train_srgan, train_srresnet, with_scale
from lib.games.translator import Translator
from lib.losses.adversarial import bce_fake, bce_real, non_saturating
from lib.losses.perceptual import FeatureMaps, PerceptualError
from lib.nn.dcgan import NetworkError
from lib.nn.photo_features import PhotoFeatures, PhotoFeaturesConfig
from lib.nn.srgan_discriminator import SRDiscriminator
from lib.nn.srresnet import SRResNet, SRResNetConfig
from lib.runtime import Runtime, seeded
from lib.training.audit import DeadTerm, assert_alive, gradient_audit
from lib.training.checkpoint import CheckpointError
from lib.training.optim import OptimConfig
from lib.training.play import play
from lib.training.streams import Repeat

SIZE = 32
CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {
    "size": SIZE, "side": 96, "width": 4, "blocks": 1, "kernel": 3, "d_width": 4, "batch": 2, "rounds": 2,
    "gan_rounds": 2, "feature_scale": 1.0, "features": "photos", "content": LAST_LAYER,
}  # fmt: skip


def config(**changes: Any) -> SRGANConfig:
    return SRGANConfig(**TINY | changes)


def phi(layer: tuple[int, int] = LAST_LAYER) -> FeatureMaps:
    torch.manual_seed(0)
    return content_features(layer, PhotoFeatures(PhotoFeaturesConfig(("a", "b"), widths=(4, 4, 4))))


def game(**changes: Any) -> SRResNetGame:
    chosen = config(**changes)
    return build(chosen, None if chosen.content == "mse" else phi())


def batch(count: int = 2, size: int = SIZE) -> dict[str, Tensor]:
    image = torch.rand(count, 3, size, size, generator=seeded(0)) * 2 - 1
    return {"image": image, "condition": downscale(image)}


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# -------------------------------------------------------------------------------------------------- networks


def test_the_networks_have_the_papers_size() -> None:
    with torch.device("meta"):
        assert weights(SRResNet()) == 1_547_350
        assert weights(SRResNet(SRResNetConfig(blocks=5))) == 733_515
        D = SRDiscriminator()
        assert weights(D) == 23_563_649 and weights(D.hidden) == 18_875_392
        assert weights(SRDiscriminator(head="pool")) == 5_213_569
    full, quick = SRGANConfig.full(), SRGANConfig.quick()
    assert full.network() == SRResNetConfig() and (full.content, full.features) == ((5, 4), "vgg19")
    with torch.device("meta"):
        assert (weights(SRResNet(quick.network())), weights(SRDiscriminator(size=64, width=16))) == (106_570, 818_785)


@pytest.mark.parametrize("upsampling", ["shuffle", "icnr", "resize"])
@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_a_picture_of_any_size_grows_four_times(upsampling: Any, size: tuple[int, int]) -> None:
    G = SRResNet(SRResNetConfig(width=4, blocks=1, upsampling=upsampling)).eval()
    x = torch.rand(1, 3, *size)
    assert G(x).shape == (1, 3, 4 * size[0], 4 * size[1]) and G(x).dtype == torch.float32
    assert SRResNet(SRResNetConfig(factor=2, width=4, blocks=1))(x).shape[-1] == 2 * size[1]


def test_over_bicubic_the_network_begins_as_bicubic() -> None:
    x = batch()["condition"]
    for norm in (True, False):
        change = SRResNet(SRResNetConfig(width=8, blocks=1, base="bicubic", norm=norm))(x) - enlarge(x)
        assert 1e-4 < float(change.detach().abs().mean()) < 0.15


def test_wrong_networks_and_sizes_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"2, 4, 8"):
        SRResNet(SRResNetConfig(factor=3))
    with pytest.raises(NetworkError, match="odd kernel"):
        SRResNet(SRResNetConfig(kernel=8))
    with pytest.raises(NetworkError, match=r"pictures \(B, 3, H, W\)"):
        SRResNet(SRResNetConfig(width=4, blocks=1))(torch.rand(1, 1, 8, 8))
    with pytest.raises(NetworkError, match="multiples of 16"):
        SRDiscriminator(size=40)
    with pytest.raises(NetworkError, match="looks at 32 x 32"):
        SRDiscriminator(size=32, width=2)(torch.rand(2, 3, 48, 48))
    assert SRDiscriminator(size=32, width=2, head="pool")(torch.rand(2, 3, 48, 64)).shape == (2, 1)


def test_features_are_named_as_in_the_paper() -> None:
    network = PhotoFeatures(PhotoFeaturesConfig(("a", "b"), widths=(4, 6, 8)))
    assert [network.layer(i, j) for i, j in ((1, 1), (1, 2), (2, 2), (3, 2))] == ["1", "3", "8", "13"]
    x = torch.rand(1, 3, 16, 16)
    (maps,) = content_features((2, 2), network)(x)
    torch.testing.assert_close(maps, network.trunk[:9](x))
    assert maps.shape == (1, 6, 8, 8) and float(maps.min()) == 0  # after the ReLU, before the second pooling
    with pytest.raises(NetworkError, match=r"3 x 2 .* phi_\(5,4\)"):
        network.layer(5, 4)


# ------------------------------------------------------------------------------------------------------ game


def test_the_terms_by_hand() -> None:
    played = game()
    assert isinstance(played, SRGAN)
    data, maps = batch(), phi()
    d_turn, g_turn = played.round(data)
    fake = played.G(data["condition"])
    expected = {"real": bce_real(played.D(data["image"])), "fake": bce_fake(played.D(fake.detach()))}
    torch.testing.assert_close(d_turn.terms, expected)
    features = (maps(fake)[0] - maps(data["image"])[0]).square().mean()
    expected = {"features": features, "gan": 1e-3 * non_saturating(played.D(fake))}
    torch.testing.assert_close(g_turn.terms, expected)
    (turn,) = game(content="mse", adversarial=0.0).round(data)
    assert turn.player == "G" and list(turn.terms) == ["mse"]


@pytest.mark.parametrize("row", TABLE_1)
def test_every_row_of_table_1_is_a_live_game(row: str) -> None:
    chosen = replace(config().row(row), feature_scale=1.0)
    layer = chosen.content if chosen.content != "mse" else None
    rows = assert_alive(build(chosen, phi(layer) if layer is not None else None), batch())
    names = {row.name for row in rows}
    assert ("D/real" in names) == row.startswith("SRGAN") and ("G/gan" in names) == row.startswith("SRGAN")
    assert ("G/tv" in names) == (row == "SRGAN-VGG22") and ("G/mse" in names) == row.endswith("MSE")


class Rewrapped(SRGAN):
    """The bug of a well-known rewrite: the content loss is put into a new tensor, which has no history."""

    def content_terms(self, fake: Tensor, image: Tensor) -> dict[str, Tensor]:
        return {name: torch.tensor(float(term.detach())) for name, term in super().content_terms(fake, image).items()}


class Shielded(SRGAN):
    """A frozen network that is also run under no_grad: right number, no gradient."""

    def content_terms(self, fake: Tensor, image: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            return super().content_terms(fake, image)


@pytest.mark.parametrize("broken", [Rewrapped, Shielded])
def test_a_dead_content_loss_has_the_same_value_and_is_found_out(broken: type[SRGAN]) -> None:
    """The history of both looks alike; the audit does not."""
    torch.manual_seed(0)
    dead = broken(config(), phi())
    torch.manual_seed(0)
    alive = SRGAN(config(), phi())
    values: list[dict[str, float]] = []
    for played in (alive, dead):
        played.load_state_dict(alive.state_dict())
        values.append({row.name: row.value for row in gradient_audit(played, batch())})
    assert values[0] == pytest.approx(values[1])
    norms = {row.name: row.norm for row in gradient_audit(alive, batch())}
    assert norms["G/features"] > 0
    assert_alive(dead, batch(), ["D/real", "D/fake", "G/gan"])
    with pytest.raises(DeadTerm, match="G/features"):
        assert_alive(dead, batch())


def test_the_players_leave_each_other_and_the_features_alone() -> None:
    played = game()
    assert isinstance(played, SRGAN) and isinstance(played.features, FeatureMaps)
    rows = {row.name: row for row in gradient_audit(played, batch())}
    assert not rows["G/features"].unreached and not rows["G/gan"].unreached
    frozen = {name: value.clone() for name, value in played.features.state_dict().items()}
    play(played, Repeat(batch()), 3, optimisers=OptimConfig(lr=1e-2))
    assert all(torch.equal(value, frozen[name]) for name, value in played.features.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in played.features.parameters())
    assert not any(module.training for module in played.features.modules())


def test_features_weigh_as_much_as_pixels_where_the_scale_is_measured() -> None:
    data, maps = batch(8), phi()
    bicubic = enlarge(data["condition"])
    scale = matched_scale(maps, data)
    features = scale * (maps(bicubic)[0] - maps(data["image"])[0]).square().mean()
    torch.testing.assert_close(features, (bicubic - data["image"]).square().mean())
    measured = with_scale(config(feature_scale=None), maps).feature_scale
    assert measured is not None and measured > 0 and measured != 1.0
    assert with_scale(config(), maps) == config()


def test_a_warm_start_takes_over_every_weight() -> None:
    first, second = game(content="mse", adversarial=0.0), game()
    play(first, Repeat(batch()), 1, optimisers=OptimConfig(lr=1e-2))
    assert not torch.equal(first.G.paint.weight, second.G.paint.weight)
    warm_start(second, first.G)
    for name, value in first.G.state_dict().items():
        assert torch.equal(value, second.G.state_dict()[name]), name
    with pytest.raises(GameError, match="same sizes"):
        warm_start(game(width=6), first.G)


def test_srresnet_learns_a_picture_by_heart() -> None:
    played = game(content="mse", adversarial=0.0, width=12, norm=False, base="bicubic")
    data = batch(1)
    before = gradient_audit(played, data)[0].value
    play(played, Repeat(data), 60, optimisers=OptimConfig(lr=5e-3))
    assert gradient_audit(played, data)[0].value < 0.9 * before


def test_d_learns_what_is_missing() -> None:
    played = game(norm=False, d_norm=False)
    history = play(played, Repeat(batch(4)), 15, optimisers=OptimConfig(lr={"D": 2e-3, "G": 1e-9}))
    assert history.values("D/real")[-1] + history.values("D/fake")[-1] < 0.7 * 1.386


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    chosen = config()
    whole, part, again = (game() for _ in range(3))
    options: dict[str, Any] = {"optimisers": OptimConfig(lr=1e-3), "checkpoint": tmp_path / "cut.safetensors"}
    play(whole, photo_crops(chosen), 4, optimisers=OptimConfig(lr=1e-3))
    play(part, photo_crops(chosen), 2, **options)
    play(again, photo_crops(chosen), 4, resume=True, **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_round_in_bfloat16_is_finite() -> None:
    runtime = Runtime(torch.device("cpu"), torch.bfloat16, True)
    played = game()
    runtime.place(played)
    play(played, Repeat(batch()), 2, optimisers=OptimConfig(lr=1e-3), runtime=runtime)
    assert all(bool(parameter.isfinite().all()) for parameter in played.parameters())


@pytest.mark.parametrize(
    ("data", "complaint"),
    [({"image": 0}, "no 'condition'"), ({**batch(), "image": torch.zeros(2, 3, 16, 16)}, "not 4 times as large")],
    ids=["unpaired", "wrong size"],
)
def test_wrong_batches_are_refused(data: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(GameError, match=complaint):
        next(game().round(data))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: build(config(size=90), phi()), "no small version"),
        (lambda: build(config(tv=-1.0), phi()), "from 0 on"),
        (lambda: build(config()), "needs features"),
        (lambda: build(config(feature_scale=None), phi()), "needs features and their scale"),
        (lambda: SRGAN(config(adversarial=0.0), phi()), "play SRResNetGame"),
        (lambda: config().row("SRGAN-VGG33"), "no row"),
    ],
)  # fmt: skip
def test_wrong_rules_are_refused(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(GameError, match=complaint):
        make()


def test_the_profiles_are_right_and_survive_a_card() -> None:
    for chosen in (SRGANConfig.full(), SRGANConfig.quick(), config(content="mse")):
        chosen.check()
        assert SRGANConfig.from_dict(json.loads(json.dumps(asdict(chosen)))) == chosen
    full, quick = SRGANConfig.full(), SRGANConfig.quick()
    assert [full.learning_rate(at) for at in (0.0, 0.9)] == [1, 1]
    assert [full.gan_learning_rate(at) for at in (0.0, 0.49, 0.5, 1.0)] == [1, 1, 0.1, 0.1]
    assert quick.learning_rate(0.25) == 1 > quick.learning_rate(0.9)
    assert full.row("SRGAN-VGG54") == full and quick.row("SRGAN-VGG54").content == LAST_LAYER
    assert full.pretraining().content == "mse" and not full.pretraining().adversarial


# ------------------------------------------------------------------------------------------------- measures


def photos() -> PhotoSet:
    pictures = bundled_photos("test", side=128, textures=False)
    return PhotoSet({"chelsea": pictures["chelsea"]})


def test_the_measures_know_blur_noise_and_truth() -> None:
    samples = photos()
    truth = samples.read(0)["image"]
    noisy = (
        enlarge(samples.read(0)["condition"][None])[0] + 0.15 * torch.randn(truth.shape, generator=seeded(0))
    ).clamp(-1, 1)
    table = sr_table({"noisy": lambda _low: noisy[None], "truth itself": lambda _low: truth[None]}, samples)
    assert table["truth itself"]["psnr/y"] == 100 and table["truth itself"]["patch_fid"] < 1e-3
    assert table["bicubic"]["psnr/y"] > table["nearest"]["psnr/y"] > table["noisy"]["psnr/y"]
    assert table["bicubic"]["psnr/y"] > table["bicubic"]["psnr/rgb"] + 0.5  # bookkeeping
    assert table["bicubic"]["sharpness"] < 0.9 < table["noisy"]["sharpness"]
    assert table["noisy"]["agreement"] < table["bicubic"]["agreement"] < table["truth itself"]["agreement"] + 1e-6
    assert table["nearest"]["grid"] > 5 * table["truth"]["grid"]
    # What pools over the picture likes the squares of nearest neighbour; what asks where the edges are does not.
    assert table["nearest"]["distance"] < table["bicubic"]["distance"]
    assert table["nearest"]["contours"] < table["bicubic"]["contours"] - 0.05
    assert table["truth itself"]["contours"] == pytest.approx(table["truth"]["contours"])


def test_the_border_is_left_out() -> None:
    samples = photos()
    truth = samples.read(0)["image"]
    framed = truth.clone()
    framed[:, :4] = framed[:, -4:] = framed[..., :4] = framed[..., -4:] = -1.0  # fmt: skip
    scores = sr_scores([framed], samples)
    assert scores["psnr/rgb"] == 100 and scores["ssim/y"] == pytest.approx(1)
    with pytest.raises(ValueError, match="2 pictures for 1"):
        sr_scores([truth, truth], samples)


def test_a_grid_is_seen_and_noise_is_none() -> None:
    plain = torch.randn(4, 3, 64, 64, generator=seeded(0))
    checkered = plain.clone()
    checkered[..., ::2, ::2] *= 2
    assert grid(plain) < 0.1 < 0.3 < grid(checkered)
    assert patches_of([torch.zeros(3, 70, 100)]).shape == (6, 3, 32, 32)


# ------------------------------------------------------------------------------------------------- trainings


def test_the_features_learn_to_name_photos(tmp_path: Path) -> None:
    network, history = train_photo_features(side=96, rounds=20, runtime=CPU)
    train = bundled_photos("train", side=96)
    patches = named_patches(train, network.config.classes, batch=64, seed=1).draw()
    assert accuracy(network, patches) > 2 / len(train) and not any(p.requires_grad for p in network.parameters())
    save_photo_features(tmp_path / "features_photos.safetensors", network, history, seed=0, runtime=CPU)
    again = load_photo_features(tmp_path / "features_photos.safetensors")
    assert torch.equal(again(patches["image"]), network(patches["image"])) and again.config == network.config
    found = phi_of(config(), tmp_path, runtime=CPU)
    assert found is not None and torch.equal(found(patches["image"])[0], network.trunk(patches["image"]))
    assert phi_of(config(content="mse"), tmp_path) is None


def test_missing_features_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="train srgan"):
        load_photo_features(tmp_path / "none.safetensors")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(PerceptualError, match="VGG-19 are not on this machine"):
        phi_of(SRGANConfig.full())


def test_both_stages_leave_a_network_in_evaluation_mode() -> None:
    first, history = train_srresnet(config(), runtime=CPU)
    assert history.names == ("G/mse",) and len(history) == 2 and not first.training
    second, history = train_srgan(config(), first, phi(), runtime=CPU)
    assert set(history.names) == {"D/real", "D/fake", "G/features", "G/gan"} and not second.training
    same, _ = train_srgan(config(gan_lr=0.0), first, phi(), runtime=CPU)
    assert torch.equal(same.paint.weight, first.paint.weight)
    _, history = train_srgan(config(adversarial=0.0), first, phi(), runtime=CPU)
    assert history.names == ("G/features",)


def test_the_command_writes_both_networks_and_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SRGANConfig, "shipped", classmethod(lambda cls: config(side=128)))
    network, history = train_photo_features(side=96, rounds=1, runtime=CPU)
    save_photo_features(tmp_path / "features_photos.safetensors", network, history, seed=0, runtime=CPU)
    sheet = tmp_path / "sheet.png"
    command = SRGANCommand(
        profile="quick", device="cpu", checkpoints=tmp_path, results=tmp_path, rounds=1, gan_rounds=1, sheet=sheet
    )
    assert main(command) == 0 and sheet.is_file()
    record = json.loads((tmp_path / "srgan_photos.json").read_text())
    assert "measures" in record and {"srgan/psnr/y", "srresnet/ssim/y", "bicubic/patch_fid"} <= set(record["measures"])
    translator = Translator.load(tmp_path / "srgan_photos.safetensors", runtime=CPU)
    assert translator.translate(Image.new("RGB", (20, 17))).shape == (3, 68, 80)
    assert torch.equal(enlarged(translator.paint, photos())[0], enlarged(translator.G, photos())[0])


def test_each_stage_has_its_own_checkpoint_and_half_of_the_time(tmp_path: Path) -> None:
    command = SRGANCommand(minutes=2.0, work=tmp_path / "cut.safetensors", row="SRGAN-MSE")
    first, second = (command.stage_options(stage) for stage in ("SRResNet", "SRGAN"))
    assert first["checkpoint"] != second["checkpoint"] and first["budget_s"] == 60 and first["resume"]
    assert command.config().content == "mse"


def test_a_round_is_one_step_of_each_once_d_has_begun() -> None:
    assert [turn.player for turn in game().round(batch())] == ["D", "G"]
    early = game(warm=2)
    history = play(early, Repeat(batch()), 3, optimisers=OptimConfig(lr=1e-3))
    assert len(history.values("D/real")) == 3 and len(history.values("G/gan")) == 1


def test_the_second_stage_may_return_an_average() -> None:
    first, _ = train_srresnet(config(), runtime=CPU)
    chosen = config(gan_rounds=4, gan_lr=1e-2)
    last, _ = train_srgan(chosen, first, phi(), runtime=CPU)
    average, _ = train_srgan(replace(chosen, ema=0.9), first, phi(), runtime=CPU)
    still, _ = train_srgan(replace(chosen, ema=0.9, warm=4), first, phi(), runtime=CPU)
    distance = [(G.paint.weight - first.paint.weight).abs().max() for G in (still, average, last)]
    assert distance[0] < 1e-7 < distance[1] < distance[2] and not average.training


def test_d_may_learn_faster() -> None:
    first, _ = train_srresnet(config(), runtime=CPU)
    slow, fast = (train_srgan(config(gan_lr=1e-3, d_rate=rate, gan_rounds=12), first, phi(), runtime=CPU)[1]
                  for rate in (0.01, 5.0))  # fmt: skip
    assert fast.values("D/real")[-1] + fast.values("D/fake")[-1] < slow.values("D/real")[-1] + slow.values("D/fake")[-1]
