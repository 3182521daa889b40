"""The logit bias that a sigmoid loss needs, for models that were trained without one.

SigLIP starts at random weights with a scale of 10 and a bias of -10, so that the few right pairs among many
wrong ones are expected from the first step on (Zhai et al. 2023, section 3.2). A pretrained model has a scale
already, its logits mean something, and learning rates of fine-tuning would take many thousand steps to
move a bias. So the scale stays, and the bias starts where as many pairs are called right as are right: the
minimum of the sigmoid loss over the bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fsynth.clip_model import ClipModel
from fsynth.clip_rows import Pairs
from fsynth.order import Pick
from fsynth.short_text import ShortText

SAMPLE = 512
"""pairs that the bias is found on; all of them are compared with all"""

AT_ONCE = 64


def ensure(model: ClipModel, pairs: Pairs, batch: Sequence[Pick]) -> bool:
    """Give a network without a logit bias a trainable one that fits a batch of training pairs; whether it
    did. `ClipModel.save` tells open_clip of it."""
    network = model.network
    if getattr(network, "logit_bias", None) is not None:
        return False
    groups = pairs.groups.row_groups[[pick.index for pick in batch]]
    rows = [pairs[pick] for pick in batch[:SAMPLE]]
    value = best_bias(*_compared(network, rows), right_share(groups))
    network.logit_bias = nn.Parameter(torch.full_like(network.logit_scale, value))
    return True


@torch.no_grad()
def _compared(network: nn.Module, rows: Sequence[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """(N, N) logits without bias, and which of them are of one group; float64 on the CPU."""
    scale, parts = network.logit_scale.exp(), []
    for start in range(0, len(rows), AT_ONCE):
        batch = torch.utils.data.default_collate(rows[start : start + AT_ONCE])
        given = (batch[name].to(scale.device) for name in ("image", "tokens"))
        parts.append(ShortText(network)(*given)[:2])
    pictures, sentences = (torch.cat(side).double().cpu() for side in zip(*parts, strict=True))
    group = torch.stack([row["group"] for row in rows])
    return scale.double().cpu() * pictures @ sentences.T, group[:, None] == group[None, :]


def best_bias(logits: Tensor, right: Tensor, right_share: float) -> float:
    """Where the mean of sigmoid(logit + bias) is ``right_share``, right and wrong pairs each counted as
    often as they are in the whole batch; found by bisection, the mean rises with the bias.

    Args:
        logits: (N, N) without bias.
        right: (N, N) bool.
        right_share: above 0, below 1.
    """
    if right.all():
        return 0.0  # there is nothing to tell apart
    low, high = -200.0 - logits.max().item(), 200.0 - logits.min().item()
    for _ in range(60):
        bias = (low + high) / 2
        said = (logits + bias).sigmoid()
        share = right_share * said[right].mean() + (1 - right_share) * said[~right].mean()
        low, high = (bias, high) if share < right_share else (low, bias)
    return bias


def right_share(groups: Tensor) -> float:
    """Of all pairs of rows with these groups (N,), those of one group."""
    counts = groups.unique(return_counts=True)[1]
    return counts.square().sum().item() / len(groups) ** 2
