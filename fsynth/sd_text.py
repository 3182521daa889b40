"""The text encoder of a Stable Diffusion model that learns along: whole, or by adapters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from fsynth import records, sd_lora
from fsynth.errors import ConfigError, ModelError
from fsynth.keyed import seed_of
from fsynth.outputs import make_folder, write_json
from fsynth.sd_lora import Adapters

if TYPE_CHECKING:
    from transformers import CLIPTextModel

Train = Literal["none", "lora", "full"]
KIND = "StableDiffusionPipeline"
"""Whose text encoder may learn: of the others' some layers are never used."""
_WEIGHTS = "model.safetensors"
_PROBE = (0, 3, 1, 2, 7, 5)
"""Token ids that every vocabulary has."""


def check(train: Train, lr: float | None, adapters: Adapters | None, kind: str = KIND) -> None:
    """Refuse settings that contradict each other, before anything is said.

    Args:
        lr: of the text encoder, where one was given.
        adapters: of the UNet; what is written is either adapters or a whole pipeline.
        kind: class of the pipeline.

    Raises:
        ConfigError: saying which.
    """
    if train != "none" and kind != KIND:
        raise ConfigError(f"text.train={train}: of Stable Diffusion 1.x and 2.x only, not of a {kind}")
    if train == "none" and lr is not None:
        raise ConfigError(
            f"text.lr={lr:g}: the text encoder does not learn; set text.train=lora or full, too"
        )
    if train == "lora" and adapters is None:
        raise ConfigError(
            "text.train=lora belongs to adapters; give --lora-rank, too, or take text.train=full"
        )
    if train == "full" and adapters is not None:
        raise ConfigError(
            "text.train=full: with --lora-rank adapters alone learn; take text.train=lora, or leave it out"
        )
    if train == "lora" and adapters is not None:
        sd_lora.check_text(adapters)


def begin(encoder: nn.Module, train: Train, adapters: Adapters | None, seed: int) -> None:
    """Let the text encoder learn, in float32; its answers stay what they were.

    Args:
        seed: of the run; adapters start at a function of it.
    """
    encoder.requires_grad_(train == "full")
    if train == "lora" and adapters is not None:
        sd_lora.add_to_text(encoder, adapters, seed_of(seed, "text lora"))


def save(encoder: CLIPTextModel, source: Path, target: Path) -> None:
    """Write a text encoder that learnt whole, in float32, with names that all versions of transformers read.

    From 5.6 on, transformers writes them without ``text_model.``; earlier ones then load random weights, with
    a warning only. Newer ones read both.

    Args:
        source: the folder that it came from, whose configuration is kept but for the type of the weights.
    """
    from safetensors.torch import save_file

    make_folder(target)
    for path in source.glob("*.json"):
        if not path.name.endswith(".index.json"):  # of weights in several files
            shutil.copyfile(path, target / path.name)
    config = records.read(target / "config.json", ModelError, "fetch the model again")
    kept = {name: value for name, value in config.items() if name not in ("dtype", "torch_dtype")}
    write_json(target / "config.json", kept | {"torch_dtype": "float32"})
    state = {
        sd_lora.old_name(name): value.detach().cpu().contiguous()
        for name, value in encoder.state_dict().items()
    }
    save_file(state, target / _WEIGHTS, metadata={"format": "pt"})


@torch.no_grad()
def difference(encoder: nn.Module, other: nn.Module) -> float:
    """How far two text encoders on the CPU are off each other on fixed token ids, over the spread of the
    first one's embeddings."""
    ids = torch.tensor([_PROBE])
    mine, others = (model.eval()(ids)[0].float() for model in (encoder, other))
    return ((mine - others).abs().max() / mine.std()).item()
