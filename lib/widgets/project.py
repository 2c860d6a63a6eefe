"""A studio's project as one file: a zip of PNGs and a JSON table of contents, safe to open from a stranger.

    project.zip
        project.json     {"format": 1, "name": ..., "versions": 3}
        photo.png        the photo
        source.png       its layout, indexed, with the class names
        layout.png       the layout as it is now
        version_0.png    earlier layouts, oldest first

Nothing is unpacked to the disk, only the members above are read, and each is limited in size before it is read.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lib.images import ImageError, read_image, to_pil, write_atomically
from lib.labelmaps import LabelError, LabelMap, read_label_map

__all__ = ["Project", "ProjectError"]

FORMAT = 1
MOST_VERSIONS = 64
MOST_BYTES = 30_000_000  # of a member, unpacked
MOST_PIXELS = 4_000_000  # of a picture: a project holds what was edited, not the camera's file
_DAY_ONE = (2020, 1, 1, 0, 0, 0)  # the same project gives the same bytes


class ProjectError(ValueError):
    """A project cannot be opened. The message says why."""


@dataclass(frozen=True, eq=False)
class Project:
    """What a studio needs to go on another day.

    Attributes:
        name: of the photo; a bundled photo's name finds its trained model again.
        image: (3, H, W) in [-1, 1].
        source: the photo's layout.
        layout: the layout as it is now, with its classes.
        versions: earlier layouts, oldest first.
    """

    name: str
    image: Tensor
    source: LabelMap
    layout: LabelMap
    versions: Sequence[LabelMap] = ()

    def to_bytes(self) -> bytes:
        """The zip."""
        photo = io.BytesIO()
        to_pil(self.image).save(photo, "PNG")
        about = {"format": FORMAT, "name": self.name, "versions": len(self.versions[-MOST_VERSIONS:])}
        members = {
            "project.json": (json.dumps(about, indent=1) + "\n").encode(),
            "photo.png": photo.getvalue(),
            "source.png": self.source.to_png(),
            "layout.png": self.layout.to_png(),
        }
        members |= {f"version_{k}.png": v.to_png() for k, v in enumerate(self.versions[-MOST_VERSIONS:])}
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:  # PNGs are packed already
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, _DAY_ONE), data)
        return packed.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the zip, all or nothing."""
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, source: str | Path | bytes) -> Project:
        """Read what `save` wrote.

        Raises:
            ProjectError: the file is missing, no project, damaged, or too large.
        """
        try:
            data = source if isinstance(source, bytes) else Path(source).read_bytes()
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return cls._read(archive)
        except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError) as error:
            raise ProjectError(f"This is no project of the studio, or it is damaged ({error}).") from error
        except (LabelError, ImageError) as error:
            raise ProjectError(f"A picture of the project cannot be read: {error}") from error

    @classmethod
    def _read(cls, archive: zipfile.ZipFile) -> Project:
        name, count = _contents(_member(archive, "project.json"))
        image = read_image(_member(archive, "photo.png"), max_pixels=MOST_PIXELS)
        source, layout = (_layout(archive, stem) for stem in ("source", "layout"))
        versions = tuple(_layout(archive, f"version_{k}") for k in range(count))
        for one in (source, layout, *versions):
            one.require_size(image.shape[-2], image.shape[-1], owner="the photo of the project")
        fewest = source.classes
        if any(one.classes < fewest for one in (layout, *versions)):
            raise ProjectError("A layout of the project has fewer classes than its source layout.")
        return cls(name, image, source, layout, versions)


def _contents(data: bytes) -> tuple[str, int]:
    """Name and number of versions."""
    try:
        about = json.loads(data)
        name, count, form = about["name"], about["versions"], about["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProjectError(f"The project's table of contents is damaged ({error!r}).") from error
    if form != FORMAT:
        raise ProjectError(f"The project has the format {form!r}; this version of the book reads format {FORMAT}.")
    sound = isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable()
    if not sound or isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_VERSIONS:
        raise ProjectError("The project's table of contents holds values that make no sense.")
    return name, count


def _layout(archive: zipfile.ZipFile, stem: str) -> LabelMap:
    return read_label_map(_member(archive, f"{stem}.png"), max_classes=256)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of the archive, never more of it than the limit, whatever its header says."""
    try:
        with archive.open(name) as member:
            data = member.read(MOST_BYTES + 1)
    except KeyError as error:
        raise ProjectError(f"The project lacks {name}; save it again.") from error
    if len(data) > MOST_BYTES:
        raise ProjectError(f"{name} in the project is larger than {MOST_BYTES // 1_000_000} MB.")
    return data
