"""The photos and their layouts: every one loads, fits its photo, and says where it comes from."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib.data import photos
from lib.data.photos import LAYOUTS, Photo, PhotoError, load_photo, photo_names

NAMES = photo_names()
MIN_SHARE = 0.001
"""A class smaller than this would vanish when the layout is made small."""


def card(name: str) -> dict[str, object]:
    loaded = json.loads((LAYOUTS / name / "layout.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module", params=NAMES)
def photo(request: pytest.FixtureRequest) -> Photo:
    # As large as the layouts are drawn, so that nothing is lost in resizing.
    return load_photo(request.param, side=512, multiple=1)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of one layout folder that a test may damage; the loader reads it instead of the book's."""
    shutil.copytree(LAYOUTS / "flower", tmp_path / "flower")
    monkeypatch.setattr(photos, "LAYOUTS", tmp_path)
    return tmp_path / "flower"


def test_the_books_photos_are_there() -> None:
    assert {"china", "coffee", "flower"} <= set(NAMES)
    assert list(NAMES) == sorted(NAMES)


def test_image_and_layouts_have_one_size(photo: Photo) -> None:
    assert photo.image.dtype == torch.float32 and photo.image.shape[0] == 3
    assert -1 <= float(photo.image.min()) < -0.5 and 0.5 < float(photo.image.max()) <= 1
    for layout in (photo.layout, *photo.targets.values()):
        assert (layout.height, layout.width) == tuple(photo.image.shape[1:])
        assert layout.palette == photo.layout.palette


@pytest.mark.parametrize(("side", "multiple"), [(64, 8), (128, 8), (200, 16)])
def test_side_and_multiple_are_kept(side: int, multiple: int) -> None:
    photo = load_photo("coffee", side=side, multiple=multiple)
    height, width = photo.image.shape[1:]
    assert height % multiple == width % multiple == 0
    assert abs(max(height, width) - side) <= multiple / 2
    assert (photo.layout.height, photo.layout.width) == (height, width)


def test_no_class_is_lost_at_the_usual_size() -> None:
    for name in NAMES:
        assert min(load_photo(name).layout.shares()) >= MIN_SHARE / 2, name


def test_three_to_eleven_classes_and_all_of_them_drawn(photo: Photo) -> None:
    assert 3 <= photo.layout.classes <= 11
    assert min(photo.layout.shares()) >= MIN_SHARE


def test_every_class_of_a_target_is_in_the_source(photo: Photo) -> None:
    assert len(photo.targets) >= 3
    source = set(np.unique(photo.layout.index))
    for name, target in photo.targets.items():
        shares = np.array(target.shares())
        assert set(np.flatnonzero(shares)) <= source, name
        assert shares[shares > 0].min() >= MIN_SHARE, name


def test_targets_change_something_and_keep_something(photo: Photo) -> None:
    changed = {n: float(np.mean(t.index != photo.layout.index)) for n, t in photo.targets.items()}
    assert all(0.002 <= share <= 0.75 for share in changed.values()), changed
    assert len({target.index.tobytes() for target in photo.targets.values()}) == len(photo.targets)


def test_the_borders_of_the_layout_follow_the_photo(photo: Photo) -> None:
    """Brightness changes more along the borders of the layout than along the same borders 3 pixels away."""
    grey = photo.image.mean(0).numpy()
    gradient = np.hypot(*np.gradient(grey))

    def along(index: np.ndarray) -> float:
        border = np.zeros(index.shape, dtype=bool)
        border[:, 1:] |= index[:, 1:] != index[:, :-1]
        border[1:] |= index[1:] != index[:-1]
        return float(gradient[border].mean())

    index = photo.layout.index
    displaced = [along(np.roll(index, shift, axis=(0, 1))) for shift in ((3, 3), (-3, 3), (3, -3), (-3, -3))]
    assert along(index) > 1.15 * max(displaced)


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_small_indexed_pictures(name: str) -> None:
    folder = LAYOUTS / name
    stems = {path.stem for path in folder.glob("*.png")}
    targets = card(name)["targets"]
    assert isinstance(targets, dict)
    assert stems == {"source", *targets}
    classes = card(name)["classes"]
    assert isinstance(classes, list)
    for path in folder.iterdir():
        assert path.stat().st_size < 60_000, path
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.mode == "P" and max(picture.size) == 512, path
                assert int(np.asarray(picture).max()) < len(classes), path
                flat = picture.getpalette("RGB") or []
            colours = [flat[3 * k : 3 * k + 3] for k in range(len(classes))]
            assert colours == [entry["colour"] for entry in classes], path


@pytest.mark.parametrize("name", NAMES)
def test_the_layout_has_the_shape_of_the_crop(name: str) -> None:
    picture = photos._open_crop(card(name))
    with Image.open(LAYOUTS / name / "source.png") as layout:
        scale = 512 / max(picture.size)
        assert abs(picture.width * scale - layout.width) <= 1
        assert abs(picture.height * scale - layout.height) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_complete(name: str) -> None:
    content = card(name)
    assert content["photo"] == name
    for key in ("title", "author", "licence", "source", "layout_author", "layout_licence"):
        assert isinstance(content[key], str) and content[key], key
    assert content["layout_licence"] == "CC BY 4.0"
    photo = load_photo(name, side=64)
    assert photo.about["source"] == content["source"]
    assert photo.edits.keys() == photo.targets.keys()
    for target, sentence in photo.edits.items():
        assert re.fullmatch(r"[a-z0-9_]+", target), target
        assert sentence[0].isupper() and sentence.endswith("."), sentence


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a photo tried to use the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    for name in NAMES:
        load_photo(name, side=64)


def test_two_loads_share_no_picture() -> None:
    first = load_photo("flower", side=64)
    first.image.zero_()
    assert float(load_photo("flower", side=64).image.abs().sum()) > 0


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(PhotoError, match=r"no photo 'chnia'; choose one of .*china, coffee"):
        load_photo("chnia")


def test_a_side_below_one_is_refused() -> None:
    with pytest.raises(PhotoError, match="at least 1, got 0"):
        load_photo("flower", side=0)


def test_a_missing_package_gives_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="run: pip install scikit-learn"):
        load_photo("china")


def test_a_package_without_the_photo_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(photos._PACKAGES, "scikit-learn", ("sklearn", "no/such/folder"))
    with pytest.raises(PhotoError, match="pip install --upgrade scikit-learn"):
        load_photo("china")


def test_a_missing_layout_is_named(copied: Path) -> None:
    (copied / "two.png").unlink()
    with pytest.raises(PhotoError, match=r"'two\.png' of the photo 'flower' is missing"):
        load_photo("flower")


def test_a_damaged_card_is_named(copied: Path) -> None:
    path = copied / "layout.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"licence"', '"license"'), encoding="utf-8")
    with pytest.raises(PhotoError, match="lacks licence"):
        load_photo("flower")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(PhotoError, match="not valid JSON"):
        load_photo("flower")


def test_an_unknown_package_is_refused(copied: Path) -> None:
    path = copied / "layout.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"scikit-learn"', '"elsewhere"'), encoding="utf-8")
    with pytest.raises(PhotoError, match="package 'elsewhere'"):
        load_photo("flower")


def test_no_layouts_at_all_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "LAYOUTS", tmp_path)
    assert photo_names() == ()
    with pytest.raises(PhotoError, match="no layouts"):
        load_photo("flower")
