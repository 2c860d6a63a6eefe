"""The studio without a browser: it paints the newest edit, trains, saves, switches, and says what went wrong."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lib.games.analogist import Analogist
from lib.images import write_png
from lib.labelmaps import LabelError, LabelMap
from lib.widgets import studio_subject
from lib.widgets.blank_layout import blank_layout
from lib.widgets.memory import keep_freed_memory
from lib.widgets.newest import NewestWins
from lib.widgets.studio import Studio
from lib.widgets.studio_subject import Subject
from tests.scenes import CPU, layout, photo, tiny

# ------------------------------------------------------------------------------------------- newest wins


def test_the_newest_job_wins_and_older_ones_are_forgotten() -> None:
    gate, begun, results = threading.Event(), threading.Event(), []

    def work(job: int) -> int:
        begun.set()
        assert gate.wait(5)
        return job * job

    worker = NewestWins(work, lambda job, result, _: results.append((job, result)), lambda error: None)
    worker.submit(1)
    assert begun.wait(5)
    for job in range(2, 9):
        worker.submit(job)
    assert worker.busy and not worker.wait(0.01)
    gate.set()
    assert worker.wait(5) and results == [(1, 1), (8, 64)]
    worker.submit(3)
    assert worker.wait(5) and results[-1] == (3, 9)  # a thread that has ended begins again


def test_an_error_is_told_and_the_next_job_is_done() -> None:
    errors: list[Exception] = []
    results: list[float] = []
    worker = NewestWins(lambda x: 1 / x, lambda job, result, _: results.append(result), errors.append)
    worker.submit(0)
    assert worker.wait(5) and isinstance(errors[0], ZeroDivisionError)
    worker.submit(4)
    assert worker.wait(5) and results == [0.25]


def test_freed_memory_is_kept() -> None:
    if not keep_freed_memory():
        pytest.skip("this system's C library cannot be asked to keep what is freed")
    import resource  # the module exists on Unix only

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [np.ones(500_000) for _ in range(8)]  # 4 MB each, a thousand pages
        del pieces
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 40_000  # of 160 000 that are used


# -------------------------------------------------------------------------------------------- the studio


@pytest.fixture(scope="module")
def model() -> Analogist:
    image, own = photo()
    return Analogist.train(image, own, tiny(rounds=2), runtime=CPU)


@pytest.fixture
def studio(model: Analogist, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """On a scene of 96 x 64 px whose model paints at 48 x 32."""
    image, own = photo(64, 96)
    subject = Subject("scene", image, own, {"right": layout(64, 96, ball=(0.4, 0.7))}, 2, model)
    monkeypatch.setattr(Subject, "bundled", classmethod(lambda cls, name, side=256: subject))
    there = Studio("scene")
    assert there.wait(20)
    yield there
    there.wait(20)


def changed(studio: Studio) -> Tensor:
    assert studio.wait(20) and studio.picture is not None
    return studio.picture.clone()


def test_every_edit_is_painted_at_the_size_of_the_studio(studio: Studio) -> None:
    first = changed(studio)
    assert first.shape == (3, 64, 96) and studio.board.after and "96 x 64" in studio.board.caption
    studio.editor._hear(None, {"type": "operation", "client": "a", "number": 1, "crc": None,
                               "op": {"op": "fill", "at": [3, 3], "cls": 1}}, [])  # fmt: skip
    second = changed(studio)
    assert (first - second).abs().mean() > 0.05 and not studio.board.busy
    assert len(studio.board.versions) == 2


def test_a_script_paints_as_the_hand_does(studio: Studio) -> None:
    target = layout(64, 96, ball=(0.4, 0.7))
    studio.show(target)
    assert torch.equal(changed(studio), studio.paint(target))
    studio._layouts.value = "right"
    assert np.array_equal(studio.map.index, target.index)


def test_versions_are_gone_back_to(studio: Studio) -> None:
    before = changed(studio)
    studio.editor.state.fill((3, 3), "ground")
    studio.editor.refresh()
    changed(studio)
    studio.board._hear(None, {"type": "version", "number": 0}, [])
    assert torch.allclose(changed(studio), before) and studio.editor.state.depth == (2, 0)


def test_colab_is_told_where_the_front_end_of_the_parts_is(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for Colab's module, which anywidget asks."""
    url = "https://example.org/manager.js"
    colab = SimpleNamespace(enable_custom_widget_manager=lambda: None, _widgets=SimpleNamespace(_installed_url=url))
    monkeypatch.setitem(sys.modules, "google.colab.output", colab)
    bundle = studio._repr_mimebundle_()
    assert bundle is not None and url in repr(bundle[1])


def test_a_new_class_is_explained_and_names_do_not_matter(studio: Studio) -> None:
    before = changed(studio)
    studio.editor.state.rename_class("ball", "moon")
    studio.editor.refresh()
    assert torch.equal(changed(studio), before)
    studio.editor.state.add_class("boat", (9, 9, 9))
    studio.editor.state.rectangle((0, 0), (20, 20), "boat")
    studio.editor.refresh()
    studio.wait(20)
    assert "has not seen the class 'boat'" in studio.board.caption and not studio.board.busy


def test_refining_is_a_button_and_takes_the_place_of_its_draft(studio: Studio) -> None:
    draft = changed(studio)
    studio.board._hear(None, {"type": "refine"}, [])
    refined = changed(studio)
    assert "refined" in studio.board.caption and not torch.equal(draft, refined)
    assert len(studio.board.versions) == 1


