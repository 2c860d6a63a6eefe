"""The equations of semantic image analogy: closed forms, naive loops and the traps of the official code."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lib.data.single_photo import CELL, IGNORE
from lib.losses.adversarial import feature_matching, lsgan_fake, lsgan_real
from lib.losses.analogy import correspondence, fixed_point, reconstruction, semantic_alignment
from lib.nn.alignment import LayoutMatcher, align, neighbourhood_consensus
from lib.nn.analogy_generator import AnalogyGenerator, blend
from lib.nn.ground import ground_classes, with_rest
from lib.nn.layout_encoder import LayoutEncoder
from lib.nn.segmenter import Segmenter
from lib.nn.sft import SFT, log_ratio, modulate
from tests.scenes import layout, noise, photo

feature = st.floats(0, 2.0**100, width=32)


def zero_biases(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)


# ------------------------------------------------------------------------------------------ modulation


@given(feature, feature)
def test_log_ratio(target: float, source: float) -> None:
    t, s = torch.tensor(target), torch.tensor(source)
    ratio = log_ratio(t, s)
    assert ratio.isfinite()
    assert torch.equal(ratio, -log_ratio(s, t))  # odd under a swap
    assert log_ratio(t, t) == 0 == log_ratio(s, s)
    expected = math.log((t.double().item() + 1) / (s.double().item() + 1))
    assert ratio.item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_ratio_of_signed_features_explodes() -> None:
    """What the official code computes, and what we compute from the same pre-activations."""
    target, source = torch.randn(2, 32, 64, 64)
    signed = [F.leaky_relu(x, 0.2) + 1e-14 for x in (target, source)]
    assert (signed[0] / signed[1]).abs().max() > 1e4
    assert log_ratio(F.softplus(target), F.softplus(source)).abs().max() < 3


def test_sft_branches() -> None:
    sft = SFT(5, 7)
    source, target = F.softplus(noise(2, 5, 6, 4, seed=1)), F.softplus(noise(2, 5, 6, 4, seed=2))
    gamma, beta = sft(source, target)
    assert gamma.shape == beta.shape == (2, 7, 6, 4)
    for moved, branch in ((0, sft.scale), (1, sft.shift)):
        kept = {name: value.clone() for name, value in branch.state_dict().items()}
        for parameter in branch.parameters():
            parameter.data += 0.1
        changed = [not torch.equal(a, b) for a, b in zip(sft(source, target), (gamma, beta), strict=True)]
        assert changed == [moved == 0, moved == 1]
        branch.load_state_dict(kept)


def test_the_scale_sees_the_ratio_and_the_shift_the_difference() -> None:
    sft = SFT(4, 6)
    source, target = F.softplus(noise(1, 4, 3, 3, seed=1)), F.softplus(noise(1, 4, 3, 3, seed=2))
    gamma, beta = sft(source, target)
    torch.testing.assert_close(gamma, 1 + sft.scale(((target + 1) / (source + 1)).log()))
    torch.testing.assert_close(beta, sft.shift(target - source))
    # The same ratio at another level: gamma stays, beta does not.
    gamma_up, beta_up = sft(2 * source + 1, 2 * target + 1)
    torch.testing.assert_close(gamma_up, gamma)
    assert not torch.allclose(beta_up, beta)


def test_sft_of_equal_features_is_neutral_without_biases() -> None:
    sft, features = SFT(5, 7), F.softplus(noise(1, 5, 6, 4))
    zero_biases(sft)
    gamma, beta = sft(features, features.clone())
    assert torch.equal(gamma, torch.ones_like(gamma)) and torch.equal(beta, torch.zeros_like(beta))


def test_modulate() -> None:
    x, gamma, beta = noise(2, 3, 4, 5), noise(2, 3, 4, 5, seed=1), noise(2, 3, 4, 5, seed=2)
    expected = torch.empty_like(x)
    for b in range(2):
        for i in range(4):
            for j in range(5):
                at = x[b, :, i, j]
                rms = math.sqrt(sum(float(v) ** 2 for v in at) / 3 + 1e-4)
                expected[b, :, i, j] = gamma[b, :, i, j] * at / rms + beta[b, :, i, j]
    torch.testing.assert_close(modulate(x, gamma, beta), expected)
    neutral = modulate(x, torch.ones_like(x), torch.zeros_like(x))
    assert not torch.allclose(neutral, x, atol=0.1)  # the norm, not the identity ...
    torch.testing.assert_close(neutral.square().mean(dim=1), torch.ones(2, 4, 5), atol=0.05, rtol=0)
    assert torch.equal(modulate(torch.zeros_like(x), gamma, beta), beta)  # ... and finite at 0


# ------------------------------------------------------------------------------------------- alignment


def test_matcher_logits() -> None:
    encoder, matcher = LayoutEncoder(3, (4, 4, 5, 6)), LayoutMatcher(3, (4, 4, 5, 6), dim=8, class_penalty=7.0)
    nn.init.normal_(matcher.stay)
    target, source = layout(16, 24).one_hot(), layout(32, 16, ball=(0.3, 0.7)).one_hot()
    with torch.no_grad():
        f_target, f_source = encoder(target), encoder(source)
        logits = matcher(f_target, f_source, target, source)
        naive = naive_matcher(matcher, (f_target, target), (f_source, source))
    assert logits.shape == (1, 4 * 6, 8 * 4)
    torch.testing.assert_close(logits[0], naive, atol=1e-4, rtol=1e-5)


def naive_matcher(
    matcher: LayoutMatcher, target: tuple[list[Tensor], Tensor], source: tuple[list[Tensor], Tensor]
) -> Tensor:
    """(12.5), cell by cell."""
    descriptors, mixtures, places = [], [], []
    for features, one_hot in (target, source):
        rows, columns = features[2].shape[-2:]
        coarse = F.interpolate(features[3], size=(rows, columns), mode="bilinear")
        for i in range(rows):
            for j in range(columns):
                x, y = (2 * j + 1) / columns - 1, (2 * i + 1) / rows - 1
                places.append((x, y))
                column = torch.cat([features[2][0, :, i, j], coarse[0, :, i, j], torch.tensor([x, y])])
                d = matcher.describe(column.view(1, -1, 1, 1)).flatten()
                descriptors.append(d / d.norm())
                block = one_hot[0, :, CELL * i : CELL * (i + 1), CELL * j : CELL * (j + 1)]
                mixtures.append(block.mean(dim=(1, 2)))
    count = target[0][2].shape[-2] * target[0][2].shape[-1]
    stay = torch.log1p(matcher.stay.exp())
    naive = torch.empty(count, len(places) - count)
    for t in range(count):
        for s in range(count, len(places)):
            weight_x, weight_y = mixtures[t] @ stay
            (xt, yt), (xs, ys) = places[t], places[s]
            overlap = (mixtures[t] * mixtures[s]).sqrt().sum()
            naive[t, s - count] = (
                matcher.log_sharpness.exp() * (descriptors[t] @ descriptors[s])
                - weight_x * (xt - xs) ** 2 - weight_y * (yt - ys) ** 2
                - matcher.class_penalty * (1 - overlap)
            )  # fmt: skip
    return naive


def test_a_cell_of_another_class_loses_to_any_cell_of_its_own() -> None:
    encoder, matcher = LayoutEncoder(3, (4, 4, 4)), LayoutMatcher(3, (4, 4, 4), class_penalty=1000.0)
    target, source = layout(16, 24).one_hot(), layout(16, 24, ball=(0.5, 0.8)).one_hot()
    best = matcher(encoder(target), encoder(source), target, source).argmax(dim=2)[0]
    wanted, found = (F.avg_pool2d(x, CELL)[0].flatten(1) for x in (target, source))
    pure = wanted.amax(dim=0) == 1
    assert torch.equal(found[:, best][:, pure].argmax(dim=0), wanted[:, pure].argmax(dim=0))


def test_consensus() -> None:
    """A coherent translation beats scattered matches that are better one by one."""
    rows = columns = 8
    cells = torch.arange(rows * columns).view(rows, columns)
    true = cells.roll((1, 2), (0, 1)).flatten()  # target (y, x) comes from source (y - 1, x - 2)
    scattered = cells.flatten()[torch.randperm(rows * columns)]
    logits = torch.zeros(1, rows * columns, rows * columns)
    logits[0, torch.arange(rows * columns), true] = 4.0
    logits[0, torch.arange(rows * columns), scattered] = 4.3
    agreed = neighbourhood_consensus(logits, (rows, columns), (rows, columns), iterations=3)
    inner = cells[2:-1, 3:-1].flatten()  # away from the wrap-around
    assert (logits.argmax(dim=2)[0, inner] == true[inner]).float().mean() < 0.2
    assert torch.equal(agreed.argmax(dim=2)[0, inner], true[inner])
    assert neighbourhood_consensus(logits, (rows, columns), (rows, columns), iterations=0) is logits


@pytest.mark.parametrize("weight", [0.0, 0.7, 2.0])
def test_consensus_equals_a_naive_loop(weight: float) -> None:
    (ht, wt), (hs, ws) = (3, 4), (5, 3)
    logits = 3 * noise(2, ht * wt, hs * ws)
    belief = logits.softmax(dim=2).view(2, ht, wt, hs, ws)
    naive = logits.view(2, ht, wt, hs, ws).clone()

    def inside(y: int, x: int, rows: int, columns: int) -> bool:
        return 0 <= y < rows and 0 <= x < columns

    for b, y, x, v, u in [(b, y, x, v, u) for b in range(2) for y in range(ht) for x in range(wt)
                          for v in range(hs) for u in range(ws)]:  # fmt: skip
        votes = 0.0
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if inside(y + dy, x + dx, ht, wt) and inside(v + dy, u + dx, hs, ws):
                    near = belief[b, y + dy, x + dx]
                    votes += near[max(v + dy - 1, 0) : v + dy + 2, max(u + dx - 1, 0) : u + dx + 2].max().item()
        naive[b, y, x, v, u] += weight * math.log(votes / 9 + 1e-3)
    found = neighbourhood_consensus(logits, (ht, wt), (hs, ws), iterations=1, weight=weight)
    torch.testing.assert_close(found, naive.view_as(logits), atol=1e-5, rtol=1e-5)


# -------------------------------------------------------------------------------------------------- rest


def strip_and_thing() -> tuple[Tensor, Tensor]:
    """A source and a target of 32 x 40 px: sky above, field below, and a 12 px square that moves by 8 px."""
    sides = torch.zeros(2, 32, 40, dtype=torch.long)
    sides[:, 16:] = 1
    sides[0, 8:20, 8:20] = sides[1, 8:20, 16:28] = 2
    source, target = F.one_hot(sides, 3).permute(0, 3, 1, 2).float().split(1)
    return source, target


def test_ground_meets_the_frame() -> None:
    source, _ = strip_and_thing()
    assert ground_classes(F.avg_pool2d(source, CELL)).tolist() == [[1, 1, 0]]
    for side, ground in ((4, 0), (16, 0), (20, 0), (32, 1)):  # of a square in the corner; 32: it fills the height
        corner = torch.zeros(1, 32, 40, dtype=torch.long)
        corner[:, :side, :side] = 1
        found = ground_classes(F.avg_pool2d(F.one_hot(corner, 3).permute(0, 3, 1, 2).float(), CELL))
        assert found[0, 1] == ground
        assert found[0, 2] == 0  # absent


def test_unchanged_ground_prefers_its_place() -> None:
    source, target = strip_and_thing()
    logits = noise(1, 80, 80)
    gained = with_rest(logits, target, source, bonus=5.0) - logits
    own = gained[0].diagonal()
    torch.testing.assert_close(gained[0], torch.diag(own))  # nothing but a cell's own place gains
    changed = F.max_pool2d((source != target).float().amax(dim=1, keepdim=True), CELL).flatten().bool()
    thing = F.max_pool2d(target[:, 2:], CELL).flatten().bool()
    torch.testing.assert_close(own, torch.where(changed | thing, 0.0, 5.0))
    assert with_rest(logits, target, source, bonus=0.0) is logits
    assert with_rest(logits, target, source[..., :-8], bonus=5.0) is logits


def test_a_thing_moves_and_the_ground_does_not() -> None:
    """A matcher that carries everything along, as warps have taught it, and the same matcher with rest."""
    source, target = strip_and_thing()
    cells = torch.arange(80).view(8, 10)
    along = cells.roll(2, 1).flatten()  # target (y, x) comes from source (y, x - 2)
    logits = torch.zeros(1, 80, 80)
    logits[0, torch.arange(80), along] = 4.0
    moved, rested = (
        align(logits, noise(1, 3, 32, 40), source, target, consensus=2, rest=b).position for b in (0.0, 6.0)
    )
    home = align(torch.eye(80)[None] * 9, noise(1, 3, 32, 40), source, source, consensus=0).position
    step = torch.tensor([2 * 2 / 10, 0.0])  # two cells, in [-1, 1]
    thing = F.max_pool2d(target[:, 2:], CELL).flatten().bool()
    inside = cells[2:-1, 3:-1].flatten()
    torch.testing.assert_close(moved[0, inside], (home - step)[0, inside], atol=0.02, rtol=0)
    torch.testing.assert_close(rested[0, thing], (home - step)[0, thing], atol=0.05, rtol=0)
    far = [0, 1, 2, 7, 8, 9, 70, 71, 79]  # cells of ground away from both places of the thing
    torch.testing.assert_close(rested[0, far], home[0, far], atol=0.05, rtol=0)


# ------------------------------------------------------------------------------------------- generator


@pytest.mark.parametrize("size", [(32, 48), (40, 32), (64, 64)])
def test_generator(size: tuple[int, int]) -> None:
    image, source = photo(32, 48)
    painter = AnalogyGenerator(3, widths=(8, 16, 16), layout_widths=(8, 8, 8, 8), residual_blocks=1)
    painting = painter(image[None], source.one_hot(), layout(*size, ball=(0.4, 0.6)).one_hot())
    assert painting.image.shape == (1, 3, *size) and painting.image.abs().max() <= 1
    assert painting.gate.shape == (1, 1, *size) and 0 < painting.gate.min() < painting.gate.max() < 0.5
    assert painting.aligned.image.shape == (1, 3, *size) and painting.aligned.grid.shape == (1, *size, 2)
    assert painting.aligned.layout.shape == (1, 3, *size)
    assert torch.equal(painting.aligned.layout.sum(dim=1), torch.ones(1, *size))  # one-hot again
    assert painting.logits.shape == (1, size[0] // CELL * size[1] // CELL, 8 * 12)
    assert [tuple(gamma.shape[1:2] + gamma.shape[2:]) for gamma, _ in painting.modulation] == [
        (width, size[0] // scale, size[1] // scale) for width, scale in ((8, 1), (16, 2), (16, 4))
    ]
    assert all(gamma.shape == beta.shape for gamma, beta in painting.modulation)


def test_after_the_alignment_equal_layouts_do_not_modulate() -> None:
    image, source = photo(32, 48)
    painter = AnalogyGenerator(3, widths=(8, 16, 16), layout_widths=(8, 8, 8, 8), residual_blocks=1)
    zero_biases(painter.sft)
    one_hot = source.one_hot()
    painting = painter(image[None], one_hot, one_hot)
    agrees = (painting.aligned.layout == one_hot).all(dim=1)
    assert agrees.float().mean() > 0.95
    gamma, beta = painting.modulation[0]
    untouched = F.avg_pool2d(agrees.float(), 3, stride=1, padding=1, count_include_pad=False) == 1
    assert (gamma - 1).abs()[:, :, untouched[0]].max() == 0 == beta.abs()[:, :, untouched[0]].max()


def test_without_alignment_the_photo_stays_where_it_is() -> None:
    image, source = photo(32, 48)
    painter = AnalogyGenerator(3, widths=(8, 16), layout_widths=(8, 8, 8), residual_blocks=1, aligned=False)
    target = layout(32, 48, ball=(0.4, 0.6)).one_hot()
    painting = painter(image[None], source.one_hot(), target)
    assert torch.equal(painting.aligned.image[0], image)
    assert torch.equal(painting.aligned.layout, source.one_hot())
    with pytest.raises(ValueError, match=r"must have the same size; resize the target or use aligned=True\."):
        painter(image[None], source.one_hot(), layout(40, 48).one_hot())


def test_blend() -> None:
    copied, painted = noise(2, 3, 4, 4), noise(2, 3, 4, 4, seed=1)
    gate = torch.tensor([0.0, 0.25, 0.5, 1.0]).expand(2, 1, 4, 4).clone().requires_grad_()
    mixed = blend(copied, painted, gate)
    torch.testing.assert_close(mixed[..., 0], copied[..., 0])
    torch.testing.assert_close(mixed[..., 1], 0.75 * copied[..., 1] + 0.25 * painted[..., 1])
    torch.testing.assert_close(mixed[..., 3], painted[..., 3])
    (gradient,) = torch.autograd.grad(mixed.sum(), gate)
    torch.testing.assert_close(gradient, (painted - copied).sum(dim=1, keepdim=True))


# ------------------------------------------------------------------------------------------ adversarial


def test_lsgan_real() -> None:
    assert lsgan_real(torch.ones(2, 1, 3, 3)) == 0
    assert lsgan_real(torch.tensor([0.0, 3.0])) == pytest.approx((1 + 4) / 2)
    assert lsgan_real(torch.tensor([0.5], dtype=torch.bfloat16)).dtype == torch.float32
    x = noise(2, 1, 4, 4)
    torch.testing.assert_close(lsgan_real(x), lsgan_fake(1 - x))  # swap the labels, mirror the logits


def test_lsgan_fake() -> None:
    assert lsgan_fake(torch.zeros(2, 1, 3, 3)) == 0
    assert lsgan_fake(torch.tensor([1.0, -3.0])) == pytest.approx((1 + 9) / 2)
    assert lsgan_fake(torch.tensor([0.5], dtype=torch.bfloat16)).dtype == torch.float32


def test_the_best_lsgan_discriminator_is_the_share_of_real_images() -> None:
    d = torch.tensor(0.75, requires_grad=True)  # 3 real and 1 fake look alike
    (3 * lsgan_real(d) + lsgan_fake(d)).backward()
    assert d.grad == 0


def test_feature_matching() -> None:
    fake = [noise(1, 2, 4, 4).requires_grad_(), noise(1, 8, 2, 2, seed=1).requires_grad_()]
    real = [noise(1, 2, 4, 4, seed=2).requires_grad_(), noise(1, 8, 2, 2, seed=3).requires_grad_()]
    loss = feature_matching(fake, real)
    # Each layer counts the same, whatever its size.
    per_layer = [sum(abs(a - b) for a, b in zip(f.flatten().tolist(), r.flatten().tolist(), strict=True)) / 32
                 for f, r in zip(fake, real, strict=True)]  # fmt: skip
    assert loss.item() == pytest.approx(sum(per_layer) / 2, rel=1e-5)
    assert feature_matching(fake, fake) == 0
    loss.backward()
    for f, r in zip(fake, real, strict=True):
        assert r.grad is None  # D must not be pulled towards the fakes
        torch.testing.assert_close(f.grad, (f - r).detach().sign() / 64)
    with pytest.raises(ValueError):
        feature_matching(fake, real[:1])


# ---------------------------------------------------------------------------------- losses of the analogy


def test_semantic_alignment() -> None:
    image, own = photo(16, 24)
    one_hot = own.one_hot()
    predicted = 2 * noise(1, 3, 16, 24)
    naive = [
        -math.log(math.exp(predicted[0, own.index[y, x], y, x]) / sum(math.exp(v) for v in predicted[0, :, y, x]))
        for y in range(16)
        for x in range(24)
    ]
    assert semantic_alignment(predicted, one_hot).item() == pytest.approx(sum(naive) / len(naive), rel=1e-5)
    assert semantic_alignment(torch.zeros(1, 3, 16, 24), one_hot).item() == pytest.approx(math.log(3))
    assert semantic_alignment(50 * one_hot, one_hot) < 1e-6

    segmenter = Segmenter(3, width=4)
    picture = image[None].clone().requires_grad_()
    loss = semantic_alignment(segmenter(picture), one_hot)
    loss.backward(inputs=[picture])  # as in training: S is not stepped, and has no gradient
    assert picture.grad is not None and picture.grad.isfinite().all() and picture.grad.norm() > 0
    assert all(parameter.grad is None for parameter in segmenter.parameters())
    step = picture.detach() - 10 * picture.grad
    assert semantic_alignment(segmenter(step), one_hot) < loss  # the gradient points the right way

    with torch.no_grad():  # the official code: the value is right, the gradient gone
        inert = segmenter(picture.detach())
    assert semantic_alignment(inert, one_hot).item() == pytest.approx(loss.item())
    assert not semantic_alignment(inert, one_hot).requires_grad


def test_reconstruction() -> None:
    output, image = noise(2, 3, 8, 8), noise(2, 3, 8, 8, seed=1)
    torch.testing.assert_close(reconstruction(output, image), (output - image).abs().mean())
    valid = (noise(2, 1, 8, 8, seed=2) > 0).float()
    known = valid.expand_as(image).bool()
    torch.testing.assert_close(reconstruction(output, image, valid), (output - image)[known].abs().mean())
    nonsense = torch.where(known, image, 100.0)  # an unknown pixel may hold anything
    torch.testing.assert_close(reconstruction(output, nonsense, valid), reconstruction(output, image, valid))
    assert reconstruction(output, image, torch.zeros_like(valid)) == 0


@pytest.mark.parametrize("scale", [2, 4])
def test_reconstruction_at_a_smaller_size_compares_means(scale: int) -> None:
    output, image = noise(1, 3, 8, 8), noise(1, 3, 8, 8, seed=1)
    valid = (noise(1, 1, 8, 8, seed=2) > -0.5).float()
    total = count = 0.0
    for y in range(0, 8, scale):
        for x in range(0, 8, scale):
            block = (slice(None), slice(None), slice(y, y + scale), slice(x, x + scale))
            gap = ((output - image) * valid)[block].sum(dim=(0, 2, 3))  # per channel, known pixels
            total += gap.abs().mean().item()
            count += valid[block].sum().item()
    assert reconstruction(output, image, valid, scale=scale).item() == pytest.approx(total / count, rel=1e-5)


def test_reconstruction_at_a_smaller_size_forgives_another_texture_of_the_same_colour() -> None:
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4).expand(1, 3, 8, 8)
    assert reconstruction(board, -board) == 2
    assert reconstruction(board, -board, scale=2) == 0
    assert reconstruction(board + 0.5, board, scale=4).item() == pytest.approx(0.5)  # but not another colour


def test_fixed_point() -> None:
    neutral = [(torch.ones(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)), (torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))]
    assert fixed_point(neutral) == 0
    off = [(gamma + 0.5, beta - 0.25) for gamma, beta in neutral[:1]] + neutral[1:]
    assert fixed_point(off).item() == pytest.approx(0.75 / 2)  # levels count the same
    gamma, beta = torch.tensor([[[[0.5, 2.0]]]]).requires_grad_(), torch.tensor([[[[-1.0, 3.0]]]]).requires_grad_()
    loss = fixed_point([(gamma, beta)])
    assert loss.item() == pytest.approx((0.5 + 1) / 2 + (1 + 3) / 2)
    loss.backward()
    assert gamma.grad is not None and beta.grad is not None
    assert gamma.grad.sign().flatten().tolist() == beta.grad.sign().flatten().tolist() == [-1, 1]


def test_correspondence() -> None:
    logits = noise(2, 5, 7).requires_grad_()
    matches = torch.tensor([[0, 3, IGNORE, 6, 2], [IGNORE, IGNORE, 5, 1, IGNORE]])
    terms = [
        math.log(sum(math.exp(v) for v in logits[b, t].tolist())) - logits[b, t, s].item()
        for b, row in enumerate(matches.tolist())
        for t, s in enumerate(row)
        if s != IGNORE
    ]
    loss = correspondence(logits, matches)
    assert loss.item() == pytest.approx(sum(terms) / 6, rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad.abs().sum(dim=2) > 0, matches != IGNORE)  # unknown cells ask for nothing
    blank = torch.zeros(1, 3, 8), torch.zeros(1, 3, dtype=torch.long)
    assert correspondence(*blank).item() == pytest.approx(math.log(8))


def test_correspondence_is_finite_when_nothing_is_known() -> None:
    logits = noise(1, 5, 7).requires_grad_()
    loss = correspondence(logits, torch.full((1, 5), IGNORE))
    loss.backward()
    assert loss == 0 and logits.grad is not None and logits.grad.abs().max() == 0
