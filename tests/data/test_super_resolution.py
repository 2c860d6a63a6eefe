"""Large pictures and their small versions: which filter, which photos, and readers' own test sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from lib.data.pairs import Crops
from lib.data.public.error import PublicDataError
from lib.data.super_resolution import (
    BENCHMARKS,
    TEXTURES,
    Benchmark,
    Lowered,
    bundled_photos,
    cut_to_multiple,
    downscale,
    enlarge,
)
from lib.games.srgan import SRGANConfig
from lib.games.srgan_train import photo_crops
from lib.runtime import seeded


def test_no_test_pixel_is_trained_on() -> None:
    train, test = bundled_photos("train"), bundled_photos("test")
    assert set(train) & set(test) == set(TEXTURES) and len(set(train) | set(test)) == 11
    for name, image in {**train, **test}.items():
        assert image.shape[1] % 4 == image.shape[2] % 4 == 0 and max(image.shape) <= 320, name
    for name in TEXTURES:
        strips = train[name].unfold(2, 8, 1)[:, ::16].permute(2, 1, 0, 3).flatten(1)  # every place, some rows
        held = test[name].unfold(2, 8, 8)[:, ::16].permute(2, 1, 0, 3).flatten(1)
        assert torch.cdist(held, strips).min() > 0.5, name


def test_crops_come_with_their_small_version_and_resume() -> None:
    first, second = (
        photo_crops(SRGANConfig(size=32, side=96, batch=2)),
        photo_crops(SRGANConfig(size=32, side=96, batch=2)),
    )
    first.draw()
    second.load_state_dict(first.state_dict())
    one, other = first.draw(), second.draw()
    assert torch.equal(one["image"], other["image"]) and one["image"].shape == (2, 3, 32, 32)
    assert torch.equal(one["condition"], downscale(one["image"])) and one["image"].abs().max() <= 1


def test_sides_that_cannot_be_divided_are_refused_or_cut() -> None:
    with pytest.raises(PublicDataError, match="cut_to_multiple"):
        downscale(torch.zeros(1, 3, 18, 16))
    assert cut_to_multiple(torch.zeros(3, 18, 23)).shape == (3, 16, 20)
    assert enlarge(torch.eye(3).expand(1, 3, 3, 3), method="nearest")[0, 0, 4:8, 4:8].eq(1).all()


def write_pictures(folder: Path, names: list[str], size: tuple[int, int] = (37, 26)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        Image.new("RGB", size, (place * 20, 90, 120)).save(folder / f"{name}.png")


@pytest.mark.parametrize("inside", ["", "HR", "GTmod12", "image_SRF_4"])
def test_benchmarks_are_read_in_each_layout(tmp_path: Path, inside: str) -> None:
    names = ["baby", "bird", "butterfly", "head", "woman"]
    if inside == "image_SRF_4":
        write_pictures(tmp_path / inside, [f"{name}_{end}" for name in names for end in ("HR", "LR", "bicubic")])
    else:
        write_pictures(tmp_path / inside, names)
        write_pictures(tmp_path / inside, ["baby_LR"] if inside == "HR" else [])
    samples = Benchmark(tmp_path, "Set5")
    assert len(samples) == BENCHMARKS["Set5"] and [samples.read(i)["name"] for i in range(5)] == names
    sample = samples.read(3)
    assert sample["image"].shape == (3, 24, 36) and sample["condition"].shape == (3, 6, 9)
    assert float(sample["image"][1, 0, 0]) == pytest.approx(90 / 127.5 - 1, abs=1e-6)


def test_what_is_no_benchmark_says_so(tmp_path: Path) -> None:
    with pytest.raises(PublicDataError, match="no folder"):
        Benchmark(tmp_path / "Set5")
    with pytest.raises(PublicDataError, match="no large pictures"):
        Benchmark(tmp_path)
    write_pictures(tmp_path, ["a", "b"])
    with pytest.raises(PublicDataError, match="has 14 pictures"):
        Benchmark(tmp_path, "Set14")
    with pytest.raises(PublicDataError, match="no benchmark 'Set6'"):
        Benchmark(tmp_path, "Set6")
    assert len(Benchmark(tmp_path)) == 2


def test_streams_of_other_pictures_can_be_lowered() -> None:
    crops = Crops([{"image": torch.rand(3, 40, 40)}], size=16, batch=3, generator=seeded(0))
    drawn = Lowered(crops, 2).draw()
    assert drawn["condition"].shape == (3, 3, 8, 8)
