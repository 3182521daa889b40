"""Low-rank adapters of a diffusion model, by peft: of which kind, where they sit, and how they are written.

Kinds: LoRA (Hu et al. 2021), DoRA (Liu et al. 2024: lengths and directions of weights apart), rsLoRA
(Kalajdzievski 2023: scaled by the root of the rank, for high ranks), LoKr (Yeh et al. 2023: a Kronecker
product, small files).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from fsynth.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from peft import PeftConfig

Kind = Literal["lora", "dora", "rslora", "lokr"]
Targets = Literal["attention", "attention-mlp", "all"]
NAMES = {"lora": "LoRA", "dora": "DoRA", "rslora": "rsLoRA", "lokr": "LoKr"}

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
"""The attention projections, as the published Stable Diffusion LoRAs adapt them; the last four are those of
transformers that read pictures and text together."""
MLP = ("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2")
REST = ("proj_in", "proj_out", "conv1", "conv2", "conv", "conv_shortcut", "time_emb_proj")
"""Convolutions and projections of the blocks; the first and the last layer of a network stay."""
TEXT_ATTENTION, TEXT_MLP = ("q_proj", "k_proj", "v_proj", "out_proj"), ("fc1", "fc2")
TEXT_PARTS = ("text_encoder", "text_encoder_2")
_SETTINGS = "lora_adapter_metadata"
"""Where diffusers keeps the adapters' settings in a file's header."""
UNREACHED = "the model does not use what they sit on; set lora.targets=attention"


@dataclass(frozen=True)
class Adapters:
    """What is put into a network.

    Attributes:
        alpha: strength; what an adapter adds is multiplied by alpha / rank, of rsLoRA by alpha / root of
            the rank.
        dropout: of what goes into an adapter.
    """

    rank: int
    alpha: float
    kind: Kind = "lora"
    targets: Targets = "attention"
    dropout: float = 0.0

    def check(self) -> None:
        """Refuse what cannot be, before anything is said.

        Raises:
            ConfigError: a strength of 0, a dropout that the kind has not.
        """
        if self.alpha == 0:
            raise ConfigError("lora.alpha: 0 switches the adapters off; leave it out to take the rank")
        if self.kind == "lokr" and self.dropout:
            raise ConfigError(f"lora.dropout={self.dropout:g}: LoKr has none; leave it out")

    def describe(self) -> str:
        """Kind, rank, strength and place in a few words."""
        places = {"attention": "attention", "attention-mlp": "attention and MLPs", "all": "all of the blocks"}
        return f"{NAMES[self.kind]} of rank {self.rank}, alpha {self.alpha:g}, on {places[self.targets]}"


# --------------------------------------------------------------------------------------------------
# adding


def add(network: nn.Module, adapters: Adapters, seed: int) -> None:
    """Freeze a UNet or transformer of diffusers and put trainable adapters in.

    The adapters are float32 whatever the network is: an AdamW step of 1e-4 does not move a bfloat16 weight.
    They start at a function of ``seed`` and leave the network's answer unchanged.

    Raises:
        ModelError: the network has none of the modules.
    """
    mlp, rest = MLP if adapters.targets != "attention" else (), REST if adapters.targets == "all" else ()
    _add(network, adapters, (*ATTENTION, *mlp, *rest), seed)


def add_to_text(encoder: nn.Module, adapters: Adapters, seed: int) -> None:
    """`add` for a text encoder of transformers; it has no convolutions.

    Raises:
        ConfigError: kinds that do not come back (`check_text`).
    """
    check_text(adapters)
    mlp = TEXT_MLP if adapters.targets != "attention" else ()
    _add(encoder, adapters, (*TEXT_ATTENTION, *mlp), seed)


def check_text(adapters: Adapters) -> None:
    """Refuse adapters that are not loaded into text encoders as they were written: diffusers knows no LoKr
    there, and transformers 5 leaves the lengths of DoRA out, with a warning only.

    Raises:
        ConfigError: naming the kinds that are.
    """
    if adapters.kind in ("lokr", "dora"):
        raise ConfigError(
            f"text.train=lora: {NAMES[adapters.kind]} of a text encoder is not loaded by diffusers; take "
            "lora.kind=lora or rslora, or leave text.train out"
        )


def _add(network: nn.Module, adapters: Adapters, endings: tuple[str, ...], seed: int) -> None:
    from peft import inject_adapter_in_model

    there = [ending for ending in endings if any(_ends(name, ending) for name, _ in network.named_modules())]
    if not there:
        raise ModelError(f"{type(network).__name__} has no place for adapters; leave --lora-rank out")
    network.requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(_config(adapters, there, _unread(network)), network)
    _announce(network)
    for value in network.parameters():
        if value.requires_grad:
            value.data = value.data.float()


def _ends(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def _unread(network: nn.Module) -> list[str]:
    """Projections whose outcome a transformer drops: its last block asks in the name of the text, too, and
    answers for the picture alone."""
    parts = network.named_modules()
    return [
        f"{name}.add_q_proj"
        for name, part in parts
        if getattr(part, "context_pre_only", False) and hasattr(part, "add_q_proj")
    ]


def _config(adapters: Adapters, endings: list[str], left_out: list[str]) -> PeftConfig:
    from peft import LoKrConfig, LoraConfig

    places = {"target_modules": endings} | ({"exclude_modules": left_out} if left_out else {})
    if adapters.kind == "lokr":
        return LoKrConfig(r=adapters.rank, alpha=adapters.alpha, **places)  # type: ignore
    return LoraConfig(
        r=adapters.rank,
        lora_alpha=adapters.alpha,  # type: ignore[arg-type]  # any number does
        lora_dropout=adapters.dropout,
        init_lora_weights="gaussian",
        use_dora=adapters.kind == "dora",
        use_rslora=adapters.kind == "rslora",
        **places,  # type: ignore[arg-type]
    )


def _announce(network: nn.Module) -> None:
    """diffusers' and transformers' own methods ask for this flag, as theirs sets it."""
    network._hf_peft_config_loaded = True  # type: ignore[assignment]


def modules(network: nn.Module) -> list[str]:
    """Names of the modules that carry adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [name for name, part in network.named_modules() if isinstance(part, BaseTunerLayer)]


