"""Random CLIPs of a size for tests; never shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from fsynth import clip_tiny

SENTENCES = ["the lady wore a red sleeveless dress.", "the man is wearing a blue long-sleeved hoodie."]
VISION = {"image_size": 128, "patch_size": 32, "width": 64, "layers": 2, "head_width": 32}


def make(folder: Path, seed: int = 0) -> Path:
    """Write a random vision transformer with a small text tower to ``folder``."""
    usual = clip_tiny._tiny_architecture
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_tiny, "_tiny_architecture", lambda size: {**usual(size), "vision_cfg": VISION})
        fresh = clip_tiny.create_tiny(folder.with_name(f"{folder.name}-fresh"), SENTENCES * 3, seed)
    return fresh.save(folder)


def plain(**more: Any) -> dict[str, Any]:
    """The architecture of a CLIP as OpenAI made it, with its vocabulary, small; ``more`` joins text_cfg."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2, **more}
    vision = {"image_size": 64, "patch_size": 16, "width": 64, "layers": 2, "head_width": 16}
    return {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}


def register(patch: pytest.MonkeyPatch, name: str, architecture: dict[str, Any]) -> str:
    """Let open_clip know an architecture by a name, while the patch lasts."""
    patch.setitem(open_clip.factory._MODEL_CONFIGS, name, architecture)
    return name


def write_weights(file: Path, name: str, seed: int = 0) -> Path:
    """A file of random weights alone of a named architecture, far from where they begin: as if trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = open_clip.create_model(name, load_weights=False)
        state = network.state_dict()
        spread = {key: value + 0.02 * torch.randn_like(value) for key, value in state.items()}
    save_file(spread, file)
    return file
