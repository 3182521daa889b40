"""What the header of a safetensors file says of the model in it: the keys of ModelSpec 1.0.1
(https://github.com/Stability-AI/ModelSpec), which managers of models show, and sd-scripts' of adapters."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

import fsynth

ARCHITECTURES = {
    ("v1", "epsilon"): "stable-diffusion-v1",
    ("v1", "v_prediction"): "stable-diffusion-v1",
    ("v2", "epsilon"): "stable-diffusion-v2-512",
    ("v2", "v_prediction"): "stable-diffusion-v2-768-v",
    ("xl", "epsilon"): "stable-diffusion-xl-v1-base",
    ("xl", "v_prediction"): "stable-diffusion-xl-v1-base",
}
"""By generation (`sd_original.generation`) and what the network predicts."""
BASE_VERSIONS = {"v1": "sd_v1", "v2": "sd_v2", "xl": "sdxl_base_v1-0"}
ORIGINAL = "https://github.com/Stability-AI/generative-models"


def describe(
    generation: str,
    prediction: str,
    *,
    title: str,
    resolution: int,
    base: str,
    licence: str,
    original: bool,
    adapter: bool,
) -> dict[str, str]:
    """The header's entries but for the hash, which `save` adds.

    Args:
        generation: ``v1``, ``v2`` or ``xl``.
        prediction: as diffusers' schedulers name it.
        resolution: side of the pictures in pixels.
        base: the model that training began from.
        original: weights stand under the names of the original checkpoints, not under diffusers'.
        adapter: they are adapters.
    """
    named = {
        "sai_model_spec": "1.0.1",
        "architecture": ARCHITECTURES.get((generation, prediction), f"stable-diffusion-{generation}")
        + ("/lora" if adapter else ""),
        "implementation": ORIGINAL if original else "diffusers",
        "title": title,
        "resolution": f"{resolution}x{resolution}",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "description": f"Fine-tuned from {base} by fsynth {fsynth.__version__}.",
        "license": licence,
        "prediction_type": {"v_prediction": "v"}.get(prediction, prediction),
    }
    return {f"modelspec.{name}": value for name, value in named.items()}


def for_trainers(generation: str, rank: int, alpha: float) -> dict[str, str]:
    """sd-scripts' entries of LoRA files: by them interfaces know which base a file belongs to."""
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": f"{alpha:g}",
        "ss_base_model_version": BASE_VERSIONS[generation],
        "ss_v2": str(generation == "v2"),
    }


def save(weights: Mapping[str, Tensor], file: Path, entries: Mapping[str, str]) -> None:
    """Write a safetensors file with these entries and the hash of its weights."""
    from safetensors.torch import save_file

    hashed = {"modelspec.hash_sha256": f"0x{digest(weights)}"}
    save_file(dict(weights), file, metadata={"format": "pt", **entries, **hashed})


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a safetensors file without its header: the weights in its order, widest numbers first, then
    by name."""
    found = hashlib.sha256()
    for name in sorted(weights, key=lambda name: (-weights[name].element_size(), name)):
        found.update(weights[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
