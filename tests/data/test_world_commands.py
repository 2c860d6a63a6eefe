"""The commands about worlds: the catalogue, the preview sheet and the speed measurement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from lib.data.worlds.bench import BenchCommand, _networks
from lib.data.worlds.bench import main as bench
from lib.data.worlds.catalogue import WORLD_NAMES, world_named
from lib.data.worlds.preview import PreviewCommand, preview
from lib.data.worlds.preview import main as write_preview
from lib.data.worlds.world import WorldError


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_a_world_answers_to_its_name(name: str) -> None:
    assert world_named(name).name == name


def test_an_unknown_world_is_refused() -> None:
    with pytest.raises(WorldError, match="no world 'cats'; the worlds are faces, facades, digits"):
        world_named("cats")


def test_a_preview_is_written_and_seeded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes, pixels = [], []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = PreviewCommand(tmp_path / f"{name}.png", world="digits", size=32, rows=2, columns=3, seed=seed)
        assert write_preview(config) == 0
        with Image.open(config.out) as sheet:
            sizes.append(sheet.size)
            pixels.append(sheet.tobytes())
    assert "6 pictures of digits at 32 px, 3 classes" in capsys.readouterr().out
    assert sizes[0] == sizes[2] and sizes[0][0] > 3 * 128 and sizes[0][1] > 4 * 128
    assert pixels[0] == pixels[1] != pixels[2]


def test_a_preview_of_an_attribute_has_a_column_for_each_value() -> None:
    world = world_named("digits")
    options = {"size": 64, "rows": 1, "columns": 2}
    sheet = preview(world, generator=torch.Generator().manual_seed(0), attribute="digit", **options)  # type: ignore[arg-type]
    assert sheet.width > 10 * 128
    with pytest.raises(WorldError, match="no attribute 'mood'"):
        preview(world, generator=torch.Generator(), attribute="mood", **options)  # type: ignore[arg-type]
    with pytest.raises(WorldError, match="a size from 16 to"):
        preview(world, generator=torch.Generator(), size=8, rows=1, columns=1)


def test_the_speed_of_a_world_is_measured_beside_a_training_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "speed.json"
    assert bench(BenchCommand(worlds=("digits",), size=16, batch=2, repeats=3, device="cpu", out=out)) == 0
    record = json.loads(out.read_text())
    row, step = record["worlds"]["digits"], record["step"]["ms"]
    assert row["images_per_second"] == pytest.approx(2000 / row["ms_per_batch"], rel=0.01)
    assert row["share_of_step"] == pytest.approx(row["ms_per_batch"] / (row["ms_per_batch"] + step), abs=1e-3)
    assert torch.__version__.startswith(record["card"]["torch_version"]) and record["size"] == 16
    assert "images/s" in capsys.readouterr().out


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_step_is_that_of_a_dcgan_of_this_size(size: int) -> None:
    generator, discriminator = _networks(size)
    fake = generator(torch.zeros(2, 100, 1, 1))
    assert fake.shape == (2, 3, size, size)
    assert discriminator(fake).shape == (2, 1, 1, 1)
