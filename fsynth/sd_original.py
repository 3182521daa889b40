"""Stable Diffusion 1.x, 2.x and XL under the names of the original checkpoints, which tools other than
diffusers read: one file with UNet, autoencoder and text encoders.

The UNet there counts its blocks through (input_blocks, middle_block, output_blocks) instead of by level, the
decoder its levels from the other end, the autoencoder's attention is convolutions of 1 x 1, and the text
encoders of 2.x and XL's second one are open_clip's, with queries, keys and values in one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fsynth import clip_export
from fsynth.errors import ModelError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT = {
    "v1": {"text_encoder": "cond_stage_model.transformer."},
    "v2": {"text_encoder": "cond_stage_model.model."},
    "xl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
}
"""Where the text encoders of each generation stand."""
KINDS = {"StableDiffusionPipeline", "StableDiffusionXLPipeline"}
"""Classes of pipelines that have such checkpoints."""

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ENDS = {
    f"{side}.{new}": f"{side}.{old}"
    for side in ("encoder", "decoder")
    for new, old in {
        "conv_in": "conv_in",
        "mid_block.resnets.0": "mid.block_1",
        "mid_block.attentions.0": "mid.attn_1",
        "mid_block.resnets.1": "mid.block_2",
        "conv_norm_out": "norm_out",
        "conv_out": "conv_out",
    }.items()
} | {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def generation(pipeline: DiffusionPipeline) -> str:
    """``v1``, ``v2`` or ``xl``: whose original names a pipeline's weights have.

    Raises:
        ModelError: a family that has no such checkpoints.
    """
    kind = type(pipeline).__name__
    refuse(kind)
    if kind == "StableDiffusionXLPipeline":
        return "xl"
    return "v2" if pipeline.unet.config.use_linear_projection else "v1"  # type: ignore[attr-defined]


def refuse(kind: str) -> None:
    """Refuse a class of pipelines that has no such checkpoints.

    Raises:
        ModelError: naming it.
    """
    if kind not in KINDS:
        raise ModelError(f"a {kind} has no original Stable Diffusion layout; take --format diffusers")


def checkpoint(pipeline: DiffusionPipeline) -> dict[str, Tensor]:
    """All weights of a pipeline without adapters, under their original names.

    Raises:
        ModelError: a family that has none, or a weight without a place there.
    """
    parts: Any = pipeline
    places = TEXT[generation(pipeline)]
    found = {UNET + name: value for name, value in _renamed(parts.unet, unet_names(parts.unet)).items()}
    found |= {VAE + name: value for name, value in _autoencoder(parts.vae).items()}
    for part, place in places.items():
        state = spelt(getattr(parts, part).state_dict())
        words = state if place.endswith("transformer.") else _open_clip(state)
        found |= {place + name: value for name, value in words.items()}
    return {name: value.detach().contiguous() for name, value in found.items()}


def spelt(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A text encoder's weights as all versions of transformers read them: 5.6 and later have lost a level of
    names, under which older ones find nothing and start at random."""
    whole = ("text_model.", "text_projection.")
    return {name if name.startswith(whole) else f"text_model.{name}": value for name, value in state.items()}


# --------------------------------------------------------------------------------------------------
# UNet


