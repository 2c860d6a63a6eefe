"""Distances in the feature maps of a frozen network: alike in what a network sees, not pixel by pixel.

    maps = reader_maps("faces", ("stages.1", "stages.2"))     # or vgg19_maps([(5, 4)]), or FeatureMaps(any network)
    loss = perceptual_loss(maps(fake), maps(real))

The network stands still, but the gradient must pass *through* it to the fake. Features of the fake under
``torch.no_grad()`` give the right number and teach nothing, and no history shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.losses.adversarial import at_least_float32

__all__ = ["FeatureMaps", "PerceptualError", "feature_maps", "perceptual_loss", "reader_maps", "vgg19_layer",
           "vgg19_maps"]  # fmt: skip

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_VGG19 = (2, 2, 4, 4, 4)  # convolutions before each max pooling


class PerceptualError(ValueError):
    """Features that do not exist or cannot be compared. The message says how to mend it."""


def perceptual_loss(
    features_fake: Sequence[Tensor], features_real: Sequence[Tensor], weights: Sequence[float] | None = None
) -> Tensor:
    """sum_l w_l mean (phi_l(fake) - phi_l(real))² (Johnson et al. 2016; SRGAN's eq. 5; DIAT's l_c is half of it).

    Each layer counts as a mean over its values, 1 / (C_l H_l W_l) in the papers: large maps weigh no more than small.

    Args:
        features_fake: one tensor (B, …) for each layer; the gradient goes to them.
        features_real: the same shapes; the target, which gets no gradient.
        weights: w_l; default 1 for each layer.

    Raises:
        PerceptualError: other numbers of layers, or other shapes.
    """
    weights = [1.0] * len(features_fake) if weights is None else list(weights)
    shapes = [[tuple(maps.shape) for maps in side] for side in (features_fake, features_real)]
    if not features_fake or shapes[0] != shapes[1] or len(weights) != len(features_fake):
        raise PerceptualError(
            f"Feature lists and weights must fit layer by layer: fake {shapes[0]}, real {shapes[1]}, "
            f"{len(weights)} weights."
        )
    pairs = zip(weights, features_fake, features_real, strict=True)
    return torch.stack([
        weight * (at_least_float32(fake) - at_least_float32(real.detach())).square().mean()
        for weight, fake, real in pairs
    ]).sum()  # fmt: skip


def feature_maps(network: nn.Module, images: Tensor, layers: Sequence[str]) -> list[Tensor]:
    """What the named layers answer while the network looks at pictures: one tensor for each name, in that order.

    The network keeps its mode, and its graph: use it on a D too, whose features DIAT-A compares. A layer followed by
    an activation *in place* would show the activated values.

    Args:
        network: any.
        images: what it takes.
        layers: names as in ``network.named_modules()``.

    Raises:
        PerceptualError: the network has no such layer, or does not run it.
    """
    parts = dict(network.named_modules())
    unknown = [name for name in layers if name not in parts]
    if unknown or not layers:
        raise PerceptualError(
            f"There is no layer {', '.join(map(repr, unknown)) or 'asked for'}; this {type(network).__name__} has "
            f"{', '.join(name for name in parts if name)}."
        )
    seen: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen[name] = output

    hooks = [parts[name].register_forward_hook(partial(keep, name)) for name in dict.fromkeys(layers)]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    missing = [name for name in layers if name not in seen]
    if missing:
        raise PerceptualError(f"The network never runs {', '.join(map(repr, missing))}; name other layers.")
    return [seen[name] for name in layers]


class FeatureMaps(nn.Module):
    """Named layers of a frozen network: pictures (B, 3, H, W) in [-1, 1] -> one feature map for each layer.

    The network is frozen and stays in evaluation mode, whatever mode the game around it is put into: batch norms that
    saw the batch would judge a picture by its neighbours.

    Args:
        network: takes pictures; frozen here.
        layers: their names, as in ``network.named_modules()``.
        side: px that the network wants; pictures of other sizes are brought to it. None: as they come.
        mean, std: of the pictures in [0, 1] that it was trained on, for each channel; None: it takes [-1, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, layers: Sequence[str], *, side: int | None = None,
        mean: Sequence[float] | None = None, std: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.layers, self.side = tuple(layers), side
        # (x + 1) / 2 in the units of [0, 1] is x with 2 mean - 1 and 2 std in the units of [-1, 1].
        self.register_buffer("mean", 2 * torch.tensor(mean or (0.5,))[:, None, None] - 1)
        self.register_buffer("std", 2 * torch.tensor(std or (0.5,))[:, None, None])

    def train(self, mode: bool = True) -> FeatureMaps:
        """Nothing changes: a frozen network has one mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.side is not None and images.shape[-2:] != (self.side, self.side):
            images = F.interpolate(
                images, size=(self.side, self.side), mode="bilinear", antialias=True, align_corners=False
            )
        return feature_maps(self.network, (images - self.mean) / self.std, self.layers)


def reader_maps(world: str = "faces", layers: Sequence[str] = ("stages.1", "stages.2")) -> FeatureMaps:
    """The book's own features: maps of the trunk of a world's shipped `AttributeReader`.

    Args:
        world: ``faces``, ``facades``, ``street`` or ``digits``.
        layers: of `lib.nn.judges.ResidualTrunk`: ``stages.0`` (finest) to the last stage, ``head`` (a vector).

    Raises:
        CheckpointError: the world has no shipped reader.
    """
    from lib.metrics.reader import load_reader  # only here: losses stand below the judges

    reader = load_reader(world)
    return FeatureMaps(reader.trunk, layers, side=reader.config.size)


def vgg19_layer(i: int, j: int, *, activated: bool = True) -> str:
    """The layer of torchvision's ``vgg19().features`` that is SRGAN's phi_{i,j}: j-th convolution before i-th pooling.

    Args:
        i: 1 to 5.
        j: 1 to 2 for i <= 2, 1 to 4 after.
        activated: after the ReLU, as SRGAN's text says; False: before it, as ESRGAN takes it.

    Raises:
        PerceptualError: VGG-19 has no such convolution.
    """
    if not 1 <= i <= len(_VGG19) or not 1 <= j <= _VGG19[i - 1]:
        raise PerceptualError(f"VGG-19 has {_VGG19} convolutions before its 5 poolings; there is no ({i}, {j}).")
    before = sum(2 * count + 1 for count in _VGG19[: i - 1])
    return str(before + 2 * (j - 1) + activated)


def vgg19_maps(layers: Sequence[tuple[int, int]] = ((5, 4),), *, activated: bool = True) -> FeatureMaps:
    """ImageNet features for readers who have torchvision's VGG-19 weights on disk. Nothing is downloaded.

    Args:
        layers: (i, j) as in `vgg19_layer`; the network ends with the last of them.

    Raises:
        PerceptualError: the weights are not on disk, or a layer does not exist.
    """
    from torchvision import models  # only here: its import takes a second

    from lib.metrics.features import weights_on_disk

    names = [vgg19_layer(i, j, activated=activated) for i, j in layers]
    url = models.VGG19_Weights.IMAGENET1K_V1.url
    path = weights_on_disk(url)
    if path is None:
        raise PerceptualError(
            "The weights of VGG-19 are not on this machine, and the book downloads nothing by itself; fetch them with "
            f"torch.hub.load_state_dict_from_url({url!r}), or use reader_maps."
        )
    stem = _vgg19_stem(1 + max(map(int, names)))
    state = torch.load(path, map_location="cpu", weights_only=True)
    stem.load_state_dict({key: state[f"features.{key}"] for key in stem.state_dict()})
    return FeatureMaps(stem, names, mean=_IMAGENET[0], std=_IMAGENET[1])


def _vgg19_stem(length: int) -> nn.Sequential:
    """The first layers of VGG-19, untrained; activations not in place, so that maps before them stay as they were."""
    from torchvision import models

    with torch.device("meta"):  # the classifier's 124 million weights are never needed
        layers = models.vgg19().features[:length]
    stem = nn.Sequential(*[nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in layers])
    return stem.to_empty(device="cpu")
