"""The stream of analogies: what it promises about labels, pixels, matches and unknown places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.augment import identity_grid
from lib.data.single_photo import CELL, IGNORE, MODES, SinglePhoto, StreamConfig, movable_parts, source_cells
from tests.scenes import generator, photo

SIZE = (64, 96)


def stream(config: StreamConfig | None = None, *, seed: int = 0, size: tuple[int, int] = SIZE) -> SinglePhoto:
    image, own = photo(*size)
    return SinglePhoto(image, own.one_hot(), config, generator=generator(seed))


def draws(count: int, progress: float = 1.0, *, config: StreamConfig | None = None) -> Iterator[dict[str, Any]]:
    source = stream(config)
    for _ in range(count):
        yield source.draw(progress)


def only(mode: str, count: int, **more: Any) -> list[dict[str, Any]]:
    """Draws of one mode; both directions of the warp are called warp."""
    found = [b for b in draws(count, **more) if b["mode"] == mode]
    assert found
    return found


def at_centres(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, T): the value in the middle of each cell."""
    return x[..., CELL // 2 :: CELL, CELL // 2 :: CELL].flatten(2)


def at_matches(x: Tensor, matches: Tensor) -> Tensor:
    """(B, C, T): cell means of the source (B, C, h, w) at the matched cells."""
    means = F.avg_pool2d(x, CELL).flatten(2)
    return means.gather(2, matches.clamp(min=0).unsqueeze(1).expand(-1, x.shape[1], -1))


# ----------------------------------------------------------------------------------------------- promises


def test_the_modes_take_turns() -> None:
    assert [batch["mode"] for batch in draws(10)] == [*MODES, *MODES]
    assert MODES.count("reconstruct") / len(MODES) == 1 / 5


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("progress", [0.0, 0.15, 1.0])
def test_every_draw_is_a_pair_of_pairs(progress: float, batch_size: int) -> None:
    for batch in draws(5, progress, config=StreamConfig(batch=batch_size)):
        for name in ("image", "target_image", "real_image"):
            assert batch[name].shape == (batch_size, 3, *SIZE) and batch[name].abs().max() <= 1
        for name in ("layout", "target_layout", "real_layout"):
            one_hot = batch[name]
            assert one_hot.shape == (batch_size, 3, *SIZE)
            assert torch.equal(one_hot.sum(dim=1), torch.ones(batch_size, *SIZE))
            assert set(one_hot.unique().tolist()) == {0.0, 1.0}
        assert batch["valid"].shape == (batch_size, 1, *SIZE) and set(batch["valid"].unique().tolist()) <= {0.0, 1.0}
        cells = SIZE[0] // CELL * (SIZE[1] // CELL)
        matches = batch["matches"]
        assert matches.shape == (batch_size, cells) and matches.dtype == torch.int64
        assert bool(((matches == IGNORE) | ((matches >= 0) & (matches < cells))).all())


def test_at_progress_0_nothing_moves() -> None:
    image, own = photo(*SIZE)
    for batch in draws(5, progress=0.0):
        for name in ("image", "target_image", "real_image"):
            torch.testing.assert_close(batch[name][0], image, atol=1e-5, rtol=0)
        for name in ("layout", "target_layout", "real_layout"):
            assert torch.equal(batch[name], own.one_hot())
        assert batch["valid"].all()
        assert torch.equal(batch["matches"][0], torch.arange(16 * 24))


def test_the_transforms_grow_with_progress_until_the_warm_up_ends() -> None:
    def unrest(progress: float) -> float:
        return float(np.mean([
            (b["target_layout"] != b["layout"]).any(dim=1).float().mean() for b in draws(20, progress)
        ]))  # fmt: skip

    assert unrest(0.0) == 0 < unrest(0.05) < unrest(0.15) < unrest(0.3)
    assert unrest(0.3) == unrest(1.0)  # warm_up = 0.3: the same draws, at full strength from here on


def test_reconstruct_gives_the_same_pair_twice() -> None:
    for batch in only("reconstruct", 10):
        assert torch.equal(batch["image"], batch["target_image"])
        assert torch.equal(batch["layout"], batch["target_layout"])
        assert torch.equal(batch["matches"][0], torch.arange(16 * 24)) and batch["valid"].all()
        assert not torch.equal(batch["image"][0], photo(*SIZE)[0])  # of a warped photo


# ----------------------------------------------------------------------------------------------- matches


@pytest.mark.parametrize("mode", ["warp", "move", "warp back", "reconstruct"])
def test_matches_point_to_the_cell_that_the_target_came_from(mode: str) -> None:
    """Labels and colours at the match are those of the target, for all but the cells on a border."""
    good_labels, good_colours, known_share = [], [], []
    for batch in only(mode, 30):
        matches = batch["matches"]
        known = matches != IGNORE
        known_share.append(known.float().mean())
        wanted, found = at_centres(batch["target_layout"]), at_matches(batch["layout"], matches)
        good_labels.append((found.argmax(dim=1) == wanted.argmax(dim=1))[known].float().mean())
        trusted = known & (at_centres(batch["valid"])[:, 0] > 0.5)
        gap = at_matches(batch["image"], matches) - F.avg_pool2d(batch["target_image"], CELL).flatten(2)
        good_colours.append((gap.abs().mean(dim=1) < 0.15)[trusted].float().mean())
    assert np.mean(known_share) > 0.6  # unknown: what the other picture does not show
    assert np.mean(good_labels) > 0.93
    assert np.mean(good_colours) > 0.85


def test_wrong_matches_would_not_pass() -> None:
    """The test above can fail: matches of another draw agree far less."""
    first, _, other = [b for b in draws(15) if b["mode"] in ("warp", "warp back")][:3]
    wanted = at_centres(first["target_layout"]).argmax(dim=1)
    known = other["matches"] != IGNORE
    found = at_matches(first["layout"], other["matches"].flip(1)).argmax(dim=1)
    assert (found == wanted)[known].float().mean() < 0.8


def test_source_cells_of_known_grids() -> None:
    grid = identity_grid(16, 24)[None]
    own = torch.arange(24).view(4, 6)
    assert torch.equal(source_cells(grid), own.view(1, -1))
    right = source_cells(grid + torch.tensor([2 * CELL / 24, 0.0]))[0].view(4, 6)  # look one cell to the right
    assert torch.equal(right[:, :-1], own[:, 1:])
    assert bool((right[:, -1] == IGNORE).all())  # beyond the photo
    assert torch.equal(source_cells(grid.flip(2))[0].view(4, 6)[0, 1:], torch.tensor([4, 3, 2, 1, 0]))


# -------------------------------------------------------------------------------------------------- moves


def moves(count: int = 40, **changes: Any) -> list[dict[str, Any]]:
    return only("move", count, config=replace(StreamConfig(), **changes))


def test_a_move_shows_the_photo_wherever_it_claims_to_know() -> None:
    """The target is made of photo pixels of the right class; only the hole is unknown."""
    image, own = photo(*SIZE, grain=0.0)
    source = SinglePhoto(image, own.one_hot(), generator=generator())
    holes = 0
    for batch in [b for b in (source.draw(1.0) for _ in range(40)) if b["mode"] == "move"]:
        colours = torch.tensor(own.palette.as_array()).float() / 127.5 - 1
        painted = (0.8 * colours[batch["target_layout"].argmax(dim=1)]).permute(0, 3, 1, 2)
        gap = (painted - batch["target_image"]).abs().mean(dim=1, keepdim=True)
        known = batch["valid"] > 0.5
        assert (gap[known] < 0.15).float().mean() > 0.95  # the rest: interpolated borders
        if not known.all():
            holes += 1
            assert (gap[~known] > 0.15).float().mean() > 0.75  # labels of the surroundings, picture of the region
    assert holes > 5


def test_what_a_move_uncovers_gets_labels_of_the_surroundings_and_a_donor_of_that_class() -> None:
    seen = 0
    for batch in moves(copy=0.0, mirror=0.0):
        unknown = at_centres(batch["valid"])[0, 0] < 0.5
        asked = unknown & (batch["matches"][0] != IGNORE)
        if asked.sum() < 10:
            continue
        seen += 1
        wanted = at_centres(batch["target_layout"]).argmax(dim=1)[0]
        found = at_matches(batch["layout"], batch["matches"]).argmax(dim=1)[0]
        assert (found == wanted)[asked].float().mean() > 0.8
    assert seen > 3


def test_a_copied_region_leaves_no_hole() -> None:
    for batch in moves(20, copy=1.0):
        assert batch["valid"].all()


def test_the_true_pair_of_a_move_has_no_hole() -> None:
    """D learns from real pixels only: the warped photo with its own labels."""
    image, own = photo(*SIZE, grain=0.0)
    source = SinglePhoto(image, own.one_hot(), generator=generator())
    colours = torch.tensor(own.palette.as_array()).float() / 127.5 - 1
    for batch in [b for b in (source.draw(1.0) for _ in range(20)) if b["mode"] == "move"]:
        painted = (0.8 * colours[batch["real_layout"].argmax(dim=1)]).permute(0, 3, 1, 2)
        assert ((painted - batch["real_image"]).abs().mean(dim=1) < 0.15).float().mean() > 0.93


def test_the_source_of_a_move_is_the_photo_itself() -> None:
    image, own = photo(*SIZE)
    for batch in moves(10):
        assert torch.equal(batch["image"][0], image) and torch.equal(batch["layout"], own.one_hot())


# -------------------------------------------------------------------------------------------------- parts


def test_parts_of_a_map_with_two_components() -> None:
    index = np.zeros((40, 60), dtype=np.int64)
    index[20:] = 1
    index[5:15, 5:15] = 2  # in the sky
    index[25:31, 40:46] = 2  # on the ground: the same class, another part
    large, small = movable_parts(index)
    assert large.mask.sum() == 100 and small.mask.sum() == 36  # the largest first
    assert large.mask[5:15, 5:15].all() and small.mask[25:31, 40:46].all()
    assert (large.filled[5:15, 5:15] == 0).all() and (large.filled[25:31, 40:46] == 2).all()
    assert (small.filled[25:31, 40:46] == 1).all() and (small.filled[5:15, 5:15] == 2).all()
    for part in (large, small):
        outside = ~part.mask
        assert np.array_equal(part.filled[outside], index[outside])
        columns, rows = (((part.donor[..., i] + 1) / 2 * n - 0.5).round().astype(int) for i, n in ((0, 60), (1, 40)))
        assert not part.mask[rows, columns].any()  # never from the region that was taken away
        assert np.array_equal(index[rows, columns][part.mask], part.filled[part.mask])


def test_parts_have_a_sensible_size() -> None:
    index = np.zeros((100, 100), dtype=np.int64)
    index[:, 50:] = 1  # half the picture: ground, not a part
    index[3, 3] = 2  # one pixel of 10000
    assert movable_parts(index) == []
    rows, columns = np.indices((100, 100))
    crumbs, squares = ((np.maximum(rows % 12, columns % 12) < side).astype(np.int64) for side in (3, 5))
    assert movable_parts(crumbs) == []  # 81 regions of 0.09 %
    assert len(movable_parts(squares)) == 24  # 81 regions of 0.25 %: only so many are kept


def test_without_parts_a_move_is_a_warp() -> None:
    image = photo(*SIZE)[0]
    halves = torch.zeros(1, 2, *SIZE)
    halves[:, 0, :32] = halves[:, 1, 32:] = 1
    source = SinglePhoto(image, halves, generator=generator())
    assert [source.draw(1.0)["mode"] for _ in range(5)] == ["warp", "warp", "warp back", "warp", "reconstruct"]


# -------------------------------------------------------------------------------------------- determinism


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[key], b[key]) if isinstance(a[key], Tensor) else a[key] == b[key] for key in a
    )


