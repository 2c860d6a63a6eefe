"""How far one answer of D sees: by the recurrence, by gradients, and what that means for the loss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lib.losses.adversarial import bce_real
from lib.nn.dcgan import NetworkError
from lib.nn.patch_family import PATCHES, PatchGAN
from lib.nn.receptive_field import Layer, gradient_map, layers_of, receptive_field, support
from tests.scenes import noise

layers = st.lists(
    st.builds(Layer, kernel=st.integers(1, 5), stride=st.integers(1, 2), padding=st.integers(0, 2)),
    min_size=1, max_size=3,
)  # fmt: skip


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("patch", PATCHES)
def test_the_patch_is_what_the_recurrence_says(patch: int) -> None:
    field = receptive_field(PatchGAN(6, patch=patch, width=2))
    assert (field.size, field.stride) == (patch, 2 ** PATCHES[patch])


@pytest.mark.parametrize("patch", PATCHES)
def test_the_patch_is_what_the_gradients_reach(patch: int) -> None:
    """The four of the paper and two between: exactly the pixels of the window, up to its corners."""
    D, side = PatchGAN(2, patch=patch, width=2, norm="none"), 2 * patch + 40
    top, bottom, left, right = support(gradient_map(D, 2, side))
    assert bottom - top == right - left == patch
    place = D(torch.zeros(1, 2, side, side)).shape[-1] // 2
    assert (top, bottom) == (left, right) == receptive_field(D).window(place, side)


def test_at_the_border_a_part_of_the_window_is_padding() -> None:
    D = PatchGAN(1, patch=34, width=2, norm="none")
    assert support(gradient_map(D, 1, 64, (0, 0))) == (*receptive_field(D).window(0, 64),) * 2 == (0, 23, 0, 23)


@pytest.mark.parametrize(("patch", "side", "grid", "weights"), [
    (1, 256, 256, 9_025), (16, 256, 126, 139_585), (70, 256, 30, 2_768_705), (286, 256, 6, 11_159_361),
])  # fmt: skip
def test_the_family_is_the_papers(patch: int, side: int, grid: int, weights: int) -> None:
    """Size of the answer at 256 px, and weights; ours has a bias in the last layer of the PixelGAN."""
    assert parameters(PatchGAN(6, patch=patch)) == weights
    assert PatchGAN(6, patch=patch, width=1)(torch.zeros(1, 6, side, side)).shape == (1, 1, grid, grid)


@given(layers)
def test_recurrence_and_gradients_agree(chain: list[Layer]) -> None:
    field, side = receptive_field(chain), 48
    network = nn.Sequential(*(nn.Conv2d(1, 1, layer.kernel, layer.stride, layer.padding) for layer in chain))
    assert layers_of(network) == chain
    place = network(torch.zeros(1, 1, side, side)).shape[-1] // 2
    first, last = field.window(place, side)
    top, bottom, left, right = support(gradient_map(network, 1, side))
    assert (top, left) == (first, first)
    # A stride greater than a kernel leaves gaps, but never at the ends.
    assert (bottom, right) == (last, last) and last - first <= field.size


def test_instance_norm_looks_at_the_whole_picture() -> None:
    """A trap: through mean and variance one logit depends on every pixel, though weakly outside its window."""
    D = PatchGAN(1, patch=16, width=4)
    gradients = gradient_map(D, 1, 64)
    assert support(gradients) == (0, 64, 0, 64)
    place = D(torch.zeros(1, 1, 64, 64)).shape[-1] // 2
    first, last = receptive_field(D).window(place, 64)
    inside = gradients[first:last, first:last]
    assert inside.mean() > 20 * (gradients.sum() - inside.sum()) / (64**2 - 16**2)


def test_the_loss_is_that_of_the_mean_patch() -> None:
    """Fully convolutional: the map's loss is the mean of the losses of patches judged one at a time."""
    torch.manual_seed(0)
    inner = [layer for layer in PatchGAN(3, patch=16, width=4, norm="none").layers]
    bare = nn.Sequential(*inner)
    for layer in bare:
        if isinstance(layer, nn.Conv2d):
            layer.padding = (0, 0)
    picture = noise(1, 3, 32, 32)
    patches = picture.unfold(2, 16, 2).unfold(3, 16, 2).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 16, 16)
    assert len(patches) == 81
    alone = torch.stack([bce_real(bare(patch[None])) for patch in patches]).mean()
    torch.testing.assert_close(bce_real(bare(picture)), alone)


def test_what_d_refuses() -> None:
    with pytest.raises(NetworkError, match="no PatchGAN of 71 px"):
        PatchGAN(3, patch=71)
    D = PatchGAN(16, patch=70, width=2)
    with pytest.raises(NetworkError, match="sees 16 channels, not 3"):
        D(noise(1, 3, 64, 64))
    with pytest.raises(NetworkError, match="at least 24 px"):
        D(noise(1, 13, 20, 64), noise(1, 3, 20, 64))
    for patch in PATCHES:
        D = PatchGAN(1, patch=patch, width=1)
        assert D(torch.zeros(1, 1, D.least_side, D.least_side)).isfinite().all()


@pytest.mark.parametrize(
    "network", [nn.ConvTranspose2d(1, 1, 4), nn.Conv2d(1, 1, 3, dilation=2), nn.Conv2d(1, 1, (3, 1)), nn.ReLU()]
)
def test_unknown_layers_speak(network: nn.Module) -> None:
    with pytest.raises(NetworkError):
        layers_of(network)


def test_a_blind_output_speaks() -> None:
    with pytest.raises(NetworkError, match="No pixel"):
        support(torch.zeros(4, 4))
