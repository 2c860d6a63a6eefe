from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from lib.book import show_figure, show_images
from lib.book.figures import Picture


def decoded(picture: Picture) -> Image.Image:
    bundle = picture._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(bundle[f"image/{picture.kind}"])))
    image.load()
    return image


def photo(height: int = 24, width: int = 32) -> torch.Tensor:
    ramp = torch.linspace(-1, 1, width).expand(3, height, width).clone()
    ramp[1] = -ramp[1]
    return ramp


def test_a_row_of_images_becomes_one_jpeg_with_alt_text() -> None:
    picture = show_images([photo(), photo()], ["photo", "again"], alt="Two ramps from green to red", scale=2)
    bundle = picture._repr_mimebundle_()
    assert set(bundle) == {"image/jpeg", "text/plain"}
    assert bundle["text/plain"] == repr(picture) == "Two ramps from green to red"
    image = decoded(picture)
    assert image.format == "JPEG"
    assert image.width >= 2 * 2 * 32 and image.height >= 2 * 24


def test_rows_lie_below_each_other() -> None:
    one = decoded(show_images([photo()], alt="One green to red ramp"))
    two = decoded(show_images([[photo()], [photo()]], alt="Two green to red ramps"))
    assert two.width == one.width
    assert two.height >= 2 * 24


def test_png_keeps_every_pixel_and_jpeg_is_close() -> None:
    colours = {}
    for kind in ("png", "jpeg"):
        image = decoded(show_images([photo()], alt="A ramp from green to red", kind=kind))  # type: ignore[arg-type]
        colours[kind] = np.asarray(image.convert("RGB"), dtype=np.float64)
    expected = (photo().permute(1, 2, 0).numpy() + 1) * 127.5
    distances = [
        np.abs(colours["png"][y : y + 24, x : x + 32] - expected).max()
        for y in range(colours["png"].shape[0] - 23)
        for x in range(colours["png"].shape[1] - 31)
    ]
    assert min(distances) <= 1.0
    assert np.abs(colours["jpeg"] - colours["png"]).mean() < 4


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_the_same_figure_gives_the_same_bytes(kind: Any) -> None:
    def draw() -> Picture:
        figure = Figure(figsize=(3, 2))
        figure.subplots().plot([1, 3, 2])
        return show_figure(figure, alt="A line that rises and falls", kind=kind)

    first, second = draw(), draw()
    assert first.data == second.data
    assert decoded(first).size == (300, 200)


def test_a_pyplot_figure_is_closed_so_that_it_shows_once() -> None:
    figure = plt.figure()
    show_figure(figure, alt="An empty figure")
    assert not plt.fignum_exists(figure.number)


@pytest.mark.parametrize("alt", ["", "   ", "photo"])
def test_a_picture_without_words_is_refused(alt: str) -> None:
    with pytest.raises(ValueError, match="needs alt text"):
        show_images([photo()], alt=alt)


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to show"):
        show_images([], alt="Nothing at all")
