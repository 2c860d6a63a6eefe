"""DTN: what is frozen and what learns, the rows of the paper's tables, its data, and the command."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib.data.conditions import Condition
from lib.data.domain_transfer import SourceAndTarget, handwritten_target, street_digits, world_pictures
from lib.data.emoji_faces import EmojiFaces
from lib.data.worlds.faces import Faces
from lib.data.worlds.world import WorldError
from lib.games import dtn_train
from lib.games.dtn import (
    ABLATION,
    DTN,
    PAPER_TABLE_1,
    PAPER_TABLE_3,
    UNSEEN,
    Concepts,
    DTNConfig,
    _fatter_or_finer,
    build_dtn,
)
from lib.games.dtn_train import (
    DTNCommand,
    adaptation,
    answer_key,
    concept_accuracy,
    main,
    measure_digits,
    measure_emoji,
    train_concepts,
    train_dtn,
    training_stream,
)
from lib.games.game import GameError
from lib.games.translator import Translator
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.nn.dcgan import NetworkError
from lib.nn.dtn import AnswerDiscriminator, CodeDecoder, ConceptEncoder, DomainTransfer, DomainTransferConfig
from lib.runtime import Runtime, seeded
from lib.training.audit import DeadTerm, assert_alive, gradient_audit
from lib.training.optim import OptimConfig
from lib.training.play import play
from lib.training.streams import Repeat

CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {
    "size": 16, "f_width": 4, "code": 6, "g_width": 4, "g_widest": 8, "d_width": 4, "d_widest": 8, "pool": 40,
    "batch": 4, "rounds": 2, "f_rounds": 2,
}  # fmt: skip


def tiny(**changes: Any) -> DTN:
    return build_dtn(DTNConfig(**TINY | changes))


def batch(count: int = 4, size: int = 16) -> dict[str, Tensor]:
    return {
        "source": torch.rand(count, 3, size, size, generator=seeded(0)) * 2 - 1,
        "target": torch.rand(count, 1, size, size, generator=seeded(1)) * 2 - 1,
    }


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# -------------------------------------------------------------------------------------------------- networks


def test_the_full_profile_has_the_layers_of_the_reimplementations() -> None:
    config = DTNConfig.full().network()
    with torch.device("meta"):
        f, g, D = ConceptEncoder(32), CodeDecoder(config), AnswerDiscriminator(32)
    convs = [layer for layer in f.layers if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [64, 128, 256, 128]
    convs = [g.start, *(layer for layer in g.layers if isinstance(layer, nn.ConvTranspose2d))]
    assert [conv.out_channels for conv in convs] == [512, 256, 128, 1]
    convs = [layer for layer in D.layers if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [128, 256, 512, 3]
    assert (weights(f), weights(g), weights(D)) == (897_098, 3_673_857, 1_501_955)


def test_faces_have_a_pointwise_convolution_after_each_doubling() -> None:
    config = DTNConfig.emoji(quick=False).network()
    assert config.pointwise and config.channels == 3 and config.encoder == "portrait"
    with torch.device("meta"):
        g = CodeDecoder(config)
    assert sum(isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) for layer in g.layers) == 3


def test_resized_doublings_learn_no_upsampling() -> None:
    config = DTNConfig.emoji(size=16, code=5, g_width=4, g_widest=8).network()
    g = CodeDecoder(config)
    assert config.doubling == "resize"
    assert [name for name, layer in g.named_modules() if isinstance(layer, nn.ConvTranspose2d)] == ["start"]
    assert g(torch.zeros(2, 5)).shape == (2, 3, 16, 16)
    learned = CodeDecoder(replace(config, doubling="transposed"))
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in learned.modules()) == 3


def test_any_picture_becomes_one_of_the_targets_size() -> None:
    G = DomainTransfer(DTNConfig(**TINY).network()).eval()
    for shape in ((2, 3, 16, 16), (1, 1, 40, 23)):
        assert G(torch.zeros(shape)).shape == (shape[0], 3, 16, 16)
    with pytest.raises(NetworkError, match="powers of two"):
        CodeDecoder(DomainTransferConfig(size=24))


def test_a_frozen_f_keeps_its_mode_and_its_statistics() -> None:
    game = tiny().train()
    assert not game.f.training and game.G.g.training and game.f is game.G.f
    before = {name: value.clone() for name, value in game.f.state_dict().items()}
    play(game, Repeat(batch()), 2, optimisers=OptimConfig(lr=1e-2))
    assert all(torch.equal(value, before[name]) for name, value in game.f.state_dict().items())
    own = tiny(contains_f=False).train()
    assert own.G.f.training and not own.f.training and own.f is not own.G.f


# ------------------------------------------------------------------------------------------------------ game


def test_the_four_losses_are_logged_one_by_one() -> None:
    d_turn, g_turn = tiny(tv=0.5).round(batch())
    assert list(d_turn.terms) == ["source", "target", "real"]
    assert list(g_turn.terms) == ["gan_source", "gan_target", "const", "tid", "tv"]


@pytest.mark.parametrize("name", [*ABLATION, "cosine"])
def test_every_term_moves_its_player(name: str) -> None:
    changes = {"distance": "cosine", "tv": 1.0} if name == "cosine" else ABLATION[name]
    game = tiny(**changes)
    rows = assert_alive(game, batch())
    reached = {row.name: row.by_network for row in rows}
    assert all(set(norms) == {"D" if key.startswith("D") else "G"} for key, norms in reached.items())
    assert ("G/const" in reached) == bool(game.config.const) and ("D/real" in reached) == bool(game.config.gang)
    # A frozen f is nobody's, and gets no gradient.
    assert all(weight.grad is None and not weight.requires_grad for weight in game.f.parameters())
    owned = game.named_parameters_of("G")
    trainable = {key for key, weight in owned.items() if weight.requires_grad}
    assert any(key.startswith("G.f.") for key in trainable) == (not game.config.contains_f)


class _Blind(nn.Module):
    """f as it is often written: under no_grad."""

    def __init__(self, f: nn.Module) -> None:
        super().__init__()
        self.f = f

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.f(x)
        return code


def test_a_constancy_without_a_graph_through_f_is_dead() -> None:
    """The control of the audit: the value is the same, the gradient is gone."""
    alive, dead = tiny(), tiny()
    dead.f = _Blind(dead.f)
    value = {}
    for name, game in (("alive", alive), ("dead", dead)):
        value[name] = {row.name: row for row in gradient_audit(game, batch())}["G/const"]
    assert value["alive"].value == pytest.approx(value["dead"].value) and value["alive"].norm > 0
    assert value["dead"].norm == 0
    with pytest.raises(DeadTerm, match="G/const"):
        assert_alive(dead, batch())


def test_a_binary_d_has_one_answer_and_the_baseline_one_route() -> None:
    d_turn, g_turn = tiny(answers="binary").round(batch())
    assert list(d_turn.terms) == ["source", "target", "real"]
    d_turn, g_turn = tiny(**ABLATION["baseline"]).round(batch())
    assert list(d_turn.terms) == ["source", "real"] and list(g_turn.terms) == ["gan_source", "const"]
    assert tiny(answers="binary").D(batch()["target"]).shape == (4, 1)


def test_the_untrained_terms_start_near_log_3() -> None:
    """A new D knows nothing: each term is near log 3, the floor of a perfect G, too. Only the way there differs."""
    d_turn, _ = tiny().round(batch())
    for term in d_turn.terms.values():
        assert float(term.detach()) == pytest.approx(torch.log(torch.tensor(3.0)).item(), abs=0.15)


def test_g_learns_to_keep_the_code_and_to_leave_the_target_alone() -> None:
    game, data = tiny(gang=0.0), batch()
    before = {row.name: row.value for row in gradient_audit(game, data)}
    play(game, Repeat(data), 60, optimisers=OptimConfig(lr=1e-2))
    after = {row.name: row.value for row in gradient_audit(game, data)}
    assert after["G/tid"] < 0.6 * before["G/tid"] and after["G/const"] < 0.9 * before["G/const"]


def test_concepts_learn_in_both_polarities() -> None:
    """Light ink on dark and dark on light are one class: half of the pictures are shown in negative."""
    torch.manual_seed(0)
    f = ConceptEncoder(16, width=4, code=6)
    image = torch.zeros(2, 3, 16, 16)
    image[0, :, :, 6:10], image[1, :, 6:10] = 1, 1  # a bar upright, a bar lying
    game = Concepts(f, generator=seeded(0))
    assert_alive(game, {"image": image, "digit": torch.tensor([0, 1])}, ["f/names"])
    data = {"image": image.repeat(8, 1, 1, 1), "digit": torch.tensor([0, 1]).repeat(8)}
    play(game, Repeat(data), 30, optimisers=OptimConfig(lr=1e-2))
    assert concept_accuracy(f.eval(), torch.cat([image, -image]), torch.tensor([0, 1, 0, 1])) == 1


def test_f_pays_for_the_spread_of_its_codes() -> None:
    torch.manual_seed(0)
    f = ConceptEncoder(16, width=4, code=6)
    data = {"image": torch.rand(12, 3, 16, 16, generator=seeded(0)) * 2 - 1, "digit": torch.arange(12) % 3}
    prices = {}
    for centre in (1.0, 3.0):
        rows = assert_alive(Concepts(f, generator=seeded(0), centre=centre), data, ["f/names", "f/spread"])
        prices[centre] = {row.name: row.value for row in rows}["f/spread"]
    assert prices[3.0] == pytest.approx(3 * prices[1.0], rel=1e-4) and prices[1.0] > 0


def test_strokes_are_drawn_fatter_and_finer() -> None:
    image = torch.full((300, 1, 16, 16), -1.0)
    image[..., 2:14, 6:10] = 1  # a stem, 4 px wide
    drawn = _fatter_or_finer(image, seeded(0), share=1.0)
    ink = ((drawn + 1) / 2).sum(dim=(1, 2, 3)) / (12 * 4)
    assert 2 * 10 / 48 < ink.min() < 0.6 and 1.5 < ink.max() < 14 * 6 / 48, "between one pixel less and one more"
    assert 0.4 < (ink > 1).float().mean() < 0.6
    assert torch.equal(_fatter_or_finer(image, seeded(0), share=0.0), image)
    some = _fatter_or_finer(image, seeded(0)) != image
    assert 0.5 < some.flatten(1).any(dim=1).float().mean() < 0.7


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mirror": True}, "mirrored digit"), ({"gang": 0.0, "const": 0.0, "tid": 0.0}, "not all 0"),
        ({"target_route": False}, "set tid=0"), ({"target_route": False, "tid": 0.0}, "answers='binary'"),
        ({"encoder": "reader"}, "encoder='conv'"),
    ],
)  # fmt: skip
def test_wrong_rules_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(GameError, match=complaint):
        tiny(**changes)


def test_the_rows_of_the_papers_tables_are_configs() -> None:
    assert set(PAPER_TABLE_1) == {*ABLATION, "original"} and set(PAPER_TABLE_3) == set(UNSEEN)
    for name in (*ABLATION, *UNSEEN):
        DTNConfig.quick().variant(name).check()
    assert DTNConfig.full().variant("no GAN").gang == 0 and DTNConfig.full() == DTNConfig()
    with pytest.raises(GameError, match="no variant"):
        DTNConfig().variant("no TID")
    for config in (DTNConfig.quick(unseen_s=(3,)), DTNConfig.emoji(), DTNConfig.emoji(quick=False)):
        config.check()
        assert DTNConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(GameError, match="no 'target'"):
        next(tiny().round({"source": torch.zeros(1, 3, 16, 16)}))


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    def stream() -> SourceAndTarget:
        return training_stream(DTNConfig(**TINY), pictures=PICTURES)

    options: dict[str, Any] = {"optimisers": OptimConfig(lr=1e-3), "checkpoint": tmp_path / "cut.safetensors"}
    whole, part, again = (tiny() for _ in range(3))
    play(whole, stream(), 4, optimisers=OptimConfig(lr=1e-3))
    play(part, stream(), 2, **options)
    play(again, stream(), 4, resume=True, **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_round_in_bfloat16_is_finite() -> None:
    runtime = Runtime(torch.device("cpu"), torch.bfloat16, True)
    game = runtime.place(tiny(tv=1.0))
    play(game, Repeat(batch()), 2, optimisers=OptimConfig(lr=1e-3), runtime=runtime)
    assert all(bool(parameter.isfinite().all()) for parameter in game.parameters())


# ------------------------------------------------------------------------------------------------------ data

PICTURES = {
    "image": (torch.rand(40, 3, 16, 16, generator=seeded(5)) * 255).to(torch.uint8),
    "digit": torch.arange(40) % 10,
}


def test_unseen_digits_are_left_out_where_they_should_be() -> None:
    config = DTNConfig(**TINY, unseen_s=(3,), unseen_t=(3, 4))
    stream = training_stream(config, pictures=PICTURES)
    assert len(stream.streams["source"].data["image"]) == 36  # type: ignore[attr-defined]
    target = stream.streams["target"]
    assert sorted(target.digits.unique().tolist()) == [0, 1, 2, 5, 6, 7, 8, 9]  # type: ignore[attr-defined]
    drawn = stream.draw()
    assert drawn["source"].shape == (4, 3, 16, 16) and drawn["target"].shape == (4, 1, 16, 16)
    assert drawn["source"].min() >= -1 and drawn["source"].is_floating_point()
    assert 3 not in street_digits(30, 16, unseen=(3,))["digit"]
    with pytest.raises(WorldError, match="Every digit"):
        handwritten_target(batch=2, unseen=range(10))


def test_digits_are_never_mirrored_and_faces_may_be() -> None:
    image = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
    image[..., 0] = 255
    plain, mirrored = (SourceAndTarget(Repeat({"image": image}), Repeat({"image": image}), mirror=m) for m in (None, 0))
    assert all(bool((plain.draw()["source"][..., 0] == 1).all()) for _ in range(4))
    sides = torch.stack([mirrored.draw()["target"][:, 0, 0, 0] for _ in range(8)])
    assert sorted(sides.unique().tolist()) == [-1, 1]
    state = mirrored.state_dict()
    first = mirrored.draw()["source"]
    mirrored.load_state_dict(state)
    assert torch.equal(mirrored.draw()["source"], first)


def test_an_emoji_shows_the_person_and_not_the_scene() -> None:
    world, emoji = Faces(), EmojiFaces()
    people = world.sample(3, generator=seeded(0))
    drawn = emoji.render(people, 32)
    assert drawn["image"].shape == (3, 3, 32, 32) and drawn["image"].abs().max() <= 1
    scene = {name: value.flip(0) for name, value in people.items() if name in ("pose", "gaze", "light", "placement")}
    assert torch.equal(
        emoji.render({**people, **scene, "background": people["background"].flip(0)}, 32)["image"], drawn["image"]
    )
    for attribute, value in (
        ("hair", "blond"),
        ("glasses", "glasses"),
        ("hat", "hat"),
        ("beard", "beard"),
        ("gender", "male"),
    ):
        other = {"hair": "black", "glasses": "none", "hat": "none", "beard": "none", "gender": "female"}[attribute]
        pair = [emoji.render(emoji.changed(people, **{attribute: name}), 32)["image"] for name in (value, other)]
        assert (pair[0] - pair[1]).abs().mean() > 0.003, attribute
    smile, sad = (emoji.render(emoji.changed(people, expression=name), 64)["image"] for name in ("smile", "sad"))
    assert (smile - sad).abs().mean() > 0.003
    same = emoji.render({**people, "identity": people["identity"].flip(0)}, 32)["image"]
    assert (same - drawn["image"]).abs().mean() > 0.01
    labels = emoji.render(emoji.changed(people, glasses="glasses"), 64)["labels"].unique().tolist()
    assert {emoji.palette.names.index(name) for name in ("skin", "l_eye", "r_eye", "eye_g", "hair")} <= set(labels)


def test_the_answer_key_holds_the_emoji_of_each_portrait() -> None:
    pairs = answer_key(3, 32)
    people = Faces().sample(3, generator=torch.Generator().manual_seed(2**31))
    assert torch.equal(pairs["target"], EmojiFaces().render(people, 32)["image"])
    assert world_pictures(Faces(), 2, 16, keep=("hair",))["hair"].shape == (2,)


# -------------------------------------------------------------------------------------- training and measures


def tiny_reader() -> AttributeReader:
    torch.manual_seed(0)
    config = ReaderConfig("digits", {"digit": tuple("0123456789")}, size=16, width=4, features=8)
    return AttributeReader(config).eval()


def test_from_nothing_to_a_translator_that_is_stored(tmp_path: Path) -> None:
    config = DTNConfig(**TINY)
    f, history = train_concepts(config, PICTURES, runtime=CPU)
    assert len(history) == 2 and not any(weight.requires_grad for weight in f.parameters())
    _, translator, history = train_dtn(config, f, stream=training_stream(config, pictures=PICTURES), runtime=CPU)
    assert len(history) == 2 and {"G/const", "D/real"} <= set(history.names)
    test = street_digits(12, 16, split="test")
    scores = measure_digits(translator, tiny_reader(), test)
    assert 0 <= scores["accuracy"] <= 1 and {f"accuracy/{d}" for d in test["digit"].tolist()} < set(scores)
    path = tmp_path / "dtn.safetensors"
    translator.save(path, config=config, seed=0, data="x", metrics=scores, seconds=1.0)
    again = Translator.load(path, runtime=CPU)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(again.paint(x), translator.paint(x))
    assert translator.translate(torch.zeros(3, 20, 20)).shape == (3, 16, 16)


def test_measures_of_trivial_competitors() -> None:
    """The truth has rank 0 and no error; the same picture for everybody has none but the chance rank."""
    pairs = answer_key(6, 16)

    class Fixed(nn.Module):
        def __init__(self, answer: Tensor) -> None:
            super().__init__()
            self.answer = answer

        def forward(self, x: Tensor) -> Tensor:
            return self.answer.expand(len(x), -1, -1, -1)

    torch.manual_seed(0)
    config = ReaderConfig("emoji", {"hat": ("none", "hat")}, size=16, width=4, features=8)
    reader = AttributeReader(config).eval()
    perfect = measure_emoji(Translator(Fixed(pairs["target"]), Condition("picture"), runtime=CPU), pairs, reader)
    assert perfect["read/hat"] == reader.scores(pairs["target"], {"hat": pairs["hat"]}).accuracy["hat"]
    assert perfect["l1"] == 0 and perfect["rank"] == 0 and perfect["rank1"] == 1
    flat = measure_emoji(Translator(Fixed(pairs["target"].mean(dim=0)[None]), Condition("picture"), runtime=CPU), pairs)
    assert flat["l1"] == pytest.approx(flat["l1/mean"], rel=1e-4) and flat["rank1"] <= 1 / 6 + 1e-6


def test_the_average_of_g_is_what_comes_out() -> None:
    """With a decay the translator holds the running average, not the last weights."""
    config = DTNConfig(**TINY)
    for ema in (0.0, 0.9):
        chosen = replace(config, ema=ema, rounds=3)
        f = ConceptEncoder(16, width=4, code=6).eval()
        game, translator, _ = train_dtn(
            chosen, f, stream=training_stream(chosen, pictures=PICTURES), runtime=CPU
        )  # fmt: skip
        same = torch.equal(translator.G.g.start.weight, game.G.g.start.weight)  # type: ignore[union-attr, arg-type]
        assert same == (ema == 0)


def test_a_classifier_learns_from_the_sources_labels() -> None:
    assert 0 <= adaptation(PICTURES, rounds=2) <= 1


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DTNConfig, "quick", classmethod(lambda cls, **changes: cls(**TINY | changes)))
    monkeypatch.setattr(dtn_train, "load_reader", lambda world: tiny_reader())
    command = DTNCommand(
        checkpoints=tmp_path, results=tmp_path, sheet=tmp_path / "sheet.png", pairs=8, device="cpu", rounds=1,
        profile="quick",
    )  # fmt: skip
    assert main(command) == 0
    record = json.loads((tmp_path / "dtn_digits.json").read_text())
    assert record and (tmp_path / "sheet.png").stat().st_size > 0
    assert Translator.load(tmp_path / "dtn_digits.safetensors", runtime=CPU).G.config.size == 16  # type: ignore[union-attr]
    emoji = replace(command, task="emoji", variant="no L_TID").config()
    assert emoji.task == "emoji" and emoji.tid == 0 and emoji.encoder == "portraits"


def test_the_emoji_game_is_alive_with_a_judges_trunk() -> None:
    config = DTNConfig.emoji(size=16, g_width=4, g_widest=8, d_width=4, d_widest=8, code=8, batch=2)
    game = build_dtn(config)
    data = {name: torch.rand(2, 3, 16, 16, generator=seeded(i)) * 2 - 1 for i, name in enumerate(("source", "target"))}
    assert {row.name for row in assert_alive(game, data)} >= {"G/const", "G/tv", "G/gan_target"}
