"""Contrastive learning on pictures and sentences: rows, loss over all processes, optimizer, schedule."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fsynth.caption_groups import CaptionGroups
from fsynth.clip_model import ClipModel
from fsynth.data.augmentation import Augmentation
from fsynth.data.row_pictures import row_of
from fsynth.keyed import seed_of

LARGEST_LOGIT_SCALE = math.log(100)


class Pairs(torch.utils.data.Dataset):
    """Training rows: ``image`` (3, H, W), changed and cropped as (seed, epoch, row) says, and ``tokens``
    (length,) and ``group``, the caption group as a number.

    Indexed with anything that has ``index`` and ``epoch``, such as `fsynth.order.Pick`; a picture that cannot
    be read is a `DataError` that names its row.
    """

    def __init__(
        self,
        dataset: Any,
        rows: Sequence[int],
        model: ClipModel,
        seed: int,
        groups: CaptionGroups,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.dataset, self.rows, self.seed = dataset, rows, seed
        self.augmentation = augmentation or Augmentation(seed)
        self.transform = model.transform(train=True)
        self.tokens, self.groups = model.tokenizer(list(groups.sentences)), groups

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, pick: Any) -> dict[str, Tensor]:
        record = row_of(self.dataset, int(self.rows[pick.index]))
        row = int(record["row"])
        picture = self.augmentation(record["image"], pick.epoch, row, record["text"])
        with _seeded(seed_of(self.seed, "crop", pick.epoch, row)):
            image = self.transform(picture)
        sentence = self.groups.sentence[pick.index]
        return {"image": image, "tokens": self.tokens[sentence], "group": self.groups.group[sentence]}


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global CPU generator, which torchvision draws from, at a seed; put back as it was afterwards."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)


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


def make_optimizer(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with open_clip's betas; no decay below 2 dimensions: norms, biases, the logit scale."""
    trained = [value for value in network.parameters() if value.requires_grad]
    groups = [
        {"params": [value for value in trained if value.ndim >= 2], "weight_decay": weight_decay},
        {"params": [value for value in trained if value.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-6)


def make_schedule(optimizer: Any, steps: int, warmup: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear rise over ``warmup`` steps, then a cosine to 0 at ``steps``."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def keep_scale(network: nn.Module) -> None:
    """Hold the logit scale at ln 100 at most, as CLIP does."""
    with torch.no_grad():
        network.logit_scale.clamp_(0, LARGEST_LOGIT_SCALE)


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Batch-normalising layers (ResNet towers). Kept in evaluation mode: batch statistics would depend on
    the number of processes and on padding, and fine-tuning on few pictures spoils them."""
    return [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
