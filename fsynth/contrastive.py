"""Contrastive losses of pictures and sentences, exact over all processes, and their gradients in pieces.

Each row of a batch asks twice: its picture among all sentences, its sentence among all pictures. A process
computes the answers for its own rows only, so what it holds grows with (its rows x all rows), not with
(all rows x all rows).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kind = Literal["clip", "clip-multi", "siglip-multi"]

Gradients = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""of pictures, sentences, scale and bias, shaped as these"""


@dataclass(frozen=True)
class Features:
    """A process' rows of a batch, and what it takes to compare them.

    Attributes:
        pictures, sentences: (B, width), of unit length; B alike in all processes.
        scale: the exponentiated logit scale, of one element.
        weight: (B,) as `fsynth.order.Pick` defines it; 0 is padding.
        group: (B,) int64 from 0; rows of one group are right answers to one another.
        bias: the logit bias, of one element; a sigmoid needs one, a softmax ignores it.
    """

    pictures: Tensor
    sentences: Tensor
    scale: Tensor
    weight: Tensor
    group: Tensor
    bias: Tensor | None = None


def contrastive_loss(kind: Kind, features: Features) -> Tensor:
    """The loss of this process' rows; a scalar. Its mean over processes is that of the whole batch.

    - ``clip``: the softmax of CLIP (Radford et al. 2021): the row itself is the one right answer.
    - ``clip-multi``: cross entropy against all rows of the group alike, as in UniCL (Yang et al. 2022, eq. 3)
      and ALBEF (Li et al. 2021): equal to ``clip`` where a group is one sentence many times, or one row.
    - ``siglip-multi``: SigLIP's (Zhai et al. 2023, algorithm 1) with every pair of a group labelled +1, not
      the diagonal alone: the sum over all pairs of log(1 + exp(-label x logit)), divided by the rows.

    Rows of weight 0 neither ask nor answer. Computed in float32 at least, also inside autocast. Gradients of
    what other processes compared with this process' rows are summed here: averaging the parameters'
    gradients over processes, as DDP does, gives those of one process with the whole batch.
    """
    with torch.autocast(features.pictures.device.type, enabled=False):
        features = _in_single(features)
        return _asked(kind, features, _everyone(kind, features), slice(None))


def loss_and_gradients(kind: Kind, features: Features, rows: int) -> tuple[Tensor, Gradients]:
    """`contrastive_loss`, detached, and its gradients with respect to features, scale and bias.

    Args:
        rows: so many of this process' rows ask at a time, to hold (rows x all rows) logits at most.
    """
    with torch.autocast(features.pictures.device.type, enabled=False), torch.enable_grad():
        mine = _leaves(_in_single(features))
        everyone = _everyone(kind, mine)
        gathered = everyone.pictures, everyone.sentences
        others = dataclasses.replace(everyone, pictures=_leaf(gathered[0]), sentences=_leaf(gathered[1]))
        total = torch.zeros((), device=mine.pictures.device)
        for some in _slices(len(mine.weight), rows):
            loss = _asked(kind, mine, others, some)
            loss.backward()
            total = total + loss.detach()
        torch.autograd.backward(gathered, [others.pictures.grad, others.sentences.grad])
    bias = None if mine.bias is None else mine.bias.grad
    return total, (mine.pictures.grad, mine.sentences.grad, mine.scale.grad, bias)


@dataclass(frozen=True)
class _Everyone:
    """All processes' rows: ``label`` is equal where an answer is right, negative for padding; this process'
    rows stand from ``first`` on."""

    pictures: Tensor
    sentences: Tensor
    label: Tensor
    first: int


def _everyone(kind: Kind, mine: Features) -> _Everyone:
    rows, width = mine.pictures.shape
    rank, world = _place()
    row = torch.arange(rank * rows, (rank + 1) * rows, device=mine.weight.device)
    label = (row if kind == "clip" else mine.group).masked_fill(mine.weight == 0, -1)
    if world == 1:
        return _Everyone(mine.pictures, mine.sentences, label, 0)
    pictures, sentences = _Gather.apply(torch.cat([mine.pictures, mine.sentences], 1)).split(width, 1)
    return _Everyone(pictures, sentences, _gathered(label), rank * rows)


def _asked(kind: Kind, mine: Features, everyone: _Everyone, some: slice) -> Tensor:
    """Weighted sum over some of this process' rows, the mean of both directions."""
    labels = everyone.label[everyone.first : everyone.first + len(mine.weight)][some]
    padding = everyone.label < 0
    right = (labels[:, None] == everyone.label[None, :]) & ~padding
    total = torch.zeros((), device=mine.weight.device, dtype=mine.pictures.dtype)
    for asking, answers in ((mine.pictures, everyone.sentences), (mine.sentences, everyone.pictures)):
        logits = (mine.scale * asking[some]) @ answers.T
        if kind == "siglip-multi":
            each = _sigmoid(logits + mine.bias, right, padding)
        else:
            each = _softmax(logits, right, padding)
        total = total + (each * mine.weight[some]).sum() / 2
    # a bias that a softmax cannot see still has a gradient: DDP waits for one
    return total if mine.bias is None else total + 0 * mine.bias.sum()


def _softmax(logits: Tensor, right: Tensor, padding: Tensor) -> Tensor:
    """(rows,) cross entropy against the right answers alike."""
    whole = logits.masked_fill(padding, -torch.inf).logsumexp(1)
    return whole - logits.masked_fill(~right, 0).sum(1) / right.sum(1).clamp(min=1)


def _sigmoid(logits: Tensor, right: Tensor, padding: Tensor) -> Tensor:
    """(rows,) sum over all answers; softplus(-x) = softplus(x) - x spares a matrix of labels."""
    wrong = nn.functional.softplus(logits).masked_fill(padding, 0)
    return wrong.sum(1) - logits.masked_fill(~right, 0).sum(1)


def _in_single(features: Features) -> Features:
    """In float32, or float64 where they are."""
    wanted = torch.promote_types(features.pictures.dtype, torch.float32)
    values = {name: value.to(wanted) for name, value in _values(features)}
    return Features(**values, group=features.group)


def _leaves(features: Features) -> Features:
    values = {name: _leaf(value) if name != "weight" else value for name, value in _values(features)}
    return Features(**values, group=features.group)


def _values(features: Features) -> Iterator[tuple[str, Tensor]]:
    for name in ("pictures", "sentences", "scale", "weight", "bias"):
        value = getattr(features, name)
        if value is not None:
            yield name, value


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_()


def _slices(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, start + size)


# --------------------------------------------------------------------------------------------------
# all processes


def _place() -> tuple[int, int]:
    """(rank, processes)"""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _gathered(local: Tensor) -> Tensor:
    parts = [torch.empty_like(local) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, local.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """All processes' rows. Each process has compared others' rows with its own: these gradients are summed.
    Not reduce_scatter, which gloo lacks: features are small beside a network's gradients."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rows = len(local)
        return _gathered(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()  # what autograd hands over is not ours to overwrite
        torch.distributed.all_reduce(gradient)
        first = _place()[0] * ctx.rows
        return gradient[first : first + ctx.rows]
