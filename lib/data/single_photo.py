"""One photo as a data set: an endless stream of analogies whose answer is known.

Each draw makes a source pair and a target pair out of the one photo, in one of three modes:

    warp          the photo and a smooth warp of it, in either direction (the paper's sampling mode)
    move          one region of the layout is moved, resized or copied over the rest: what users do
    reconstruct   source and target are the same pair (the paper's reconstruction mode)

The transforms grow with the progress of the training. Since we made them, we know where each target pixel
came from; `lib.losses.analogy.correspondence` learns the matching from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from lib.data.augment import WarpConfig, identity_grid, random_grid, warp_image, warp_layout

CELL = 4  # px; the matching works on cells of CELL x CELL pixels
IGNORE = -100  # match index of a target cell whose true source is unknown
MODES = ("warp", "move", "warp back", "move", "reconstruct")  # one fifth reconstruction, as the official code


@dataclass(frozen=True)
class StreamConfig:
    """How the photo is varied."""

    batch: int = 1  # analogies per round
    warm_up: float = 0.3  # the share of the training over which the transforms grow to full strength
    warp: WarpConfig = field(default_factory=lambda: WarpConfig(zoom=1.4, stretch=1.15, shift=0.12, flip=0.12))
    move: float = 0.5  # largest move of a region, as a fraction of each side
    resize: float = 1.6  # largest change of a region's size, as a ratio >= 1
    mirror: float = 0.3  # probability that a moved region is mirrored
    copy: float = 0.35  # probability that the region also stays where it was


@dataclass(frozen=True)
class _Part:
    """A connected region that can be moved."""

    mask: npt.NDArray[np.bool_]  # (H, W)
    filled: npt.NDArray[np.int64]  # (H, W): the layout after the region has been taken away
    donor: npt.NDArray[np.float32]  # (H, W, 2): where to look for what the region uncovers, x and y in [-1, 1]


class SinglePhoto:
    """Stream of analogies of one photo, for `lib.training.play`.

    Args:
        image: (3, H, W) in [-1, 1]; H and W divisible by 8.
        layout: one-hot (1, K, H, W).
        config: ranges of the transforms.
        generator: the only source of randomness; saved with the stream's state.

    ``draw(progress)`` gives a dict with image, layout (the source pair), target_image, target_layout,
    valid (B, 1, H, W: where target_image is known), matches (B, T: source cell of each target cell or
    `IGNORE`), real_image, real_layout (a true pair for D) and mode.
    """

    def __init__(
        self, image: Tensor, layout: Tensor, config: StreamConfig | None = None, *, generator: torch.Generator
    ) -> None:
        if image.shape[-2:] != layout.shape[-2:]:
            raise ValueError(
                f"The photo is {tuple(image.shape[-2:])} and its layout {tuple(layout.shape[-2:])} (height, width); "
                "resize one of them."
            )
        self.config = config or StreamConfig()
        self.image = image.unsqueeze(0).expand(self.config.batch, -1, -1, -1).contiguous()
        self.layout = layout.expand(self.config.batch, -1, -1, -1).contiguous()
        self.generator = generator
        self.drawn = 0
        parts = movable_parts(layout[0].argmax(0).cpu().numpy())
        device = image.device
        if parts:
            self._masks = torch.from_numpy(np.stack([p.mask for p in parts])).to(device).float().unsqueeze(1)
            filled = torch.from_numpy(np.stack([p.filled for p in parts])).to(device)
            self._filled = F.one_hot(filled, layout.shape[1]).permute(0, 3, 1, 2).float()
            self._donors = torch.from_numpy(np.stack([p.donor for p in parts])).to(device).permute(0, 3, 1, 2)
        self._parts = len(parts)

    def draw(self, progress: float) -> dict[str, Any]:
        """The next analogy; ``progress`` in [0, 1] sets the strength of the transforms."""
        mode = MODES[self.drawn % len(MODES)]
        self.drawn += 1
        strength = min(1.0, progress / self.config.warm_up) if self.config.warm_up else 1.0
        if mode == "move" and self._parts:
            return self._move(strength)
        return self._warp("warp" if mode == "move" else mode, strength)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, and a thumbnail to recognise its photo by."""
        return {"drawn": self.drawn, "generator": self.generator.get_state(), "thumbnail": self._thumbnail()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            ValueError: the state belongs to another photo.
        """
        seen = state["thumbnail"]
        if not torch.allclose(seen.to(self.image.device), self._thumbnail(), atol=1e-3):
            raise ValueError(
                "This training was begun on another photo; continue it with that one, or start in another folder."
            )
        self.drawn = int(state["drawn"])
        self.generator.set_state(state["generator"])

    def _thumbnail(self) -> Tensor:
        return F.adaptive_avg_pool2d(self.image[0], 8)

    def _warp(self, mode: str, strength: float) -> dict[str, Any]:
        grid = self._grid(strength)
        pair = (self.image, self.layout)
        warped = (warp_image(self.image, grid), warp_layout(self.layout, grid))
        cells = source_cells(grid)
        if mode == "reconstruct":
            own = torch.arange(cells.shape[1], device=cells.device).expand_as(cells)
            return _analogy(mode, warped, warped, own)
        if mode == "warp back":
            return _analogy(mode, warped, pair, _invert(cells))
        return _analogy(mode, pair, warped, cells)

    def _move(self, strength: float) -> dict[str, Any]:
        """A region on top of the rest; what it uncovers has labels but no known picture."""
        part = torch.randint(self._parts, (self.config.batch,), generator=self.generator)
        part = part.to(self.image.device)
        mask = self._masks[part]
        stays = self._coin(self.config.copy).view(-1, 1, 1, 1)
        ground = self._grid(0.6 * strength)
        grid = self._part_grid(mask, strength)
        on_top = F.grid_sample(mask, grid, mode="nearest", align_corners=False) > 0.5
        hole = warp_layout(mask * (1 - stays), ground)
        rest = warp_layout(torch.where(stays > 0.5, self.layout, self._filled[part]), ground)
        grid = torch.where(on_top.permute(0, 2, 3, 1), grid, ground)
        target = (warp_image(self.image, grid), torch.where(on_top, warp_layout(self.layout, grid), rest))
        uncovered = (hole > 0.5) & ~on_top
        donor = warp_image(self._donors[part], ground).permute(0, 2, 3, 1)
        cells = source_cells(torch.where(uncovered.permute(0, 2, 3, 1), donor, grid))
        valid = 1 - uncovered.float()
        batch = _analogy("move", (self.image, self.layout), target, cells)
        real = warp_image(self.image, ground), warp_layout(self.layout, ground)
        return batch | {"valid": valid, "real_image": real[0], "real_layout": real[1]}

    def _grid(self, strength: float) -> Tensor:
        batch, _, height, width = self.image.shape
        return random_grid(
            batch, height, width, strength, self.config.warp, generator=self.generator, device=self.image.device
        )

    def _part_grid(self, mask: Tensor, strength: float) -> Tensor:
        """Sampling grid (B, H, W, 2) that moves, resizes and perhaps mirrors the region about its centre."""
        base = identity_grid(mask.shape[-2], mask.shape[-1], mask.device)
        centre = (mask.unsqueeze(-1) * base).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).unsqueeze(-1)
        move = 2 * self.config.move * strength * self._uniform(2)
        goal = (centre + move).clamp(-0.95, 0.95)  # keep most of it inside the picture
        ratio = self.config.resize ** (strength * self._uniform(1))
        mirror = 1 - 2 * self._coin(self.config.mirror * strength).view(-1, 1)
        scale = torch.cat([mirror, torch.ones_like(mirror)], dim=1) / ratio
        at = base.unsqueeze(0) - goal.view(-1, 1, 1, 2)
        return at * scale.view(-1, 1, 1, 2) + centre.view(-1, 1, 1, 2)

    def _uniform(self, columns: int) -> Tensor:
        drawn = torch.rand(self.config.batch, columns, generator=self.generator, device=self.generator.device)
        return (2 * drawn - 1).to(self.image.device)

    def _coin(self, probability: float) -> Tensor:
        drawn = torch.rand(self.config.batch, generator=self.generator, device=self.generator.device)
        return (drawn < probability).float().to(self.image.device)


def movable_parts(labels: npt.NDArray[np.int64], *, least: float = 0.002, most: float = 0.4) -> list[_Part]:
    """The connected regions of a label map (H, W) that cover between ``least`` and ``most`` of it.

    At most 24, the largest first. A region taken away leaves the classes round it: each vacated pixel takes
    the nearest label outside, and the mirror image of its surroundings as the place to copy from. "Nearest"
    counts a row three times as far as a column, because the world is layered: sky, hills, ground.
    """
    found = []
    for label in np.unique(labels):
        regions, count = ndimage.label(labels == label)
        found += [(regions == i, float((regions == i).mean())) for i in range(1, count + 1)]
    chosen = sorted((f for f in found if least <= f[1] <= most), key=lambda f: -f[1])[:24]
    parts = []
    for mask, _ in chosen:
        y, x = ndimage.distance_transform_edt(mask, sampling=(3, 1), return_distances=False, return_indices=True)
        parts.append(_Part(mask, labels[y, x], _mirrored(labels, mask, y, x)))
    return parts


def _mirrored(
    labels: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_], y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Each pixel's reflection in its nearest outside pixel (y, x); that pixel itself where the class differs."""
    height, width = labels.shape
    rows, columns = np.indices(labels.shape)
    far_y, far_x = np.clip(2 * y - rows, 0, height - 1), np.clip(2 * x - columns, 0, width - 1)
    same = (labels[far_y, far_x] == labels[y, x]) & ~mask[far_y, far_x]
    donor_y, donor_x = np.where(same, far_y, y), np.where(same, far_x, x)
    return np.stack([(2 * donor_x + 1) / width - 1, (2 * donor_y + 1) / height - 1], axis=-1).astype(np.float32)


def source_cells(grid: Tensor) -> Tensor:
    """Index of the source cell that each target cell came from: (B, T), `IGNORE` where there is none.

    Args:
        grid: (B, H, W, 2) sampling grid into a source of the same size.
    """
    height, width = grid.shape[1] // CELL, grid.shape[2] // CELL
    centre = grid[:, CELL // 2 :: CELL, CELL // 2 :: CELL]
    column = ((centre[..., 0] + 1) / 2 * width).floor().long()
    row = ((centre[..., 1] + 1) / 2 * height).floor().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    cells = torch.where(inside, row * width + column, IGNORE)
    return cells.flatten(1)


def _invert(cells: Tensor) -> Tensor:
    """(B, T) source cell of each target cell -> (B, S) target cell of each source cell."""
    back = torch.full((cells.shape[0], cells.shape[1] + 1), IGNORE, device=cells.device)
    own = torch.arange(cells.shape[1], device=cells.device).expand_as(cells)
    slot = torch.where(cells == IGNORE, cells.shape[1], cells)  # the last slot collects the unknown ones
    return back.scatter_(1, slot, own)[:, :-1]


def _analogy(
    mode: str, source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], matches: Tensor
) -> dict[str, Any]:
    return {
        "mode": mode, "image": source[0], "layout": source[1], "target_image": target[0],
        "target_layout": target[1], "matches": matches, "valid": torch.ones_like(target[0][:, :1]),
        "real_image": target[0], "real_layout": target[1],
    }  # fmt: skip
