"""The runtime asks the hardware, and says what it found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import lib.runtime as runtime
from lib.runtime import (
    RunCard,
    Runtime,
    choose_device,
    fast_dtype,
    keep_freed_memory,
    memory_format,
    profile,
    seeded,
)


def pretend(monkeypatch: pytest.MonkeyPatch, *, amx: bool = False, avx512_bf16: bool = False) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)


@pytest.mark.parametrize(("amx", "avx512_bf16"), [(False, False), (True, False), (False, True)])
def test_bf16_only_where_the_cpu_multiplies_it(monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool) -> None:
    pretend(monkeypatch, amx=amx, avx512_bf16=avx512_bf16)
    fast = amx or avx512_bf16
    assert fast_dtype("cpu") is (torch.bfloat16 if fast else torch.float32)
    assert memory_format("cpu") is (torch.channels_last if fast else torch.contiguous_format)
    assert Runtime.detect("cpu") == Runtime(torch.device("cpu"), fast_dtype("cpu"), fast)


@pytest.mark.parametrize(("flags", "fast"), [("fpu avx2", False), ("fpu amx_bf16", True), ("avx512_bf16", True)])
def test_flags_of_the_cpu_stand_in_for_torch(monkeypatch: pytest.MonkeyPatch, flags: str, fast: bool) -> None:
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    monkeypatch.setattr(runtime, "_cpuinfo", lambda key: flags)
    assert fast_dtype("cpu") is (torch.bfloat16 if fast else torch.float32)


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_bf16_on_cuda_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    assert fast_dtype("cuda") is dtype
    assert memory_format("cuda") is torch.channels_last


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runtime, "_has_mps", lambda: False)
    assert choose_device() == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"finds no CUDA GPU here; use 'cpu', or install a CUDA build"):
        choose_device("cuda")
    with pytest.raises(ValueError, match="no Apple GPU here; use 'cpu'"):
        choose_device("mps")
    with pytest.raises(ValueError, match="no device called 'gpu'"):
        choose_device("gpu")
    with pytest.raises(ValueError, match="does not run on 'meta'"):
        choose_device("meta")


def test_the_fastest_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(runtime, "_has_mps", lambda: True)
    assert choose_device().type == "cuda" and choose_device("cuda:1").index == 1
    with pytest.raises(ValueError, match="'cuda:2' was asked for, but the last GPU here is 'cuda:1'"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device().type == "mps"


def test_autocast_runs_in_the_dtype() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    for dtype in (torch.float32, torch.bfloat16):
        with Runtime(torch.device("cpu"), dtype).autocast():
            assert layer(x).dtype is dtype
        assert layer.weight.dtype is torch.float32


@pytest.mark.parametrize("channels_last", [False, True])
def test_place_sets_the_layout_of_images_only(channels_last: bool) -> None:
    place = Runtime(torch.device("cpu"), channels_last=channels_last).place
    image = place(torch.zeros(2, 3, 8, 8))
    assert image.is_contiguous(memory_format=torch.channels_last) is channels_last
    net = place(torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Flatten(), torch.nn.Linear(4, 2)))
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last) is channels_last
    assert place(torch.arange(3)).dtype is torch.int64


@pytest.mark.parametrize(("value", "expected"), [(None, "quick"), ("", "quick"), ("full", "full"), ("QUICK", "quick")])
def test_profile(monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str) -> None:
    monkeypatch.delenv("BOOK_PROFILE", raising=False)
    if value is not None:
        monkeypatch.setenv("BOOK_PROFILE", value)
    assert profile() == expected


def test_unknown_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOK_PROFILE", "fast")
    with pytest.raises(ValueError, match="BOOK_PROFILE is 'fast'; set it to 'quick' or 'full'"):
        profile()


def test_seeded_repeats_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    draws = [torch.randn(5, generator=seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_run_card_measures_and_fits_json() -> None:
    with RunCard("matrix product", seed=7) as card:
        x = torch.ones(400, 400)
        for _ in range(5):
            x = x @ x / 400
    values = json.loads(json.dumps(card.as_dict()))
    assert values["seed"] == 7 and values["profile"] == "quick" and values["dtype"] == "float32"
    assert values["torch_version"].startswith("2.") and values["torchvision_version"].startswith("0.")
    assert card.wall_seconds is not None and card.wall_seconds > 0
    assert card.cpu_seconds is not None and card.cpu_seconds > 0
    assert card.peak_memory_mb is None or 50 < card.peak_memory_mb < 100_000
    table = card._repr_markdown_()
    assert "matrix product" in table and "| seed | 7 |" in table and "| profile | quick |" in table


def test_run_card_outlives_an_error_but_cannot_be_read_too_early() -> None:
    card = RunCard()
    with pytest.raises(RuntimeError, match="still open: use it in a `with` block"):
        card.as_dict()
    with pytest.raises(KeyboardInterrupt), card:
        raise KeyboardInterrupt
    assert card.as_dict()["seed"] is None


def test_freed_memory_is_kept() -> None:
    if not keep_freed_memory():
        pytest.skip("this system's C library cannot be asked to keep what is freed")
    import resource  # the module exists on Unix only

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [np.ones(500_000) for _ in range(8)]  # 4 MB each, a thousand pages
        del pieces
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 40_000  # of 160 000 that are used
