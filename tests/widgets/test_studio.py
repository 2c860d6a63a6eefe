"""The studio without a browser: it paints the newest edit, trains, saves, switches, and says what went wrong."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lib.data.photos import PhotoError
from lib.games.analogist import Analogist
from lib.images import read_image, write_png
from lib.labelmaps import LabelError, LabelMap
from lib.widgets import studio as studio_module
from lib.widgets import studio_subject
from lib.widgets.blank_layout import blank_layout
from lib.widgets.model_folder import FOLDER_VARIABLE, ModelFolder, default_folder
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


def test_a_job_waits_for_rest_and_a_newer_one_waits_anew() -> None:
    results: list[tuple[int, float]] = []
    worker = NewestWins(lambda x: x, lambda job, _, late: results.append((job, late)), lambda error: None, rest=0.15)
    for job in range(4):
        worker.submit(job)
        time.sleep(0.05)
    assert worker.busy and not results  # 0.2 s after the first, 0.05 s after the last
    assert worker.wait(5) and [job for job, _ in results] == [3] and results[0][1] < 0.1  # the rest is not counted
    worker.submit(4)
    worker.forget()
    assert worker.wait(0.1) and len(results) == 1
    worker.submit(5)
    worker.submit(6, at_once=True)
    assert worker.wait(0.1) and results[-1][0] == 6


# -------------------------------------------------------------------------------------------- the studio


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for models of this test alone, not the reader's."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


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
    there = Studio("scene", refine_after=None)
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
    for _ in range(2):  # the menu works again after a reset
        studio.editor.state.reset()
        studio.editor.refresh()
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


def test_a_draft_is_refined_when_the_hand_rests(studio: Studio) -> None:
    studio.refine_after = 0.0
    studio.show(layout(64, 96, ball=(0.4, 0.7)))
    assert torch.equal(changed(studio), studio.paint(studio.map, refine=True))
    assert studio.board.caption.startswith("painted and refined in ") and not studio.board.busy
    assert len(studio.board.versions) == 2  # of two layouts; the draft gave way


def test_an_edit_cancels_the_refinement_of_the_layout_before(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    refined: list[LabelMap] = []
    paint = Subject.paint

    def noted(self: Subject, target: LabelMap, *, refine: bool = False) -> Tensor:
        if refine:
            refined.append(target)
        return paint(self, target, refine=refine)

    monkeypatch.setattr(Subject, "paint", noted)
    studio.refine_after = studio._refined._rest = 0.3
    for row in (0.3, 0.5, 0.7):
        studio.show(layout(64, 96, ball=(row, 0.7)))
        assert studio._drafts.wait(20)
    assert studio.board.caption.startswith("painted in ") and not refined
    assert studio.wait(20) and len(refined) == 1 and np.array_equal(refined[0].index, studio.map.index)


def test_what_is_saved_is_refined(studio: Studio) -> None:
    files: list[tuple[str, bytes]] = []
    studio.board.offer = lambda name, data: files.append((name, data))
    for count in (1, 2):  # the second time it is there already
        studio.board._hear(None, {"type": "picture"}, [])
        assert studio.wait(20) and len(files) == count
    wanted = studio.paint(studio.map, refine=True)
    assert files[0] == files[1] and files[0][0] == "scene.png"
    assert (read_image(files[0][1]) - wanted).abs().max() < 0.01  # 8 bits


def test_a_photo_that_is_left_is_found_again_as_it_was(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    studio.editor.state.fill((3, 3), "ground")
    studio.editor.refresh()
    changed(studio)
    edited, data, subject = studio.map.index, studio.project().to_bytes(), studio.subject
    monkeypatch.setattr(Subject, "from_project", classmethod(lambda cls, project: replace(subject)))
    studio.restore(data)
    assert studio.wait(20) and studio.editor.state.depth == (0, 0) and len(studio.board.versions) == 2
    assert studio._chooser.value == "scene (project)" and "scene" in dict(studio._chooser.options).values()
    studio.editor.state.reset()
    studio.editor.refresh()
    changed(studio)
    studio._chooser.value = "scene"
    assert np.array_equal(studio.map.index, edited) and studio.editor.state.depth == (1, 0)
    assert studio.wait(20) and len(studio.board.versions) == 2
    studio.restore(data)
    assert studio._chooser.value == "scene (project 2)"


def test_a_project_goes_out_and_comes_in(studio: Studio, tmp_path: Path) -> None:
    studio.show(layout(64, 96, ball=(0.4, 0.7)))
    changed(studio)
    files: list[tuple[str, bytes]] = []
    studio.board.offer = lambda name, data: files.append((name, data))
    studio.board._hear(None, {"type": "project"}, [])
    assert [name for name, _ in files] == ["scene.zip"]
    studio.editor.state.reset()
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
    assert "press Train" in there.board.caption and there.training.stop.disabled and not there.training.train.disabled
    number = there.editor.state.add_class("boat", (1, 2, 3))  # used nowhere: left out
    there.editor.state.fill((3, 3), "ball")
    there.editor.state.brush([(90, 5)], "sky", radius=5)
    mended = there.map.index
    there.training.train.click()
    assert there.wait(30) and number == 3 and there.subject.layout.classes == 3
    assert np.array_equal(there.subject.layout.index, mended) and np.array_equal(there.editor.state.source, mended)
    assert there.subject.model is not None and there.picture is not None
    assert len(list(tmp_path.glob("analogy_cat_*.safetensors"))) == 1 and there.training.layout.display == "none"
    monkeypatch.setattr(Subject, "train", None)  # the second time nothing is trained
    again = Studio(tmp_path / "cat.png", there.subject.layout, side=96, folder=tmp_path)
    assert again.wait(30) and torch.allclose(again.paint(own), there.paint(own), atol=1e-5)
    other = Studio(tmp_path / "cat.png", tmp_path / "drawn.png", side=96, folder=tmp_path)
    assert other.subject.model is None  # that model learned another layout


def test_a_photo_alone_begins_with_a_first_guess(tmp_path: Path) -> None:
    write_png(photo(64, 96)[0], tmp_path / "cat.png")
    there = Studio(str(tmp_path / "cat.png"), side=96)
    assert "first guess" in there.training.words and there._chooser.value == "cat (yours)"
    assert 2 <= there.map.classes <= 5 and not there.training.train.disabled and there.subject.model is None
    assert there.wait(1)  # nothing is trained without being asked
    with pytest.raises(PhotoError, match=r"no photo 'dog.png'.*path of a file"):
        Studio("dog.png")


def test_the_project_of_ones_own_photo_finds_its_model_and_trains_only_if_asked(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, own = photo(64, 96)
    there = Studio(image, own, side=96, config=tiny(rounds=1))
    there.train()
    assert there.wait(30) and len(list(cache.iterdir())) == 2  # weights and their card
    there.save(tmp_path / "p.zip")
    monkeypatch.setattr(Subject, "train", None)
    there.restore(tmp_path / "p.zip")
    assert there.wait(20) and there.subject.model is not None and there.picture is not None
    assert ModelFolder().with_model(Subject.of(-image, own, side=96)).model is None  # another photo, the same layout
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "elsewhere"))
    other = Studio(image, own, side=96)
    other.restore(tmp_path / "p.zip")
    assert other.wait(1) and other.subject.model is None and not other.training.train.disabled
    assert "Press Train" in other.training.words


def test_a_strangers_project_chooses_no_folder(tmp_path: Path) -> None:
    image, own = photo(64, 96)
    path = ModelFolder(tmp_path).file(Subject.of(image, own, side=96, name="../../etc/evil"))
    assert path.parent == tmp_path and ModelFolder(tmp_path).with_model(Subject.of(image, own, side=96)).model is None


@pytest.mark.parametrize(("platform", "end"), [("linux", "/.cache"), ("darwin", "/Library/Caches")])
def test_models_are_kept_where_the_system_keeps_such_things(
    platform: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    assert str(default_folder()).endswith(f"{end}/drawing-by-analogy") and default_folder().is_absolute()
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/drawing-by-analogy")


def test_samples_are_shown_while_a_first_model_is_trained_and_edits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio_module, "SAMPLE_EVERY", 0.0)
    image, own = photo()
    there = Studio(image, own, side=48, config=tiny(rounds=100_000))
    captions: list[str] = []
    there.board.observe(lambda change: captions.append(change["new"]), "caption")
    there.train()
    there.editor.state.fill((3, 3), "ball")
    there.editor.refresh()
    deadline = time.monotonic() + 20
    while sum("a sample after" in one for one in captions) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert there._trainer.busy and there.picture is not None and there.board.after
    there.training.stop.click()
    assert there.wait(20) and (there.map.index != own.index).any() and there.board.caption.startswith("painted")


def test_edits_are_painted_while_a_training_goes_on(studio: Studio) -> None:
    studio.config = tiny(rounds=100_000)
    before = changed(studio)
    studio.train()
    for row in (0.3, 0.5, 0.7):
        studio.show(layout(64, 96, ball=(row, 0.7)))
        assert studio._drafts.wait(20) and studio._trainer.busy
        assert studio.picture is not None and torch.equal(studio.picture, studio.paint(studio.map))
        assert not torch.equal(studio.picture, before)
    studio.training.stop.click()
    assert studio.wait(20) and "stopped early" in studio.training.words


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
    while not there.training.progress.value and time.monotonic() < deadline:
        time.sleep(0.01)
    there.training.stop.click()
    assert there.wait(20) and there.subject.model is not None and there.picture is not None
    assert "stopped early" in there.training.words and not there.training.train.disabled


def test_a_layout_that_cannot_be_learned_is_explained_and_can_be_mended() -> None:
    image, own = photo()
    there = Studio(image, own, side=48, config=tiny(rounds=1))
    there.editor.state.rectangle((0, 0), (47, 31), "sky")
    there.train()
    assert there.wait(20) and "at least two classes" in there.board.caption and not there.training.train.disabled
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
