"""Train the features of SRGAN's content loss on the book's training photos: name the photo that a patch comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.paths import repository_root
from lib.data.conditions import grey
from lib.data.pairs import Crops
from lib.data.super_resolution import bundled_photos, enlarge
from lib.games.game import Game, Turn
from lib.games.reading import one_cycle
from lib.losses.inversion import image_loss
from lib.losses.perceptual import FeatureMaps, perceptual_loss, vgg19_maps
from lib.nn.photo_features import PhotoFeatures, PhotoFeaturesConfig
from lib.runtime import Runtime, device_name, seeded
from lib.training.checkpoint import CheckpointError, load_weights, read_card, save_weights, weights_card
from lib.training.history import History
from lib.training.optim import OptimConfig
from lib.training.play import Callback, play

__all__ = [
    "PatchNaming", "content_features", "features_path", "load_photo_features", "matched_scale", "named_patches",
    "photo_maps", "save_photo_features", "train_photo_features",
]  # fmt: skip

PATCH = 32  # px
BATCH = 32
ROUNDS = 400  # 12 seconds on one core
LR = 3e-3


class PatchNaming(Game):
    """One player names the photo of each patch: cross-entropy.

    A quarter of the patches comes in grey, and all in another brightness and contrast: to name them, texture helps more
    than colour. With a half in grey, one short SRGAN tinted every grey; with a quarter it did not (one seed each).

    Args:
        features: the untrained network.
        generator: draws the changes of colour.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"features": ("phi",)}

    def __init__(self, features: PhotoFeatures, *, generator: torch.Generator) -> None:
        super().__init__()
        self.phi, self.generator = features, generator

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """The batch holds ``image`` (B, 3, H, W) and ``photo`` (B, 1, H, W), the number of the photo at each pixel."""
        patches = recoloured(batch["image"], self.generator)
        yield Turn("features", photo=F.cross_entropy(self.phi(patches), batch["photo"][:, 0, 0, 0].long()))


@torch.no_grad()
def recoloured(images: Tensor, generator: torch.Generator) -> Tensor:
    """A random quarter in grey; contrast and brightness changed in all: (B, 3, H, W) -> the same shape and range."""
    gain, shift, colourless = torch.rand(3, len(images), 1, 1, 1, generator=generator).to(images.device)
    images = torch.where(colourless < 0.25, grey(images), images)
    changed: Tensor = (images * (0.7 + 0.6 * gain) + 0.4 * (shift - 0.5)).clamp(-1, 1)
    return changed


def named_patches(
    photos: Mapping[str, Tensor], names: Sequence[str], *, batch: int = BATCH, seed: int = 0
) -> Crops:  # fmt: skip
    """Random patches with the number of their photo; `names` gives the order of the numbers."""
    pictures = [
        {"image": image, "photo": image.new_full((1, *image.shape[1:]), names.index(name))}
        for name, image in photos.items()
    ]
    return Crops(pictures, size=PATCH, batch=batch, generator=seeded(seed))


def train_photo_features(
    *, side: int | None = 320, rounds: int = ROUNDS, seed: int = 0, runtime: Runtime | None = None,
    on_round: Callback | Sequence[Callback] = (),
) -> tuple[PhotoFeatures, History]:  # fmt: skip
    """Train on the photos of the train split; the test photos stay unseen.

    Args:
        side: long side of the photos in px.
        on_round: callbacks of `lib.training.play.play`.
    """
    runtime, photos = runtime or Runtime.detect(), bundled_photos("train", side=side)
    photos = {name: image.to(runtime.device) for name, image in photos.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PhotoFeatures(PhotoFeaturesConfig(tuple(photos)))
    game = PatchNaming(network, generator=seeded(seed + 1))
    runtime.place(game)  # in place, as for every module
    history = play(
        game, named_patches(photos, tuple(photos), seed=seed), rounds, optimisers=OptimConfig(lr=LR, betas=(0.9, 0.99)),
        schedule=one_cycle, runtime=runtime, clip=5.0, on_round=on_round,
    )  # fmt: skip
    return network.eval().requires_grad_(False), history


@torch.no_grad()
def accuracy(network: PhotoFeatures, patches: Mapping[str, Tensor]) -> float:
    """Share of patches whose photo is named; chance is 1 / number of photos."""
    return float((network(patches["image"]).argmax(dim=1) == patches["photo"][:, 0, 0, 0]).double().mean())


def features_path() -> Path:
    """Where the book keeps them."""
    return repository_root() / "assets" / "checkpoints" / "features_photos.safetensors"


def save_photo_features(path: Path, network: PhotoFeatures, history: History, *, seed: int, runtime: Runtime) -> None:
    """Write the weights and their card, with the accuracy on training patches and on unseen places of the textures."""
    names, seen, unseen = network.config.classes, bundled_photos("train"), bundled_photos("test")
    unseen = {name: image for name, image in unseen.items() if name in names}
    network.cpu()
    metrics = {
        split: accuracy(network, named_patches(photos, names, batch=256, seed=1).draw())
        for split, photos in (("train", seen), ("unseen places of textures", unseen))
    }
    card = weights_card(
        config={"rounds": len(history), "batch": BATCH, "lr": LR}, seed=seed,
        data=f"patches of {PATCH} px from {len(names)} bundled photos: {', '.join(names)}", metrics=metrics,
        device=device_name(runtime.device), seconds=history.seconds,
    )  # fmt: skip
    save_weights(path, network, {**card, "features": asdict(network.config)})


def load_photo_features(path: Path | None = None) -> PhotoFeatures:
    """What `save_photo_features` wrote; by default the ones that the book ships.

    Raises:
        CheckpointError: the file is missing, damaged or holds something else.
    """
    path = path or features_path()
    if not path.is_file():
        raise CheckpointError(f"There are no photo features at {path}; `python -m lib train srgan` makes them.")
    try:
        network = PhotoFeatures(PhotoFeaturesConfig.from_dict(read_card(path)["features"]))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} holds no photo features ({error}).") from error
    load_weights(path, network)
    return network.eval().requires_grad_(False)


def content_features(layer: tuple[int, int], network: PhotoFeatures | None = None) -> FeatureMaps:
    """phi_{i,j} as a frozen function of pictures: of `network`, or of VGG-19 where none is given.

    Raises:
        NetworkError, PerceptualError: there is no such layer, or VGG-19's weights are not on disk.
    """
    if network is None:
        return vgg19_maps([layer])
    return FeatureMaps(network.stem(*layer), [network.layer(*layer)])


def photo_maps(network: PhotoFeatures | None = None) -> FeatureMaps:
    """The last map before each pooling, fine to coarse, of `network` or of the features that the book ships."""
    network = network or load_photo_features()
    stages, depth = len(network.config.widths), network.config.depth
    return FeatureMaps(network.stem(stages, depth), [network.layer(stage + 1, depth) for stage in range(stages)])


@torch.no_grad()
def matched_scale(features: FeatureMaps, batch: Mapping[str, Tensor]) -> float:
    """The factor that makes l_VGG of bicubic pictures as large as their l_MSE: the paper's 1 / 12.75², measured.

    Args:
        batch: ``image`` (B, 3, rH, rW) and ``condition`` (B, 3, H, W).
    """
    image, low = batch["image"], batch["condition"]
    bicubic = enlarge(low, image.shape[-1] // low.shape[-1])
    return float(image_loss(bicubic, image) / perceptual_loss(features(bicubic), features(image)))