def test_the_same_seed_draws_the_same_analogies() -> None:
    first, second, other = stream(), stream(), stream(seed=1)
    for _ in range(6):
        a, b, c = first.draw(1.0), second.draw(1.0), other.draw(1.0)
        assert same(a, b) and not same(a, c)
        torch.rand(7)  # the global generator plays no part


def test_a_saved_stream_goes_on_where_it_stopped() -> None:
    first, second = stream(), stream(seed=5)
    for _ in range(3):
        first.draw(0.5)
    state = first.state_dict()
    expected = [first.draw(0.5) for _ in range(6)]
    second.draw(0.5)
    second.load_state_dict(state)
    assert all(same(a, second.draw(0.5)) for a in expected)


def test_drawing_leaves_the_photo_alone() -> None:
    source = stream()
    image, own = source.image.clone(), source.layout.clone()
    for _ in range(5):
        source.draw(1.0)["image"].add_(0)
    assert torch.equal(source.image, image) and torch.equal(source.layout, own)


def test_a_layout_of_another_size_is_refused() -> None:
    image, own = photo(*SIZE)
    with pytest.raises(ValueError, match=r"The photo is \(64, 96\) and its layout \(32, 48\) .*resize one of them"):
        SinglePhoto(image, own.resized(32, 48).one_hot(), generator=generator())


def test_a_saved_stream_knows_its_photo() -> None:
    first, other = stream(seed=1), stream(seed=1)
    other.image = -other.image
    with pytest.raises(ValueError, match="begun on another photo"):
        other.load_state_dict(first.state_dict())
    assert other.drawn == 0
