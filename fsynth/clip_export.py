"""CLIP models for other libraries: a folder that transformers loads as `CLIPModel`, with the same features.

What transformers can hold are vision transformers and text transformers as OpenAI made them, with CLIP's own
vocabulary; anything else is refused with the reason. Weights are renamed, the three parts of an attention's
input projection taken apart, projections transposed (open_clip multiplies from the other side). Files are
written as every version of transformers reads them, from 4.48 to 5.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fsynth import clip_folder, outputs
from fsynth.clip_model import ClipModel, encode_pictures, encode_sentences, load
from fsynth.data import clip_tokens
from fsynth.errors import ModelError

TOLERANCE = 1e-5
"""What features of unit length may differ by."""

PROBES = (
    "the lady wore a red sleeveless dress.",
    "A man's BLUE long-sleeved hoodie, 100 % cotton; café-coloured",
    "",
    "a very long sentence " * 40,
)
"""Sentences that an export is checked with: case, signs, accents, emptiness, more than any model reads."""

START, END = "<|startoftext|>", "<|endoftext|>"
BLOCK = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
OUTSIDE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",  # a slip of theirs that stayed
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
_PROJECTIONS = {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}
_SIZES = {
    "vision": {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "patch_dropout"},
    "text": {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "pad_id", "eos_id"},
}
"""Fields of open_clip's configuration that may be anything, or mean nothing here."""


# --------------------------------------------------------------------------------------------------
# whether


def obstacle(model: ClipModel) -> str | None:
    """Why `CLIPModel` cannot hold a model, "its picture tower is a ResNet" say; None where it can."""
    vision, text = _towers(model.architecture)
    return next(_obstacles(vision, text, model.preprocessing), None)


def refuse(model: ClipModel) -> None:
    """Refuse what has an `obstacle`.

    Raises:
        ModelError: naming it.
    """
    if (reason := obstacle(model)) is not None:
        raise ModelError(
            f"model {model.source} cannot become a CLIPModel of transformers: {reason}; --format open_clip "
            "writes it as it is"
        )


def _towers(architecture: Mapping[str, Any]) -> tuple[Any, Any]:
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    return CLIPVisionCfg(**architecture["vision_cfg"]), CLIPTextCfg(**architecture["text_cfg"])


def _obstacles(vision: Any, text: Any, preprocessing: Mapping[str, Any]) -> Iterator[str]:
    if vision.timm_model_name:
        yield f"its picture tower is timm's {vision.timm_model_name}"
    if isinstance(vision.layers, (tuple, list)):
        yield "its picture tower is a ResNet"
    if text.hf_model_name:
        yield f"its text tower is {text.hf_model_name}"
    if text.hf_tokenizer_name or text.vocab_size != clip_tokens.VOCABULARY:
        yield "its vocabulary is not CLIP's"
    if (text.tokenizer_kwargs or {}).get("clean", "lower") != "lower":
        yield f"its sentences are cleaned otherwise ({text.tokenizer_kwargs['clean']})"
    yield from _unusual(vision, _SIZES["vision"], "timm_", "picture")
    yield from _unusual(text, _SIZES["text"] | {"tokenizer_kwargs"}, "hf_", "text")
    for what in ("image_size", "patch_size"):
        if len(set(_pair(getattr(vision, what)))) > 1:
            yield f"its pictures or patches are not square ({what} {getattr(vision, what)})"
    if preprocessing["resize_mode"] == "longest":
        yield "its pictures are padded to a square"


def _unusual(tower: Any, sizes: set[str], foreign: str, name: str) -> Iterator[str]:
    for field in dataclasses.fields(tower):
        if field.name in sizes or field.name.startswith(foreign):
            continue
        value = getattr(tower, field.name)
        if value != field.default:
            yield f"its {name} tower is of another kind ({field.name} {value})"


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[-1])


# --------------------------------------------------------------------------------------------------
# writing


