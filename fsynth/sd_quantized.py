"""A frozen base whose linear layers are in 4 bits (QLoRA, Dettmers et al. 2023), by bitsandbytes.

Convolutions stay as they are: of Stable Diffusion 1.x's UNet linear layers are about a third, of XL's most.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from fsynth.errors import ConfigError, need

if TYPE_CHECKING:
    from fsynth.sd_lora import Adapters

Quantize = Literal["none", "nf4"]
BLOCK = 64
"""Weights that share a scale."""


def check(quantize: Quantize, adapters: Adapters | None) -> None:
    """Refuse what cannot be, before anything is said.

    Raises:
        ConfigError: weights in 4 bits that are to learn; LoKr, which needs their shape; no CUDA GPU.
        MissingPackage: bitsandbytes is not installed.
    """
    if quantize == "none":
        return
    need("bitsandbytes", f"memory.quantize={quantize}")
    if adapters is None:
        raise ConfigError(
            f"memory.quantize={quantize}: weights in 4 bits cannot learn; give --lora-rank, too"
        )
    if adapters.kind == "lokr":
        raise ConfigError(f"memory.quantize={quantize}: not with lora.kind=lokr; take another kind")
    if not torch.cuda.is_available():  # on CPUs bitsandbytes repacks them for evaluation, and cannot go back
        raise ConfigError(f"memory.quantize={quantize} needs a CUDA GPU; leave it out here")


def pack(network: nn.Module) -> float:
    """Put the frozen linear layers of a denoiser's blocks into 4 bits, in place; returns the share of all its
    numbers that they are. Adapters, which are there already, stay float32.

    They are packed when the network moves to a device next.
    """
    total, packed = sum(value.numel() for value in network.parameters()), 0
    inside = [part for name, part in network.named_modules() if "block" in name]  # not what embeds time
    for part in inside:
        for name, layer in list(part.named_children()):
            if type(layer) is nn.Linear and not layer.weight.requires_grad and _fits(layer):
                packed += layer.weight.numel()
                setattr(part, name, _in_four_bits(layer))
    return packed / total


def _fits(layer: nn.Linear) -> bool:
    """NF4 goes by blocks, and not all kernels take a part of one."""
    return layer.in_features % BLOCK == 0 and layer.out_features % BLOCK == 0


def _in_four_bits(layer: nn.Linear) -> nn.Module:
    from bitsandbytes.nn import Linear4bit, Params4bit

    bias, dtype = layer.bias is not None, layer.weight.dtype
    made = Linear4bit(
        layer.in_features, layer.out_features, bias=bias, compute_dtype=dtype, quant_type="nf4", device="meta"
    )
    made.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4", module=made)
    made.bias = layer.bias
    return made


def difference(network: nn.Module, other: nn.Module) -> float:
    """The largest difference between the adapters of two networks whose bases differ: weights and strengths;
    infinite where one has what the other has not."""
    mine, others = (_adapters(one) for one in (network, other))
    if mine.keys() != others.keys():
        return math.inf
    return max((value - others[name]).abs().max().item() for name, value in mine.items())


def _adapters(network: nn.Module) -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer

    (adapter,) = network.peft_config  # type: ignore[attr-defined]
    state = get_peft_model_state_dict(network, adapter_name=adapter)
    found = {name: value.detach().float().cpu() for name, value in state.items()}
    for name, part in network.named_modules():
        if isinstance(part, BaseTunerLayer):
            found[f"{name} scaling"] = torch.tensor(float(part.scaling[adapter]))
    return found
