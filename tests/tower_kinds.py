"""Random CLIP networks with towers of every kind that open_clip builds, of a size for tests."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from torch import nn

VIT = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 3, "head_width": 16}
RESNET = {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 16}
TIMM = {"image_size": 32, "timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "token"}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 3}
KINDS = ("vit", "resnet", "timm", "hf")


def make(kind: str, folder: Path) -> nn.Module:
    """``vit``: all in one network; ``resnet`` and ``timm``: a text tower of its own; ``hf``: BERT."""
    vision = {"vit": VIT, "resnet": RESNET, "timm": TIMM, "hf": VIT}[kind]
    text = _bert(folder) if kind == "hf" else TEXT
    build = open_clip.CLIP if kind == "vit" else open_clip.CustomTextCLIP
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(embed_dim=16, vision_cfg=vision, text_cfg=text).eval()
    for name, value in network.named_parameters():
        if name.endswith("bn3.weight"):  # 0 in a fresh ResNet: no gradient would reach its convolutions
            nn.init.ones_(value)
    return network


def _bert(folder: Path) -> dict[str, object]:
    from transformers import BertConfig

    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    BertConfig(vocab_size=64, max_position_embeddings=16, **sizes).save_pretrained(folder)
    return {
        "hf_model_name": str(folder),
        "hf_model_pretrained": False,
        "hf_proj_type": "linear",
        "hf_pooler_type": "mean_pooler",
        "context_length": 8,
    }


def inputs(network: nn.Module, rows: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures and tokens."""
    generator = torch.Generator().manual_seed(1)
    size = network.visual.image_size
    side = size[0] if isinstance(size, tuple) else size
    tokens = torch.randint(1, 60, (rows, 8), generator=generator)
    return torch.randn(rows, 3, side, side, generator=generator), tokens


def features(network: nn.Module, rows: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    pictures, tokens = inputs(network, rows)
    return network.encode_image(pictures, normalize=True), network.encode_text(tokens, normalize=True)
