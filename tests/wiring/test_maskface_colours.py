"""What a short training of mask-guided faces needs: flat colours, smooth doublings, styles that true faces have."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lib.data.worlds.world import one_hot
from lib.games.game import GameError
from lib.games.maskface import MaskFace, MaskFaceConfig, build_maskface
from lib.losses.diversity import energy_distance
from lib.nn.adain import ResidualStep
from lib.runtime import seeded

SIZE, K = 16, 3


def game(**changes: Any) -> MaskFace:
    settings: dict[str, Any] = {
        "size": SIZE, "width": 6, "widest": 8, "halvings": 1, "middle": 1, "latent": 4, "style": 5, "mapping": 8,
        "judge_width": 6, "batch": 2, "rounds": 2, "pool": 4,
    }  # fmt: skip
    return build_maskface(K, MaskFaceConfig(**settings | changes))


def batch(count: int = 2) -> dict[str, Tensor]:
    labels = torch.randint(K, (count, SIZE, SIZE), generator=seeded(1))
    return {"condition": one_hot(labels, K), "image": torch.rand(count, 3, SIZE, SIZE, generator=seeded(0)) * 2 - 1}


@pytest.mark.parametrize("skips", [False, True])
def test_under_the_paint_lies_one_colour_for_each_class(skips: bool) -> None:
    G = game(flat=True, skips=skips).model.G
    mask, style = batch()["condition"], torch.randn(2, 5, generator=seeded(2))
    with torch.no_grad():
        G.paint.weight.zero_()
        picture = G(mask, style)
        assert G.colours is not None
        colours = torch.tanh(G.colours(style).unflatten(1, (3, K)))  # (B, 3, K)
    assert (colours[0] - colours[1]).abs().max() > 0.1, "another style, other colours"
    for sample in range(2):
        for label in range(K):
            where = mask[sample, label].bool()
            expected = colours[sample, :, label, None].expand(3, int(where.sum()))
            torch.testing.assert_close(picture[sample][:, where], expected)


def test_without_detail_a_training_starts_from_flat_colours() -> None:
    """One colour for each class in each picture; with detail there is more."""
    spreads = []
    for detail in (0.0, 0.05, 1.0):
        G = game(flat=True, detail=detail).model.G
        mask, style = batch()["condition"], torch.randn(2, 5, generator=seeded(2))
        with torch.no_grad():
            spreads.append(float(G(mask, style)[0][:, mask[0, 0].bool()].std(dim=1).mean()))
    assert spreads[0] < 1e-6 < spreads[1] < 0.2 * spreads[2]


def test_smooth_doublings_draw_no_steps() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    steps = {}
    for smooth in (False, True):
        layer = ResidualStep(1, 1, scale="up", smooth=smooth)
        with torch.no_grad():
            layer.second.weight.zero_()
            layer.second.bias.zero_()
            steps[smooth] = layer(ramp)[0, 0, 8, 2:-2].diff() * 2**0.5
    torch.testing.assert_close(steps[False], torch.tensor([0.0, 1.0] * 5 + [0.0]))
    torch.testing.assert_close(steps[True], torch.full((11,), 0.5))


def test_only_s_follows_the_styles_of_true_faces() -> None:
    played, data = game(follow=2.0, rebuild=0.0), batch()
    layout = played.model.G.encode(data["condition"])
    terms = played.true_terms(layout, data["image"])
    assert set(terms) == {"follow"}
    z = torch.randn(128, 4, generator=seeded(1))
    found = played.model.R(data["image"])
    codes = torch.cat([found, torch.zeros(126, 5)])
    torch.testing.assert_close(terms["follow"], 2 * energy_distance(played.model.S(z), codes.detach()))
    torch.testing.assert_close(played.codes, codes)
    terms["follow"].backward()
    touched = {name.split(".")[0] for name, weight in played.model.named_parameters() if weight.grad is not None}
    assert touched == {"S"}


def test_s_finds_the_styles_of_true_faces() -> None:
    """A few steps on this term alone bring S's codes to a cloud that is elsewhere, and no wider."""
    S, generator = game().model.S, seeded(3)
    cloud = 0.3 * torch.randn(128, 5, generator=generator) + 2
    optimiser = torch.optim.Adam(S.parameters(), lr=0.01)
    for _ in range(200):
        loss = energy_distance(S(torch.randn(128, 4, generator=generator)), cloud)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    codes = S(torch.randn(512, 4, generator=generator)).detach()
    assert (codes.mean(dim=0) - 2).abs().max() < 0.15
    assert codes.std(dim=0).mean() == pytest.approx(0.3, abs=0.1)


def test_d_may_learn_at_another_pace() -> None:
    played = game(d_rate=0.5)
    optimisers = played.config.optimisers(played)
    assert optimisers["D"].param_groups[0]["lr"] == 0.5 * optimisers["G"].param_groups[0]["lr"]
    with pytest.raises(GameError, match="follow are weights"):
        game(follow=-1.0)
