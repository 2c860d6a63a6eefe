"""Feature spaces: what random convolutions see, names, weights that are not on disk, a pretrained network that is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from lib.metrics import features as module
from lib.metrics.checks import MeasureError
from lib.metrics.features import PretrainedFeatures, RandomConvFeatures, ReaderFeatures, extract, weights_on_disk
from lib.metrics.reader import AttributeReader, ReaderConfig


def images(count: int = 4, channels: int = 3, size: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_random_features_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    first = RandomConvFeatures(1)(images())
    torch.manual_seed(6)
    assert torch.equal(RandomConvFeatures(1)(images()), first)
    assert not torch.allclose(RandomConvFeatures(2)(images()), first)
    assert RandomConvFeatures(2).name == "random-conv-2"


def test_random_features_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    RandomConvFeatures()
    assert torch.equal(torch.get_rng_state(), before)


def test_random_features_have_orthogonal_filters_and_no_gradient() -> None:
    features = RandomConvFeatures(0, channels=6)
    second = features.layers[1].weight.flatten(1)
    gram = second @ second.T
    assert torch.allclose(gram, gram[0, 0] * torch.eye(6), atol=1e-5)
    assert not any(parameter.requires_grad for parameter in features.parameters())
    assert not features(images().requires_grad_()).requires_grad


def test_random_features_take_any_size_and_one_channel() -> None:
    features = RandomConvFeatures()
    grey = images(channels=1)
    assert torch.equal(features(grey), features(grey.expand(-1, 3, -1, -1)))
    assert features(images(size=40)).shape == features(images(size=64)).shape == (4, 176)


def test_random_features_see_texture_place_and_colour() -> None:
    features = RandomConvFeatures()
    base = torch.zeros(1, 3, 16, 16)
    base[..., 4:8, 4:8] = 1
    moved, tinted = base.roll((6, 6), (-2, -1)), base * torch.tensor([1.0, 0.5, 0.5])[:, None, None]
    rough = base + 0.2 * images(1)
    for other in (moved, tinted, rough):
        assert float((features(other) - features(base)).norm()) > 0.05 * float(features(base).norm())


def test_extract_does_not_depend_on_the_batch() -> None:
    features = RandomConvFeatures()
    assert torch.allclose(extract(images(7), features, batch=3), features(images(7)), atol=1e-5)


def test_reader_features_carry_the_name_of_the_world() -> None:
    reader = AttributeReader(ReaderConfig("toys", {"kind": ("a", "b")}, size=16, width=4, features=8)).eval()
    features = ReaderFeatures(reader)
    assert features.name == "reader-toys"
    rows = features(images())
    assert rows.shape == (4, 8) and not rows.requires_grad


def test_missing_weights_are_a_sentence_and_no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for name in ("inception", "vgg19"):
        with pytest.raises(MeasureError, match=r"not on this machine.*load_state_dict_from_url"):
            PretrainedFeatures(name)
    with pytest.raises(MeasureError, match="no features 'resnet'"):
        PretrainedFeatures("resnet")
    assert not list(tmp_path.iterdir())


def test_weights_on_disk_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in with the layout of torchvision's files: features.N.*, and a classifier that is left out."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 3)), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    trained = build()
    state = {f"features.{key[2:]}": value for key, value in trained.state_dict().items()}
    (tmp_path / "checkpoints").mkdir()
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 5)}, tmp_path / "checkpoints" / "toy-123.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    url = "https://example.org/models/toy-123.pth"
    monkeypatch.setattr(module, "_backbones", lambda: {"toy": module._Backbone(build, url, 20)})
    assert weights_on_disk(url) == tmp_path / "checkpoints" / "toy-123.pth"
    features = PretrainedFeatures("toy")
    assert features.name == "torchvision-toy"
    white = torch.ones(1, 3, 8, 8)
    seen = (torch.ones(1, 3, 20, 20) - features.mean) / features.std
    assert torch.allclose(features(white), trained(seen), atol=1e-5)


def test_vgg_stops_at_its_last_relu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for torchvision's VGG; a maximum after the last ReLU would raise the mean over the picture."""

    class SmallVGG(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.MaxPool2d(2))
            self.classifier = nn.Linear(5, 2)

    trained = SmallVGG()
    (tmp_path / "checkpoints").mkdir()
    torch.save(trained.state_dict(), tmp_path / "checkpoints" / models.VGG19_Weights.IMAGENET1K_V1.url.split("/")[-1])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(models, "vgg19", SmallVGG)
    features = PretrainedFeatures("vgg19")
    picture = images(2, size=224)
    relu = trained.features[:-1](((picture + 1) / 2 - features.mean) / features.std)
    torch.testing.assert_close(features(picture), relu.mean(dim=(2, 3)), atol=1e-5, rtol=1e-4)
