"""A small model paints a large picture: the detail is the photo's, everything else the model's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lib.data.augment import identity_grid
from lib.games.analogist import Analogist
from lib.games.fine_painting import enlarged, paint_fine, with_detail
from lib.labelmaps import LabelError
from lib.nn.alignment import copy_along
from tests.scenes import CPU, layout, noise, photo, tiny


@pytest.fixture(scope="module")
def trained() -> Analogist:
    image, own = photo()
    return Analogist.train(image, own, tiny(rounds=3), runtime=CPU)


def test_a_trusted_copy_that_the_painting_agrees_with_stays_as_it_is() -> None:
    copied = noise(1, 3, 32, 48)
    small = F.interpolate(copied, size=(16, 24), mode="bicubic", antialias=True)
    assert torch.allclose(with_detail(small, copied, torch.zeros(1, 1, 16, 24)), copied, atol=1e-5)


def test_what_is_painted_anew_takes_no_detail_and_the_painting_decides_the_colours() -> None:
    copied, small = noise(1, 3, 32, 48), noise(1, 3, 16, 24, seed=1)
    painted = with_detail(small, copied, torch.ones(1, 1, 16, 24))
    assert torch.equal(painted, F.interpolate(small, size=(32, 48), mode="bicubic"))
    warmer = with_detail(small + 0.25, copied, torch.zeros(1, 1, 16, 24))
    assert torch.allclose(warmer - with_detail(small, copied, torch.zeros(1, 1, 16, 24)), torch.tensor(0.25), atol=1e-5)


def test_cells_that_stay_where_they_are_give_the_large_photo_back() -> None:
    image, own = photo(64, 96)
    home = identity_grid(8, 12, torch.device("cpu")).reshape(1, -1, 2)  # cells of 8 px: those of 4 px at half the size
    copied = copy_along(home, image[None], own.one_hot(), own.one_hot(), cell=8)
    assert torch.allclose(copied.image[0], image, atol=1e-3) and torch.equal(copied.layout, own.one_hot())


def test_the_pixels_of_a_cut_pixel_move_as_it_did() -> None:
    home = identity_grid(4, 6).unsqueeze(0)
    assert torch.allclose(enlarged(home, 2), identity_grid(8, 12).unsqueeze(0), atol=1e-6)
    moved = home.clone()
    moved[0, 1, 2] = home[0, 3, 5]
    large, fine = enlarged(moved, 2)[0], identity_grid(8, 12)
    assert torch.allclose(large[2:4, 4:6], fine[6:8, 10:12], atol=1e-6)
    assert int((large - fine).abs().amax(dim=-1).gt(1e-6).sum()) == 4


def test_at_the_size_of_the_model_nothing_changes(trained: Analogist) -> None:
    image, own = photo()
    target = layout(ball=(0.4, 0.7))
    assert torch.allclose(paint_fine(trained, image, own, target), trained.paint(target), atol=1e-5)


@pytest.mark.parametrize("size", [(64, 96), (80, 64)])
def test_a_large_target_is_painted_with_the_detail_of_the_large_photo(
    trained: Analogist, size: tuple[int, int]
) -> None:
    image, own = photo(64, 96, grain=0.3)
    target = layout(*size, ball=(0.4, 0.7))
    picture = paint_fine(trained, image, own, target, refine=False)
    assert picture.shape == (3, *size) and picture.isfinite().all() and picture.abs().max() <= 1
    small = trained.painting(target.resized(size[0] // 2, size[1] // 2)).image
    soft = F.interpolate(small, size=size, mode="bicubic")[0]

    def grain(x: torch.Tensor) -> torch.Tensor:
        return x.diff(dim=-1).abs().mean()

    assert grain(picture) > 1.5 * grain(soft) and grain(picture) < 1.2 * grain(image)


def test_sizes_that_do_not_fit_are_refused(trained: Analogist) -> None:
    image, own = photo(64, 96)
    with pytest.raises(ValueError, match="times a whole number"):
        paint_fine(trained, image[:, :, :80], own, own)
    with pytest.raises(LabelError, match=r"multiples of 16: use target\.resized"):
        paint_fine(trained, image, own, layout(56, 96))
    with pytest.raises(LabelError, match="label map is 48x32"):
        paint_fine(trained, image, layout(), own)
