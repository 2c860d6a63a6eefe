"""Pictures of every competitor: written once, found again, painted only where they are missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from lib.baselines import gallery
from lib.baselines.cases import Case
from lib.baselines.gallery import EDITS, RANKED, GalleryCommand, load_version, main
from lib.baselines.inputs import PaintError
from lib.baselines.painters import PAINTERS
from lib.data.photos import load_photo
from lib.images import write_png
from lib.runtime import Runtime


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Competitors that paint one grey each; what they were asked for."""
    orders: list[tuple[str, str, str]] = []

    def grey(method: str, level: float) -> object:
        def paint(case: Case, runtime: Runtime) -> dict[str, Tensor]:
            orders.extend((method, case.name, wish) for wish in case.targets)
            return {wish: torch.full_like(case.image, level) for wish in case.targets}

        return paint

    levels = torch.linspace(-0.8, 0.8, len(PAINTERS)).tolist()
    painters = {method: grey(method, level) for method, level in zip(PAINTERS, levels, strict=True)}
    monkeypatch.setattr(gallery, "PAINTERS", painters)
    return orders


def test_each_edit_is_painted_once_by_those_who_are_ranked_and_one_by_all(
    asked: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    assert main(GalleryCommand(out=tmp_path, device="cpu")) == 0
    assert {order for order in asked if order[0] in RANKED} == {
        (method, name, wish) for method in RANKED for name, wishes in EDITS.items() for wish in wishes
    }
    assert {order[1:] for order in asked if order[0] == "spade"} == {(n, wishes[0]) for n, wishes in EDITS.items()}
    levels = dict(zip(PAINTERS, torch.linspace(-0.8, 0.8, len(PAINTERS)).tolist(), strict=True))
    for method in RANKED:
        picture = load_version("china", "lake", method, tmp_path / "ranked")
        assert picture.shape == load_photo("china", side=128).image.shape
        assert float(picture.mean()) == pytest.approx(levels[method], abs=0.02)
    with Image.open(tmp_path / "analogy_photos.jpg") as sheet:
        assert sheet.width > 6 * 120 and sheet.height > 9 * 80


def test_pictures_of_an_earlier_comparison_are_taken(asked: list[tuple[str, str, str]], tmp_path: Path) -> None:
    white = torch.ones(3, 80, 128)
    write_png(white, tmp_path / "photos" / "flower" / "ours" / "heart.png")
    main(GalleryCommand(pictures=tmp_path, out=tmp_path, device="cpu"))
    assert ("ours", "flower", "heart") not in asked and ("ours", "flower", "two") in asked
    assert load_version("flower", "heart", "ours", tmp_path / "ranked").min() > 0.98


def test_the_book_ships_what_its_study_ranks() -> None:
    for name, wishes in EDITS.items():
        photo = load_photo(name, side=128)
        for wish in wishes:
            versions = [load_version(name, wish, method) for method in RANKED]
            assert all(version.shape == photo.image.shape for version in versions)
            assert all(float((version - photo.image).abs().mean()) > 0.001 for version in versions)  # edited


def test_a_missing_picture_speaks(tmp_path: Path) -> None:
    with pytest.raises(PaintError, match="python -m lib evaluate gallery"):
        load_version("flower", "two", "ours", tmp_path)
