"""Contrastive losses of pictures and sentences, exact over all processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def contrastive_loss(
    pictures: Tensor, sentences: Tensor, scale: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Symmetric contrastive loss of CLIP (Radford et al. 2021), exact over all processes; a scalar.

    Every process gathers all features and computes the loss of the whole batch, in float32. Rows of weight 0
    are padding: neither asked nor answers. Averaging the processes' gradients gives the gradient of one
    process with the whole batch.

    Args:
        pictures, sentences: (B, width) features of unit length, B alike on all processes.
        scale: the exponentiated logit scale.
        weight: (B,) 0 for padding, else alike.
        bias: a logit bias; the softmax ignores it, its (zero) gradient keeps it in the graph.
    """
    pictures, sentences, weight = (_gather(value.float()) for value in (pictures, sentences, weight))
    logits = scale.float() * pictures @ sentences.T + (0 if bias is None else bias.float())
    padding = weight == 0
    share = (~padding).float() / (~padding).sum()
    partners = torch.arange(len(logits), device=logits.device)
    lowest = torch.finfo(logits.dtype).min
    by_picture = nn.functional.cross_entropy(
        logits.masked_fill(padding[None, :], lowest), partners, reduction="none"
    )
    by_sentence = nn.functional.cross_entropy(
        logits.T.masked_fill(padding[None, :], lowest), partners, reduction="none"
    )
    both = ((by_picture + by_sentence) / 2).masked_fill(padding, 0)
    return (both * share).sum()


def _gather(local: Tensor) -> Tensor:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return local
    return _Gather.apply(local)


class _Gather(torch.autograd.Function):
    """All processes' rows, with gradients. All compute one and the same loss from them, so the gradients of
    a process' own rows, summed over processes, are its own times their number: nothing to communicate."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, local.contiguous())
        ctx.rows = len(local)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        return gradient[rank * ctx.rows : (rank + 1) * ctx.rows] * world
