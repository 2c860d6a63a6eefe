"""Mask-guided diverse faces: who needs whom, what the style reaches, and measures with a known answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from lib.data.worlds.faces import Faces
from lib.data.worlds.world import one_hot
from lib.games import maskface_train
from lib.games.game import GameError
from lib.games.maskface import TERMS, MaskFace, MaskFaceConfig, build_maskface
from lib.games.maskface_measures import (
    EDITS,
    Judges,
    edit_scores,
    edited_faces,
    every_style,
    looks_of_one_mask,
    measure,
    style_scores,
    swap_score,
)
from lib.games.maskface_train import MASKS, MaskFaceCommand, held_out_faces, main, train_maskface, training_stream
from lib.games.translator import Translator
from lib.losses.adversarial import bce_fake, bce_real, non_saturating
from lib.losses.diversity import UnknownDiversity
from lib.losses.penalties import r1
from lib.nn.dcgan import NetworkError
from lib.nn.maskface import FaceConfig, FaceDiscriminator, FaceModel, MaskGenerator, StyleDecoder, StyleEncoder
from lib.runtime import Runtime, seeded
from lib.training.audit import DeadTerm, assert_alive, gradient_audit
from lib.training.play import Report, play
from lib.training.streams import Repeat
from tests.face_judges import untrained_judges

SIZE, K = 16, 3
CPU = Runtime(torch.device("cpu"))
CLASSES = len(Faces.palette)
TINY: dict[str, Any] = {
    "size": SIZE, "width": 6, "widest": 8, "halvings": 1, "middle": 1, "latent": 4, "style": 5, "mapping": 8,
    "judge_width": 6, "batch": 2, "rounds": 2, "pool": 4, "lr": 2e-3,
}  # fmt: skip


def config(**changes: Any) -> MaskFaceConfig:
    return MaskFaceConfig(**TINY | changes)


def game(classes: int = K, **changes: Any) -> MaskFace:
    return build_maskface(classes, config(**changes))


def batch(count: int = 2) -> dict[str, Tensor]:
    labels = torch.randint(K, (count, SIZE, SIZE), generator=seeded(1))
    return {"condition": one_hot(labels, K), "image": torch.rand(count, 3, SIZE, SIZE, generator=seeded(0)) * 2 - 1}


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# -------------------------------------------------------------------------------------------------- networks


def test_the_full_networks_are_those_of_star_gan_v2() -> None:
    """Its counts at 256 px for RGB in and one domain: a mask of 3 classes makes G's input as wide."""
    with torch.device("meta"):
        sizes = MaskFaceConfig.full().networks(3)
        assert sizes == FaceConfig(3)
        counted = [weights(network(sizes)) for network in (MaskGenerator, StyleDecoder, StyleEncoder)]
        assert counted == [33_892_995, 20_884_096, 829_504]
        mask_channels = 3 * 64 * 9  # of D's first convolution, which v2 does not have
        assert weights(FaceDiscriminator(sizes)) == 20_851_777 + mask_channels
        quick = MaskFaceConfig.quick().networks(CLASSES)
        assert weights(FaceModel(quick)) + weights(FaceDiscriminator(quick)) < 1_500_000


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (19, 22)])
def test_the_generator_paints_any_size_alike_in_both_modes(skips: bool, size: tuple[int, int]) -> None:
    model = FaceModel(config(skips=skips, halvings=2).networks(K))
    mask, style = one_hot(torch.zeros(2, *size, dtype=torch.long), K), torch.randn(2, 5, generator=seeded(0))
    picture = model(mask, style=style)
    assert picture.shape == (2, 3, *size) and picture.abs().max() <= 1
    assert torch.equal(model.eval()(mask, style=style), picture)
    assert len(model.G.encode(mask[:, :, :16, :16])) == (3 if skips else 1)