def write_transformers(model: ClipModel, folder: Path, half: bool = False) -> None:
    """Write ``CLIPModel.from_pretrained(folder)``, with ``CLIPProcessor``, into an empty folder.

    Args:
        half: store weights in float16.

    Raises:
        ModelError: an architecture that it cannot hold.
    """
    from safetensors.torch import save_file

    refuse(model)
    weights = renamed({name: value.detach().cpu() for name, value in model.network.state_dict().items()})
    if half:
        weights = {name: value.half() for name, value in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", config_of(model, half))
    _write_json(folder / "preprocessor_config.json", preprocessor(model.preprocessing))
    write_tokenizer(folder, model.complete_architecture["text_cfg"]["context_length"])
    _write_json(
        folder / clip_folder.RECORD_FILE,
        clip_folder.record(model.architecture, model.origin or clip_folder.Origin(model.source)),
    )
    outputs.open_to_readers(folder)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's weights under transformers' names; a logit bias is left out, `CLIPModel` has none.

    Raises:
        ModelError: a weight that has no place there.
    """
    weights: dict[str, Tensor] = {}
    for name, value in state.items():
        plain = name.removeprefix("text.")  # of text towers in a class of their own
        if ".resblocks." in plain:
            weights |= _block(plain, value)
        elif plain in OUTSIDE:
            weights[OUTSIDE[plain]] = value.contiguous()
        elif plain in _PROJECTIONS:
            weights[_PROJECTIONS[plain]] = value.T.contiguous()
        elif plain == "logit_scale":
            weights[plain] = value.reshape(())
        elif plain != "logit_bias":
            raise ModelError(
                f"weight {name} has no place in a CLIPModel of transformers; use --format open_clip"
            )
    return weights


def _block(name: str, value: Tensor) -> dict[str, Tensor]:
    tower, _, rest = name.partition("transformer.resblocks.")
    number, _, inner = rest.partition(".")
    layer = f"{'vision' if tower else 'text'}_model.encoder.layers.{number}"
    module, _, kind = inner.rpartition(".")
    if inner.startswith("attn.in_proj_"):
        parts = zip("qkv", value.chunk(3), strict=True)
        kind = inner.removeprefix("attn.in_proj_")
        return {f"{layer}.self_attn.{part}_proj.{kind}": rows.contiguous() for part, rows in parts}
    if module not in BLOCK:
        raise ModelError(f"weight {name} has no place in a CLIPModel of transformers; use --format open_clip")
    return {f"{layer}.{BLOCK[module]}.{kind}": value.contiguous()}


def config_of(model: ClipModel, half: bool = False) -> dict[str, Any]:
    """What `CLIPConfig` reads, every value written out."""
    vision, text = _towers(model.complete_architecture)
    width = model.architecture["embed_dim"]
    both = {
        "hidden_act": "quick_gelu" if model.complete_architecture["quick_gelu"] else "gelu",
        "layer_norm_eps": 1e-5,
        "projection_dim": width,
    }
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "torch_dtype": "float16" if half else "float32",
        "projection_dim": width,
        "logit_scale_init_value": model.network.logit_scale.item(),
        "text_config": both
        | _transformer(text, text.heads)
        | {
            "model_type": "clip_text_model",
            "max_position_embeddings": text.context_length,
            "vocab_size": text.vocab_size,
            "bos_token_id": clip_tokens.VOCABULARY - 2,
            "eos_token_id": clip_tokens.VOCABULARY - 1,
            "pad_token_id": clip_tokens.VOCABULARY - 1,
        },
        "vision_config": both
        | _transformer(vision, vision.width // vision.head_width)
        | {
            "model_type": "clip_vision_model",
            "image_size": _pair(vision.image_size)[0],
            "patch_size": _pair(vision.patch_size)[0],
            "num_channels": 3,
        },
    }


def _transformer(tower: Any, heads: int) -> dict[str, int]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": int(tower.width * tower.mlp_ratio),
        "num_hidden_layers": tower.layers,
        "num_attention_heads": heads,
    }


def preprocessor(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What `CLIPImageProcessor` reads, of open_clip's preprocessing."""
    high, wide = _pair(cfg["size"])
    whole = {"height": high, "width": wide}
    squashed = cfg["resize_mode"] == "squash"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": whole if squashed else {"shortest_edge": high},
        "resample": 2 if cfg["interpolation"] == "bilinear" else 3,  # PIL's numbers
        "do_center_crop": not squashed,
        "crop_size": whole,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(cfg["mean"]),
        "image_std": list(cfg["std"]),
    }


def write_tokenizer(folder: Path, length: int, padding: str = END) -> None:
    """Write CLIP's tokenizer into an empty folder, in both forms, for tokenizers in Python and in Rust:
    vocab.json with merges.txt, and tokenizer.json.

    Args:
        length: tokens of a sentence, with start and end.
        padding: the word that fills a sentence up: OpenAI's end, ``!`` of Stable Diffusion 2 and XL.
    """
    words, merges = clip_tokens.vocabulary()
    words = {**words, START: clip_tokens.VOCABULARY - 2, END: clip_tokens.VOCABULARY - 1}
    (folder / "vocab.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    clip_tokens.as_transformers(words, merges, START, END).save(str(folder / "tokenizer.json"))
    special = {"bos_token": START, "eos_token": END, "pad_token": padding, "unk_token": END}
    _write_json(folder / "special_tokens_map.json", special)
    _write_json(
        folder / "tokenizer_config.json",
        {**special, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True, "model_max_length": length},
    )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


# --------------------------------------------------------------------------------------------------
# checking


@torch.no_grad()
def check(model: ClipModel, folder: Path) -> float:
    """Load a folder that `write_transformers` wrote as any user would, and compare features.

    Random pictures, and `PROBES` by the folder's own tokenizer; features of unit length and similarities.

    Returns:
        the largest absolute difference, at most `TOLERANCE`.

    Raises:
        ModelError: they differ by more, or transformers cannot read the folder.
    """
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    pictures = _pictures(model)
    try:
        theirs = CLIPModel.from_pretrained(folder).float().eval()
        tokens = CLIPTokenizer.from_pretrained(folder)(
            list(PROBES), padding="max_length", truncation=True, return_tensors="pt"
        )
        found = theirs(pixel_values=pictures, **tokens)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"transformers cannot read what was written of {model.source}: {error}") from None
    mine = encode_pictures(model, [pictures]), encode_sentences(model, PROBES)
    cosines = found.logits_per_image / theirs.logit_scale.exp()
    return _small(model, (found.image_embeds, found.text_embeds, cosines), (*mine, mine[0] @ mine[1].T))


def check_open_clip(model: ClipModel, folder: Path) -> float:
    """`check` of a folder that `ClipModel.write` wrote."""
    again, pictures = load(str(folder)), _pictures(model)
    mine, its = ((encode_pictures(one, [pictures]), encode_sentences(one, PROBES)) for one in (model, again))
    return _small(model, its, mine)


def _pictures(model: ClipModel) -> Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randn(3, 3, *_pair(model.preprocessing["size"]), generator=drawn)


def _small(model: ClipModel, its: Sequence[Tensor], mine: Sequence[Tensor]) -> float:
    difference = max((one - other).abs().max().item() for one, other in zip(its, mine, strict=True))
    if not difference <= TOLERANCE:
        raise ModelError(
            f"model {model.source} gives other features when the export is loaded: they differ by up to "
            f"{difference:.2g}, and float noise is at most {TOLERANCE:g}"
        )
    return difference
