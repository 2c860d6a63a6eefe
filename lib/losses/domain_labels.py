"""StarGAN's class losses: the labels of one data set, categories and yes-or-no attributes side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.label_space import LabelGroup

__all__ = ["label_loss", "wrong_labels"]


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
