"""Small pipelines of every model family with random weights, and a folder of pictures to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts import tiny_models
from tests.data import make_flaws, make_sources

SENTENCES = ["the lady wore a blue dress", "the man wears a grey sweater"]
SIZES = tiny_models.Sizes(latent=4, vae=(8, 8, 8, 16), unet=(16, 32), text=16, text_layers=1, tokens=16)


def write_pictures(root: Path, rows: int = 6, size: tuple[int, int] = (32, 32)) -> Path:
    """An image folder: training rows, and two to test on."""
    for split, numbers in (("train", range(rows)), ("test", range(rows, rows + 2))):
        (root / split).mkdir(parents=True)
        lines = []
        for row in numbers:
            picture = make_flaws.texture(row, size)
            (root / split / f"{row}.jpg").write_bytes(make_flaws.jpeg(picture))
            lines.append({"file_name": f"{row}.jpg", "text": SENTENCES[row % 2]})
        make_sources.jsonl(root / split, lines)
    return root


def write_unet(folder: Path, scheduler: Any = None) -> Path:
    """A Stable Diffusion 1.x/2.x pipeline; ``scheduler`` in place of the usual one."""
    pipeline = tiny_models.make_pipeline(SENTENCES, SIZES)
    if scheduler is not None:
        pipeline.register_modules(scheduler=scheduler)
    tiny_models.save_pipeline(pipeline, folder)
    return folder


def write_xl(folder: Path) -> Path:
    """A Stable Diffusion XL pipeline: 32 px, both text encoders, the schedule of the published one."""
    _seeded(_xl).save_pretrained(folder)
    return folder


def write_flow(folder: Path) -> Path:
    """A Stable Diffusion 3 pipeline without T5: 32 px, latents that are scaled and shifted."""
    _seeded(_flow).save_pretrained(folder)
    return folder


def _seeded(make: Any) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def _xl() -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    tokenizer = tiny_models.make_tokenizer(SENTENCES, SIZES.tokens)
    unet = UNet2DConditionModel(
        sample_size=SIZES.latent,
        block_out_channels=SIZES.unet,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=2 * SIZES.text,
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + SIZES.text,
    )
    return StableDiffusionXLPipeline(
        vae=tiny_models.make_vae(SIZES),
        text_encoder=tiny_models.make_text_encoder(SIZES, tokenizer).eval(),
        text_encoder_2=_projecting(tokenizer),
        tokenizer=tokenizer,
        tokenizer_2=tiny_models.make_tokenizer(SENTENCES, SIZES.tokens),
        unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    )


def _flow() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    tokenizer = tiny_models.make_tokenizer(SENTENCES, SIZES.tokens)
    vae = tiny_models.make_vae(SIZES)
    vae.register_to_config(scaling_factor=0.3, shift_factor=0.06)
    transformer = SD3Transformer2DModel(
        sample_size=SIZES.latent,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=40,
        caption_projection_dim=16,
        pooled_projection_dim=2 * SIZES.text,
        pos_embed_max_size=4,
        qk_norm="rms_norm",
    )
    return StableDiffusion3Pipeline(
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=_projecting(tokenizer),
        text_encoder_2=_projecting(tokenizer),
        text_encoder_3=None,
        tokenizer=tokenizer,
        tokenizer_2=tiny_models.make_tokenizer(SENTENCES, SIZES.tokens),
        tokenizer_3=None,
    )


def _projecting(tokenizer: Any) -> Any:
    from transformers import CLIPTextModelWithProjection

    config = tiny_models.make_text_encoder(SIZES, tokenizer).config
    return CLIPTextModelWithProjection(config).eval()


WRITERS = {"unet": write_unet, "xl": write_xl, "flow": write_flow}
