"""Stable Diffusion pipelines of true size with random weights: memory, caches, checkpoints and speed can be
rehearsed where no published ones are at hand. What they draw is noise.

    python scripts/make_random_pipeline.py sd15|sd21|sdxl FOLDER [--dtype float16|float32]
        [--scale full|small] [--seed 0]

FOLDER is a diffusers pipeline with the published configurations and CLIP's own tokenizer, for `fsynth
sd-train --model FOLDER`. Parts are made and written one after the other: no more than one is ever in memory.
``--scale small`` divides widths by eight and keeps all blocks, for tests.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fsynth import clip_export, outputs  # noqa: E402
from fsynth.console import say  # noqa: E402
from fsynth.errors import FsynthError  # noqa: E402
from fsynth.keyed import seed_of  # noqa: E402

DTYPES = {"float16": torch.float16, "float32": torch.float32}
SMALLER = 8
"""What ``--scale small`` divides widths by."""
UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
}
UNET_21 = UNET | {
    "sample_size": 96,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
    "upcast_attention": True,
}
UNET_XL = UNET | {
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 2048,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
TEXT_L: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "bos_token_id": 0,  # these two as published: encoders then look for the largest number, which is the end
    "eos_token_id": 2,
    "pad_token_id": 1,
}
TEXT_H = TEXT_L | {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,  # of 24: Stable Diffusion 2 reads the last but one
    "num_attention_heads": 16,
    "projection_dim": 512,
    "hidden_act": "gelu",
}
TEXT_G = TEXT_L | {
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
}
DDIM = SCHEDULE | {"clip_sample": False, "set_alpha_to_one": False}
PNDM = SCHEDULE | {"skip_prk_steps": True, "set_alpha_to_one": False}
FAMILIES: dict[str, dict[str, Any]] = {
    "sd15": {
        "_class_name": "StableDiffusionPipeline",
        "unet": UNET,
        "vae": VAE,
        "text_encoder": TEXT_L,
        "tokenizer": {"padding": clip_export.END},
        "scheduler": ("PNDMScheduler", PNDM),
    },
    "sd21": {
        "_class_name": "StableDiffusionPipeline",
        "unet": UNET_21,
        "vae": VAE | {"sample_size": 768},
        "text_encoder": TEXT_H,
        "tokenizer": {"padding": "!"},
        "scheduler": ("DDIMScheduler", DDIM | {"prediction_type": "v_prediction"}),
    },
    "sdxl": {
        "_class_name": "StableDiffusionXLPipeline",
        "unet": UNET_XL,
        "vae": VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
        "text_encoder": TEXT_L,
        "text_encoder_2": TEXT_G,
        "tokenizer": {"padding": clip_export.END},
        "tokenizer_2": {"padding": "!"},
        "scheduler": ("EulerDiscreteScheduler", SCHEDULE | {"timestep_spacing": "leading"}),
    },
}
SAFETY = {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    try:
        with outputs.whole_folder(options.folder, "random-pipeline") as (staging, final):
            size = write(options.family, staging, DTYPES[options.dtype], options.scale, options.seed)
    except FsynthError as error:
        print(f"make_random_pipeline: {error}", file=sys.stderr)
        return 1
    say(f"{final}: {options.family}, {size:,} random weights in {options.dtype}")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=list(FAMILIES))
    parser.add_argument("folder", type=Path, help="new or empty")
    parser.add_argument("--dtype", choices=list(DTYPES), default="float16")
    parser.add_argument("--scale", choices=("full", "small"), default="full")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def write(
    family: str, folder: Path, dtype: torch.dtype = torch.float16, scale: str = "full", seed: int = 0
) -> int:
    """Write a pipeline into an empty folder, one part after the other; returns how many weights it has."""
    parts = {name: value for name, value in FAMILIES[family].items() if name != "_class_name"}
    index: dict[str, Any] = {"_class_name": FAMILIES[family]["_class_name"]}
    size = 0
    for name, config in parts.items():
        (folder / name).mkdir()
        if name == "scheduler":
            index[name] = ["diffusers", config[0]]
            _json(folder / name / "scheduler_config.json", {"_class_name": config[0], **config[1]})
        elif name.startswith("tokenizer"):
            index[name] = ["transformers", "CLIPTokenizer"]
            clip_export.write_tokenizer(folder / name, TEXT_L["max_position_embeddings"], config["padding"])
        else:
            config = shrunk(config) if scale == "small" else config
            index[name], weights = _network(name, config, folder / name, dtype, seed)
            size += weights
    unsafe = {} if "text_encoder_2" in parts else SAFETY
    _json(folder / "model_index.json", index | unsafe)
    outputs.open_to_readers(folder)
    return size


def shrunk(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a part `SMALLER` times as narrow in all its widths, with the same blocks."""
    widths = ("block_out_channels", "cross_attention_dim", "hidden_size", "intermediate_size")
    widths += ("projection_dim", "norm_num_groups", "addition_time_embed_dim")
    widths += ("projection_class_embeddings_input_dim",)
    smaller = {name: _divided(config[name]) for name in widths if name in config}
    if "attention_head_dim" in config:  # the number of heads, in spite of its name
        smaller["attention_head_dim"] = 5 if isinstance(config["attention_head_dim"], list) else 4
    if "num_attention_heads" in config:
        smaller["num_attention_heads"] = 4
    return {**config, **smaller}


def _divided(value: Any) -> Any:
    return [one // SMALLER for one in value] if isinstance(value, list) else value // SMALLER


def _network(
    name: str, config: Mapping[str, Any], folder: Path, dtype: torch.dtype, seed: int
) -> tuple[list[str], int]:
    """Write one part; returns its entry in the index, and how many weights it has."""
    from safetensors.torch import save_file

    kind, network = _described(name, config)
    weights = random_weights(network, dtype, seed_of(seed, "random pipeline", name))
    text = name.startswith("text_encoder")
    if text:
        weights = {_spelt(key): value for key, value in weights.items()}
        _json(folder / "config.json", dict(config))
    else:
        network.save_config(folder)
    file = "model.safetensors" if text else "diffusion_pytorch_model.safetensors"
    save_file(weights, folder / file, metadata={"format": "pt"})
    return kind, sum(value.numel() for value in weights.values())


def _described(name: str, config: Mapping[str, Any]) -> tuple[list[str], Any]:
    """The entry in the index, and the network without memory for its weights."""
    import diffusers
    import transformers

    if name.startswith("text_encoder"):
        library, (kind,) = transformers, config["architectures"]
        arguments: dict[str, Any] = {"config": transformers.CLIPTextConfig(**config)}
    else:
        library, kind = diffusers, "UNet2DConditionModel" if name == "unet" else "AutoencoderKL"
        arguments = dict(config)
    with torch.device("meta"):
        network = getattr(library, kind)(**arguments)
    return [library.__name__, kind], network


def random_weights(network: nn.Module, dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """Weights for a network on the meta device, of a spread that keeps its activations in the range of half
    precision: 1 over the root of the inputs; norms that do nothing, biases of 0."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, value in network.state_dict().items():
        new = torch.zeros(value.shape, dtype=dtype)
        if value.dim() > 1:
            inputs = value[0].numel()
            spread = 0.02 if "embedding.weight" in name else inputs**-0.5
            new.normal_(0, spread, generator=generator)
        elif name.endswith("weight"):
            new.fill_(1)
        weights[name] = new
    return weights


def _spelt(name: str) -> str:
    """Text encoders of transformers 5.6 and later have lost a level of names; all versions read the old."""
    return name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}"


def _json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
