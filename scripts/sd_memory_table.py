"""What memory does fine-tuning Stable Diffusion take on a GPU, computed from shapes?

    python scripts/sd_memory_table.py [--families sd15,sd21,sdxl] [--size 512] [--batch 1]

Weights, gradients and optimizer states are counted from the published configurations; activations by running
forward on tensors without content, and adding up what autograd keeps, attention fused. Everything in the
network counts as bfloat16 there; norms that autocast keeps in float32, the CUDA context and fragments come on
top: take a gigabyte or two more. Nothing is measured on a GPU here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import make_random_pipeline  # noqa: E402
from scripts.make_random_pipeline import FAMILIES  # noqa: E402

GIGA = 1e9
RANK = 16
COLUMNS = ("model, method", "frozen", "learning", "gradients", "optimizer", "activations", "sum")
BLOCKS = ("ResnetBlock2D", "BasicTransformerBlock")
"""What diffusers makes again with checkpointing."""
METHODS = {
    "LoRA of rank 16": (True, 8, False),
    "LoRA of rank 16, checkpointing": (True, 8, True),
    "all weights, AdamW": (False, 8, False),
    "all weights, AdamW in 8 bits, checkpointing": (False, 2, True),
}
"""Method -> adapters, bytes of optimizer states a weight, gradient checkpointing."""


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    print(f"computed, GB (10^9 bytes), batch {options.batch} at {options.size} px, base in bfloat16 for LoRA")
    print(f"| {' | '.join(COLUMNS)} |\n" + "|---" * len(COLUMNS) + "|")
    for family in options.families.split(","):
        for method in METHODS:
            cells = " | ".join(f"{value:.2f}" for value in row(family, method, options.size, options.batch))
            print(f"| {family}, {method} | {cells} |", flush=True)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", default="sd15")
    parser.add_argument("--size", type=int, default=512, help="pixels a side")
    parser.add_argument("--batch", type=int, default=1)
    return parser.parse_args(arguments)


def row(family: str, method: str, size: int, batch: int) -> list[float]:
    """Frozen weights, learning ones, gradients, optimizer, activations and their sum, in gigabytes.

    The text encoders and the autoencoder are float32, as sd-train loads them; under autocast all weights have
    a copy in bfloat16 for the time of a step, which counts as frozen here.
    """
    adapters, states, checkpointing = METHODS[method]
    unet = network(family, adapters, checkpointing)
    learning = sum(value.numel() for value in unet.parameters() if value.requires_grad)
    total = sum(value.numel() for value in unet.parameters())
    others = sum(_size(family, part) for part in FAMILIES[family] if part.startswith(("vae", "text_encoder")))
    frozen = 4 * others + 2 * total
    parts = [frozen, 4 * learning, 4 * learning, states * learning, activations(unet, size, batch)]
    return [value / GIGA for value in (*parts, sum(parts))]


def _size(family: str, part: str) -> int:
    _, found = make_random_pipeline._described(part, FAMILIES[family][part])
    return sum(value.numel() for value in found.parameters())


def network(family: str, adapters: bool, checkpointing: bool) -> nn.Module:
    """A UNet of true size on the meta device, in bfloat16, ready to train."""
    from peft import LoraConfig, inject_adapter_in_model

    from fsynth.sd_lora import ATTENTION

    _, unet = make_random_pipeline._described("unet", FAMILIES[family]["unet"])
    if adapters:
        unet.requires_grad_(False)
        inject_adapter_in_model(LoraConfig(r=RANK, target_modules=list(ATTENTION[:4])), unet)
    if checkpointing:
        unet.enable_gradient_checkpointing()
    return unet.to(torch.bfloat16).train()


class Fused(torch.autograd.Function):
    """What fused attention keeps: its inputs and its answer, no table of weights."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        answer = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, answer)
        return answer


def activations(unet: Any, size: int, batch: int) -> int:
    """Bytes that autograd keeps between forward and backward of a batch, each storage once.

    With checkpointing: what blocks begin with, and on top the largest block's own, which is made again.
    """
    again = 0
    if unet.is_gradient_checkpointing:
        unet.disable_gradient_checkpointing()
        _, again = _kept(unet, size, batch)
        unet.enable_gradient_checkpointing()
    return _kept(unet, size, batch)[0] + again


def _kept(unet: Any, size: int, batch: int) -> tuple[int, int]:
    """Bytes kept by a forward pass, and the most by one block that checkpointing would make again."""
    kept: dict[int, Any] = {}
    weights = {value.untyped_storage()._cdata for value in unet.parameters()}
    before: dict[nn.Module, int] = {}
    most = 0

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage  # held, so that no other takes its number
        return value

    def enter(block: nn.Module, *_: Any) -> None:
        before[block] = _bytes(kept)

    def leave(block: nn.Module, *_: Any) -> None:
        nonlocal most
        most = max(most, _bytes(kept) - before[block])

    blocks = [part for part in unet.modules() if type(part).__name__ in BLOCKS]
    hooks = [block.register_forward_pre_hook(enter) for block in blocks]
    hooks += [block.register_forward_hook(leave) for block in blocks]
    fused = mock.patch.object(
        functional, "scaled_dot_product_attention", lambda q, k, v, **_: Fused.apply(q, k, v)
    )
    with fused, torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        unet(**_inputs(unet, size, batch))
    for hook in hooks:
        hook.remove()
    return _bytes(kept), most


def _fused() -> Any:
    def attention(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
        return Fused.apply(query, key, value)

    return mock.patch.object(functional, "scaled_dot_product_attention", attention)


def _bytes(kept: dict[int, Any]) -> int:
    return sum(storage.nbytes() for storage in kept.values())


def _inputs(unet: Any, size: int, batch: int) -> dict[str, Any]:
    kind = {"device": "meta", "dtype": torch.bfloat16}
    config = unet.config
    given: dict[str, Any] = {
        "sample": torch.empty(batch, 4, size // 8, size // 8, **kind).requires_grad_(),
        "timestep": torch.empty(batch, device="meta", dtype=torch.int64),
        "encoder_hidden_states": torch.empty(batch, 77, config.cross_attention_dim, **kind),
    }
    if config.addition_embed_type:
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        given["added_cond_kwargs"] = {
            "text_embeds": torch.empty(batch, pooled, **kind),
            "time_ids": torch.empty(batch, 6, **kind),
        }
    return given


if __name__ == "__main__":
    sys.exit(main())
