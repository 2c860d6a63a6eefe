"""Readers of public data sets, on tiny trees in the published formats."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from lib.data.public import (
    FACADE_CLASSES,
    HAIR,
    UNKNOWN,
    CelebA,
    CelebAMaskHQ,
    Cityscapes,
    DataStream,
    Digits,
    Geometry,
    ImageFolder,
    MatchedFolders,
    PublicDataError,
    Samples,
    SideBySide,
    UnpairedStream,
    collect,
    holdout,
    mnist,
    svhn,
    unpaired_stream,
)
from lib.data.public.celebamask import PARTS, mirrored_parts
from lib.data.public.cityscapes import CATEGORIES, CLASSES
from lib.data.public.samples import image_files
from lib.data.public.stream import mixed
from lib.data.worlds.faces import Faces
from lib.labelmaps import Palette
from lib.training.streams import Stream

Pixels = npt.NDArray[np.uint8]


def save(pixels: Pixels, path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def photo(seed: int, height: int = 32, width: int = 32) -> Pixels:
    """A smooth picture that JPEG keeps."""
    small = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


class Marked(Samples):
    """`count` pictures of side 24; sample i has the colour i / 64, labels i, and the attribute i."""

    def __init__(self, count: int, mirror: tuple[int, ...] | None = None) -> None:
        self.count, self.mirror = count, mirror

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> dict[str, Any]:
        image = torch.full((3, 24, 24), index / 64)
        labels = torch.full((24, 24), index, dtype=torch.uint8)
        return {"image": image, "labels": labels, "digit": torch.tensor(index), "name": str(index)}


# ---------------------------------------------------------------------------------------------- geometry


def test_a_geometry_moves_image_and_labels_together() -> None:
    labels = torch.arange(40 * 60, dtype=torch.int64).reshape(40, 60) % 251
    image = (labels.float() / 125 - 1).expand(3, -1, -1)
    sample = {"image": image, "labels": labels.to(torch.uint8), "digit": torch.tensor(3), "name": "x"}
    generator = torch.Generator().manual_seed(0)
    corners = set()
    for _ in range(40):
        moved = Geometry(40, load=40, flip=0.5)(sample, generator=generator)
        assert torch.equal(moved["image"], (moved["labels"].float() / 125 - 1).expand(3, -1, -1))
        corners.add(int(moved["labels"][0, 0]))
        assert int(moved["digit"]) == 3 and moved["name"] == "x"
    assert corners == {10, 49}  # cut at the centre, mirrored or not


def test_jitter_reaches_every_place_and_nothing_outside() -> None:
    labels = torch.arange(36, dtype=torch.uint8).reshape(6, 6)
    sample = {"image": torch.zeros(3, 6, 6), "labels": labels}
    generator = torch.Generator().manual_seed(0)
    corners = {int(Geometry(4, load=6)(sample, generator=generator)["labels"][0, 0]) for _ in range(300)}
    assert corners == {0, 1, 2, 6, 7, 8, 12, 13, 14}


def test_resizing_blends_images_but_never_labels() -> None:
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    labels[:, 32:] = 9
    sample = {"image": labels[None].expand(3, -1, -1).float() / 9, "labels": labels}
    small = Geometry(9)(sample)
    assert set(small["labels"].unique().tolist()) == {0, 9}
    assert 0.3 < float(small["image"][0, 4, 4]) < 0.7  # the middle pixel sees both halves
    noise = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert float(Geometry(16)({"image": noise})["image"].std()) < 0.4 * float(noise.std())  # averaged, not picked


def test_fit_keeps_the_shape_or_stretches() -> None:
    image = torch.linspace(-1, 1, 80).expand(3, 40, 80)
    cut, stretched = Geometry(20)({"image": image})["image"], Geometry(20, fit="stretch")({"image": image})["image"]
    assert cut.shape == stretched.shape == (3, 20, 20)
    assert float(cut[0, 0].max()) == pytest.approx(0.49, abs=0.03)  # the middle half
    assert float(stretched[0, 0].max()) == pytest.approx(0.95, abs=0.03)  # all of it


def test_mirroring_swaps_left_and_right_classes() -> None:
    labels = torch.tensor([[0, 1], [2, 0]], dtype=torch.uint8)
    moved = Geometry(2, flip=1.0)(
        {"image": torch.zeros(3, 2, 2), "labels": labels}, generator=torch.Generator(), mirror=(0, 2, 1)
    )
    assert moved["labels"].tolist() == [[2, 0], [0, 1]]


@pytest.mark.parametrize(
    "wrong", [lambda: Geometry(0), lambda: Geometry(8, load=4), lambda: Geometry(8, flip=2.0),
              lambda: Geometry(8, flip=0.5)({"image": torch.zeros(3, 8, 8)})]
)  # fmt: skip
def test_an_impossible_geometry_is_told(wrong: Callable[[], object]) -> None:
    with pytest.raises(PublicDataError):
        wrong()


# ---------------------------------------------------------------------------------------------- streams


def take(stream: Stream, count: int) -> list[Tensor]:
    return [stream.draw(0.0)["digit"] for _ in range(count)]


def test_every_sample_comes_once_a_pass_in_a_new_order() -> None:
    places = torch.cat(take(DataStream(Marked(10), Geometry(16), batch=4, seed=1), 10)).reshape(4, 10)
    assert all(sorted(turn) == list(range(10)) for turn in places.tolist())
    assert len({tuple(turn) for turn in places.tolist()}) == 4
    plain = DataStream(Marked(10), Geometry(16), batch=4, shuffle=False)
    assert torch.cat(take(plain, 5)).tolist() == [*range(10), *range(10)]


@given(before=st.integers(0, 7), workers=st.sampled_from([0, 2]), seed=st.integers(0, 2**40))
def test_a_stream_resumes_exactly_and_workers_change_nothing(before: int, workers: int, seed: int) -> None:
    def make(workers: int = 0) -> DataStream:
        return DataStream(Marked(7), Geometry(16, load=20, flip=0.5), batch=3, seed=seed, workers=workers)

    reference = make()
    expected = [reference.draw() for _ in range(before + 3)][before:]
    first, second = make(workers), make(workers)
    for _ in range(before):
        first.draw()
    second.draw()  # whatever it did before, loading a state decides
    second.load_state_dict(first.state_dict())
    for batch in expected:
        resumed = second.draw()
        assert torch.equal(resumed["image"], batch["image"]) and resumed["name"] == batch["name"]


def test_a_batch_is_as_the_worlds_make_it() -> None:
    stream: Stream = DataStream(Marked(5), Geometry(16), batch=3)
    batch = stream.draw(0.5)
    assert batch["image"].shape == (3, 3, 16, 16) and batch["image"].dtype == torch.float32
    assert batch["labels"].shape == (3, 16, 16) and batch["labels"].dtype == torch.uint8
    assert batch["digit"].shape == (3,) and batch["digit"].dtype == torch.int64
    assert batch["name"] == [str(number) for number in batch["digit"].tolist()]


def test_a_state_of_another_data_set_is_refused() -> None:
    state = DataStream(Marked(5), Geometry(16), batch=3).state_dict()
    with pytest.raises(PublicDataError, match="5 samples"):
        DataStream(Marked(6), Geometry(16), batch=3).load_state_dict(state)
    with pytest.raises(PublicDataError, match="seed 0"):
        DataStream(Marked(5), Geometry(16), batch=3, seed=1).load_state_dict(state)


def test_a_broken_picture_is_told_also_by_workers(tmp_path: Path) -> None:
    save(photo(0), tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    for workers in (0, 2):
        stream = DataStream(ImageFolder(tmp_path), Geometry(16), batch=2, workers=workers)
        with pytest.raises(ValueError, match=r"2\.png"):
            for _ in range(2):
                stream.draw()


def test_impossible_streams_are_told() -> None:
    for options in ({"batch": 0}, {"batch": 1, "workers": -1}):
        with pytest.raises(PublicDataError, match="batch of at least 1"):
            DataStream(Marked(3), Geometry(16), **options)  # type: ignore[arg-type]
    with pytest.raises(PublicDataError, match="samples"):
        DataStream(Marked(0), Geometry(16), batch=1)
    digits = Digits(np.zeros((2, 28, 28), dtype=np.uint8), torch.tensor([3, 4]))
    with pytest.raises(PublicDataError, match="mirrored"):
        DataStream(digits, Geometry(28, flip=0.5), batch=1)


def test_collect_is_a_fixed_set_and_holdout_divides() -> None:
    batch = collect(Marked(9), Geometry(16), indices=[4, 2])
    assert batch["digit"].tolist() == [4, 2]
    assert len(collect(Marked(9), Geometry(16))["name"]) == 9
    with pytest.raises(PublicDataError, match="random"):
        collect(Marked(9), Geometry(16, flip=0.5))
    rest, held = holdout(Marked(20, mirror=(0,)), 0.25, seed=3)
    names = [int(part.read(i)["digit"]) for part in (rest, held) for i in range(len(part))]
    assert len(held) == 5 and sorted(names) == list(range(20)) and rest.mirror == (0,)
    with pytest.raises(PublicDataError, match="empty"):
        holdout(Marked(3), 0.01)


def test_mixed_seeds_do_not_collide_where_sums_would() -> None:
    seeds = {mixed(seed, what, n) for seed in range(20) for what in ("order", "geometry") for n in range(100)}
    assert len(seeds) == 4000 and max(seeds) < 2**32


# ---------------------------------------------------------------------------------------------- folders


def test_images_are_found_in_natural_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("10.png", "2.png", "1_b.PNG", "._1.png"):
        save(photo(0), tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in image_files(tmp_path)] == ["1_b.PNG", "2.png", "10.png"]
    (tmp_path / "none").mkdir()
    with pytest.raises(PublicDataError, match="holds no image"):
        image_files(tmp_path / "none")
    with pytest.raises(PublicDataError, match=r"no folder .*missing.* holds .*none"):
        image_files(tmp_path / "missing")


def test_unpaired_domains_have_independent_orders(tmp_path: Path) -> None:
    for domain in "AB":
        for number in range(12):
            save(np.full((20, 20, 3), number * 20, dtype=np.uint8), tmp_path / f"trainA/../train{domain}/{number}.png")
    stream = unpaired_stream(tmp_path, "train", Geometry(16), batch=12, seed=3)
    batch = stream.draw()
    assert batch["A"].shape == batch["B"].shape == (12, 3, 16, 16)
    assert sorted(batch["A_name"]) == sorted(batch["B_name"]) and batch["A_name"] != batch["B_name"]
    state = stream.state_dict()
    expected = stream.draw()
    fresh = unpaired_stream(tmp_path, "train", Geometry(16), batch=12, seed=3)
    fresh.load_state_dict(state)
    assert torch.equal(fresh.draw()["B"], expected["B"])
    with pytest.raises(PublicDataError, match="seeds"):
        UnpairedStream(stream.a, stream.a)
    ordered = [DataStream(stream.a.samples, Geometry(16), batch=2, seed=seed, shuffle=False) for seed in (0, 1)]
    with pytest.raises(PublicDataError, match="shuffle one of them"):
        UnpairedStream(*ordered)
    mixed_up = UnpairedStream(stream.a, ordered[0]).draw()
    assert mixed_up["A_name"] != mixed_up["B_name"]
    with pytest.raises(PublicDataError, match="no folder"):
        unpaired_stream(tmp_path, "test", Geometry(16), batch=1)
    with pytest.raises(PublicDataError, match="data fetch horse2zebra"):
        unpaired_stream(tmp_path / "horse2zebra", "train", Geometry(16), batch=1)
    with pytest.raises(PublicDataError, match="holdout"):
        unpaired_stream(tmp_path, "val", Geometry(16), batch=1)


def facade() -> tuple[Pixels, Tensor]:
    """A label map in the colours of the facades, and its classes."""
    labels = torch.zeros(128, 128, dtype=torch.uint8)
    labels[16:, 16:112] = 1
    labels[32:56, 28:52] = labels[32:56, 76:100] = 2
    labels[60:66, 24:56] = 6
    labels[88:, 56:76] = 3
    labels[78:82, 16:112] = 8
    return FACADE_CLASSES.as_array()[labels.numpy()], labels


def test_side_by_side_pairs_keep_their_labels_through_jpeg(tmp_path: Path) -> None:
    colours, labels = facade()
    left = photo(3, 128, 128)
    save(np.concatenate([left, colours], axis=1), tmp_path / "train" / "1.jpg", quality=85)
    pair = SideBySide(tmp_path, "train", palette=FACADE_CLASSES).read(0)
    assert (pair["labels"] == labels).float().mean() > 0.985
    assert set(pair["labels"].unique().tolist()) == set(labels.unique().tolist())  # no class out of blurred edges
    assert float((pair["image"] - (torch.tensor(left).permute(2, 0, 1) / 127.5 - 1)).abs().mean()) < 0.05
    swapped = SideBySide(tmp_path, "train", swap=True).read(0)
    assert torch.equal(swapped["condition"], pair["image"]) and "labels" not in swapped
    with pytest.raises(PublicDataError, match=r"1\.jpg.*photo"):
        SideBySide(tmp_path, "train", swap=True, palette=FACADE_CLASSES).read(0)
    with pytest.raises(PublicDataError, match="no folder"):
        SideBySide(tmp_path, "val")


def test_a_file_that_cannot_be_halved_is_told(tmp_path: Path) -> None:
    save(photo(0, 20, 41), tmp_path / "test" / "1.png")
    with pytest.raises(PublicDataError, match="even number"):
        SideBySide(tmp_path, "test").read(0)


def test_matched_folders_find_the_hidden_pairs(tmp_path: Path) -> None:
    colours, labels = facade()
    for number in (1, 2, 10):
        save(photo(number, 128, 128), tmp_path / "trainA" / f"{number}_A.png")
        save(colours, tmp_path / "trainB" / f"{number}_B.png")
    pairs = MatchedFolders(tmp_path, "train", palette=FACADE_CLASSES)
    assert [pairs.files[i][0].stem for i in range(3)] == ["1_A", "2_A", "10_A"]
    assert torch.equal(pairs.read(2)["labels"], labels)
    save(photo(0, 64, 64), tmp_path / "trainA" / "11_A.png")
    with pytest.raises(PublicDataError, match=r"1 pictures.*'11'.*unpaired"):
        MatchedFolders(tmp_path, "train")
    save(photo(0, 60, 64), tmp_path / "trainB" / "11_B.png")
    with pytest.raises(PublicDataError, match="differ in size"):
        MatchedFolders(tmp_path, "train").read(3)


# ---------------------------------------------------------------------------------------------- faces

NAMES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Male", "Eyeglasses", "No_Beard", "Wearing_Hat",
         "Smiling", "Young")  # fmt: skip


def attribute_file(rows: dict[str, str]) -> str:
    """CelebA's text format; a row is a string of + and -, one for each of `NAMES`."""
    lines = [str(len(rows)), " ".join(NAMES) + " "]
    lines += [f"{name}  " + " ".join("1" if sign == "+" else "-1" for sign in signs) for name, signs in rows.items()]
    return "\n".join(lines) + "\n"