def has(network: nn.Module | None) -> bool:
    """Whether a network carries adapters."""
    return hasattr(network, "peft_config")


def weight(module: nn.Module) -> torch.Tensor:
    """The weights that a module's adapter changes when it is merged; they are float32 or half."""
    return module.get_base_layer().weight.detach()  # type: ignore[operator]


def merge(network: nn.Module) -> None:
    """Fold the adapters into the weights, and leave a network without any."""
    for name in modules(network):
        module: Any = network.get_submodule(name)
        module.merge()
        above, _, own = name.rpartition(".")
        setattr(network.get_submodule(above), own, module.get_base_layer())
    if has(network):
        del network.peft_config
        network._hf_peft_config_loaded = False  # type: ignore[assignment]


# --------------------------------------------------------------------------------------------------
# reading and writing


def save(pipeline: DiffusionPipeline, folder: Path) -> dict[str, Any]:
    """Write the adapters of all parts as ``pipe.load_lora_weights(folder)`` reads them, and return their
    settings.

    The state dict is peft's own (a converted one loses convolutions, and LoKr raises), and the adapters'
    settings go into the file's metadata: without them a loader takes alpha = rank.
    """
    from peft import get_peft_model_state_dict

    given: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for part, network in pipeline.components.items():
        if isinstance(network, nn.Module) and has(network):
            (adapter,) = network.peft_config
            state = {
                _key(part, name): value.detach().cpu().contiguous()
                for name, value in get_peft_model_state_dict(network, adapter_name=adapter).items()
            }
            settings = _plain(network.peft_config[adapter])
            given |= {f"{part}_lora_layers": state, f"{part}_lora_adapter_metadata": dict(settings)}
    type(pipeline).save_lora_weights(folder, **given)
    return settings


def _key(part: str, name: str) -> str:
    return old_name(name) if part in TEXT_PARTS else name


def old_name(name: str) -> str:
    """A weight's name in a text encoder as it was before transformers 5.6 left out a level of names: ComfyUI
    and older versions know no other, newer ones know both."""
    flat = name.startswith(("embeddings.", "encoder.", "final_layer_norm."))
    return f"text_model.{name}" if flat else name


def _plain(config: PeftConfig) -> dict[str, Any]:
    """The settings of adapters that are not peft's defaults, as JSON: other versions of peft have other
    defaults to offer, and refuse what they do not know. How they start is left out: they start as written."""
    defaults = type(config)().to_dict()
    changed = {name: value for name, value in config.to_dict().items() if value != defaults.get(name)}
    strength = "alpha" if "alpha" in defaults else "lora_alpha"
    asked = {"rank_pattern": {}}  # diffusers 0.34 does not load without
    kept = {"r": config.r, strength: getattr(config, strength)} | asked | changed
    kept.pop("init_lora_weights", None)
    return {name: sorted(value) if isinstance(value, set) else value for name, value in kept.items()}


def load(pipeline: DiffusionPipeline, file: Path) -> None:
    """Put the adapters of a file on a pipeline: LoRA as diffusers loads it, LoKr as `save` wrote it.

    diffusers' pipelines take LoRA only; from 0.42 on, ``pipe.unet.load_lora_adapter`` takes LoKr.
    """
    if _holds_lokr(file):
        _load_lokr(pipeline, file)
    else:
        pipeline.load_lora_weights(file.parent, weight_name=file.name)


def _holds_lokr(file: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return any(".lokr_" in name for name in opened.keys())  # noqa: SIM118  # it is no dict
    except SafetensorError:  # diffusers says it better
        return False


def _load_lokr(pipeline: DiffusionPipeline, file: Path) -> None:
    from peft import LoKrConfig, inject_adapter_in_model, set_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        settings = json.loads((opened.metadata() or {})[_SETTINGS])
        state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    for part in {name.partition(".")[0] for name in state}:
        network, own = getattr(pipeline, part), len(part) + 1
        chosen = {name[own:]: value for name, value in settings.items() if name.startswith(f"{part}.")}
        inject_adapter_in_model(LoKrConfig(**chosen), network)
        weights = {name[own:]: value for name, value in state.items() if name.startswith(f"{part}.")}
        if set_peft_model_state_dict(network, weights).unexpected_keys:
            raise ModelError(f"{file} does not fit this model")
        _announce(network)
