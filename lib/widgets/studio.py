"""The layout studio: repaint the layout of a photo and watch the photo follow.

    Studio("flower")                              # a photo of the book
    Studio("cat.jpg", "cat_layout.png")           # a photo of one's own: mend its layout, press "Train", repaint it

A layout can be painted from nothing, too: begin with ``blank_layout`` of `lib.widgets.blank_layout`, or with a first
guess of `lib.data.first_guess`.

Every finished edit is painted in a thread; while it paints, a newer edit takes the place of those that wait. The
same from Python, with or without a browser:

    studio.editor.state.fill((10, 10), "leaf"); studio.editor.refresh()
    studio.wait()
    studio.picture                                # (3, H, W) in [-1, 1]
    studio.paint(photo.targets["left"])           # no widget at all

Used in JupyterLab 4.6 and Notebook 7.6. VS Code and Colab show such widgets, too, and nothing has to be switched on;
there the studio was not tried.
"""

from __future__ import annotations

import html
import threading
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets
from PIL import Image
from torch import Tensor

from lib.data.photos import photo_names
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.images import ImageSource, to_pil
from lib.labelmaps import LabelMap
from lib.training.live import heading
from lib.training.play import Report
from lib.widgets.layout_editor import LayoutEditor
from lib.widgets.layout_state import LayoutState
from lib.widgets.memory import keep_freed_memory
from lib.widgets.newest import NewestWins
from lib.widgets.picture_board import PictureBoard
from lib.widgets.picture_board.board import THUMBNAIL
from lib.widgets.pictures import png, still_bundle, thumbnail
from lib.widgets.project import Project
from lib.widgets.studio_subject import Subject, models

__all__ = ["Studio"]

VERSIONS = 40
"""Painted versions that can be gone back to."""


class _Job(NamedTuple):
    """A layout to paint, of a subject that may have been left by the time it is painted."""

    subject: Subject
    target: LabelMap
    refine: bool


class _Version(NamedTuple):
    """What was painted earlier, for the strip."""

    target: LabelMap
    picture: Tensor
    thumbnail: bytes