def unet_names(unet: nn.Module) -> dict[str, str]:
    """Names of a UNet's blocks in diffusers and in the original, without ``model.diffusion_model.``."""
    blocks: Any = unet
    names, number = dict(_UNET_ENDS), 1
    for level, block in enumerate(blocks.down_blocks):
        names |= _level(block, f"down_blocks.{level}", "input_blocks", number)
        number += len(block.resnets)
        if block.downsamplers:
            names[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    number = 0
    for level, block in enumerate(blocks.up_blocks):
        names |= _level(block, f"up_blocks.{level}", "output_blocks", number)
        number += len(block.resnets)
        if block.upsamplers:  # stands behind the last resnet, and attention where there is some
            place = f"output_blocks.{number - 1}.{2 if _attends(block) else 1}"
            names[f"up_blocks.{level}.upsamplers.0.conv"] = f"{place}.conv"
    return names


def _level(block: Any, name: str, blocks: str, number: int) -> dict[str, str]:
    found = {f"{name}.resnets.{at}": f"{blocks}.{number + at}.0" for at in range(len(block.resnets))}
    if _attends(block):
        found |= {f"{name}.attentions.{at}": f"{blocks}.{number + at}.1" for at in range(len(block.resnets))}
    return found


def _attends(block: Any) -> bool:
    return bool(getattr(block, "attentions", None))


def original(name: str, blocks: Mapping[str, str]) -> str:
    """The original name of a UNet's module or weight.

    Args:
        blocks: by `unet_names`.

    Raises:
        ModelError: it has none.
    """
    for length in (5, 4, 3, 2, 1):
        block, inner = _split(name, length)
        if block in blocks:
            first, _, rest = inner.partition(".")
            inner = f"{_RESNET.get(first, first)}.{rest}".strip(".") if ".resnets." in block else inner
            return f"{blocks[block]}.{inner}".strip(".")
    raise ModelError(f"{name} has no place in the original Stable Diffusion layout; take --format diffusers")


def _split(name: str, length: int) -> tuple[str, str]:
    words = name.split(".")
    return ".".join(words[:length]), ".".join(words[length:])


def _renamed(network: nn.Module, blocks: Mapping[str, str]) -> dict[str, Tensor]:
    return {original(name, blocks): value for name, value in network.state_dict().items()}


# --------------------------------------------------------------------------------------------------
# autoencoder


def _autoencoder(vae: nn.Module) -> dict[str, Tensor]:
    parts: Any = vae
    blocks = dict(_VAE_ENDS)
    for level, block in enumerate(parts.encoder.down_blocks):
        blocks |= _sampling(block, f"encoder.down_blocks.{level}", f"encoder.down.{level}", "down")
    last = len(parts.decoder.up_blocks) - 1
    for level, block in enumerate(parts.decoder.up_blocks):
        blocks |= _sampling(block, f"decoder.up_blocks.{level}", f"decoder.up.{last - level}", "up")
    return dict(_autoencoder_weight(name, value, blocks) for name, value in vae.state_dict().items())


def _sampling(block: Any, name: str, place: str, way: str) -> dict[str, str]:
    found = {f"{name}.resnets.{at}": f"{place}.block.{at}" for at in range(len(block.resnets))}
    return found | {f"{name}.{way}samplers.0": f"{place}.{way}sample"}


def _autoencoder_weight(name: str, value: Tensor, blocks: Mapping[str, str]) -> tuple[str, Tensor]:
    for length in (5, 4, 3, 2, 1):
        block, inner = _split(name, length)
        if block not in blocks:
            continue
        if ".attentions." in block:
            module, _, kind = inner.rpartition(".")
            inner = f"{_VAE_ATTENTION[module]}.{kind}"
            value = value[:, :, None, None] if value.dim() == 2 else value
        return f"{blocks[block]}.{inner.replace('conv_shortcut', 'nin_shortcut')}", value
    raise ModelError(f"{name} has no place in the original Stable Diffusion layout; take --format diffusers")


# --------------------------------------------------------------------------------------------------
# text encoders of open_clip


def _open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """transformers' names -> open_clip's, the way back of `clip_export.renamed`."""
    outside = {new: old for old, new in clip_export.OUTSIDE.items()}
    found: dict[str, Tensor] = {}
    joined: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name in outside:
            found[outside[name]] = value
        elif name == "text_projection.weight":
            found["text_projection"] = value.T
        else:
            module, _, kind = name.removeprefix("text_model.encoder.layers.").rpartition(".")
            number, _, inner = module.partition(".")
            place = f"transformer.resblocks.{number}"
            if inner.endswith(("q_proj", "k_proj", "v_proj")):
                joined.setdefault(f"{place}.attn.in_proj_{kind}", {})[inner[-6]] = value
            else:
                found[f"{place}.{_BLOCK[inner]}.{kind}"] = value
    return found | {name: torch.cat([parts[one] for one in "qkv"]) for name, parts in joined.items()}


_BLOCK = {new: old for old, new in clip_export.BLOCK.items()}
