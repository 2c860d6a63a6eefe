"""The layout studio: repaint the layout of a photo and watch the photo follow.

    Studio("flower")                              # a photo of the book
    Studio("cat.jpg")                             # one of one's own: mend the guessed layout, press "Train", repaint it
    Studio("cat.jpg", "cat_layout.png")           # the same with a layout of one's own

A layout can be painted from nothing, too: begin with ``blank_layout`` of `lib.widgets.blank_layout`. A model that was
trained here is kept in a folder of the reader (`lib.widgets.model_folder`) and found again.

Every finished edit is painted in a thread; while it paints, a newer edit takes the place of those that wait. When the
hand has rested for a second, the picture is refined. The same from Python, with or without a browser:

    studio.editor.state.fill((10, 10), "leaf"); studio.editor.refresh()
    studio.wait()
    studio.picture                                # (3, H, W) in [-1, 1]
    studio.paint(photo.targets["left"])           # no widget at all

Used in JupyterLab 4.6 and Notebook 7.6. VS Code and Colab show such widgets, too, and nothing has to be switched on;
there the studio was not tried.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets
from PIL import Image
from torch import Tensor

from lib.data.photos import photo_names
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.images import ImageSource, to_pil
from lib.labelmaps import LabelError, LabelMap
from lib.training.live_figure import heading
from lib.training.play import Report
from lib.widgets.desk import Desk, free_label, same_map
from lib.widgets.layout_editor import LayoutEditor
from lib.widgets.layout_state import LayoutState
from lib.widgets.model_folder import ModelFolder
from lib.widgets.newest import NewestWins
from lib.widgets.picture_board import PictureBoard
from lib.widgets.pictures import png, still_bundle
from lib.widgets.project import Project
from lib.widgets.studio_subject import Subject, models
from lib.widgets.training_row import TrainingRow

__all__ = ["Studio"]

SAMPLE_EVERY = 5.0
"""Seconds between the sample pictures of a first training; one costs a tenth of a second."""


class _Job(NamedTuple):
    """A layout to paint, of a subject that may have been left by the time it is painted."""

    subject: Subject
    target: LabelMap
    refine: bool


class _Training(NamedTuple):
    """A model to train for what lay on a desk."""

    desk: Desk
    subject: Subject
    stop: threading.Event


class Studio(widgets.VBox):  # type: ignore[misc]  # ipywidgets is not typed
    """Source photo, layout editor and generated picture in one widget.

    Args:
        photo: the name of a bundled photo, or a photo of one's own (path, PIL image, array, tensor).
        layout: a map of one's own photo, also a rough one: it can be mended in the editor before "Train" is pressed.
            Not for a bundled photo, which brings its own; a photo of one's own begins with a first guess without it.
        side: long side of the pictures in pixels. Above 128 px the model decides what goes where at 128 px, and
            the detail is the photo's.
        folder: where models that are trained here are kept and looked for; default the reader's cache.
        config: how to train; default `AnalogyConfig.quick()`.
        refine_after: seconds of rest after which a draft is refined by itself; None leaves that to the button.

    Attributes:
        editor: the `LayoutEditor`, with `editor.state` for scripts.
        board: picture, slider, versions.

    Raises:
        PhotoError, ImageError, LabelError: the photo or its layout cannot be used.
    """

    def __init__(
        self, photo: str | ImageSource | Tensor = "flower", layout: ImageSource | LabelMap | None = None, *,
        side: int = 256, folder: str | Path | None = None, config: AnalogyConfig | None = None,
        refine_after: float | None = 1.0,
    ) -> None:  # fmt: skip
        subject = Subject.opened(photo, layout, side=side)
        own = layout is not None or not subject.targets
        self.side, self.config, self.refine_after, self.folder = side, config, refine_after, ModelFolder(folder)
        self._desks: dict[str, Desk] = {}
        self._stop = threading.Event()
        self._drafts = NewestWins(self._work, self._painted, self._failed)
        self._refined = NewestWins(self._work, self._painted, self._failed, rest=refine_after or 0.0)
        self._saved = NewestWins(self._work, self._save_painted, self._failed)
        self._trainer = NewestWins(self._learn, self._learned, self._untrained)
        self.editor = LayoutEditor(subject.layout, subject.image)
        self.board = PictureBoard(self._heard)
        super().__init__(self._rows())
        self.editor.on_edit(self._edited)
        subject = self.folder.with_model(subject)
        label = free_label(subject.name, "yours", photo_names()) if own else subject.name
        self._sit_down(label, Desk(subject, LayoutState(subject.layout), own and subject.model is None))
        if self._desk.preparing and layout is None:
            self.training.wait("This layout is a first guess: mend it, then press Train.")

    # --------------------------------------------------------------------------------------- for scripts

    @property
    def subject(self) -> Subject:
        """Photo, layout and model."""
        return self._desk.subject

    @property
    def picture(self) -> Tensor | None:
        """What was painted last, (3, H, W) in [-1, 1]; None before that."""
        return self._desk.picture

    @property
    def map(self) -> LabelMap:
        """The layout as it is now."""
        return self.editor.map

    def paint(self, target: LabelMap, *, refine: bool = False) -> Tensor:
        """The picture of any layout of the studio's size, without showing it: (3, H, W) in [-1, 1]."""
        return self.subject.paint(target, refine=refine)

    def show(self, target: LabelMap) -> None:
        """Put a layout into the editor, as one step, and paint it."""
        self.editor.state.replace(target)
        self.editor.refresh()

    def train(self) -> None:
        """Train a model for the photo, in a thread. If there has never been one, the layout in the editor is learned.

        Then it is the photo's layout from now on: what the eraser and "Reset" go back to.
        """
        desk = self._desk
        if desk.preparing:
            desk.subject = desk.subject.with_layout(self.map)
            desk.preparing = False
            self.editor.replace(LayoutState(desk.subject.layout), desk.subject.image)
            desk.state = self.editor.state
        self._stop = threading.Event()
        self.training.run(0.0, "begins")
        self._trainer.submit(_Training(desk, desk.subject, self._stop))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for training, painting and refining to end; False if that takes longer."""
        return all(worker.wait(seconds) for worker in (self._trainer, self._drafts, self._refined, self._saved))

    def project(self) -> Project:
        """What can be saved: photo, layouts, versions."""
        subject, versions = self.subject, tuple(version.target for version in self._desk.versions)
        return Project(subject.name, subject.image, subject.layout, self.map, versions)

    def save(self, path: str | Path) -> None:
        """Write the project to a zip file."""
        self.project().save(path)

    def restore(self, source: str | Path | bytes) -> None:
        """Go on with a saved project; what lay on the desk stays in the menu. Nothing is trained without being asked.

        Raises:
            ProjectError: the file is no project.
        """
        project = Project.load(source)
        subject = self.folder.with_model(Subject.from_project(project))
        self._sit_down(free_label(project.name, "project", self._desks), Desk.of_project(project, subject))

    def choose(self, name: str) -> None:
        """Go on with a bundled photo, or with what the menu of photos has under this name, as it was left."""
        desk = self._desks.get(name)
        if desk is None:
            subject = self.folder.with_model(Subject.bundled(name, side=self.side))
            desk = Desk(subject, LayoutState(subject.layout))
        self._sit_down(name, desk)

    # ----------------------------------------------------------------------------------------- its parts

    def _rows(self) -> list[Any]:
        self._chooser = widgets.Dropdown(description="Photo")
        self._layouts = widgets.Dropdown(description="Layout")
        self.training = TrainingRow(self._guarded(lambda _: self.train()), lambda _: self._stop.set())
        self._chooser.observe(self._guarded(self._photo_chosen), "value")
        self._layouts.observe(self._guarded(self._layout_chosen), "value")
        top = widgets.HBox([self._chooser, self._layouts])
        whole = widgets.Layout(flex="0 0 auto")
        self.editor.layout, self.board.layout = whole, whole
        wrapped = widgets.Layout(flex_flow="row wrap", align_items="flex-start", grid_gap="12px")
        return [top, self.training, widgets.HBox([self.editor, self.board], layout=wrapped)]

    def _guarded(self, act: Any) -> Any:
        """A callback whose errors are shown in the studio: elsewhere nobody would see them."""

        def guarded(event: Any) -> None:
            try:
                act(event)
            except Exception as error:
                self._failed(error)

        return guarded

    def _sit_down(self, label: str, desk: Desk) -> None:
        """Turn to a photo; the one that is left keeps its layout, its history and its versions."""
        self._stop.set()
        self._label, self._desk, self._desks[label] = label, desk, desk
        subject = desk.subject
        self.board.before, self.board.after = png(to_pil(subject.image)), b""
        self.board.versions = [version.thumbnail for version in desk.versions]
        self._layouts.options = [("choose a layout", ""), *((name, name) for name in subject.targets)]
        self._layouts.index = None  # a browser that has drawn a new menu shows its choice when the choice changes
        self._layouts.index, self._layouts.disabled = 0, not subject.targets
        self._fill_menu()
        self.editor.replace(desk.state, subject.image)
        zoom = self.editor.zoom
        self.board.size = [round(subject.layout.width * zoom), round(subject.layout.height * zoom)]
        if subject.model is not None:
            self.training.hide()
        elif label in photo_names():
            self.train()  # who chooses a photo of the book wants it painted
        else:
            asked = "Is the layout as you want it?" if desk.preparing else "There is no model for this photo here."
            self.training.wait(f"{asked} Press Train; it takes minutes.")

    def _fill_menu(self) -> None:
        """The bundled photos and, below them, the desks of one's own."""
        trained, bundled = models(), photo_names()
        entries = [(name if name in trained else f"{name} (is trained first)", name) for name in bundled]
        entries += [(label, label) for label in self._desks if label not in bundled]
        self._chooser.options = [("choose a photo", ""), *entries]  # a menu with new entries chooses the first
        self._chooser.value = self._label

    # ------------------------------------------------------------------------------------------ painting

    def _edited(self) -> None:
        self._refined.forget()
        if self.subject.model is None:
            mend = "Paint what is where in the photo, then press Train."
            self.board.caption = mend if self._desk.preparing else "The model is not trained yet; the layout is kept."
            return
        self.board.busy = True
        self._drafts.submit(_Job(self.subject, self.map, refine=False))

    def _work(self, job: _Job) -> Tensor:
        return job.subject.paint(job.target, refine=job.refine)

    def _painted(self, job: _Job, picture: Tensor, seconds: float) -> None:
        newest = same_map(job.target, self.map)
        if job.subject is not self.subject or (job.refine and not newest):
            return  # of a photo that was left, or of a layout that was edited meanwhile
        self._show(picture)
        how = f"painted and refined in {seconds:.1f} s" if job.refine else f"painted in {1000 * seconds:.0f} ms"
        self.board.caption = f"{how}, {job.target.width} x {job.target.height} px"
        self.board.busy = self._drafts.busy and not newest
        self._desk.remember(job.target, picture, refined=job.refine)
        self.board.versions = [version.thumbnail for version in self._desk.versions]
        if newest and not job.refine and self.refine_after is not None:
            self._refined.submit(job._replace(refine=True))

    def _show(self, picture: Tensor) -> None:
        self._desk.picture = picture
        self.board.show(to_pil(picture))

    def _save_painted(self, job: _Job, picture: Tensor, seconds: float) -> None:
        self.board.offer(f"{job.subject.name}.png", png(to_pil(picture)))
        self._painted(job, picture, seconds)

    def _failed(self, error: Exception) -> None:
        self.board.busy = False
        self.board.caption = str(error) or type(error).__name__

    # ------------------------------------------------------------------------------------------ training

    def _learn(self, job: _Training) -> Analogist:
        first, due = job.subject.model is None, time.monotonic()

        def on_round(report: Report) -> None:
            nonlocal due
            if job.stop.is_set():
                raise KeyboardInterrupt  # `play` ends after the round and keeps what was learned
            self.training.run(report.progress, heading(report))
            if first and job.desk is self._desk and time.monotonic() >= due:
                self._sample(job, report)
                due = time.monotonic() + SAMPLE_EVERY

        return job.subject.train(on_round, self.config)

    def _sample(self, job: _Training, report: Report) -> None:
        """Show what the training has learned so far, on the layout as it is now."""
        try:
            self._show(job.subject.with_learner(report, self.config).paint(self.map))
        except LabelError:
            return  # the layout has a class that is not learned, which is said after the training
        self.board.caption = f"a sample after {report.rounds_done} rounds; the training goes on"

    def _learned(self, job: _Training, model: Analogist, seconds: float) -> None:
        if job.desk is not self._desk:
            return
        stopped = job.stop.is_set()
        job.desk.subject = job.subject.with_model(model)
        if not stopped:
            self.folder.keep(job.subject, model)
            self.training.hide()
        else:
            words = f"trained for {seconds:.0f} s and stopped early"
            self.training.wait(words, float(self.training.progress.value))
        self._edited()

    def _untrained(self, error: Exception) -> None:
        self.training.wait("not trained")
        self._desk.preparing = self.subject.model is None
        self._failed(error)

    # ------------------------------------------------------------------------------------------- buttons

    def _photo_chosen(self, change: Any) -> None:
        if change["new"] and change["new"] != self._label:
            self.choose(change["new"])

    def _layout_chosen(self, change: Any) -> None:
        if change["new"]:
            self.show(self.subject.targets[change["new"]])
            self._layouts.value = ""  # so that the same layout can be chosen again

    def _heard(self, word: str, detail: Any) -> None:
        if word == "version":
            self.show(self._desk.versions[int(detail)].target)
        elif word == "refine" and self.subject.model is not None:
            self.board.caption, self.board.busy = "refining: every pixel looks for its best match", True
            self._refined.submit(_Job(self.subject, self.map, refine=True), at_once=True)
        elif word == "picture":
            self._save_picture()
        elif word == "project":
            self.board.offer(f"{self.subject.name}.zip", self.project().to_bytes())
        elif word == "open" and detail:
            self.restore(detail)

    def _save_picture(self) -> None:
        """Hand out the refined picture; refine it first where it is a draft."""
        if self.picture is not None and self._desk.is_refined(self.map):
            self.board.offer(f"{self.subject.name}.png", png(to_pil(self.picture)))
        elif self.subject.model is None:
            raise LabelError(f"There is no model for {self.subject.name} yet; press Train first.")
        else:
            self.board.caption, self.board.busy = "refining the picture before it is saved", True
            self._saved.submit(_Job(self.subject, self.map, refine=True))

    # -------------------------------------------------------------------------------------- without a view

    def still(self) -> Image.Image:
        """The layout and the picture side by side, for a page that shows no widgets."""
        layout = self.editor.picture()
        picture = to_pil(self.subject.image if self.picture is None else self.picture)
        picture = picture.resize((self.board.size[0], self.board.size[1]), Image.Resampling.BICUBIC)
        sheet = Image.new("RGB", (layout.width + picture.width + 12, max(layout.height, picture.height)), "white")
        sheet.paste(layout, (0, 0))
        sheet.paste(picture, (layout.width + 12, 0))
        return sheet

    def _repr_mimebundle_(self, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle: dict[str, Any] | None = super()._repr_mimebundle_(**arguments)
        part = self.board._repr_mimebundle_(**arguments)
        if bundle is None or part is None:
            return None
        self._drafts.wait(30)
        return still_bundle(bundle, self.still(), repr(self)), part[1]  # Colab loads the parts by what is said here

    def __repr__(self) -> str:
        subject = self.subject
        return f"Studio({subject.name}, {subject.layout.width} x {subject.layout.height} px)"