def mask_tree(root: Path) -> None:
    originals = {0: 5, 1: 162770, 2: 162771, 3: 182637, 4: 182638, 2000: 100}  # CelebA's files, which count from 1
    rows = {f"{number}.jpg": "-+--++-+-+" for number in originals} | {"1.jpg": "++----+-+-"}
    (root / "CelebA-HQ-img").mkdir(parents=True)
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text(attribute_file(rows))
    lines = ["idx  orig_idx  orig_file"] + [f"{n}  {o - 1}  {o:06d}.jpg" for n, o in originals.items()]
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(lines) + "\n")
    for number in originals:
        save(photo(number, 64, 64), root / "CelebA-HQ-img" / f"{number}.jpg")
        for name, rows_, columns in (
            ("skin", (4, 30), (4, 28)),
            ("l_eye", (8, 12), (6, 10)),
            ("hair", (0, 6), (0, 32)),
        ):
            mask = np.zeros((32, 32, 3), dtype=np.uint8)
            mask[rows_[0] : rows_[1], columns[0] : columns[1]] = 255
            save(mask, root / "CelebAMask-HQ-mask-anno" / str(number // 2000) / f"{number:05d}_{name}.png")


def test_celebamask_masks_become_one_label_map(tmp_path: Path) -> None:
    mask_tree(tmp_path)
    faces = CelebAMaskHQ(tmp_path, "train")
    assert [faces.read(i)["name"] for i in range(len(faces))] == ["0", "1", "2000"]
    sample = faces.read(0)
    labels, part = sample["labels"], PARTS.names.index
    assert labels[20, 20] == part("skin") and labels[9, 7] == part("l_eye") and labels[31, 31] == 0
    assert labels[5, 10] == part("hair")  # hair comes after skin in the publisher's order
    shown = {name: int(sample[name]) for name in ("gender", "glasses", "beard", "hat", "smiling", "young", "hair")}
    assert shown == {
        "gender": 1, "glasses": 1, "beard": 1, "hat": 1, "smiling": 0, "young": 1, "hair": HAIR.index("blond"),
    }  # fmt: skip
    assert int(faces.read(1)["hair"]) == UNKNOWN  # black and blond at once
    assert sample["attributes"].dtype == torch.int64 and sample["attributes"].tolist() == [0, 1, 0, 0, 1, 1, 0, 1, 0, 1]
    assert [CelebAMaskHQ(tmp_path, split).numbers for split in ("val", "test")] == [(2, 3), (4,)]
    # Image (64) and masks (32) have different sizes and still meet; the mirror makes a right eye of a left one.
    moved = Geometry(16, flip=1.0)(sample, generator=torch.Generator(), mirror=faces.mirror)
    assert (
        moved["image"].shape == (3, 16, 16)
        and part("r_eye") in moved["labels"]
        and part("l_eye") not in moved["labels"]
    )
    assert part("l_lip") not in moved["labels"] and mirrored_parts(PARTS)[part("l_lip")] == part("l_lip")


def test_celebamask_speaks_the_face_worlds_language(tmp_path: Path) -> None:
    mask_tree(tmp_path)
    earring = np.zeros((32, 32), dtype=np.uint8)
    earring[20:22, 10:12] = 255
    save(earring, tmp_path / "CelebAMask-HQ-mask-anno/0/00000_ear_r.png")
    world = Faces.palette
    faces = CelebAMaskHQ(tmp_path, palette=world)
    labels = faces.read(0)["labels"]
    named = {world.names[i] for i in labels.unique().tolist()}
    assert named == {"background", "skin", "l_eye", "hair"} and labels[20, 10] == world.names.index("skin")
    assert faces.mirror is not None and faces.mirror[world.names.index("l_brow")] == world.names.index("r_brow")
    assert CelebAMaskHQ(tmp_path).read(0)["labels"][20, 10] == PARTS.names.index("ear_r")
    for names in (("background", "beak"), ("skin", "hair")):
        with pytest.raises(PublicDataError, match="A palette for CelebAMask-HQ"):
            CelebAMaskHQ(tmp_path, palette=Palette(names, ((0, 0, 0), (1, 1, 1))))


def test_celebamask_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PublicDataError, match="data fetch celebamask-hq"):
        CelebAMaskHQ(tmp_path / "nowhere")
    mask_tree(tmp_path)
    (tmp_path / "CelebAMask-HQ-mask-anno/0/00000_skin.png").unlink()
    (tmp_path / "CelebAMask-HQ-mask-anno/0/00000_l_eye.png").unlink()
    (tmp_path / "CelebAMask-HQ-mask-anno/0/00000_hair.png").unlink()
    with pytest.raises(PublicDataError, match="no masks of picture 0"):
        CelebAMaskHQ(tmp_path).read(0)
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text("2\nA B\n1.jpg 1 0\n2.jpg 1 1\n")
    with pytest.raises(PublicDataError, match="values -1 or 1"):
        CelebAMaskHQ(tmp_path)
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").unlink()
    with pytest.raises(PublicDataError, match="missing"):
        CelebAMaskHQ(tmp_path)


def test_celeba_is_read_by_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CelebA as TorchvisionCelebA

    with pytest.raises(PublicDataError, match=r"holds nothing.*data fetch celeba"):
        CelebA(tmp_path)
    folder = tmp_path / "celeba"
    files = ["000001.jpg", "000002.jpg", "000003.jpg", "000004.jpg"]
    for number, file in enumerate(files):
        save(photo(number, 218, 178), folder / "img_align_celeba" / file)
    (folder / "list_attr_celeba.txt").write_text(attribute_file(dict.fromkeys(files, "--+-+-+-++")))
    parts = zip(files, (0, 1, 1, 2), strict=True)
    (folder / "list_eval_partition.txt").write_text("".join(f"{file} {part}\n" for file, part in parts))
    (folder / "identity_CelebA.txt").write_text("".join(f"{file} 7\n" for file in files))
    for name, width in (("bbox_celeba", 4), ("landmarks_align_celeba", 10)):
        head = f"4\n{' '.join('abcdefghij'[:width])}\n"
        rows = "".join(f"{file} {' '.join(['1'] * width)}\n" for file in files)
        (folder / f"list_{name}.txt").write_text(head + rows)
    # The published checksums cannot be those of our four pictures.
    unchecked = [(drive, None, name) for drive, _, name in TorchvisionCelebA.file_list]
    monkeypatch.setattr(TorchvisionCelebA, "file_list", unchecked)
    faces = CelebA(tmp_path, "val")
    sample = faces.read(0)
    assert len(faces) == 2 and sample["name"] == "000002" and sample["image"].shape == (3, 218, 178)
    assert int(sample["hair"]) == HAIR.index("brown") and int(sample["gender"]) == 1 and int(sample["beard"]) == 0
    assert Geometry(128, load=128)(sample)["image"].shape == (3, 128, 128)


# ---------------------------------------------------------------------------------------------- streets, digits


def test_cityscapes_numbers_become_classes_without_255(tmp_path: Path) -> None:
    numbers = np.tile(np.arange(34, dtype=np.uint8).repeat(2), (20, 1))
    numbers[0] = 255  # licence plates
    for city, stem in (("ulm", "ulm_000001_000019"), ("aachen", "aachen_000000_000019")):
        save(photo(0, 20, 68), tmp_path / "leftImg8bit/train" / city / f"{stem}_leftImg8bit.png")
        save(numbers, tmp_path / "gtFine/train" / city / f"{stem}_gtFine_labelIds.png")
    scenes = Cityscapes(tmp_path)
    sample = scenes.read(0)
    assert sample["name"] == "aachen_000000_000019" and scenes.palette is CLASSES and len(scenes) == 2
    row = sample["labels"][5, ::2].tolist()
    assert row[7:9] == [0, 1] and row[33] == 18 and row[23] == CLASSES.names.index("sky")
    assert {row[n] for n in (0, 5, 9, 14, 18, 29, 30)} == {19} == {int(v) for v in sample["labels"][0]}
    kinds = Cityscapes(tmp_path, kind="categories").read(0)["labels"]
    names = [CATEGORIES.names[c] for c in kinds[5, ::2].tolist()]
    assert names[7] == names[10] == "flat" and names[18] == "object" and names[29] == "vehicle" and names[6] == "void"
    assert names[25] == "human" and names[22] == "nature" and {int(v) for v in kinds[0]} == {6}
    with pytest.raises(PublicDataError, match="only train, val"):
        Cityscapes(tmp_path, "test")
    (tmp_path / "gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(PublicDataError, match="1 label maps"):
        Cityscapes(tmp_path)


def idx(array: Pixels) -> bytes:
    """MNIST's file format."""
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def test_mnist_is_read_from_its_files(tmp_path: Path) -> None:
    with pytest.raises(PublicDataError, match=r"holds nothing.*data fetch mnist"):
        mnist(tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.zeros((4, 28, 28), dtype=np.uint8)
    pixels[:, 10:20, 10:20] = 255
    for part, digits in (("train", [5, 0, 4, 1]), ("t10k", [7, 2, 1, 0])):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.array(digits, dtype=np.uint8)))
    (raw / "left-over.gz").write_bytes(gzip.compress(b""))
    batch = collect(mnist(tmp_path, "test"), Geometry(32))
    assert batch["digit"].tolist() == [7, 2, 1, 0] and batch["digit"].dtype == torch.int64
    assert batch["image"].shape == (4, 3, 32, 32) and float(batch["image"].min()) == -1 == -float(batch["image"].max())
    assert torch.equal(batch["image"][:, 0], batch["image"][:, 2])
    with pytest.raises(PublicDataError, match=r"no split 'val'.*holdout"):
        mnist(tmp_path, "val")


def test_svhn_calls_ten_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    with pytest.raises(PublicDataError, match="data fetch svhn"):
        svhn(tmp_path, "test")
    (tmp_path / "SVHN").mkdir()
    pixels = np.zeros((32, 32, 3, 4), dtype=np.uint8)  # height, width, colour, number: the order of the files
    pixels[:4, :, 0, 1] = 255
    savemat(tmp_path / "SVHN" / "test_32x32.mat", {"X": pixels, "y": np.array([[10], [1], [9], [10]], dtype=np.uint8)})
    monkeypatch.setitem(SVHN.split_list, "test", ["", "test_32x32.mat", None])
    batch = collect(svhn(tmp_path, "test"), Geometry(32))
    assert batch["digit"].tolist() == [0, 1, 9, 0]
    assert batch["image"][1, 0, 0, 0] == 1 and batch["image"][1, 0, 9, 0] == -1 and batch["image"][1, 1, 0, 0] == -1


def test_digits_check_their_arrays() -> None:
    for pixels, labels in (
        (np.zeros((2, 28, 28), dtype=np.uint8), torch.tensor([1, 10])),
        (np.zeros((2, 28, 28), dtype=np.uint8), torch.tensor([1])),
        (np.zeros((2, 28, 28), dtype=np.float32), torch.tensor([1, 2])),
    ):
        with pytest.raises(PublicDataError):
            Digits(pixels, labels)  # type: ignore[arg-type]