class Studio(widgets.VBox):  # type: ignore[misc]  # ipywidgets is not typed
    """Source photo, layout editor and generated picture in one widget.

    Args:
        photo: the name of a bundled photo, or a photo of one's own (path, PIL image, array, tensor).
        layout: a map of one's own photo, also a rough one: it can be mended in the editor before "Train" is pressed.
            Not for a bundled photo, which brings its own.
        side: long side of the pictures in pixels. Above 128 px the model decides what goes where at 128 px, and
            the detail is the photo's.
        folder: where models that are trained here are kept and looked for; default: nowhere.
        config: how to train; default `AnalogyConfig.quick()`.

    Attributes:
        editor: the `LayoutEditor`, with `editor.state` for scripts.
        board: picture, slider, versions.
        subject: photo, layout and model.
        picture: what was painted last, (3, H, W) in [-1, 1]; None before that.

    Raises:
        PhotoError, ImageError, LabelError: the photo or its layout cannot be used.
    """

    def __init__(
        self, photo: str | ImageSource | Tensor = "flower", layout: ImageSource | LabelMap | None = None, *,
        side: int = 256, folder: str | Path | None = None, config: AnalogyConfig | None = None,
    ) -> None:  # fmt: skip
        if layout is not None:
            name = Path(photo).stem if isinstance(photo, str | Path) else "photo"
            subject = Subject.of(photo, layout, side=side, name=name)
        else:
            subject = Subject.bundled(str(photo), side=side)
        self.subject: Subject = subject
        self.side, self.config, self._preparing = side, config, False
        self.folder = None if folder is None else Path(folder)
        self.picture: Tensor | None = None
        self._versions: list[_Version] = []
        self._stop = threading.Event()
        keep_freed_memory()
        self._drafts = NewestWins(self._work, self._painted, self._failed)
        self._refined = NewestWins(self._work, self._painted, self._failed)
        self._trainer = NewestWins(self._learn, self._learned, self._untrained)
        self.editor = LayoutEditor(subject.layout, subject.image)
        self.board = PictureBoard(self._heard)
        super().__init__(self._rows())
        self.editor.on_edit(self._edited)
        self._begin(subject, preparing=layout is not None)

    # --------------------------------------------------------------------------------------- for scripts

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
        if self._preparing:
            self.subject = self.subject.with_layout(self.map)
            self._preparing = False
            self.editor.replace(LayoutState(self.subject.layout), self.subject.image)
        self._stop = threading.Event()
        self._show_training(0.0, "begins")
        self._trainer.submit((self.subject, self._stop))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for training and painting to end; False if that takes longer."""
        return all(worker.wait(seconds) for worker in (self._trainer, self._drafts, self._refined))

    def project(self) -> Project:
        """What can be saved: photo, layouts, versions."""
        subject, versions = self.subject, tuple(version.target for version in self._versions)
        return Project(subject.name, subject.image, subject.layout, self.map, versions)

    def save(self, path: str | Path) -> None:
        """Write the project to a zip file."""
        self.project().save(path)

    def restore(self, source: str | Path | bytes) -> None:
        """Go on with a saved project.

        Raises:
            ProjectError: the file is no project.
        """
        project = Project.load(source)
        state = LayoutState(project.layout, source=project.source)
        self._begin(Subject.from_project(project), state)

    def choose(self, name: str) -> None:
        """Go on with another bundled photo."""
        self._begin(Subject.bundled(name, side=self.side))

    # ----------------------------------------------------------------------------------------- its parts

    def _rows(self) -> list[Any]:
        trained = models()
        names = [(name if name in trained else f"{name} (is trained first)", name) for name in photo_names()]
        self._chooser = widgets.Dropdown(options=[("choose a photo", ""), *names], value="", description="Photo")
        self._layouts = widgets.Dropdown(options=[("choose a layout", "")], value="", description="Layout")
        self._progress = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="220px"))
        self._cancel = widgets.Button(description="Stop training", icon="stop")
        self._train = widgets.Button(description="Train", icon="play")
        self._said = widgets.HTML()
        self._training_row = widgets.HBox([self._progress, self._cancel, self._train, self._said])
        self._chooser.observe(self._guarded(self._photo_chosen), "value")
        self._layouts.observe(self._guarded(self._layout_chosen), "value")
        self._cancel.on_click(lambda _: self._stop.set())
        self._train.on_click(self._guarded(lambda _: self.train()))
        top = widgets.HBox([self._chooser, self._layouts])
        whole = widgets.Layout(flex="0 0 auto")
        self.editor.layout, self.board.layout = whole, whole
        wrapped = widgets.Layout(flex_flow="row wrap", align_items="flex-start", grid_gap="12px")
        return [top, self._training_row, widgets.HBox([self.editor, self.board], layout=wrapped)]

    def _guarded(self, act: Any) -> Any:
        """A callback whose errors are shown in the studio: elsewhere nobody would see them."""

        def guarded(event: Any) -> None:
            try:
                act(event)
            except Exception as error:
                self._failed(error)

        return guarded

    def _begin(self, subject: Subject, state: LayoutState | None = None, *, preparing: bool = False) -> None:
        """Turn to a photo. In preparation its layout is still being mended, and nothing is trained."""
        self._stop.set()
        self.subject, self.picture, self._versions = self._with_known_model(subject), None, []
        self._preparing = preparing and self.subject.model is None
        self.board.before, self.board.after, self.board.versions = png(to_pil(subject.image)), b"", []
        self._layouts.options = [("choose a layout", ""), *((name, name) for name in subject.targets)]
        self._layouts.disabled = not subject.targets
        self._chooser.value = subject.name if subject.name in photo_names() else ""
        self.editor.replace(state or LayoutState(subject.layout), subject.image)
        zoom = self.editor.zoom
        self.board.size = [round(subject.layout.width * zoom), round(subject.layout.height * zoom)]
        if self.subject.model is not None:
            self._show_training(None)
        elif self._preparing:
            self._show_training(0.0, "is the layout as you want it?")
            self._cancel.disabled, self._train.disabled = True, False
        else:
            self.train()

    def _with_known_model(self, subject: Subject) -> Subject:
        """The subject with the model that was kept in the folder, if there is one that learned this layout."""
        path = self._path(subject)
        if subject.model is not None or path is None or not path.exists():
            return subject
        model = Analogist.load(path)
        return subject.with_model(model) if _same(model.layout, subject.layout.resized(*subject.small)) else subject

    def _path(self, subject: Subject) -> Path | None:
        return None if self.folder is None else self.folder / f"analogy_{subject.name}.safetensors"

    # ------------------------------------------------------------------------------------------ painting

    def _edited(self) -> None:
        if self.subject.model is None:
            mend = "Paint what is where in the photo, then press Train."
            self.board.caption = mend if self._preparing else "The model is not trained yet; the layout is kept."
            return
        self.board.busy = True
        self._drafts.submit(_Job(self.subject, self.map, refine=False))

    def _work(self, job: _Job) -> Tensor:
        return job.subject.paint(job.target, refine=job.refine)

    def _painted(self, job: _Job, picture: Tensor, seconds: float) -> None:
        if job.subject is not self.subject:
            return  # of a photo that was left
        if job.refine and not _same(job.target, self.map):
            self.board.caption = "The layout has changed since; refine again."
            return
        self._show(picture)
        how = "painted and refined" if job.refine else "painted"
        self.board.caption = f"{how} in {1000 * seconds:.0f} ms, {job.target.width} x {job.target.height} px"
        self.board.busy = self._drafts.busy and not _same(job.target, self.map)
        self._remember(job.target, picture)

    def _show(self, picture: Tensor) -> None:
        self.picture = picture
        self.board.show(to_pil(picture))

    def _remember(self, target: LabelMap, picture: Tensor) -> None:
        """Put a version into the strip; a refined picture takes the place of its draft."""
        if self._versions and _same(self._versions[-1].target, target):
            self._versions.pop()
        made = _Version(target, picture, thumbnail(to_pil(picture), THUMBNAIL))
        self._versions = [*self._versions, made][-VERSIONS:]
        self.board.versions = [version.thumbnail for version in self._versions]

    def _failed(self, error: Exception) -> None:
        self.board.busy = False
        self.board.caption = str(error) or type(error).__name__

    # ------------------------------------------------------------------------------------------ training

    def _learn(self, job: tuple[Subject, threading.Event]) -> Analogist:
        subject, stop = job

        def on_round(report: Report) -> None:
            if stop.is_set():
                raise KeyboardInterrupt  # `play` ends after the round and keeps what was learned
            self._show_training(report.progress, heading(report))

        return subject.train(on_round, self.config)

    def _learned(self, job: tuple[Subject, threading.Event], model: Analogist, seconds: float) -> None:
        subject, stop = job
        if subject is not self.subject:
            return
        self.subject = subject.with_model(model)
        path = self._path(subject)
        if path is not None and not stop.is_set():
            model.save(path, data=subject.name)
        words = f"trained for {seconds:.0f} s" + (" and stopped early" if stop.is_set() else "")
        self._show_training(self._progress.value if stop.is_set() else None, words)
        self._cancel.disabled, self._train.disabled = True, False
        self._edited()

    def _untrained(self, error: Exception) -> None:
        self._show_training(0.0, "not trained")
        self._cancel.disabled, self._train.disabled = True, False
        self._preparing = self.subject.model is None
        self._failed(error)

    def _show_training(self, progress: float | None, words: str = "") -> None:
        """None: there is nothing to train."""
        self._training_row.layout.display = "none" if progress is None else "flex"
        self._progress.value = progress or 0.0
        self._said.value = html.escape(words)
        self._cancel.disabled, self._train.disabled = False, True

    # ------------------------------------------------------------------------------------------- buttons

    def _photo_chosen(self, change: Any) -> None:
        if change["new"] and change["new"] != self.subject.name:
            self.choose(change["new"])

    def _layout_chosen(self, change: Any) -> None:
        if change["new"]:
            self.show(self.subject.targets[change["new"]])

    def _heard(self, word: str, detail: Any) -> None:
        if word == "version":
            self.show(self._versions[int(detail)].target)
        elif word == "refine" and self.subject.model is not None:
            self.board.caption, self.board.busy = "refining: every pixel looks for its best match", True
            self._refined.submit(_Job(self.subject, self.map, refine=True))
        elif word == "picture" and self.picture is not None:
            self.board.offer(f"{self.subject.name}.png", png(to_pil(self.picture)))
        elif word == "project":
            self.board.offer(f"{self.subject.name}.zip", self.project().to_bytes())
        elif word == "open" and detail:
            self.restore(detail)

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


def _same(a: LabelMap, b: LabelMap) -> bool:
    return a.index.shape == b.index.shape and bool((a.index == b.index).all())
