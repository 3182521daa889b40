"""The small CLIP for drawn pictures: its architecture, its own tokenizer, fresh weights.

What ships as ``tiny`` is this, trained by scripts/train_assets.py; it is loaded as any other folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from fsynth.clip_folder import CONFIG_FILE, PORTABLE_TOKENIZER, TINY
from fsynth.clip_model import ClipModel


def create_tiny(folder: Path, sentences: Iterable[str], seed: int = 0) -> ClipModel:
    """A small fresh network for 128 px pictures with a tokenizer of its own; to be trained, then saved.

    A ResNet with an attention pool and a small text transformer: 2.1 million parameters, 4.2 MB in half
    precision, about 125 pictures a second forward and backward on one core.
    It learns drawn pictures several times faster per pair than vision transformers and ConvNeXts of its cost.
    The tokenizer is byte-level BPE learnt from ``sentences``: any text has tokens, known words have one.

    Args:
        folder: new folder for the tokenizer and the architecture; weights come with `ClipModel.save`.
    """
    import open_clip

    folder.mkdir(parents=True)
    vocabulary = _train_tokenizer(folder, sentences)
    architecture = _tiny_architecture(vocabulary)
    config = {"model_cfg": architecture, "preprocess_cfg": {"size": 128, "resize_mode": "squash"}}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    name = f"local-dir:{folder}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = open_clip.create_model(name, load_weights=False)
    return ClipModel(network.eval(), open_clip.get_tokenizer(name), architecture, TINY)


def _tiny_architecture(vocabulary: int) -> dict[str, Any]:
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 128, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
        "text_cfg": {
            "context_length": 32,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": TINY,  # any name: open_clip takes the tokenizer from the folder itself
            "width": 128,
            "heads": 4,
            "layers": 3,
            "pool_type": "eos",
            "eos_id": 2,
        },
    }


def _train_tokenizer(folder: Path, sentences: Iterable[str], size: int = 1024) -> int:
    """Write tokenizer.json and tokenizer_config.json; returns the number of tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<start>", "<end>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": PORTABLE_TOKENIZER, "pad_token": "<pad>", "eos_token": "<end>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return tokenizer.get_vocab_size()
