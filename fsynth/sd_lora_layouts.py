"""LoRA under the names that other tools know: sd-scripts' (Kohya), which most interfaces read, and ComfyUI's.

| layout | UNet | text encoders |
|---|---|---|
| Kohya, 1.x and 2.x | lora_unet_ and diffusers' name with _ | lora_te_text_model_encoder_... |
| Kohya, XL | lora_unet_ and the original name with _ | lora_te1_..., lora_te2_... |
| ComfyUI | diffusion_model. and the original name | text_encoders.clip_l.transformer.text_model... |

Each module has lora_down.weight (rank, inputs), lora_up.weight (outputs, rank) and alpha: readers add
up @ down * alpha / rank. What rsLoRA scales by stands in alpha, too, so that readers need not know the kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fsynth import sd_original
from fsynth.errors import ModelError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

COMFY_TEXT = {
    "v1": {"text_encoder": "clip_l"},
    "v2": {"text_encoder": "clip_h"},
    "xl": {"text_encoder": "clip_l", "text_encoder_2": "clip_g"},
}
"""ComfyUI's names for the text encoders of each generation."""
_KOHYA_TEXT = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}


@dataclass(frozen=True)
class Layer:
    """One module's adapter.

    Attributes:
        part: ``unet``, ``text_encoder``, ``text_encoder_2``.
        name: of the module in diffusers or transformers.
        alpha: what its answer is scaled by, times the rank.
    """

    part: str
    name: str
    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]


def layers(pipeline: DiffusionPipeline) -> list[Layer]:
    """The adapters of all parts.

    Raises:
        ModelError: of a kind that these layouts cannot hold, or there are none.
    """
    parts = pipeline.components.items()
    networks = {name: part for name, part in parts if isinstance(part, nn.Module)}
    found = [layer for part, network in networks.items() for layer in _layers(part, network)]
    if not found:
        raise ModelError("the model has no adapters; take --format diffusers or single-file")
    return found


def _layers(part: str, network: nn.Module) -> Iterator[Layer]:
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in network.named_modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        if not isinstance(module, LoraLayer):
            raise ModelError(_other_kind("LoKr"))
        (adapter,) = module.lora_A
        if module.use_dora[adapter]:
            raise ModelError(_other_kind("DoRA"))
        down, up = module.lora_A[adapter].weight, module.lora_B[adapter].weight
        alpha = module.scaling[adapter] * down.shape[0]
        yield Layer(part, name, down.detach().contiguous(), up.detach().contiguous(), alpha)


def _other_kind(name: str) -> str:
    return (
        f"{name} cannot be written as LoRA for these tools; --format single-file merges it into the model, "
        "--format lora keeps it for diffusers"
    )


def kohya(pipeline: DiffusionPipeline) -> dict[str, Tensor]:
    """The file's content under sd-scripts' names."""
    generation = sd_original.generation(pipeline)
    blocks = sd_original.unet_names(pipeline.unet)  # type: ignore[attr-defined]

    def name(layer: Layer) -> str:
        if layer.part == "unet":
            inner = sd_original.original(layer.name, blocks) if generation == "xl" else layer.name
            return f"lora_unet_{_joined(inner)}"
        start = _KOHYA_TEXT[layer.part] if generation == "xl" else "lora_te_"
        return start + _joined(_text(layer.name))

    return _content({name(layer): layer for layer in layers(pipeline)})


def comfyui(pipeline: DiffusionPipeline) -> dict[str, Tensor]:
    """The file's content under ComfyUI's own names."""
    texts = COMFY_TEXT[sd_original.generation(pipeline)]
    blocks = sd_original.unet_names(pipeline.unet)  # type: ignore[attr-defined]

    def name(layer: Layer) -> str:
        if layer.part == "unet":
            return f"diffusion_model.{sd_original.original(layer.name, blocks)}"
        return f"text_encoders.{texts[layer.part]}.transformer.{_text(layer.name)}"

    return _content({name(layer): layer for layer in layers(pipeline)})


def _text(name: str) -> str:
    """As all versions spell it: transformers 5.6 and later have lost a level of names."""
    return name if name.startswith("text_model.") else f"text_model.{name}"


def _joined(name: str) -> str:
    return name.replace(".", "_")


def _content(found: Mapping[str, Layer]) -> dict[str, Tensor]:
    content: dict[str, Tensor] = {}
    for name, layer in found.items():
        content[f"{name}.lora_down.weight"] = layer.down
        content[f"{name}.lora_up.weight"] = layer.up
        content[f"{name}.alpha"] = torch.tensor(layer.alpha)
    return content


def from_comfyui(content: Mapping[str, Tensor], pipeline: DiffusionPipeline) -> dict[str, Tensor]:
    """ComfyUI's names -> Kohya's with diffusers' names of blocks, which diffusers reads.

    Args:
        pipeline: of the base model.
    """
    unet: Any = pipeline.unet  # type: ignore[attr-defined]
    blocks = sd_original.unet_names(unet)
    back = {
        sd_original.original(name, blocks): name for name, _ in unet.named_modules() if _known(name, blocks)
    }
    texts = {comfy: part for part, comfy in COMFY_TEXT[sd_original.generation(pipeline)].items()}
    found = {}
    for key, value in content.items():
        name, ending = _divided(key)
        place, _, inner = name.partition(".")
        if place == "diffusion_model":
            new = f"lora_unet_{_joined(back[inner])}"
        else:
            comfy, _, inner = inner.partition(".transformer.")
            new = _KOHYA_TEXT[texts[comfy]] + _joined(inner)
        found[f"{new}.{ending}"] = value
    return found


def _known(name: str, blocks: Mapping[str, str]) -> bool:
    return any(name == block or name.startswith(f"{block}.") for block in blocks)


def _divided(key: str) -> tuple[str, str]:
    """A key's module and what follows it."""
    ending = next(end for end in ("lora_down.weight", "lora_up.weight", "alpha") if key.endswith(end))
    return key.removesuffix(f".{ending}"), ending
