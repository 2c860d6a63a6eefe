"""A project comes back as it was, and a stranger's file does no harm."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.images import to_pil
from lib.labelmaps import LabelMap, Palette
from lib.widgets import project as module
from lib.widgets.project import Project, ProjectError
from tests.scenes import PALETTE, layout, photo


def sample() -> Project:
    image, own = photo()
    wider = Palette((*PALETTE.names[:2], "moon", "boat"), (*PALETTE.colours, (1, 2, 3)))
    now = LabelMap(layout(ball=(0.4, 0.7)).index, wider)
    return Project("holiday", image, own, now, (layout(ball=(0.2, 0.5)), now))


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    there = sample()
    there.save(tmp_path / "p.zip")
    back = Project.load(tmp_path / "p.zip")
    assert back.name == "holiday" and (back.image - there.image).abs().max() <= 1 / 127.5
    assert back.layout.palette == there.layout.palette  # a class that no pixel has is kept, too
    assert np.array_equal(back.layout.index, there.layout.index)
    assert np.array_equal(back.source.index, there.source.index) and len(back.versions) == 2
    assert there.to_bytes() == sample().to_bytes()  # no clock in it
    assert torch.equal(Project.load(back.to_bytes()).image, back.image)


def altered(**members: bytes | None) -> bytes:
    """The sample with members replaced or (None) left out; dots are written as underscores."""
    out = io.BytesIO()
    changes = {name.replace("__", "."): data for name, data in members.items()}
    with zipfile.ZipFile(io.BytesIO(sample().to_bytes())) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if changes.get(name, b"") is not None:
                new.writestr(name, changes.get(name) or old.read(name))
        for name in set(changes) - set(old.namelist()):
            new.writestr(name, changes[name] or b"")
    return out.getvalue()


def table(**changes: object) -> bytes:
    return json.dumps({"format": 1, "name": "x", "versions": 0} | changes).encode()


def png(height: int, width: int) -> bytes:
    out = io.BytesIO()
    to_pil(torch.zeros(3, height, width)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no project"), (b"no zip at all", "no project"), (sample().to_bytes()[:-80], "no project"),
        (altered(photo__png=None), "lacks photo.png"), (altered(project__json=None), "lacks project.json"),
        (altered(project__json=b"{"), "damaged"), (altered(project__json=b"[" * 100_000), "damaged"),
        (altered(project__json=table(format=2)), "format 2"), (altered(project__json=table(versions=-1)), "no sense"),
        (altered(project__json=table(versions=10**9)), "no sense"), (altered(project__json=table(name="")), "no sense"),
        (altered(project__json=table(versions=9)), "lacks version_2.png"),
        (altered(photo__png=b"<svg/>"), "cannot be read"), (altered(layout__png=png(32, 48)), "cannot be read"),
        (altered(photo__png=png(48, 48)), "cannot be read"), (altered(photo__png=png(2100, 2100)), "cannot be read"),
    ],
)  # fmt: skip
def test_other_files_are_refused_in_one_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(ProjectError, match=sentence) as caught:
        Project.load(data)
    assert "\n" not in str(caught.value)


def test_a_zip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("project.json", b" " * 5_000_000)
    assert len(out.getvalue()) < 10_000
    with pytest.raises(ProjectError, match="larger than"):
        Project.load(out.getvalue())


def test_members_with_strange_names_are_never_touched(tmp_path: Path) -> None:
    """Nothing is unpacked: a name that climbs out of the folder is one that nobody asks for."""
    data = altered(**{"../../evil__txt": b"x", "/etc/evil": b"x"})
    assert Project.load(data).name == "holiday"
    assert not list(tmp_path.parent.parent.glob("evil*"))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="No such file"):
        Project.load(tmp_path / "nothing.zip")
