"""StarGAN's class losses: the labels of one data set, categories and yes-or-no attributes side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.book.equations import equation
from lib.data.label_space import LabelGroup

__all__ = ["authors_rate", "ideal_label_loss", "label_loss", "wrong_labels"]


@equation("6.1", tests="tests/equations/test_domain_labels.py::test_ideal_label_loss")
def ideal_label_loss(
    real: Tensor, fake: Tensor, *, on_fakes: float = 0.0, taught: Tensor | None = None
) -> Tensor:  # fmt: skip
    """What G pays for its labels when D's class head is ideal: E_(c, x)~fake [-log q(c | x)].

    The ideal head learns q(c | x) = (r(c, x) + w t(c, x)) / sum over c. StarGAN's learns from real pictures alone,
    w = 0. With w > 0 and t = f, as in AC-GAN, it also believes what G says about its own pictures. With t = s, the
    labels of the pictures that the fakes were made from, it doubts them.

    Args:
        real: r, table (K, X) of labels and pictures that sums to 1.
        fake: f, targets and the pictures that G makes of them; sums to 1.
        on_fakes: w, the weight of D's class loss on fakes.
        taught: t, the labels that D learns for the fakes; default f.

    Returns:
        NaN where `fake` uses a picture that D never meets: there the head may say anything.
    """
    used = fake.sum(dim=0) > 0
    seen = (real + on_fakes * (fake if taught is None else taught))[:, used]
    q = seen / seen.sum(dim=0, keepdim=True)
    loss: Tensor = -torch.special.xlogy(fake[:, used], q).sum()
    return loss


def authors_rate(
    turn: int, *, lr: float = 1e-4, turns: int = 200_000, decay: int = 100_000, every: int = 1000
) -> float:
    """The learning rate at a turn of D as the authors' code computes it: it hardly falls.

    In the last `decay` turns lr / decay is taken off, but only in every `every`-th turn, so `every` times too slowly.
    """
    steps = max(0, turn - (turns - decay)) // every
    return lr - steps * lr / decay


@equation("6.2", tests="tests/equations/test_domain_labels.py::test_label_loss")
def label_loss(logits: Tensor, labels: Tensor, groups: Sequence[LabelGroup]) -> Tensor:
    """mean -log D_cls(c | x) (Choi et al. 2018, eq. 2 for D with real pictures, eq. 3 for G with fakes).

    Softmax cross-entropy for groups whose values exclude each other, binary cross-entropy for single values;
    summed over groups, mean over pictures. The authors' code sums and averages likewise.

    Args:
        logits: of one data set's labels (B, n_i): cut the block out before, so that no unknown label counts.
        labels: (B, n_i) in {0, 1}.
        groups: of the data set, in their order.
    """
    sizes = [len(group.values) for group in groups]
    parts = zip(groups, logits.float().split(sizes, dim=1), labels.float().split(sizes, dim=1), strict=True)
    return torch.stack([
        F.cross_entropy(logit, label) if group.exclusive
        # A mean over one column is a mean over pictures.
        else F.binary_cross_entropy_with_logits(logit, label)
        for group, logit, label in parts
    ]).sum()  # fmt: skip


@torch.no_grad()
def wrong_labels(logits: Tensor, labels: Tensor, groups: Sequence[LabelGroup]) -> dict[str, float]:
    """Attribute -> share of the pictures whose most likely value is not the label.

    D's own classifier flatters its G; judge translated pictures by a network that took no part in the training.
    """
    sizes = [len(group.values) for group in groups]
    wrong = {}
    for group, logit, label in zip(groups, logits.split(sizes, dim=1), labels.split(sizes, dim=1), strict=True):
        said = logit.argmax(1) != label.argmax(1) if group.exclusive else (logit[:, 0] > 0) != (label[:, 0] > 0.5)
        wrong[group.attribute] = float(said.float().mean())
    return wrong