def test_the_style_comes_from_noise_from_a_code_or_from_the_middle() -> None:
    model, mask = FaceModel(config().networks(K)), batch()["condition"]
    one, same, other = (model(mask, noise=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.allclose(one, other)
    z = torch.randn(2, 4, generator=seeded(0))
    torch.testing.assert_close(model(mask, style=model.S(z)), one)
    torch.testing.assert_close(model(mask), model(mask, style=model.S(torch.zeros(1, 4))))


def test_hearing_scales_what_the_style_changes() -> None:
    changes = []
    for hearing in (0.0, 0.25, 1.0):
        torch.manual_seed(0)
        model = FaceModel(config(hearing=hearing).networks(K))
        one, other = (model(batch()["condition"], noise=seeded(seed)).detach() for seed in (0, 1))
        changes.append(float((one - other).abs().mean()))
    assert changes[0] == 0 < changes[1] < changes[2]


def test_wrong_masks_and_sizes_are_refused() -> None:
    model = FaceModel(config().networks(K))
    with pytest.raises(NetworkError, match=r"one-hot masks \(B, 3, H, W\)"):
        model(torch.zeros(1, 2, 16, 16))
    for wrong in ({"size": 48}, {"halvings": 3}, {"width": 0}):
        with pytest.raises(NetworkError, match=r"power of two|start at 1"):
            game(**wrong)


# ------------------------------------------------------------------------------------------------------ game


def test_the_terms_by_hand() -> None:
    played, data = game(), batch()
    played.progress = 0.25
    d_turn, g_turn = played.round(data)
    m, x, model, D = data["condition"], data["image"], played.model, played.D
    z = torch.randn(4, 4, generator=seeded(1))
    style, twice = model.S(z), torch.cat([m, m])
    fake = model.G(twice, style)
    expected = {"real": bce_real(D(x, m)), "fake": bce_fake(D(fake, twice)), "r1": r1(lambda face: D(face, m), x)}
    torch.testing.assert_close(d_turn.terms, expected)
    expected = {
        "gan": non_saturating(D(fake, twice)), "style": (model.R(fake) - style).abs().mean(),
        "diversity": -0.75 * (fake[:2] - fake[2:]).abs().mean(),
    }  # fmt: skip
    torch.testing.assert_close(g_turn.terms, expected)


def test_rebuilding_falls_to_nothing() -> None:
    played, data = game(rebuild=10.0, rebuild_until=0.5), batch()
    found = {}
    for progress in (0.0, 0.25, 0.5):
        played.progress = progress
        terms = list(played.round(data))[1].terms
        found[progress] = float(terms["rebuild"].detach()) if "rebuild" in terms else 0.0
    rebuilt = played.model.G(data["condition"], played.model.R(data["image"]))
    assert found[0.0] == pytest.approx(10 * float((rebuilt - data["image"]).abs().mean().detach()), rel=1e-5)
    assert found[0.25] == pytest.approx(found[0.0] / 2, rel=1e-5) and found[0.5] == 0


@pytest.mark.parametrize("form", ["sensitive", "ratio", "mode-seeking"])
@pytest.mark.parametrize("skips", [False, True])
def test_every_term_moves_its_player_and_its_networks(form: str, skips: bool) -> None:
    rows = {row.name: row for row in assert_alive(game(diversity_form=form, rebuild=1.0, skips=skips), batch())}
    assert set(rows) == {"D/real", "D/fake", "D/r1", "G/gan", "G/style", "G/diversity", "G/rebuild"}
    reached = {
        name: {key.removeprefix("model.") for key, norm in rows[name].by_network.items() if norm > 0}
        for name in rows if name.startswith("G/")
    }  # fmt: skip
    # The adversary and the distance do not teach the reader of styles; rebuilding does not need S.
    assert reached == {
        "G/gan": {"G", "S"}, "G/style": {"G", "S", "R"}, "G/diversity": {"G", "S"}, "G/rebuild": {"G", "R"},
    }  # fmt: skip
    assert all(not rows[name].unreached for name in ("D/real", "D/fake"))


class Detached(MaskFace):
    """A style decoder that is shown a copy: R learns, G does not."""

    def g_terms(self, twice: Tensor, fake: Tensor, style: Tensor, z: Tensor) -> dict[str, Tensor]:
        return super().g_terms(twice, fake.detach(), style.detach(), z)


def test_a_style_term_on_a_copy_is_dead_for_g() -> None:
    """The control: the term has the same value and a gradient, but none at G, S; the other two are dead altogether."""
    torch.manual_seed(0)
    broken, whole = Detached(K, config(), generator=seeded(1)), game()
    whole.load_state_dict(broken.state_dict())
    dead, alive = ({row.name: row for row in gradient_audit(played, batch())} for played in (broken, whole))
    assert dead["G/style"].value == pytest.approx(alive["G/style"].value)
    assert dead["G/style"].norm > 0 == dead["G/style"].by_network["model.G"]
    assert alive["G/style"].by_network["model.G"] > 0
    with pytest.raises(DeadTerm, match="G/gan"):
        assert_alive(broken, batch())


@pytest.mark.parametrize("terms", TERMS)
def test_every_row_of_the_ablation_is_a_game(terms: str) -> None:
    wanted = {"gan"} | ({"style"} if "recon" in terms or terms == "all" else set())
    wanted |= {"diversity"} if "div" in terms or terms == "all" else set()
    played = game(**TERMS[terms])
    assert set(list(played.round(batch()))[1].terms) == wanted
    play(played, Repeat(batch()), 1, optimisers=played.config.optimisers(played))  # though R may have no gradient


def test_r1_acts_now_and_then_that_much_more_strongly() -> None:
    played, always = game(every=3), game()
    present = []
    for done in range(4):
        played.rounds_done = done
        present.append("r1" in next(played.round(batch())).terms)
    assert present == [True, False, False, True]
    played.rounds_done = 0
    once, each = (next(one.round(batch())).terms["r1"] for one in (played, always))
    torch.testing.assert_close(once, 3 * each)


def test_the_style_encoder_learns_slowly() -> None:
    chosen = config(s_lr=0.01, lr=1e-3)
    played = game(s_lr=0.01, lr=1e-3)
    optimiser = chosen.optimisers(played)["G"]
    assert isinstance(optimiser, Adam) and [group["lr"] for group in optimiser.param_groups] == [1e-3, 1e-5]
    before = {name: value.clone() for name, value in played.model.state_dict().items()}
    play(played, Repeat(batch()), 1, optimisers=chosen.optimisers(played))
    moved = {
        part: max(
            float((value - before[name]).abs().max())
            for name, value in played.model.state_dict().items() if name.startswith(part)
        )
        for part in ("S.", "G.", "R.")
    }  # fmt: skip
    assert moved["S."] < 0.02 * moved["G."] and moved["R."] > 0


def test_a_generator_learns_to_be_diverse_and_readable() -> None:
    """On two masks: the style can be read better than it could, and shows more than it did."""
    start, played = game(hearing=0.25).model, game(hearing=0.25, lr=5e-3, diversity=3.0)
    mask = batch()["condition"]
    play(played, Repeat(batch()), 30, optimisers=played.config.optimisers(played))
    error, moved = [], []
    for model in (start, played.model):
        error.append(style_scores(model, mask.repeat(16, 1, 1, 1))["style/error"])
        one, other = (model(mask, noise=seeded(seed)).detach() for seed in (0, 1))
        moved.append(float((one - other).abs().mean()))
    assert error[1] < 0.9 * error[0] and moved[1] > 1.5 * moved[0], (error, moved)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    chosen = config()
    whole, part, again = (game(CLASSES) for _ in range(3))

    def cut(report: Report) -> None:
        if report.rounds_done == 2:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"checkpoint": tmp_path / "cut.safetensors", "schedule": chosen.learning_rate}
    play(whole, training_stream(chosen), 4, optimisers=chosen.optimisers(whole), schedule=chosen.learning_rate)
    play(part, training_stream(chosen), 4, optimisers=chosen.optimisers(part), on_round=cut, **options)
    assert part.rounds_done == 2
    play(again, training_stream(chosen), 4, optimisers=chosen.optimisers(again), resume=True, **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_round_in_bfloat16_is_finite() -> None:
    runtime = Runtime(torch.device("cpu"), torch.bfloat16, True)
    played = game(rebuild=1.0, skips=True)
    runtime.place(played)
    play(played, Repeat(batch()), 2, optimisers=played.config.optimisers(played), runtime=runtime)
    assert all(bool(parameter.isfinite().all()) for parameter in played.parameters())


@pytest.mark.parametrize(
    ("data", "complaint"),
    [({"image": 0}, "no 'condition'"), ({**batch(), "image": torch.zeros(3, 3, SIZE, SIZE)}, "are no pairs")],
    ids=["no masks", "other number"],
)
def test_wrong_batches_are_refused(data: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(GameError, match=complaint):
        next(game().round(data))


@pytest.mark.parametrize("rules", [{"r1": -1.0}, {"every": 0}, {"rebuild_until": 0.0}])
def test_wrong_rules_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(GameError, match=r"start at 1|share of the training"):
        game(**rules)


def test_unknown_forms_are_refused_and_the_profiles_survive_a_card() -> None:
    with pytest.raises(UnknownDiversity):
        game(diversity_form="lots")
    for chosen in (MaskFaceConfig.full(), MaskFaceConfig.quick(**TERMS["adv"])):
        chosen.check()
        assert MaskFaceConfig.from_dict(json.loads(json.dumps(asdict(chosen)))) == chosen
    assert [config().learning_rate(at) for at in (0.0, 0.5, 1.0)] == [1, 1, pytest.approx(0.1)]


# ------------------------------------------------------------------------------------------------- measures


class Oracle(Judges):
    """A parser that knows the answer."""

    def __init__(self, labels: Tensor) -> None:
        super().__init__(*(lambda known: (known.parser, known.reader))(untrained_judges()))
        object.__setattr__(self, "labels", labels)

    def parse(self, images: Tensor) -> Tensor:
        labels: Tensor = self.__dict__["labels"]
        return labels.long()


def test_an_edit_changes_the_edited_part_of_the_world_only() -> None:
    for name in EDITS:
        edit = edited_faces(name, 4, 32, always={"hat": "none"})
        share = float(edit.changed.float().mean())
        assert 0.001 < share < 0.1, name
        model = FaceModel(config(size=32).networks(CLASSES))
        scores = edit_scores(model, edit, Oracle(edit.after["labels"]))
        assert scores["hit"] == scores["hit/truth"] == 1
        assert scores["leak/truth"] < 0.15 < scores["leak"] and scores["moved/truth"] > 0.1, (name, scores)


def test_looks_of_one_mask_share_it_and_nothing_else() -> None:
    images, group = looks_of_one_mask(3, 4, 32)
    assert images.shape == (12, 3, 32, 32) and group.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (images[0] - images[1]).abs().mean() > 0.05
    world = Faces()
    people = world.sample(6, generator=seeded(0))
    other = world.sample(6, generator=seeded(1))
    changed = {**people, **{look: other[look] for look in ("hair", "light", "background", "texture")}}
    one, two = (world.render(parameters, 32)["labels"] for parameters in (people, changed))
    assert float((one != two).float().mean()) < 0.002


def test_every_mask_is_painted_in_its_own_styles() -> None:
    model, mask = FaceModel(config().networks(K)), batch()["condition"]
    painted, group = every_style(model, mask, 3)
    assert painted.shape == (6, 3, SIZE, SIZE) and group.tolist() == [0, 0, 0, 1, 1, 1]
    assert not torch.allclose(painted[0], painted[1])
    deaf = FaceModel(config(hearing=0.0).networks(K))
    same, _ = every_style(deaf, mask, 3)
    torch.testing.assert_close(same[0], same[1])


class Perfect(nn.Module):
    """An R that reads a style which is written into the picture so faintly that nobody sees it."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, image: Tensor) -> Tensor:
        return image[:, 0, 0, :5] / self.strength


@pytest.mark.parametrize(("strength", "survives"), [(1e-3, False), (1.0, True)], ids=["hidden", "plain"])
def test_a_hidden_style_is_found_out_by_a_little_noise(strength: float, survives: bool) -> None:
    """Reconstruction alone can be satisfied invisibly; the noisy score tells."""
    model, mask = FaceModel(config().networks(K)), batch(16)["condition"]

    def written(mask: Tensor, style: Tensor) -> Tensor:
        image = torch.zeros(len(mask), 3, SIZE, SIZE)
        image[:, 0, 0, :5] = strength * style
        return image

    model.R, model.G.forward = Perfect(strength), written  # type: ignore[assignment, method-assign]
    scores = style_scores(model, mask)
    assert scores["style/error"] < 1e-5 < scores["style/guess"]
    assert (scores["style/noisy"] < scores["style/guess"]) == survives


def test_all_measures_are_there_and_finite() -> None:
    model = FaceModel(config(size=32, halvings=2).networks(CLASSES)).eval()
    faces, others = (held_out_faces(config(size=32), 8, seed=seed) for seed in (0, 1))
    scores = measure(model, faces, others, untrained_judges(), masks=2, edits=("glasses",))
    expected = {
        "fid/random-conv-0", "floor/random-conv-0", "diversity", "diversity/truth", "mask/miou", "mask/truth/miou",
        "style/error", "style/guess", "swap/hair", "swap/hair/truth", "edit/glasses/hit", "edit/glasses/leak",
    }  # fmt: skip
    assert expected <= set(scores) and all(value == value for value in scores.values())
    assert scores["fid/random-conv-0"] > scores["floor/random-conv-0"] > 0
    large = FaceModel(config(size=64, halvings=2).networks(CLASSES)).eval()  # larger than the judges
    big = held_out_faces(config(size=64), 4)
    assert 0 <= swap_score(large, big, untrained_judges())["swap/hair"] <= 1
    assert untrained_judges().parse(big["image"]).shape == big["labels"].shape


# ------------------------------------------------------------------------------------------------- trainings


def test_the_average_is_what_is_kept() -> None:
    model, history = train_maskface(config(), runtime=CPU)
    assert isinstance(model, FaceModel) and not model.training and len(history) == 2
    assert not any(parameter.requires_grad for parameter in model.parameters())
    fresh = config(pool=0).always
    assert fresh == {} and training_stream(config(pool=0)).draw()["condition"].shape == (2, CLASSES, SIZE, SIZE)


def test_the_command_writes_a_translator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small: Callable[..., MaskFaceConfig] = config
    monkeypatch.setattr(MaskFaceConfig, "shipped", classmethod(lambda cls: small(size=32, halvings=2)))
    monkeypatch.setattr(maskface_train, "load_parser", lambda world: untrained_judges().parser)
    monkeypatch.setattr(maskface_train, "load_reader", lambda world: untrained_judges().reader)
    sheet = tmp_path / "sheet.png"
    command = MaskFaceCommand(
        profile="quick", device="cpu", checkpoints=tmp_path, results=tmp_path, rounds=1, pairs=16, sheet=sheet,
        terms="adv+div",
    )  # fmt: skip
    assert main(command) == 0 and sheet.is_file()
    assert json.loads((tmp_path / "maskface_faces.json").read_text())["config"]["reconstruct"] == 0
    translator = Translator.load(tmp_path / "maskface_faces.safetensors", runtime=CPU)
    labels = held_out_faces(config(size=32), 1)["labels"][0]
    one, same, other = (translator.translate(labels, seed=seed) for seed in (0, 0, 1))
    assert one.shape == (3, 32, 32) and torch.equal(one, same) and not torch.equal(one, other)
    style = translator.G.R(torch.zeros(1, 3, 32, 32))  # type: ignore[operator]
    assert not torch.equal(translator.translate(labels, style=style), one)
    assert MASKS.channels == CLASSES
