"""``python -m lib analogy`` from files to files, and one sentence for every file that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lib import cli
from lib.games.analogist import Analogist
from lib.games.analogy import AnalogyConfig
from lib.images import read_image, to_pil
from lib.labelmaps import LabelMap, read_label_map
from lib.metrics import segmenter
from tests.scenes import CPU, layout, photo, tiny

Capture = pytest.CaptureFixture[str]
SIDE = 48


@dataclass(frozen=True)
class Desk:
    """A folder with a photo, its label map, a target and a place for the results."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self, *more: str, **changed: str | Path | None) -> int:
        """The command with this desk's files; ``changed`` replaces a file, None leaves the flag out."""
        files = {"image": "photo.png", "label": "label.png", "target": "target.png", "out": "out"} | changed
        words = [word for flag, file in files.items() if file for word in (f"--{flag}", str(self.folder / file))]
        return cli.main(["analogy", *words, "--device", "cpu", *more])

    def picture(self, name: str = "target") -> Image.Image:
        return Image.open(self.out / f"{name}.png")


def write_files(folder: Path) -> Desk:
    image, own = photo(64, 96)
    to_pil(image).save(folder / "photo.png")
    rgb(own).save(folder / "label.png")
    rgb(layout(64, 96, ball=(0.4, 0.7))).save(folder / "target.png")
    return Desk(folder)


def rgb(own: LabelMap) -> Image.Image:
    """A label map as a plain RGB picture, without names or indices."""
    return to_pil(own.to_rgb())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks, rounds and judge of the smallest useful size; the command is the real one."""
    monkeypatch.setattr(AnalogyConfig, "quick", classmethod(lambda cls: tiny(rounds=2, side=SIDE)))
    monkeypatch.setattr(segmenter, "SegmenterConfig", partial(segmenter.SegmenterConfig, steps=2, batch=2, crop=32))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return write_files(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analogist of the desk's photo, trained once for all tests that only paint."""
    folder = tmp_path_factory.mktemp("model")
    write_files(folder)
    image, own = read_image(folder / "photo.png", side=SIDE, multiple=8), read_label_map(folder / "label.png")
    path = folder / "model.safetensors"
    Analogist.train(image, own.resized(*image.shape[-2:]), tiny(rounds=2), runtime=CPU).save(path)
    return path


@pytest.fixture
def paint(desk: Desk, model: Path) -> Callable[..., int]:
    """Run the command with the trained model."""
    return partial(desk.run, "--model", str(model))


