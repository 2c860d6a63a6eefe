"""DTN's f for faces: its lessons, what it starts from, and that it is narrow, frozen and loadable."""

from __future__ import annotations

import torch

from lib.data.portrait_lessons import COLOURS, colours_of, portrait_lessons, within_parts
from lib.data.worlds.faces import Faces
from lib.games.dtn import DTNConfig, build_dtn
from lib.games.dtn_portraits import PortraitConcepts, same_person, train_portrait_concepts
from lib.metrics.reader import AttributeReader, ReaderConfig
from lib.nn.dtn import PortraitEncoder
from lib.runtime import Runtime, seeded
from lib.training.audit import assert_alive

CPU = Runtime(torch.device("cpu"))
CONFIG = DTNConfig.emoji(size=16, code=5, f_pool=8, f_batch=4, f_rounds=1)


def start() -> AttributeReader:
    torch.manual_seed(0)
    return AttributeReader(ReaderConfig("faces", Faces.attributes, size=16, width=4, features=6))


def test_within_parts_smooths_inside_and_never_across() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    labels[:, :, 4:] = 1
    image = torch.rand(1, 3, 8, 8, generator=seeded(0))
    image[..., 4:] += 5
    flat = within_parts(image, labels, 5)
    assert flat[..., :4].max() <= 1 and flat[..., 4:].min() >= 5
    assert flat[..., :4].var() < 0.3 * image[..., :4].var()
    # By hand: around (0, 0) lie the 3 x 3 pixels of the picture.
    torch.testing.assert_close(flat[0, :, 0, 0], image[0, :, :3, :3].mean(dim=(1, 2)))
    constant = torch.full_like(image, 0.25)
    torch.testing.assert_close(within_parts(constant, labels), constant)


def test_lessons_hold_the_portraits_and_their_answers() -> None:
    lessons = portrait_lessons(3, 32, seed=4)
    assert lessons["image"].shape == lessons["flat"].shape == (3, 3, 32, 32) and lessons["flat"].dtype == torch.uint8
    assert {*Faces.attributes, *COLOURS, "ground"} <= set(lessons)
    corner = lessons["ground"][:, 0, 0, 0]
    assert bool(corner.all()) and not bool(lessons["ground"][:, 0, 16, 16].any())
    people = Faces().sample(2, generator=seeded(0))
    worn = colours_of({**people, "hat": torch.tensor([0, 1])})["hat_colour"]
    assert bool((worn[0] == 0.4).all()) and not bool((worn[1] == 0.4).all())


def test_f_starts_from_a_reader_and_answers_through_a_narrow_code() -> None:
    begun, lessons = start(), portrait_lessons(8, 16)
    before = {name: value.clone() for name, value in begun.trunk.state_dict().items()}
    reader, history = train_portrait_concepts(CONFIG, lessons, start=begun, runtime=CPU)
    assert len(history) == 1 and isinstance(reader.trunk, PortraitEncoder)
    assert not any(weight.requires_grad for weight in reader.parameters()) and not reader.trunk.training
    code = reader.trunk(torch.rand(2, 3, 16, 16))
    assert code.shape == (2, 5) and code.abs().max() <= 1
    moved = reader.trunk.state_dict()
    # One step away from the reader, which stays as it was.
    assert all(torch.equal(value, before[name]) for name, value in begun.trunk.state_dict().items())
    first = "stages.0.0.0.weight"
    assert 0 < (moved[first] - before[first]).abs().max() < 0.05
    torch.testing.assert_close(reader.unit("skin")[0], lessons["skin"].mean(dim=0))


def test_every_answer_moves_f() -> None:
    lessons = portrait_lessons(6, 16)
    reader, _ = train_portrait_concepts(CONFIG, lessons, start=start(), runtime=CPU)
    game = PortraitConcepts(reader.requires_grad_(True), generator=seeded(0), mirror=())
    names = {row.name for row in assert_alive(game, lessons)}
    assert {f"reader/{name}" for name in (*Faces.attributes, *COLOURS)} == names


def test_emoji_are_painted_from_that_code() -> None:
    reader, _ = train_portrait_concepts(CONFIG, portrait_lessons(8, 16), start=start(), runtime=CPU)
    tiny = DTNConfig.emoji(size=16, code=5, g_width=4, g_widest=8, d_width=4, d_widest=8)
    game = build_dtn(tiny, reader.trunk)
    data = {name: torch.rand(2, 3, 16, 16, generator=seeded(i)) * 2 - 1 for i, name in enumerate(("source", "target"))}
    assert {row.name for row in assert_alive(game, data)} >= {"G/const", "G/tid", "G/gan_source"}


def test_same_person_counts_the_nearest() -> None:
    flat = torch.nn.Flatten()
    x = torch.rand(5, 3, 4, 4, generator=seeded(0))
    assert same_person(flat, x, x) == 1 and same_person(flat, x, x.roll(1, dims=0)) == 0
