"""A random CLIP of a size for tests, in a folder; never shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

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
