"""Configurations of the published Stable Diffusion models: pipelines before their weights are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsynth import clip_export
from fsynth.outputs import write_json

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
NETWORKS = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
}
"""Parts that have weights, as model_index.json names them."""
SAFETY = {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}


def write_settings(family: Mapping[str, Any], folder: Path) -> None:
    """Write a pipeline but for its weights into an empty folder: index, configurations, CLIP's own tokenizer.

    Args:
        family: one of ``FAMILIES``, or one like it.
    """
    index: dict[str, Any] = {"_class_name": family["_class_name"]}
    for name, config in family.items():
        if name == "_class_name":
            continue
        (folder / name).mkdir()
        if name == "scheduler":
            index[name] = ["diffusers", config[0]]
            write_json(folder / name / "scheduler_config.json", {"_class_name": config[0], **config[1]})
        elif name in NETWORKS:
            index[name] = NETWORKS[name]
            own = {"_class_name": NETWORKS[name][1]} if index[name][0] == "diffusers" else {}
            write_json(folder / name / "config.json", own | config)
        else:
            index[name] = ["transformers", "CLIPTokenizer"]
            clip_export.write_tokenizer(folder / name, TEXT_L["max_position_embeddings"], config["padding"])
    index |= {} if "text_encoder_2" in family else SAFETY
    write_json(folder / "model_index.json", index)
