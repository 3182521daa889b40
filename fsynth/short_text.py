"""Sentences without the padding that all of them share.

CLIP pads every sentence to 77 tokens; those of FashionSynthesis have 27 at most, so two thirds of the text
tower's work is padding. In a tower that looks back only, what follows a sentence changes nothing. Whether a
network is such a one is not read off its architecture but tried.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SAME = 1e-5
"""What features of unit length may differ by."""

TRIED = 8


class ShortText(nn.Module):
    """An open_clip network that takes shorter sentences than its context, with the same weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor | None = None, text: Tensor | None = None) -> Any:
        """As the network's own."""
        cut = {} if text is None else _cut(self.network, text.shape[1])
        return torch.func.functional_call(self.network, cut, (image, text))


def _cut(network: nn.Module, length: int) -> dict[str, Tensor]:
    """What open_clip's towers take whole: the causal mask, and CLIP's own tower its positions."""
    masks = {
        name: value for name, value in network.named_buffers() if name in ("attn_mask", "text.attn_mask")
    }
    cut = {name: mask[:length, :length] for name, mask in masks.items()}
    if isinstance(positions := getattr(network, "positional_embedding", None), nn.Parameter):
        cut["positional_embedding"] = positions[:length]
    return cut


def without_padding(network: nn.Module, tokens: Tensor) -> Tensor:
    """(M, length) tokens without the columns that hold one value in all sentences, but for the first of them,
    where the network's features stay the same; else as they are."""
    length = _longest(tokens)
    if length == tokens.shape[1]:
        return tokens
    some = tokens[torch.linspace(0, len(tokens) - 1, TRIED).long().unique()]
    return tokens[:, :length].contiguous() if _same(network, some, length) else tokens


def _longest(tokens: Tensor) -> int:
    padding = tokens[0, -1]
    used = (tokens != padding).any(0).nonzero()
    # one column stays: where padding is what ends a sentence, the longest one ends there
    return min(int(used.max()) + 2, tokens.shape[1]) if len(used) else 1


@torch.no_grad()
def _same(network: nn.Module, tokens: Tensor, length: int) -> bool:
    device, training = network.logit_scale.device, network.training
    network.eval()
    try:
        whole, short = (ShortText(network)(None, part.to(device))[1] for part in (tokens, tokens[:, :length]))
    except (RuntimeError, IndexError):  # a tower that takes whole contexts only
        return False
    finally:
        network.train(training)
    return bool((whole - short).abs().max() <= SAME)