def refused(code: int, capsys: Capture, sentence: str) -> None:
    """Exit code 2 and one sentence on stderr that says what is wrong."""
    said = capsys.readouterr().err
    assert code == 2, said
    lines = [line for line in said.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("error: "), said
    assert "Traceback" not in said and "Errno" not in said
    assert sentence in said, said


# -------------------------------------------------------------------------------------------------- work


def test_from_files_to_files(desk: Desk, capsys: Capture) -> None:
    assert desk.run() == 0
    written = {path.name for path in desk.out.iterdir()}
    assert written == {"target.png", "contact_sheet.png", "metrics.json", "model.safetensors", "model.json",
                       "training.safetensors"}  # fmt: skip
    assert desk.picture().size == (48, 32) and desk.picture().mode == "RGB"
    sheet = desk.picture("contact_sheet")
    assert sheet.width > 4 * 48 and sheet.height > 4 * 32
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    for name in written - {"training.safetensors", "model.json"}:
        assert f"wrote {desk.out / name}" in said.out
    assert "mean over targets" in said.out and "classes:" in said.out


def test_the_metrics_compare_with_trivial_competitors(paint: Callable[..., int], desk: Desk) -> None:
    assert paint() == 0
    rows = json.loads((desk.out / "metrics.json").read_text())
    assert list(rows) == ["target"]
    assert list(rows["target"]) == ["copy", "copy-paste", "ours", "ceiling"]
    ours = rows["target"]["ours"]
    assert ours.keys() >= {"accuracy/patches", "miou/patches", "accuracy/segmenter", "coherence@1", "completeness@1"}
    assert all(np.isfinite(value) for value in ours.values())
    # Synthetic and easy: the picture obeys the new layout, the old photo does not.
    assert ours["accuracy/patches"] > 0.9 > rows["target"]["copy"]["accuracy/patches"]


def test_a_model_paints_without_training(paint: Callable[..., int], desk: Desk, model: Path) -> None:
    assert paint() == 0
    assert {path.name for path in desk.out.iterdir()} == {"target.png", "contact_sheet.png", "metrics.json"}
    first = np.asarray(desk.picture())
    assert paint(out="again") == 0
    assert np.array_equal(first, np.asarray(Image.open(desk.folder / "again" / "target.png")))


def test_the_model_that_training_wrote_paints_the_same_picture(desk: Desk) -> None:
    assert desk.run() == 0
    assert desk.run(out="again", model=desk.out / "model.safetensors") == 0
    again = Image.open(desk.folder / "again" / "target.png")
    assert np.array_equal(np.asarray(desk.picture()), np.asarray(again))


def test_minutes_end_the_training(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnalogyConfig, "quick", classmethod(lambda cls: tiny(rounds=100_000, side=SIDE)))
    assert desk.run("--minutes", "0.005") == 0
    assert desk.picture().size == (48, 32)


def test_resume_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(AnalogyConfig, "quick", classmethod(lambda cls: tiny(rounds=4, side=SIDE)))
    assert desk.run(out="whole") == 0
    assert desk.run("--resume") == 0  # nothing to resume: a note, and a training
    assert "training starts from the beginning" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="Nothing is left to play"):
        assert desk.run("--resume") == 0  # complete: paints again
    whole = Image.open(desk.folder / "whole" / "target.png")
    assert np.array_equal(np.asarray(desk.picture()), np.asarray(whole))


def test_two_targets_make_two_pictures(paint: Callable[..., int], desk: Desk) -> None:
    rgb(layout(64, 96, ball=(0.3, 0.5))).save(desk.folder / "second.png")
    code = cli.main([
        "analogy", "--image", str(desk.folder / "photo.png"), "--label", str(desk.folder / "label.png"),
        "--target", str(desk.folder / "target.png"), str(desk.folder / "second.png"), "--out", str(desk.out),
        "--device", "cpu", *paint.args,  # type: ignore[attr-defined]
    ])  # fmt: skip
    assert code == 0
    assert not np.array_equal(np.asarray(desk.picture()), np.asarray(desk.picture("second")))
    assert list(json.loads((desk.out / "metrics.json").read_text())) == ["target", "second"]


@pytest.mark.parametrize(("height", "width", "expected"), [(64, 192, (96, 32)), (128, 96, (48, 64))])
def test_a_target_of_another_size_makes_a_picture_of_that_shape(
    paint: Callable[..., int], desk: Desk, height: int, width: int, expected: tuple[int, int]
) -> None:
    """A target twice as wide as the source layout gives a picture twice as wide."""
    rgb(layout(height, width, ball=(0.4, 0.7))).save(desk.folder / "target.png")
    assert paint() == 0
    assert desk.picture().size == expected


def test_the_size_of_the_files_does_not_matter(paint: Callable[..., int], desk: Desk) -> None:
    """A label map of another resolution than its photo, and a target of the label map's."""
    rgb(layout(128, 192)).save(desk.folder / "label.png")
    rgb(layout(128, 192, ball=(0.4, 0.7))).save(desk.folder / "target.png")
    assert paint() == 0
    assert desk.picture().size == (48, 32)


# -------------------------------------------------------------------------------- photos of every kind


def as_rgba(picture: Image.Image, path: Path) -> None:
    picture.putalpha(255)
    picture.save(path.with_suffix(".png"))


