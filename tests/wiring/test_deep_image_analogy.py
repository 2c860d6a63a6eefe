"""Deep Image Analogy: its parts by hand, and what it makes of layouts and of pairs of pictures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from lib.baselines.deep_image_analogy import (
    PAPER_LAYERS,
    DeepSettings,
    analogy,
    blend,
    descriptors,
    drawn,
    invert,
    paint,
    transfer,
)  # fmt: skip
from lib.baselines.deep_image_analogy import _finer as finer
from lib.baselines.deep_image_analogy import _stages as stages
from lib.baselines.inputs import PaintError
from lib.games.photo_features_train import photo_maps
from lib.losses.patch_match import vote
from lib.losses.patches import patch_coherence
from lib.losses.perceptual import FeatureMaps, _vgg19_stem, vgg19_maps
from lib.nn.photo_features import PhotoFeatures, PhotoFeaturesConfig
from lib.runtime import seeded
from tests.scenes import labels, noise, photo


def scene(height: int = 40, width: int = 48) -> tuple[Tensor, Tensor, Tensor]:
    """A photo with grain, its layout, and a target with the ball elsewhere."""
    image, own = photo(height, width, grain=0.3)
    wanted = torch.from_numpy(labels(height, width, ball=(0.5, 0.65)).astype(np.int64))
    return image, torch.from_numpy(own.index.astype(np.int64)), wanted


def little() -> FeatureMaps:
    """Untrained features of two layers."""
    torch.manual_seed(0)
    return photo_maps(PhotoFeatures(PhotoFeaturesConfig(("a", "b"), widths=(6, 8))))


TWO = DeepSettings(keep=(0.1,), sizes=(3, 3), radii=(4,), iterations=(2, 4), steps=4)


# ------------------------------------------------------------------------------------------------------ parts


def test_descriptors_add_up_the_distances_of_the_analogy() -> None:
    """Unit features of both pictures, the share of labels that differ, and the place."""
    pairs = [(noise(1, 4, 3, 5, seed=s), noise(1, 2, 3, 5, seed=s + 1)) for s in (0, 2)]
    shown = [
        F.one_hot(torch.randint(3, (1, 6, 10), generator=seeded(s)), 3).permute(0, 3, 1, 2).float() for s in (4, 5)
    ]
    rows = [descriptors(pair, one, label_weight=1.5, place_weight=0.7) for pair, one in zip(pairs, shown, strict=True)]
    unit = [[maps / maps.norm(dim=1, keepdim=True) for maps in pair] for pair in pairs]
    wanted = sum((here - there).square().sum(dim=1) for here, there in zip(*unit, strict=True))
    shares = [F.avg_pool2d(one, 2) for one in shown]
    wanted = wanted + 1.5 / 2 * (shares[0] - shares[1]).square().sum(dim=1)
    torch.testing.assert_close((rows[0] - rows[1]).square().sum(dim=1), wanted)
    shift = (rows[0][..., 0, 0] - rows[0][..., 2, 4])[:, -2:]  # the last two channels are the place
    torch.testing.assert_close(shift.square().sum(), torch.tensor(0.7 * ((2 / 3) ** 2 + (4 / 5) ** 2)))


def test_blend_keeps_what_is_strong() -> None:
    own, other = torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2, 2), 5.0)
    own[0, :, 0, 0] = 3.0
    mixed = blend(own, other, 0.75)
    torch.testing.assert_close(mixed[0, 0], torch.tensor([[0.75 * 3 + 0.25 * 5, 5.0], [5.0, 5.0]]), atol=1e-4, rtol=0)
    assert torch.equal(blend(own, other, 0.0), other)


def test_the_features_that_make_the_wanted_ones_are_found() -> None:
    chain = stages(little(), 2)
    truth = chain[0](noise(1, 3, 24, 24)).detach()
    wanted, start = chain[1](truth).detach(), truth + 0.3 * noise(1, 6, 24, 24, seed=3)
    gaps = [
        float((chain[1](invert(chain[1], wanted, start, steps=steps, rate=0.05)) - wanted).square().mean())
        for steps in (0, 30)
    ]
    assert gaps[1] < 0.1 * gaps[0]


def test_the_chain_is_cut_behind_every_layer() -> None:
    features, picture = little(), noise(1, 3, 24, 20)
    maps = features(picture)
    for before, after, stage in zip([picture, *maps[:-1]], maps, stages(features, 2), strict=True):
        assert torch.equal(stage(before), after)
    assert [tuple(one.shape[2:]) for one in maps] == [(24, 20), (12, 10)]


def test_votes_of_the_own_place_are_the_picture() -> None:
    picture, own = noise(1, 3, 7, 9), torch.arange(63).view(1, 7, 9)
    torch.testing.assert_close(vote(picture, own, 5), picture)
    turned = own.flip(2)
    assert torch.equal(vote(picture, turned, 1), picture.flip(3))


def test_votes_are_the_mean_of_the_patches_that_cover_a_pixel() -> None:
    picture, place = noise(1, 1, 5, 6), torch.randint(30, (1, 5, 6), generator=seeded(1))
    made, padded = vote(picture, place, 3), F.pad(picture, (1, 1, 1, 1), mode="replicate")
    said = []
    for dy in (-1, 0, 1):  # the patches whose centre is (2 + dy, 3 + dx) cover (2, 3)
        for dx in (-1, 0, 1):
            y, x = divmod(int(place[0, 2 + dy, 3 + dx]), 6)
            said.append(padded[0, 0, y + 1 - dy, x + 1 - dx])
    torch.testing.assert_close(made[0, 0, 2, 3], torch.stack(said).mean())


@pytest.mark.parametrize("size", [(8, 10), (9, 11)])
def test_a_finer_field_keeps_the_identity(size: tuple[int, int]) -> None:
    rows, columns = size[0] // 2, size[1] // 2
    fine = finer(torch.arange(rows * columns).view(1, rows, columns), columns, size, size)
    own = torch.arange(size[0] * size[1]).view(1, *size)
    assert torch.equal(fine[:, : 2 * rows, : 2 * columns], own[:, : 2 * rows, : 2 * columns])
    assert int(fine.max()) < size[0] * size[1]


def test_a_drawing_has_the_colours_of_its_classes() -> None:
    shown = F.one_hot(torch.tensor([[[0, 1], [1, 1]]]), 2).permute(0, 3, 1, 2).float()
    colours = torch.tensor([[0.1, 0.2, 0.3], [-1.0, 0.0, 1.0]])
    assert torch.equal(drawn(shown, colours)[0, :, 0, 1], colours[1])


# ---------------------------------------------------------------------------------------------------- layouts


def read(made: Tensor, image: Tensor, layout: Tensor) -> Tensor:
    """The class whose mean colour is nearest."""
    means = torch.stack([image[:, layout == index].mean(dim=1) for index in range(3)])  # (K, 3)
    return (made[:, None] - means.T[:, :, None, None]).square().sum(dim=0).argmin(dim=0)


def test_the_target_is_followed_with_pieces_of_the_photo() -> None:
    image, layout, wanted = scene()
    made = paint(image, layout, wanted)
    assert float((read(made, image, layout) == wanted).float().mean()) > 0.9
    flat = torch.stack([image[:, layout == index].mean(dim=1) for index in range(3)]).T[:, wanted]
    assert patch_coherence(made[None], image[None]) < 0.6 * patch_coherence(flat[None], image[None])


def test_the_matches_hold_the_picture_and_the_seed_decides() -> None:
    image, layout, wanted = scene()
    first, again, other = (analogy(image, layout, wanted, TWO, features=little(), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.image, again.image) and not torch.equal(first.image, other.image)
    assert first.other is None and first.back is None  # B was given
    assert torch.equal(first.image, vote(image[None], first.there.place, 3)[0])
    same_class = layout.flatten()[first.there.place[0]] == wanted
    assert float(same_class.float().mean()) > 0.9


def test_without_labels_the_drawing_alone_leads_less_well() -> None:
    image, layout, wanted = scene()
    agreement = {}
    for weight in (0.0, 2.0):
        settings = DeepSettings(keep=(0.1,), sizes=(3, 3), radii=(4,), iterations=(2, 4), steps=0, label_weight=weight)
        places = analogy(image, layout, wanted, settings, features=little()).there.place[0]
        agreement[weight] = float((layout.flatten()[places] == wanted).float().mean())
    assert agreement[2.0] > agreement[0.0]


@pytest.mark.parametrize("size", [(40, 48), (27, 35)])
def test_any_size_of_target(size: tuple[int, int]) -> None:
    image, layout, _ = scene()
    wanted = torch.from_numpy(labels(*size, ball=(0.5, 0.6)).astype(np.int64))
    made = paint(image, layout, wanted, TWO, features=little())
    assert made.shape == (3, *size) and float(made.abs().max()) <= 1 and bool(made.isfinite().all())


# --------------------------------------------------------------------------------------------------- pictures


def test_a_picture_and_itself_are_both_found() -> None:
    image, _, _ = scene()
    found = transfer(image, image, TWO, features=little())
    assert found.other is not None and found.back is not None
    for made in (found.image, found.other):
        assert float((made - image).abs().mean()) < 0.1 * float(image.std())


def test_the_looks_come_from_the_other_picture() -> None:
    """The same content in other colours: A' has the colours of B', B has those of A."""
    image, _, _ = scene()
    looks = 0.8 * image.roll(1, 0)  # other colours, the same structure
    found = transfer(image, looks, TWO, features=little())
    assert found.other is not None

    def gap(one: Tensor, other: Tensor) -> float:
        return float((one.mean(dim=(1, 2)) - other.mean(dim=(1, 2))).abs().mean())

    assert gap(found.image, looks) < 0.5 * gap(found.image, image)
    assert gap(found.other, image) < 0.9 * gap(found.other, looks)  # untrained features see colours badly


# ----------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"sizes": (3, 3)}, "2 or more layers"), ({"vote": 2}, "vote must be odd"), ({"label_weight": -1.0}, "negative")],
)
def test_wrong_settings_speak(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(PaintError, match=message):
        DeepSettings(**wrong)


def test_features_that_do_not_fit_speak() -> None:
    image, layout, wanted = scene()
    with pytest.raises(PaintError, match="the features have 2"):
        paint(image, layout, wanted, features=little())
    with pytest.raises(PaintError, match="of a _Odd"):
        paint(image, layout, wanted, TWO, features=FeatureMaps(_Odd(), ["conv"]))
    with pytest.raises(PaintError, match="at least 4 px"):
        transfer(image[:, :3], image, TWO, features=little())


class _Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)


def test_the_shipped_features_are_fine_to_coarse() -> None:
    sizes = [one.shape[-1] for one in photo_maps()(noise(1, 3, 32, 32))]
    assert all(2 * after == before for before, after in pairwise(sizes)) and len(sizes) == len(DeepSettings().sizes)


def test_readers_with_vgg_can_take_the_papers_five_layers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The true architecture with weights of nobody: the file is found, five layers are searched, the photo is used."""
    torch.manual_seed(0)
    stem = _vgg19_stem(30)
    for parameter in stem.parameters():
        torch.nn.init.normal_(parameter, std=(2 / max(parameter[0].numel(), 9)) ** 0.5)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    file = folder / models.VGG19_Weights.IMAGENET1K_V1.url.split("/")[-1]
    torch.save({f"features.{key}": value for key, value in stem.state_dict().items()}, file)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    features = vgg19_maps(PAPER_LAYERS)
    assert [tuple(maps.shape[1:]) for maps in features(noise(1, 3, 32, 48))] == [
        (64, 32, 48), (128, 16, 24), (256, 8, 12), (512, 4, 6), (512, 2, 3)
    ]  # fmt: skip
    image, layout, target = scene(32, 48)
    quick = replace(DeepSettings.paper(), iterations=(1, 1, 1, 1, 2), steps=1)
    picture = paint(image, layout, target, quick, features=features)
    assert picture.shape == image.shape and picture.isfinite().all()
    ball = (target == 2).expand(3, -1, -1)
    # the photo's ball is where the layout asks for one, not the photo's sky
    right, wrong = image[(layout == 2).expand(3, -1, -1)].view(3, -1), image[ball].view(3, -1)
    made = picture[ball].view(3, -1).mean(dim=1)
    assert (made - right.mean(dim=1)).norm() < 0.5 * (made - wrong.mean(dim=1)).norm()
