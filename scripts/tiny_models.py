"""The shapes of the small Stable Diffusion pipeline that ships with the package, with random weights.

`make_pipeline` builds it, a training script makes it good, `save_pipeline` writes it as any Stable Diffusion
folder is written: `StableDiffusionPipeline.from_pretrained` reads it unchanged. At the default sizes: 128 px
pictures, 16x16x4 latents, 5.3 million parameters, 11 MB in fp16.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from tokenizers import Tokenizer
    from transformers import CLIPTextModel, CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True)
class Sizes:
    """Channels by level. The first UNet level has no attention: it holds most of the pixels' work."""

    latent: int = 16
    vae: tuple[int, ...] = (16, 16, 32, 64)
    unet: tuple[int, ...] = (48, 64, 128)
    text: int = 64
    text_layers: int = 2
    tokens: int = 40


def make_pipeline(
    sentences: Iterable[str], sizes: Sizes | None = None, seed: int = 0
) -> StableDiffusionPipeline:
    """The whole pipeline in fp32 with weights drawn from ``seed`` and a vocabulary from ``sentences``."""
    from diffusers import StableDiffusionPipeline

    sizes = sizes or Sizes()
    tokenizer = make_tokenizer(sentences, sizes.tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StableDiffusionPipeline(
            vae=make_vae(sizes),
            text_encoder=make_text_encoder(sizes, tokenizer),
            tokenizer=tokenizer,
            unet=make_unet(sizes),
            scheduler=make_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def make_vae(sizes: Sizes) -> AutoencoderKL:
    """Halves the sides between its levels: (B, 3, 8n, 8n) in [-1, 1] <-> (B, 4, n, n) with four levels.

    It is convolutional: train it on small crops. Afterwards set its factor, 1 / (standard deviation of the
    latents), with ``vae.register_to_config(scaling_factor=...)``.
    """
    from diffusers import AutoencoderKL

    levels = len(sizes.vae)
    return AutoencoderKL(
        block_out_channels=sizes.vae,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=sizes.latent * 2 ** (levels - 1),
    )


def make_unet(sizes: Sizes) -> UNet2DConditionModel:
    """Predicts noise in (B, 4, latent, latent) from timesteps (B,) and embeddings (B, tokens, text)."""
    from diffusers import UNet2DConditionModel

    inner = len(sizes.unet) - 1
    return UNet2DConditionModel(
        sample_size=sizes.latent,
        block_out_channels=sizes.unet,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * inner,
        up_block_types=("CrossAttnUpBlock2D",) * inner + ("UpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=sizes.text,
        attention_head_dim=4,  # the number of heads, in spite of its name
        norm_num_groups=8,
    )


def make_text_encoder(sizes: Sizes, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Token ids (B, tokens) -> embeddings (B, tokens, text)."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.text,
        intermediate_size=2 * sizes.text,
        projection_dim=sizes.text,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=4,
        max_position_embeddings=sizes.tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def make_scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.5's noise schedule, predicting noise."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def make_tokenizer(sentences: Iterable[str], tokens: int = 40) -> CLIPTokenizer:
    """CLIP's byte-level tokenizer over the words of ``sentences``: words it never saw are spelt in bytes."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    bpe = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=1,
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator(sentences, trainer)
    vocabulary, merges = _with_every_letter(bpe, letters)
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    with tempfile.TemporaryDirectory() as folder:
        _write_words(Path(folder), vocabulary, merges)
        return CLIPTokenizer.from_pretrained(folder, model_max_length=tokens, **special)


def _write_words(folder: Path, vocabulary: dict[str, int], merges: Iterable[Sequence[str]]) -> None:
    """The files that CLIPTokenizer of every transformers reads."""
    words = json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":"))
    (folder / "vocab.json").write_text(words + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _with_every_letter(bpe: Tokenizer, letters: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(bpe.to_str())["model"]
    base = sorted(letters) + sorted(letter + "</w>" for letter in letters)
    merged = [word for word in sorted(model["vocab"], key=model["vocab"].get) if word not in set(base)]
    vocabulary = {word: index for index, word in enumerate([*base, *merged, START, END])}
    return vocabulary, [tuple(pair) for pair in model["merges"]]


def save_pipeline(
    pipeline: StableDiffusionPipeline, folder: Path, dtype: torch.dtype = torch.float16
) -> None:
    """Write the pipeline folder with all weights in ``dtype``; the modules themselves keep theirs."""
    parts = {name: copy.deepcopy(getattr(pipeline, name)) for name in ("vae", "unet", "text_encoder")}
    small = type(pipeline)(
        **{**pipeline.components, **{name: part.to(dtype) for name, part in parts.items()}},
        requires_safety_checker=False,
    )
    small.save_pretrained(folder)
    _spell_as_before(folder / "text_encoder" / "model.safetensors")
    together = folder / "tokenizer" / "tokenizer.json"
    if together.exists():  # newer transformers write nothing else, older ones do not read it
        words = json.loads(together.read_text(encoding="utf-8"))["model"]
        _write_words(folder / "tokenizer", words["vocab"], words["merges"])


def _spell_as_before(weights: Path) -> None:
    """Put ``text_model.`` before the names: older transformers read nothing else, newer ones read both."""
    from safetensors.torch import load_file, save_file

    state = load_file(weights)
    save_file(
        {
            key if key.startswith("text_model.") else f"text_model.{key}": value
            for key, value in state.items()
        },
        weights,
        metadata={"format": "pt"},
    )
