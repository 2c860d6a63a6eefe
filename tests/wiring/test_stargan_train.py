"""StarGAN from the command to a stored translator, its measures, and the recorded study."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib.data.label_space import EXPRESSIONS, LOOKS, LabelError, LabelSpace
from lib.data.public.samples import Sample, Samples
from lib.games import stargan_train
from lib.games.label_translator import LabelTranslator
from lib.games.stargan import StarGANConfig, build_stargan
from lib.games.stargan_measures import changes, measure, references
from lib.games.stargan_study import MEASURES, VARIANTS, study_config, study_stargan
from lib.games.stargan_train import SETS, StarGANCommand, face_stream, main, train_stargan
from lib.games.study import load_study
from lib.games.translator import Translator
from lib.metrics.reader import AttributeReader, load_reader
from lib.runtime import Runtime

BOTH = LabelSpace(LOOKS, EXPRESSIONS)
TINY = StarGANConfig.quick(size=16, width=4, blocks=1, d_width=4, d_layers=2, batch=2, rounds=2, every=2, warm=1)
CPU = Runtime(torch.device("cpu"))
ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def reader() -> AttributeReader:
    return load_reader("faces")


@pytest.fixture(scope="module")
def translator() -> LabelTranslator:
    return train_stargan(BOTH, TINY, face_stream(BOTH, TINY, pool=24), runtime=CPU).translator


def test_people_are_in_one_set_only_and_wear_no_hat() -> None:
    stream = face_stream(BOTH, TINY, pool=24)
    images = [pool.rows.data["image"] for pool in stream.streams]
    assert not bool((images[0][:, None] == images[1][None]).flatten(2).all(dim=2).any())
    assert [stream.draw()["set"] for _ in range(2)] == [0, 1]


def test_a_stored_translator_paints_the_same(translator: LabelTranslator, tmp_path: Path) -> None:
    path, x = tmp_path / "stargan.safetensors", torch.rand(3, 18, 21) * 2 - 1
    translator.save(path, config=TINY, seed=0, data="none", metrics={}, seconds=1.0)
    again = LabelTranslator.load(path, runtime=CPU)
    assert again.space.names == BOTH.names
    wish: dict[str, Any] = {"hair": "blond", "expression": "smile"}
    picture = again.translate(x, **wish)
    assert picture.shape == x.shape and torch.equal(picture, translator.translate(x, **wish))
    plain = Translator.load(path, runtime=CPU)  # knows the network, not the labels
    with pytest.raises(LabelError, match="names no labels"):
        LabelTranslator(plain.G, card={"translator": {}}, runtime=CPU)


def test_wishes_of_two_sets_are_fulfilled_in_turn(translator: LabelTranslator) -> None:
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    first = translator.paint(x, label=translator.vector(0, glasses="glasses"))
    second = translator.paint(first, label=translator.vector(1, expression="sad"))
    assert torch.equal(translator.paint(x, expression="sad", glasses="glasses"), second)
    vector = translator.vector(0, hair="blond")[0]
    assert vector.tolist() == [0, 1, 0, 0] + [0] * 7 + [1, 0]


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [({}, "Say what to change"), ({"nose": "long"}, "knows 'nose'"), ({"hair": "green"}, "no label hair 'green'")],
)
def test_wishes_that_nobody_knows_are_refused(
    translator: LabelTranslator, wish: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(LabelError, match=complaint):
        translator.paint(torch.zeros(1, 3, 16, 16), **wish)


def test_a_change_turns_one_attribute_and_nothing_else() -> None:
    for name, change in changes(BOTH, 6, 16).items():
        for other in ("hair", "gender", "glasses", "expression", "age"):
            same = change.before[other] == change.after[other]
            assert bool(same.all()) != (other == name) and (other != name or not bool(same.any()))
        assert not torch.equal(change.before["image"], change.after["image"])
        assert change.labels.sum(dim=1).tolist() == [2.0] * 6  # the wish and the mask
    assert bool((changes(BOTH, 4, 16)["expression"].before["expression"] == 0).all())


def test_the_truth_scores_best_and_a_copy_fulfils_nothing(reader: AttributeReader) -> None:
    tasks = changes(BOTH, 12, 48)
    rows = references(reader, tasks)
    for name in tasks:
        assert rows["true partner"][f"wrong/{name}"] < 0.2 < 0.8 < rows["copy"][f"wrong/{name}"]
        assert rows["true partner"][f"stranger/{name}"] == pytest.approx(0.0, abs=1e-4)
        assert (
            rows["mean picture"][f"psnr/{name}"] < rows["copy"][f"psnr/{name}"] < rows["true partner"][f"psnr/{name}"]
        )
        assert rows["copy"][f"kept/{name}"] == 1.0 > rows["mean picture"][f"kept/{name}"]

    def cheat(x: Tensor, label: Tensor) -> Tensor:
        return next(c.after["image"] for c in tasks.values() if torch.equal(c.full, label))

    assert measure(cheat, reader, tasks, full=True) == pytest.approx(rows["true partner"])


def test_the_command_writes_weights_card_and_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = StarGANCommand(
        sets="expressions", rounds=1, pool=16, size=16, pairs=8, device="cpu", checkpoints=tmp_path, results=tmp_path,
        sheet=tmp_path / "sheet.png",
    )  # fmt: skip
    assert command.config() == StarGANConfig.shipped(rounds=1, size=16)
    assert main(command) == 0 and "wrong/expression" in capsys.readouterr().out
    record = json.loads((tmp_path / "stargan_expressions.json").read_text())
    assert set(record["references"]) == {"copy", "mean picture", "true partner"}
    assert LabelTranslator.load(tmp_path / "stargan_expressions.safetensors").space.names[0] == "expression neutral"
    assert (tmp_path / "sheet.png").exists()
    trusting = replace(command, doubt=0.0, rounds=1, sheet=None)
    assert trusting.config().doubt == 0 < StarGANConfig.shipped().doubt and main(trusting) == 0
    assert LabelTranslator.load(tmp_path / "stargan_expressions_doubt_0.safetensors").card["config"]["doubt"] == 0


def test_the_shipped_model_differs_from_the_first_version_in_its_doubt_alone() -> None:
    first, shipped = (
        json.loads((ASSETS / "results" / f"stargan_faces{kind}.json").read_text()) for kind in ("_doubt_0", "")
    )
    assert shipped["config"] == first["config"] | {"doubt": StarGANConfig.shipped().doubt}
    for wish in ("hair", "glasses", "expression"):
        assert shipped["measures"][f"wrong/{wish}"] < first["measures"][f"wrong/{wish}"], wish
        assert shipped["measures"][f"psnr/{wish}"] > first["measures"][f"psnr/{wish}"], wish
    assert shipped["measures"]["wrong/glasses"] < 0.5 * shipped["references"]["mean picture"]["wrong/glasses"]


class FewPhotographs(Samples):
    """Sixteen pictures with CelebA's keys; the hair of every fourth is not marked."""

    def __init__(self, root: Path, split: str = "train") -> None:
        self.split = split

    def __len__(self) -> int:
        return 16

    def read(self, index: int) -> Sample:
        hair = torch.tensor(index % 4 - 1)
        image = torch.full((3, 20, 16), index / 8 - 1)
        bits = {"gender": torch.tensor(index % 2), "glasses": torch.tensor(index // 8)}
        return {"image": image, "hair": hair, **bits, "name": str(index)}


def test_photographs_are_one_option_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stargan_train, "CelebA", FewPhotographs)
    space = LabelSpace(LOOKS)
    stream = stargan_train.celeba_stream(tmp_path, space, replace(TINY, batch=16), workers=0)
    batch = stream.draw()
    hair = batch["label"][:, :4].sum(dim=1)
    assert batch["label"].shape == (16, 6) and hair.sum() == 12 and batch["label"][:, 4:].sum() == 16
    again = stargan_train.celeba_stream(tmp_path, space, replace(TINY, batch=16), workers=0)
    again.load_state_dict(stream.state_dict())
    assert torch.equal(again.draw()["image"], stream.draw()["image"])
    command = StarGANCommand(
        public="celeba", rounds=1, size=16, device="cpu", checkpoints=tmp_path, results=tmp_path, root=tmp_path
    )
    assert main(command) == 0
    assert json.loads((tmp_path / "stargan_celeba.json").read_text())["measures"]["sensitivity"] > 0
    assert LabelTranslator.load(tmp_path / "stargan_celeba.safetensors").space.width == 6


def test_the_study_runs_every_kind_of_variant(reader: AttributeReader, tmp_path: Path) -> None:
    config = replace(TINY, rounds=6)
    variants = ["StarGAN", "with expressions, too", "label as channels, reflected", "CycleGAN per pair", "one CycleGAN"]
    study = study_stargan(config, variants, (0,), reader, runtime=CPU, pool=48, test=24)
    study.save(tmp_path / "study.json")
    again = load_study(tmp_path / "study.json")
    rows = again.rows
    assert tuple(rows) == tuple(variants) and set(again.runs[0].values) >= set(MEASURES)
    assert rows["label as channels, reflected"]["sensitivity"].mean < 1e-4 < rows["StarGAN"]["sensitivity"].mean
    assert math.isnan(rows["one CycleGAN"]["wrong/hair"].mean) and math.isnan(
        rows["CycleGAN per pair"]["sensitivity"].mean
    )
    assert 0 <= rows["one CycleGAN"]["wrong/black-blond"].mean <= 1
    assert again.references["true partner"]["wrong/black-blond"] < again.references["copy"]["wrong/black-blond"] == 1.0
    assert study_config(True) == StarGANConfig.full() and set(VARIANTS) > set(variants)


def test_the_networks_of_a_pair_are_as_large_as_stargans(reader: AttributeReader) -> None:
    wide = build_stargan(BOTH, TINY)
    assert SETS["both"] == (LOOKS, EXPRESSIONS)
    count = sum(weight.numel() for weight in wide.G.parameters())
    alone = build_stargan(LabelSpace(EXPRESSIONS), TINY)
    assert sum(weight.numel() for weight in alone.G.parameters()) < count
