"""Low-rank adapters in the towers of a CLIP network, by peft: added, watched, written, merged.

Adapters (Hu et al. 2021) sit in the blocks of a tower: on attention, linear layers and convolutions. So in
open_clip's own transformers on ``attn``, ``c_fc``, ``c_proj``, in timm's on ``qkv``, ``proj``, ``fc1``,
``fc2``, in those of transformers on ``q_proj`` or ``query`` and so on, in ResNets on convolutions.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from fsynth import clip_towers, outputs
from fsynth.clip_towers import Tower
from fsynth.console import counted
from fsynth.errors import ConfigError, ModelError
from fsynth.gradient_watch import GradientWatch

if TYPE_CHECKING:
    from peft import PeftModel

_WEIGHTS_FILE = "adapter_model.safetensors"
_OUTPUT = re.compile(r"\.base_layer\.out_proj\.lora_")
"""The part of peft's adapter of torch's attention that changes the output projection. It stays 0: peft (up to
0.21 at least) adds it twice (huggingface/peft#3774), so what is written would mean another thing once that is
mended. Queries, keys and values are adapted."""


@dataclass(frozen=True)
class Plan:
    """Which modules of a network get adapters, and of what kind.

    Attributes:
        names: of the modules.
        notes: what of the settings does not hold for all of them, in lines.
    """

    names: tuple[str, ...]
    rank: int
    alpha: float
    dropout: float
    dora: bool
    notes: tuple[str, ...]


def plan(
    network: nn.Module,
    rank: int,
    *,
    alpha: float | None = None,
    towers: Literal["both", "image", "text"] = "both",
    dropout: float = 0.0,
    dora: bool = False,
) -> Plan:
    """Find what can be adapted; nothing is changed.

    DoRA (Liu et al. 2024) leaves torch's own attention layers out: peft has none for them.

    Raises:
        ConfigError: a strength of 0.
        ModelError: a tower without a place for an adapter.
    """
    if alpha == 0:
        raise ConfigError("lora.alpha: 0 switches the adapters off; leave it out to take the rank")
    kinds = (nn.Linear, nn.Conv2d) if dora else (nn.Linear, nn.Conv2d, nn.MultiheadAttention)
    names: list[str] = []
    for tower in clip_towers.TOWERS if towers == "both" else (towers,):
        found = _adaptable(network, tower, kinds)
        if not found:
            what = clip_towers.kind(network, tower)
            raise ModelError(f"the {tower} tower ({what}) has no place for adapters; leave --lora-rank out")
        names += found
    attention = any(isinstance(part, nn.MultiheadAttention) for part in network.modules())
    notes = []
    if attention and dora:
        notes.append("lora.dora: on all but attention layers of torch, for which peft has none; those stay")
    if attention and dropout and not dora:
        notes.append(
            "lora.dropout: on all but attention layers of torch, whose weights are adapted, not their input"
        )
    return Plan(tuple(names), rank, float(rank if alpha is None else alpha), dropout, dora, tuple(notes))


def _adaptable(network: nn.Module, tower: Tower, kinds: tuple[type, ...]) -> list[str]:
    """Names of modules within blocks that peft can adapt and merge again, none inside another."""
    places = clip_towers.places(network)
    own = {
        name.rpartition(".")[0] for name, place in places.items() if place.tower == tower and place.in_block
    }
    found: list[str] = []
    inside: tuple[str, ...] = ()
    for name, part in network.named_modules():
        if name not in own or name.startswith(inside):
            continue
        if isinstance(part, nn.MultiheadAttention):
            inside = (*inside, f"{name}.")  # its output layer is never called: an adapter there does nothing
        if isinstance(part, kinds) and getattr(part, "groups", 1) == 1:
            found.append(name)
    return found


def describe(plan: Plan) -> str:
    """Where adapters sit and how strong they are, in one line."""
    kinds = sorted({re.search(r"[^.]*[^.\d]\d*(\.\d+)?$", name)[0] for name in plan.names})
    return (
        f"adapters: {'DoRA' if plan.dora else 'LoRA'} of rank {plan.rank}, alpha {plan.alpha:g}, on "
        f"{counted(len(plan.names), 'module')} ({', '.join(kinds)})"
    )


def add(network: nn.Module, plan: Plan, seed: int) -> PeftModel:
    """Freeze the network and put adapters in; its answers stay what they were, and so does whether its logit
    scale and bias learn. What they start at is a function of ``seed``."""
    from peft import LoraConfig, get_peft_model

    learning = {name: value.requires_grad for name, value in network.named_parameters() if "logit_" in name}
    config = LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,  # type: ignore[arg-type]  # any number does
        lora_dropout=plan.dropout,
        use_dora=plan.dora,
        target_modules=_pattern(network, plan.names),
    )
    config._register_custom_module({nn.MultiheadAttention: _attention_layer()})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(network, config)
    for name, value in network.named_parameters():
        if name in learning:
            value.requires_grad_(learning[name])
        elif _OUTPUT.search(name):
            value.requires_grad_(False)
    return adapted


def _pattern(network: nn.Module, names: Sequence[str]) -> str:
    """A regular expression that matches these modules alone, whatever their number where that is enough.

    Not a list: peft takes names in it for endings, so that those of a text tower match in both.
    """
    others = [name for name, _ in network.named_modules() if name not in set(names)]
    short = "|".join(sorted({re.sub(r"\d+", r"\\d+", re.escape(name)) for name in names}))
    if not any(re.fullmatch(short, name) for name in others):
        return short
    return "|".join(map(re.escape, names))


@functools.cache
def _attention_layer() -> type[nn.Module]:
    """peft's adapter of torch's attention, with a forward pass that leaves the frozen weights alone.

    peft's own adds the adapters to the weights before each pass and subtracts them afterwards: the weights
    drift by what rounding leaves, are other objects each time, and no resumed run could have them again.
    """
    from peft.tuners.lora.layer import MultiheadAttention

    class Attention(MultiheadAttention):
        def forward(self, query: torch.Tensor, *args: Any, **more: Any) -> Any:
            if self.disable_adapters or self.merged:
                return super().forward(query, *args, **more)
            attention = self.get_base_layer()
            with torch.autocast(query.device.type, enabled=False):
                weight = attention.in_proj_weight + self.get_delta_weight("default")
            changed = {"in_proj_weight": weight}
            return torch.func.functional_call(attention, changed, (query, *args), more)

        def _restore_weights(self) -> None:
            if "in_proj_weight" not in self.get_base_layer()._parameters:  # only merging takes them away
                super()._restore_weights()

    return Attention


def watch(network: nn.Module) -> GradientWatch:
    """Whether the first step's gradient reaches every adapter; call its ``check`` after each step."""
    advice = "leave --lora-rank out, or choose the other of lora.towers"
    return GradientWatch([network], f"this tower does not use what they sit on; {advice}")


def save(adapted: PeftModel, folder: Path, base: str) -> Path:
    """Write adapter_config.json and adapter_model.safetensors, from which ``PeftModel.from_pretrained``
    adapts the base model again; complete or absent.

    Args:
        base: name of the model that was adapted.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    beside = folder.with_name(f".{folder.name}.part")
    for old in (beside, folder):  # of a run that was stopped while it was evaluated
        shutil.rmtree(old, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        state = get_peft_model_state_dict(adapted)
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
        save_file(tensors, beside / _WEIGHTS_FILE, metadata={"format": "pt"})
        config = adapted.peft_config["default"]
        config.base_model_name_or_path, config.inference_mode = base, True
        config.save_pretrained(str(beside))
        outputs.open_to_readers(beside)
        outputs.put_in_place(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def merge(adapted: PeftModel) -> nn.Module:
    """Add the adapters to the weights they adapt; the network is then as it was, but for its weights."""
    return adapted.merge_and_unload()
