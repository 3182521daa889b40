"""How a CLIP network learns: optimizer, schedule, and what is held still."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

LARGEST_LOGIT_SCALE = math.log(100)


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
