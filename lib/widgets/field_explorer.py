"""The receptive field of a network, laid over a photo: what one output of a PatchGAN can see.

field_explorer(photo.image, {"16 px": network_a, "70 px": network_b})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from lib.nn.receptive_field import Layer, receptive_field
from lib.widgets.sliders import Range, SliderBoard

__all__ = ["field_explorer", "field_picture"]

_LINE = (1.0, 0.87, -0.2)  # of the frame, in [-1, 1]


def field_picture(image: Tensor, layers: nn.Module | Sequence[Layer], row: int, column: int) -> Tensor:
    """The photo with what output (row, column) sees in full light, and the rest in the dark: (3, H, W).

    Args:
        image: (3, H, W) in [-1, 1].
        layers: the network, or its convolutions, as for `receptive_field`.
        row, column: of the output; one that lies outside sees nothing or only padding.
    """
    field = receptive_field(layers)
    height, width = image.shape[-2:]
    top, bottom = (max(0, min(v, height)) for v in field.window(row, height))
    left, right = (max(0, min(v, width)) for v in field.window(column, width))
    picture = 0.35 * (image + 1) - 1
    if top >= bottom or left >= right:
        return picture
    frame = image.new_tensor(_LINE).view(3, 1)
    picture[:, top:bottom, left:right] = image[:, top:bottom, left:right]
    for line in (picture[:, top, left:right], picture[:, bottom - 1, left:right],
                 picture[:, top:bottom, left], picture[:, top:bottom, right - 1]):  # fmt: skip
        line.copy_(frame.expand_as(line))
    return picture


def field_explorer(
    image: Tensor, networks: Mapping[str, nn.Module | Sequence[Layer]], *, scale: int = 3
) -> SliderBoard:  # fmt: skip
    """Sliders for the network and the output; the picture shows what it sees.

    Args:
        image: (3, H, W) in [-1, 1].
        networks: name -> network, from the first position of the slider to the last.
        scale: by which whole factor pixels are repeated.
    """
    names = list(networks)
    strides = [receptive_field(network).stride for network in networks.values()]
    rows, columns = (max(side // stride for stride in strides) - 1 for side in image.shape[-2:])

    def paint(values: Mapping[str, float]) -> Tensor:
        number = int(values["network"])
        stride = strides[number]
        # The sliders count in the finest grid of outputs, so that a place stays a place when the network changes.
        row, column = (int(values[key]) * min(strides) // stride for key in ("row", "column"))
        return field_picture(image, networks[names[number]], row, column)

    return SliderBoard(
        paint,
        {
            "network": Range.of(*names),
            "row": Range(0, rows, rows // 2, 1),
            "column": Range(0, columns, columns // 2, 1),
        },
        scale=scale,
        alt="The photo: what the chosen output sees is lit and framed, the rest is dark",
    )
