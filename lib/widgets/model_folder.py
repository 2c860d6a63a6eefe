"""Models of one's own photos, kept from one day to the next: a photo that was trained once is never trained again.

A model is found by the layout it learned, and is used only for the photo it learned. The files are safetensors with a
JSON card; loading one runs no code.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import numpy as np

from lib.games.analogist import Analogist
from lib.training.checkpoint import CheckpointError
from lib.widgets.studio_subject import Subject

__all__ = ["ModelFolder", "default_folder"]

FOLDER_VARIABLE = "DRAWING_BY_ANALOGY_CACHE"
_SAME_PHOTO = 0.03  # mean difference in [-1, 1]; saving a photo as a PNG and resizing it again changes less


def default_folder() -> Path:
    """Where this system keeps what a program can make again; ``DRAWING_BY_ANALOGY_CACHE`` overrides it."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    home = {"darwin": "~/Library/Caches", "win32": "~/AppData/Local"}.get(sys.platform, "~/.cache")
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or home).expanduser() / "drawing-by-analogy"


class ModelFolder:
    """A folder of trained models.

    Args:
        path: created with the first model; default `default_folder`.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = default_folder() if path is None else Path(path)

    def file(self, subject: Subject) -> Path:
        """Where the model of a photo and its layout is kept."""
        layout = subject.layout.resized(*subject.small)
        known = hashlib.sha256(repr(layout.index.shape).encode() + layout.index.tobytes()).hexdigest()[:12]
        name = re.sub(r"[^\w-]+", "_", subject.name)[:40]  # a stranger's project chooses no folder
        return self.path / f"analogy_{name}_{known}.safetensors"

    def with_model(self, subject: Subject) -> Subject:
        """The subject with the model that learned this photo and this layout; unchanged where there is none."""
        path = self.file(subject)
        if subject.model is not None or not path.is_file():
            return subject
        try:
            model = Analogist.load(path)
        except CheckpointError:
            return subject  # damaged: trained again
        image, layout = subject.small_image(), subject.layout.resized(*subject.small)
        if not np.array_equal(model.layout.index, layout.index) or model.layout.classes != layout.classes:
            return subject
        same = float((model.image.cpu() - image).abs().mean()) < _SAME_PHOTO
        return subject.with_model(model) if same else subject

    def keep(self, subject: Subject, model: Analogist) -> None:
        """Write a trained model.

        Raises:
            CheckpointError: the disk refused.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        model.save(self.file(subject), data=subject.name)