def as_rotated(picture: Image.Image, path: Path) -> None:
    """Stored lying on its side, with the note that it must be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned by 90 degrees clockwise
    picture.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".png"), exif=exif)


def grey_ramp() -> np.ndarray:
    """A photo whose classes differ in brightness, (64, 96) in 0..255."""
    brightness = np.array([200, 60, 130])[layout(64, 96).index]
    return brightness + np.random.default_rng(0).integers(-10, 10, brightness.shape)


def as_jpeg(picture: Image.Image, path: Path) -> None:
    picture.save(path.with_suffix(".jpg"), quality=95)


@pytest.mark.parametrize("save", [as_rgba, as_rotated, as_jpeg])
def test_the_same_photo_in_another_file_is_the_same_photo(
    paint: Callable[..., int], desk: Desk, save: Callable[[Image.Image, Path], None]
) -> None:
    original = Image.open(desk.folder / "photo.png").convert("RGB")
    save(original, desk.folder / "other")
    (file,) = desk.folder.glob("other.*")
    assert paint(image=file.name) == 0
    assert desk.picture().size == (48, 32)


def test_a_16_bit_grey_photo_can_be_learned(desk: Desk) -> None:
    grey = grey_ramp()
    Image.fromarray((grey * 257).astype(np.uint16)).save(desk.folder / "deep.png")
    assert desk.run(image="deep.png") == 0
    pixels = np.asarray(desk.picture()).astype(int)
    assert abs(pixels.mean() - grey.mean()) < 15 and np.ptp(pixels) > 100  # neither black nor white
    assert np.abs(pixels - pixels.mean(axis=2, keepdims=True)).mean() < 10  # and still grey


# ---------------------------------------------------------------------------- label maps of every kind


def anti_aliased(own: Image.Image, folder: Path) -> Path:
    path = folder / "soft.png"
    own.filter(ImageFilter.GaussianBlur(0.6)).save(path)
    return path


def jpeg(own: Image.Image, folder: Path) -> Path:
    path = folder / "squeezed.jpg"
    own.save(path, quality=90)
    return path


@pytest.mark.parametrize("soften", [anti_aliased, jpeg])
@pytest.mark.parametrize("which", ["label", "target"])
def test_soft_label_maps_are_cleaned(
    desk: Desk, capsys: Capture, soften: Callable[[Image.Image, Path], Path], which: str
) -> None:
    path = soften(Image.open(desk.folder / f"{which}.png").convert("RGB"), desk.folder)
    assert desk.run(**{which: path.name}) == 0
    said = capsys.readouterr()
    assert "note:" in said.out and "was cleaned as a label map" in said.out and said.err == ""
    classes = next(line for line in said.out.splitlines() if line.startswith("classes: "))
    assert classes.count(",") == 2  # three classes, no phantom colours
    assert desk.picture(path.stem if which == "target" else "target").size == (48, 32)


# ----------------------------------------------------------------------------------------------- refusals


def test_an_unseen_label(paint: Callable[..., int], desk: Desk, capsys: Capture) -> None:
    pixels = np.array(Image.open(desk.folder / "target.png").convert("RGB"))
    pixels[10:30, 10:30] = (255, 0, 255)
    Image.fromarray(pixels).save(desk.folder / "target.png")
    refused(paint(), capsys, "unseen in the source")


def test_a_photo_in_place_of_a_label_map(paint: Callable[..., int], capsys: Capture) -> None:
    refused(paint(label="photo.png"), capsys, "This looks like a photo, not a label map")


def test_a_label_map_of_another_shape(desk: Desk, capsys: Capture) -> None:
    rgb(layout(96, 96)).save(desk.folder / "label.png")
    refused(desk.run(), capsys, "The photo is 96 x 64 px and its label map 96 x 96; they must show the same picture")


def test_a_photo_too_narrow_to_learn_from(desk: Desk, capsys: Capture) -> None:
    for name in ("label", "target"):
        rgb(layout(32, 128)).save(desk.folder / f"{name}.png")
    to_pil(photo(32, 128)[0]).save(desk.folder / "photo.png")
    refused(desk.run(), capsys, "'photo' becomes 48 x 16 px, and each side needs at least 32; give a larger --side")


def test_a_target_too_small_is_found_before_the_training(desk: Desk, capsys: Capture) -> None:
    rgb(layout(32, 48)).save(desk.folder / "target.png")
    refused(desk.run(), capsys, "'target' becomes 24 x 16 px, and each side needs at least 32")
    assert not desk.out.exists()


@pytest.mark.parametrize("which", ["image", "label", "target"])
def test_a_missing_file(desk: Desk, capsys: Capture, which: str) -> None:
    refused(desk.run(**{which: "nowhere.png"}), capsys, "'nowhere.png' does not exist; check the path")
    assert not desk.out.exists()


@pytest.mark.parametrize("which", ["image", "label", "target"])
def test_a_damaged_file(desk: Desk, capsys: Capture, which: str) -> None:
    data = (desk.folder / "photo.png").read_bytes()
    (desk.folder / "cut.png").write_bytes(data[: len(data) // 3])
    refused(desk.run(**{which: "cut.png"}), capsys, "'cut.png' is damaged or incomplete")


def test_a_file_that_is_no_image(desk: Desk, capsys: Capture) -> None:
    (desk.folder / "notes.png").write_text("hello")
    refused(desk.run(image="notes.png"), capsys, "'notes.png' is not an image that can be read here")


def test_a_file_that_is_no_model(desk: Desk, capsys: Capture) -> None:
    (desk.folder / "model.safetensors").write_text("hello")
    refused(desk.run(model="model.safetensors"), capsys, "is not a whole safetensors file")
    refused(desk.run(model="photo.png"), capsys, "is not a whole safetensors file")
    refused(desk.run(model="nowhere.safetensors"), capsys, "There is no checkpoint at")


def test_a_model_of_another_photo(paint: Callable[..., int], desk: Desk, capsys: Capture) -> None:
    to_pil(-photo(64, 96)[0]).save(desk.folder / "negative.png")
    refused(paint(image="negative.png"), capsys, "was trained on another photo")


def test_a_model_of_other_classes(paint: Callable[..., int], desk: Desk, capsys: Capture) -> None:
    pixels = np.array(Image.open(desk.folder / "label.png").convert("RGB"))
    pixels[:10, 60:90] = (255, 0, 255)
    Image.fromarray(pixels).save(desk.folder / "label.png")
    refused(paint(), capsys, "give the label map that it was trained on")


def test_a_model_has_its_own_side(paint: Callable[..., int], capsys: Capture) -> None:
    refused(paint("--side", "64"), capsys, "was trained at 48 px; leave --side out")


def test_two_targets_of_one_name(desk: Desk, capsys: Capture) -> None:
    (desk.folder / "more").mkdir()
    twin = desk.folder / "more" / "target.png"
    rgb(layout(64, 96)).save(twin)
    files = {name: str(desk.folder / f"{name}.png") for name in ("photo", "label", "target")}
    words = ["--image", files["photo"], "--label", files["label"], "--target", files["target"], str(twin)]
    refused(cli.main(["analogy", *words, "--out", str(desk.out)]), capsys, "Two targets are called 'target'")


def test_a_target_named_like_the_sheet(desk: Desk, capsys: Capture) -> None:
    """Its picture would be overwritten by the contact sheet."""
    rgb(layout(64, 96)).save(desk.folder / "contact_sheet.png")
    refused(desk.run(target="contact_sheet.png"), capsys, "contact_sheet")


def test_a_result_never_overwrites_what_was_read(desk: Desk, capsys: Capture) -> None:
    """With --out where the layouts are, the picture would have the name of its own label map."""
    before = (desk.folder / "target.png").read_bytes()
    refused(desk.run(out="."), capsys, "target.png, which is read here; choose another folder for --out")
    assert (desk.folder / "target.png").read_bytes() == before


def test_an_output_folder_that_is_a_file(desk: Desk, capsys: Capture) -> None:
    refused(desk.run(out="photo.png"), capsys, "photo.png is a file; give a folder")


@pytest.mark.parametrize(("flag", "value", "sentence"), [
    ("--side", "16", "--side is 16; pictures need at least 32 px."),
    ("--minutes", "0", "--minutes is 0.0; give a positive number."),
])  # fmt: skip
def test_numbers_that_make_no_sense(desk: Desk, capsys: Capture, flag: str, value: str, sentence: str) -> None:
    refused(desk.run(flag, value), capsys, sentence)


def test_an_unknown_device(desk: Desk, capsys: Capture) -> None:
    refused(desk.run("--device", "abacus"), capsys, "abacus")
