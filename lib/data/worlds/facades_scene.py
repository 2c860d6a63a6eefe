"""The scene that every part of a street front paints into: colours, labels, sun shadows and lamp light."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.worlds.draw import Number, column, cover, grid, hashed
from lib.data.worlds.facades_colours import RGB, constant, fixed
from lib.data.worlds.facades_layout import Cells, Layout, fold, make_layout, pick
from lib.data.worlds.world import Parameters
from lib.labelmaps import Palette

FACADE_PALETTE = Palette(
    ("sky", "wall", "window", "blind", "molding", "door", "balcony", "cornice", "pillar", "roof", "shop",
     "vegetation", "ground"),
    ((120, 180, 230), (214, 196, 160), (40, 80, 190), (110, 60, 170), (255, 240, 120), (150, 40, 40), (240, 120, 200),
     (255, 160, 60), (180, 180, 180), (200, 70, 40), (60, 200, 200), (40, 140, 60), (90, 90, 90)),
)  # fmt: skip
LABEL = {name: index for index, name in enumerate(FACADE_PALETTE.names)}
_TABLE = 64  # side of the table of random numbers that all textures share

# For each season: the colour of foliage, how much it varies from leaf to leaf, and from bough to bough.
LEAVES: tuple[tuple[RGB, RGB, RGB], ...] = (
    ((0.20, 0.36, 0.13), (0.00, 0.20, 0.00), (0.22, 0.00, 0.08)),
    ((0.66, 0.26, 0.10), (0.22, 0.00, 0.06), (0.00, 0.42, 0.00)),
    ((0.28, 0.27, 0.20), (0.10, 0.10, 0.00), (0.00, 0.00, 0.06)),
)


class Scene:
    """A street front under construction.

    Attributes:
        image: colours by flat light (B, 3, H, W), in [0, 1].
        labels: classes as whole-number floats (B, H, W).
        p: the parameters of the pictures.
        layout, cells: where floors and bays are, and each pixel's place in its bay and floor.
        x, y: coordinates on the façade (B, H, W), the perspective taken out.
        pixel: side of a pixel in the same units.
        shadow: how much of the sun is hidden (B, H, W), in [0, 1].
        lamps: light that the picture itself sends out (B, 3, H, W), linear.
        upper, at_door: 1 above the ground floor; 1 in the cell of the door.
        solid: 0 where the sky shows (B, H, W).
    """

    def __init__(self, parameters: Parameters, size: int) -> None:
        self.p = parameters
        seed = parameters["surface"]
        count, device = seed.shape[0], seed.device
        x, y = grid(size, device=device)
        keystone, slant = column(parameters["camera"][:, 0]), column(parameters["camera"][:, 1])
        # Verticals lean together upwards; horizontals meet at the height of the eye.
        self.x, self.y = x * (1 - keystone * y), y + slant * x * (y - 0.6)
        self.pixel = 2 / size
        self.image = torch.zeros(count, 3, size, size, device=device)
        self.labels = torch.zeros(count, size, size, device=device)
        self.layout: Layout = make_layout(parameters)
        self.cells: Cells = fold(self.layout, self.x, self.y)
        self.shadow = torch.zeros(count, size, size, device=device)
        self.solid = torch.zeros(count, size, size, device=device)
        self.lamps = torch.zeros(count, 3, size, size, device=device)
        self.upper = self.cells.floor.clamp(max=1).float()
        self.at_door = (1 - self.upper) * (self.cells.bay == self.layout.door)
        self._masks: dict[tuple[str | int, ...], Tensor] = {}
        self._splines: dict[float, Tensor] = {}
        axis = torch.arange(_TABLE, device=device)
        self._tables = {
            name: hashed(axis[None, None], axis[None, :, None], column(parameters[name])).flatten(1)
            for name in ("surface", "structure")
        }

    # ---------------------------------------------------------------------------------------- questions

    def number(self, name: str, index: int | None = None) -> Tensor:
        """A parameter, or one of its columns, as (B, 1, 1)."""
        value = self.p[name]
        return column(value if index is None else value[:, index])

    def where(self, name: str, *values: int) -> Tensor:
        """1 in the pictures whose parameter is one of `values`, else 0; (B, 1, 1) float32."""
        if (name, *values) not in self._masks:
            same = torch.stack([self.p[name] == value for value in values])
            self._masks[(name, *values)] = column(same.any(0).float())
        return self._masks[(name, *values)]

    def per_cell(self, channel: int, *, of: str = "structure", mirrored: bool = True) -> Tensor:
        """A random number in [0, 1) for every bay of every floor, looked up at each pixel (B, H, W)."""
        return pick(self.layout.cell_numbers(self.p[of], channel, mirrored=mirrored), self.cells.index)

    def per_floor(self, channel: int) -> Tensor:
        """A random number in [0, 1) for every floor, looked up at each pixel (B, H, W)."""
        return pick(self.layout.floor_numbers(self.p["structure"], channel), self.cells.floor)

    # ----------------------------------------------------------------------------------------- textures

    def random(self, i: Tensor, j: Tensor, channel: int, *, of: str = "surface") -> Tensor:
        """A random number in [0, 1) for each lattice point (i, j), whole-number floats (B, H, W).

        Outlines take the numbers `of` the "structure", so that a new surface keeps the labels.
        """
        column_ = (i.long() + 29 * channel) & (_TABLE - 1)
        row = (j.long() + 17 * channel) & (_TABLE - 1)
        return pick(self._tables[of], row * _TABLE + column_)

    def noise(self, scale_x: float, scale_y: float, channel: int, *, of: str = "surface") -> Tensor:
        """Smooth noise in [0, 1] with `scale` features, up to 31, in a unit of length; (B, H, W)."""
        rows, columns = self._spline(min(scale_y, 31)), self._spline(min(scale_x, 31))
        top, left = channel * 7 % (_TABLE - rows.shape[1] + 1), channel * 13 % (_TABLE - columns.shape[1] + 1)
        table = self._tables[of].view(-1, _TABLE, _TABLE)
        patch = table[:, top : top + rows.shape[1], left : left + columns.shape[1]]
        return torch.matmul(rows, torch.matmul(patch, columns.T))

    def _spline(self, scale: float) -> Tensor:
        """Weights (S, N) that interpolate N random numbers at the S pixels of a side; noise is separable in them."""
        if scale not in self._splines:
            size = self.x.shape[-1]
            place = (torch.arange(size, device=self.x.device) + 0.5) * (2 * scale / size)
            start, share = place.floor(), place.frac()
            knots = torch.arange(int(2 * scale) + 2, device=self.x.device)
            place = start + share * share * (3 - 2 * share)
            self._splines[scale] = (1 - (place[:, None] - knots).abs()).clamp(min=0)
        return self._splines[scale]

    def leaf_colour(self, channel: int, *, evergreen: bool = False) -> Tensor:
        """Foliage of the season at every pixel, (B, 3, H, W)."""
        fine = self.random(torch.floor(self.x / 0.02), torch.floor(self.y / 0.02), channel)
        broad = self.noise(5, 5, channel + 1)
        season = self.p["season"] * (0 if evergreen else 1)
        base, by_leaf, by_bough = constant(LEAVES, fine.device)[season][..., None, None].unbind(1)
        return base + by_leaf * fine[:, None] + by_bough * broad[:, None]

    # ----------------------------------------------------------------------------------------- painting

    def cover(self, distance: Tensor, soft: Number = 0.0) -> Tensor:
        """Coverage of a shape at the size of this picture."""
        return cover(distance, self.pixel, soft)

    def paint(self, coverage: Tensor, colour: Tensor, label: str | None = None, *, silhouette: bool = False) -> None:
        """Put something in front: its own light, no shadow on it yet.

        Args:
            coverage: (B, H, W).
            colour: (B, 3) or (B, 3, H, W) under flat light.
            label: its class, or None to keep what is below.
            silhouette: whether it may stand against the sky.
        """
        if colour.dim() == 2:
            colour = colour[:, :, None, None]
        self.image.lerp_(colour.expand_as(self.image), coverage[:, None].expand_as(self.image))
        if label is not None:
            self.mark(coverage, label)
            clear = 1 - coverage
            self.shadow.mul_(clear)
            self.lamps.mul_(clear[:, None])
        if silhouette:
            self.solid = torch.maximum(self.solid, coverage)

    def mark(self, coverage: Tensor, label: str) -> None:
        """Give pixels a class without painting: a railing owns what shows through its bars."""
        owned = ((coverage - 0.5) * 1e9).clamp(0, 1)  # 0 or 1: floats near 1/2 differ by more than 1e-9
        self.labels.lerp_(constant((float(LABEL[label]),), self.labels.device).expand_as(self.labels), owned)

    def cast(self, coverage: Tensor, strength: Number = 1.0) -> None:
        """Let a shadow fall."""
        self.shadow = torch.maximum(self.shadow, coverage * strength)

    def shine(self, coverage: Tensor, colour: Tensor) -> None:
        """Let something send out light `colour` (B, 3), linear, at night only."""
        light = colour if colour.dim() == 4 else colour[:, :, None, None]
        self.lamps.addcmul_((coverage * self.where("time", 1))[:, None], light)

    def snow(self, coverage: Tensor) -> None:
        """Lay snow, in winter only."""
        self.paint(coverage * self.where("season", 2), fixed((0.93, 0.95, 0.98), coverage))

    def sun(self, depth: float) -> tuple[Tensor, Tensor]:
        """How far a thing `depth` in front of the wall throws its shadow, to the right and down."""
        return self.number("light", 0) * depth, self.number("light", 1) * depth
