"""The same code on a GPU. Skipped, with the reason, where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib.data.photos import load_photo
from lib.games.analogist import Analogist, untrained
from lib.games.analogy import AnalogyConfig
from lib.runtime import Runtime

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU")

SMALL = replace(AnalogyConfig.quick(), side=64, rounds=4, widths=(8, 16, 16), layout_widths=(8, 8, 8, 8))


def test_the_generator_agrees_with_the_cpu() -> None:
    photo = load_photo("flower", side=64)
    target = next(iter(photo.targets.values()))
    on_cpu = untrained(photo.layout.classes, SMALL, seed=0, runtime=Runtime(torch.device("cpu"))).G.eval()
    expected = on_cpu(photo.image[None], photo.layout.one_hot(), target.one_hot()).logits
    on_gpu = on_cpu.cuda()
    found = on_gpu(photo.image[None].cuda(), photo.layout.one_hot("cuda"), target.one_hot("cuda")).logits
    torch.testing.assert_close(found.cpu(), expected, atol=1e-2, rtol=1e-3)


def test_training_saving_and_painting_elsewhere(tmp_path: Path) -> None:
    photo = load_photo("flower", side=64)
    analogist = Analogist.train(photo.image, photo.layout, SMALL, runtime=Runtime.detect("cuda"))
    analogist.save(tmp_path / "model.safetensors")
    again = Analogist.load(tmp_path / "model.safetensors", runtime=Runtime.detect("cpu"))
    for target in photo.targets.values():
        assert again.paint(target).isfinite().all()
