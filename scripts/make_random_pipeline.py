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
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fsynth import outputs, sd_original  # noqa: E402
from fsynth.console import say  # noqa: E402
from fsynth.errors import FsynthError  # noqa: E402
from fsynth.keyed import seed_of  # noqa: E402
from fsynth.sd_published import FAMILIES, NETWORKS, write_settings  # noqa: E402

DTYPES = {"float16": torch.float16, "float32": torch.float32}
SMALLER = 8
"""What ``--scale small`` divides widths by."""


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
    parts = dict(FAMILIES[family])
    if scale == "small":
        parts |= {name: shrunk(parts[name]) for name in NETWORKS if name in parts}
    write_settings(parts, folder)
    size = sum(
        _write_weights(name, parts[name], folder / name, dtype, seed) for name in NETWORKS if name in parts
    )
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


def _write_weights(name: str, config: Mapping[str, Any], folder: Path, dtype: torch.dtype, seed: int) -> int:
    """Write the weights of one part; returns how many there are."""
    from safetensors.torch import save_file

    weights = random_weights(_described(name, config)[1], dtype, seed_of(seed, "random pipeline", name))
    text = name.startswith("text_encoder")
    if text:
        weights = sd_original.spelt(weights)
    file = "model.safetensors" if text else "diffusion_pytorch_model.safetensors"
    save_file(weights, folder / file, metadata={"format": "pt"})
    return sum(value.numel() for value in weights.values())


def _described(name: str, config: Mapping[str, Any]) -> tuple[list[str], Any]:
    """The entry in the index, and the network without memory for its weights."""
    import diffusers
    import transformers

    if name.startswith("text_encoder"):
        library: Any = transformers
        arguments: dict[str, Any] = {"config": transformers.CLIPTextConfig(**config)}
    else:
        library, arguments = diffusers, dict(config)
    with torch.device("meta"):
        network = getattr(library, NETWORKS[name][1])(**arguments)
    return NETWORKS[name], network


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


if __name__ == "__main__":
    sys.exit(main())
