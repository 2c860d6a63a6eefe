"""What lies on the desk of a studio: one photo with its edits. A desk that is left stays as it was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from torch import Tensor

from lib.images import to_pil
from lib.labelmaps import LabelMap
from lib.widgets.layout_state import LayoutState
from lib.widgets.picture_board.board import THUMBNAIL
from lib.widgets.pictures import thumbnail
from lib.widgets.project import Project
from lib.widgets.studio_subject import Subject

__all__ = ["Desk", "Version", "free_label", "same_map"]

VERSIONS = 40
"""Painted versions that can be gone back to."""


@dataclass(frozen=True, eq=False)
class Version:
    """What was painted earlier, for the strip."""

    target: LabelMap
    thumbnail: bytes
    refined: bool = False


@dataclass(eq=False)
class Desk:
    """A photo, the edits of its layout with their history, and what was painted.

    Attributes:
        preparing: the photo's own layout is still being mended; nothing is trained yet.
        picture: what was painted last.
    """

    subject: Subject
    state: LayoutState
    preparing: bool = False
    versions: list[Version] = field(default_factory=list)
    picture: Tensor | None = None

    @classmethod
    def of_project(cls, project: Project, subject: Subject) -> Desk:
        """Go on with a project; until they are painted again, its versions show their layouts."""
        versions = [Version(one, thumbnail(one.to_pil().convert("RGB"), THUMBNAIL)) for one in project.versions]
        return cls(subject, LayoutState(project.layout, source=project.source), versions=versions[-VERSIONS:])

    def remember(self, target: LabelMap, picture: Tensor, *, refined: bool) -> None:
        """Put a version at the end; a refined picture takes the place of its draft."""
        if self.versions and same_map(self.versions[-1].target, target):
            self.versions.pop()
        made = Version(target, thumbnail(to_pil(picture), THUMBNAIL), refined)
        self.versions = [*self.versions, made][-VERSIONS:]

    def is_refined(self, target: LabelMap) -> bool:
        """Whether `picture` is the refined picture of a layout."""
        return bool(self.versions) and self.versions[-1].refined and same_map(self.versions[-1].target, target)


def same_map(a: LabelMap, b: LabelMap) -> bool:
    """Whether two maps have the same class at every pixel; names and colours may differ."""
    return a.index.shape == b.index.shape and bool((a.index == b.index).all())


def free_label(name: str, kind: str, taken: Collection[str]) -> str:
    """A name for the menu of photos that nothing there has: "cat (yours)", "cat (yours 2)"."""
    label, number = f"{name} ({kind})", 1
    while label in taken:
        number += 1
        label = f"{name} ({kind} {number})"
    return label