def test_a_project_goes_out_and_comes_in(studio: Studio, tmp_path: Path) -> None:
    studio.show(layout(64, 96, ball=(0.4, 0.7)))
    changed(studio)
    files: list[tuple[str, bytes]] = []
    studio.board.offer = lambda name, data: files.append((name, data))
    for word in ("project", "picture"):
        studio.board._hear(None, {"type": word}, [])
    assert [name for name, _ in files] == ["scene.zip", "scene.png"]
    studio.editor.state.reset()
    studio.config = tiny(rounds=1)
    studio.board._hear(None, {"type": "open"}, [memoryview(files[0][1])])
    assert np.array_equal(studio.map.index, layout(64, 96, ball=(0.4, 0.7)).index)
    assert studio.editor.state.depth == (0, 0) and np.array_equal(studio.editor.state.source, layout(64, 96).index)
    studio.board._hear(None, {"type": "open"}, [memoryview(b"something else")])
    assert "no project" in studio.board.caption


def test_errors_of_the_model_are_shown_inside(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Subject, *_: Any, **__: Any) -> Tensor:
        raise RuntimeError("out of paint")

    monkeypatch.setattr(Subject, "paint", broken)
    studio.editor.refresh()
    studio.wait(20)
    assert studio.board.caption == "out of paint"


def test_a_picture_stands_in_where_widgets_are_not_shown(studio: Studio) -> None:
    bundle = studio._repr_mimebundle_()
    assert bundle is not None and bundle[0]["text/plain"] == "Studio(scene, 96 x 64 px)"
    assert 500 < len(bundle[0]["image/jpeg"]) < 100_000 and bundle[1] == {}


# ---------------------------------------------------------------------------------------------- training


def test_a_photo_of_ones_own_is_mended_trained_and_painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, own = photo(64, 96)
    write_png(image, tmp_path / "cat.png")
    own.save(tmp_path / "drawn.png")
    there = Studio(tmp_path / "cat.png", tmp_path / "drawn.png", side=96, config=tiny(rounds=2), folder=tmp_path)
    assert "press Train" in there.board.caption and there._cancel.disabled and not there._train.disabled
    number = there.editor.state.add_class("boat", (1, 2, 3))  # used nowhere: left out
    there.editor.state.fill((3, 3), "ball")
    there.editor.state.brush([(90, 5)], "sky", radius=5)
    mended = there.map.index
    there._train.click()
    assert there.wait(30) and number == 3 and there.subject.layout.classes == 3
    assert np.array_equal(there.subject.layout.index, mended) and np.array_equal(there.editor.state.source, mended)
    assert there.subject.model is not None and there.picture is not None
    assert (tmp_path / "analogy_cat.safetensors").exists() and there._training_row.layout.display == "none"
    monkeypatch.setattr(Subject, "train", None)  # the second time nothing is trained
    again = Studio(tmp_path / "cat.png", there.subject.layout, side=96, folder=tmp_path)
    assert again.wait(30) and torch.allclose(again.paint(own), there.paint(own), atol=1e-5)
    other = Studio(tmp_path / "cat.png", tmp_path / "drawn.png", side=96, folder=tmp_path)
    assert other.subject.model is None  # that model learned another layout


def test_a_layout_is_begun_with_an_empty_map() -> None:
    empty = blank_layout(photo(64, 96)[0], ["sky", "hill", "house"])
    assert empty.index.shape == (64, 96) and empty.palette.names == ("sky", "hill", "house") and not empty.index.any()
    names = [f"class {k}" for k in range(16)]
    assert len(set(blank_layout(photo()[0], names).palette.colours)) == 16
    with pytest.raises(LabelError, match="2 to 16"):
        blank_layout(photo()[0], ["sky"])


def test_training_can_be_stopped_and_keeps_what_was_learned() -> None:
    image, own = photo()
    there = Studio(image, own, side=48, config=tiny(rounds=100_000))
    there.train()
    deadline = time.monotonic() + 20
    while not there._progress.value and time.monotonic() < deadline:
        time.sleep(0.01)
    there._cancel.click()
    assert there.wait(20) and there.subject.model is not None and there.picture is not None
    assert "stopped early" in there._said.value and not there._train.disabled


def test_a_layout_that_cannot_be_learned_is_explained_and_can_be_mended() -> None:
    image, own = photo()
    there = Studio(image, own, side=48, config=tiny(rounds=1))
    there.editor.state.rectangle((0, 0), (47, 31), "sky")
    there.train()
    assert there.wait(20) and "at least two classes" in there.board.caption and not there._train.disabled
    there.editor.state.add_class("hill", (1, 2, 3))
    there.editor.state.rectangle((0, 20), (47, 31), "hill")
    there.train()
    assert there.wait(20) and there.subject.model is not None and there.map.palette.names == ("sky", "hill")


def test_photos_and_layouts_that_do_not_fit_are_refused() -> None:
    image, own = photo(64, 96)
    with pytest.raises(LabelError, match="the same picture"):
        Subject.of(image, layout(96, 64), side=96)
    with pytest.raises(LabelError, match="The photo must be"):
        Subject.of(photo(32, 48)[0], own, side=256)
    with pytest.raises(LabelError, match="train it first"):
        Subject.of(image, own, side=96).paint(own)


def test_a_model_of_another_photo_is_refused(model: Analogist) -> None:
    image, own = photo(64, 64)
    with pytest.raises(LabelError, match="train one for this photo"):
        Subject("x", image, own, {}, 2).with_model(model)


def test_the_books_photos_know_their_models() -> None:
    assert set(studio_subject.models()) >= {"flower", "china", "astronaut"}
    subject = Subject.bundled("flower")
    assert subject.layout.index.shape == (160, 256) and subject.small == (80, 128) and subject.model is not None
    assert isinstance(subject.targets["left"], LabelMap)
