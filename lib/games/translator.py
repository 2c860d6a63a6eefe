"""A trained translation behind one call: a picture of any kind and size in, a picture out.

    translator = Translator.load("assets/checkpoints/pix2pix_facades.safetensors")
    picture = translator.translate("my_layout.png")

pix2pix, CycleGAN and StarGAN share it: no partner, no data set and no options object are needed to translate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from lib.data.conditions import Condition, Source
from lib.nn.diat import FacePipeline, PipelineConfig
from lib.nn.dtn import DomainTransfer, DomainTransferConfig
from lib.nn.maskface import FaceConfig, FaceModel
from lib.nn.resnet_generator import ResnetConfig, ResnetGenerator
from lib.nn.spade import SPADEGenerator, SPADEGeneratorConfig
from lib.nn.srresnet import SRResNet, SRResNetConfig
from lib.nn.stargan import LabelConfig, LabelGenerator
from lib.nn.unet import UNetConfig, UNetGenerator
from lib.runtime import Runtime, device_name, seeded
from lib.training.checkpoint import CheckpointError, load_weights, read_card, save_weights, weights_card

__all__ = ["NETWORKS", "Translator"]

NETWORKS: dict[str, tuple[Any, type[nn.Module]]] = {
    "unet": (UNetConfig, UNetGenerator),
    "resnet": (ResnetConfig, ResnetGenerator),
    "stargan": (LabelConfig, LabelGenerator),
    "srresnet": (SRResNetConfig, SRResNet),
    "maskface": (FaceConfig, FaceModel),
    "diat": (PipelineConfig, FacePipeline),
    "dtn": (DomainTransferConfig, DomainTransfer),
    "spade": (SPADEGeneratorConfig, SPADEGenerator),
}
"""Name in a card -> config and class of a generator, built as ``Class(Config(**settings))``, with ``.config``."""


class Translator:
    """A generator and what it reads.

    Attributes:
        G: conditions (B, C, H, W) of any size -> pictures (B, 3, H, W) in [-1, 1].
        condition: what it reads.
        noisy: whether G takes ``noise=generator``.
        card: the facts of the training; empty for a new one.
    """

    def __init__(
        self, G: nn.Module, condition: Condition, *, noisy: bool = False, runtime: Runtime | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.runtime = runtime or Runtime.detect()
        self.G = self.runtime.place(G).eval().requires_grad_(False)
        self.condition, self.noisy, self.card = condition, noisy, dict(card or {})

    def translate(self, source: Source, *, side: int | None = None, seed: int | None = 0, **options: Any) -> Tensor:
        """Translate one picture: (3, H, W) float32 in [-1, 1], on the CPU.

        Args:
            source: path, PIL image, array, tensor or label map; see `lib.data.conditions.Condition.read`.
            side: long side in px to resize to first; None keeps the size.
            seed: of the noise z: another seed, another answer. None: no noise. Without effect where G has none.
            options: for G, such as the wanted domain of a StarGAN.

        Raises:
            ConditionError, ImageError, LabelError: the source cannot be read as a condition.
        """
        return self.paint(self.condition.read(source, side=side), seed=seed, **options)[0].cpu()

    @torch.no_grad()
    def paint(self, x: Tensor, *, seed: int | None = 0, **options: Any) -> Tensor:
        """Translate finished conditions (B, C, H, W): (B, 3, H, W) float32 in [-1, 1], on G's device."""
        if self.noisy and seed is not None:
            options["noise"] = seeded(seed)
        with self.runtime.autocast():
            picture: Tensor = self.G(self.runtime.place(x.float()), **options)
        return picture.float().clamp(-1, 1)

    def facts(self) -> dict[str, Any]:
        """What a subclass needs besides to be loaded; it finds them in ``card["translator"]``."""
        return {}

    def save(
        self, path: str | Path, *, config: Any, seed: int, data: str, metrics: Mapping[str, float], seconds: float
    ) -> None:
        """Write G to one safetensors file with a JSON card.

        Args:
            config: dataclass or dict with everything that was chosen for the training.
            seed, data, metrics, seconds: see `lib.training.checkpoint.weights_card`.

        Raises:
            CheckpointError: G is of no class in `NETWORKS`, or the file cannot be written.
        """
        kind = next((name for name, (_, network) in NETWORKS.items() if type(self.G) is network), None)
        if kind is None:
            raise CheckpointError(f"A {type(self.G).__name__} cannot be stored; add its class to NETWORKS.")
        card = weights_card(
            config=config, seed=seed, data=data, metrics=metrics, device=device_name(self.runtime.device),
            seconds=seconds,
        )  # fmt: skip
        settings: Any = self.G.config
        card["translator"] = {
            "network": kind, "settings": asdict(settings), "condition": self.condition.as_dict(), "noisy": self.noisy,
            **self.facts(),
        }  # fmt: skip
        save_weights(path, self.G, card)
        self.card = card

    @classmethod
    def load(cls, path: str | Path, *, runtime: Runtime | None = None) -> Self:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing, damaged or holds something else.
        """
        card = read_card(path)
        try:
            facts = card["translator"]
            config, network = NETWORKS[facts["network"]]
            G = network(config(**facts["settings"]))
            condition = Condition.from_dict(facts["condition"])
            noisy = bool(facts["noisy"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} holds no translator ({error}); use a file that Translator.save or `python -m lib train` wrote."
            ) from error
        load_weights(path, G)
        return cls(G, condition, noisy=noisy, runtime=runtime, card=card)
