"""How near a picture is to its true partner: PSNR and SSIM, with range and channel said aloud.

The same pair scores 6.02 dB less when pictures in [-1, 1] are judged as if they were in [0, 1], and several dB
more when only luminance counts. So the range has no default, and values outside it are an error.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from lib.book.equations import equation
from lib.metrics.checks import MeasureError, check_images

__all__ = ["luminance", "psnr", "ssim"]

Channel = Literal["rgb", "y"]
_WINDOW = 11  # pixels, the side of SSIM's Gaussian window
_BT601 = (65.481, 128.553, 24.966)  # 8-bit luma of R, G, B in [0, 1], before the offset 16


@equation("9.4", tests="tests/equations/test_srgan_equations.py::test_luminance")
def luminance(images: Tensor, *, data_range: tuple[float, float]) -> Tensor:
    """Luma after ITU-R BT.601: (B, 3, H, W) in `data_range` -> (B, 1, H, W) in [16/255, 235/255].

        Y = (16 + 65.481 R + 128.553 G + 24.966 B) / 255,   R, G, B in [0, 1]

    Papers on super-resolution measure PSNR on this Y with the peak 255 although Y spans 219 values; they also
    round it to whole numbers, which we do not.

    Raises:
        MeasureError: no colour picture, or values outside `data_range`.
    """
    low, high = _ordered(data_range)
    images = check_images(images, low=low, high=high)
    if images.shape[1] != 3:
        raise MeasureError("Luminance needs three channels; judge pictures of one channel with channel='rgb'.")
    weights = images.new_tensor(_BT601)[:, None, None]
    return (16 + (weights * ((images - low) / (high - low))).sum(dim=1, keepdim=True)) / 255


@equation("9.3", tests="tests/equations/test_srgan_equations.py::test_psnr")
def psnr(a: Tensor, b: Tensor, *, data_range: tuple[float, float], channel: Channel = "rgb", border: int = 0) -> Tensor:
    """Peak signal-to-noise ratio of each pair in dB, 10 log10(peak^2 / MSE); infinite for equal pictures.

    Papers average it over pictures: ``psnr(...).mean()``. That is not the PSNR of the pooled error.

    Args:
        a, b: (B, 1 or 3, H, W).
        data_range: lowest and highest possible value, as (-1, 1).
        channel: all channels, or luminance after BT.601 as in super-resolution.
        border: pixels cut off at each side first; super-resolution cuts as many as its factor.

    Returns:
        (B,) float32.

    Raises:
        MeasureError: shapes that differ, values outside the range, nothing left inside the border.
    """
    a, b, peak = _prepared(a, b, data_range, channel, border)
    values: Tensor = peak_signal_noise_ratio(a, b, data_range=peak, reduction="none", dim=(1, 2, 3))
    return values


def ssim(a: Tensor, b: Tensor, *, data_range: tuple[float, float], channel: Channel = "rgb", border: int = 0) -> Tensor:
    """Structural similarity of each pair (Wang et al. 2004): Gaussian window 11x11, sigma 1.5, K 0.01 and 0.03.

    Averaged, as in the paper, over the positions at which the whole window lies inside the picture; torchmetrics
    alone would count reflected borders too, which scores higher. Args and errors are those of `psnr`; the sides
    must be at least 11 pixels.

    Returns:
        (B,) float32, at most 1.
    """
    a, b, peak = _prepared(a, b, data_range, channel, border)
    if min(a.shape[-2:]) < _WINDOW:
        raise MeasureError(f"SSIM looks through a window of {_WINDOW} pixels; {tuple(a.shape[-2:])} is too small.")
    full = structural_similarity_index_measure(a, b, data_range=peak, reduction="none", return_full_image=True)[1]
    assert isinstance(full, Tensor)
    edge = _WINDOW // 2
    return full[..., edge:-edge, edge:-edge].mean(dim=(1, 2, 3))


def _ordered(data_range: tuple[float, float]) -> tuple[float, float]:
    low, high = data_range
    if not low < high:
        raise MeasureError(f"The range must be (lowest, highest), such as (-1, 1), not ({low:g}, {high:g}).")
    return low, high


def _prepared(
    a: Tensor, b: Tensor, data_range: tuple[float, float], channel: Channel, border: int
) -> tuple[Tensor, Tensor, float]:
    """Both pictures as they are compared, and the peak."""
    if a.shape != b.shape:
        raise MeasureError(f"The pictures must have one shape, not {tuple(a.shape)} and {tuple(b.shape)}.")
    if channel not in ("rgb", "y"):
        raise MeasureError(f"There is no channel {channel!r}; use 'rgb' or 'y'.")
    low, high = _ordered(data_range)
    if channel == "y":
        a, b, peak = luminance(a, data_range=data_range), luminance(b, data_range=data_range), 1.0
    else:
        a, b = (check_images(picture, low=low, high=high) for picture in (a, b))
        peak = high - low
    height, width = a.shape[-2:]
    if border < 0 or 2 * border >= min(height, width):
        raise MeasureError(f"A border of {border} pixels leaves nothing of pictures of {width} x {height} pixels.")
    inside = (..., slice(border, height - border), slice(border, width - border))
    return a[inside], b[inside], peak
