"""Pictures from a Stable Diffusion pipeline of any family, each a function of (model, prompt, seed) alone.

The noise of a picture comes from its own generator on the CPU, so batch size, device and neighbours do not
enter beyond float noise. Latents are decoded in float32 whatever the pipeline computes in: half-precision
autoencoders turn some pictures black.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fsynth import sd_model
from fsynth.console import is_main_process
from fsynth.errors import ModelError
from fsynth.samples import Wanted

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import PreTrainedTokenizerBase


@torch.inference_mode()
def generate(
    pipeline: DiffusionPipeline,
    wanted: Sequence[Wanted],
    *,
    steps: int,
    guidance_scale: float,
    size: int | tuple[int, int],
    batch_size: int,
) -> Iterator[tuple[Wanted, np.ndarray]]:
    """Make the pictures, in order, as uint8 RGB (height, width, 3).

    Args:
        steps: denoising steps of the pipeline's own scheduler.
        guidance_scale: weight of the prompt over the empty prompt; 1 turns guidance off.
        size: of the pictures in pixels: (width, height), or one number for both.

    Raises:
        ModelError: when the model produces numbers that are no picture.
    """
    from tqdm.auto import tqdm

    width, height = (size, size) if isinstance(size, int) else size
    pipeline.set_progress_bar_config(disable=True)
    torch.nn.Module.float(pipeline.vae)  # the model's own method warns about a precision that it keeps
    with tqdm(total=len(wanted), desc="pictures", unit="picture", disable=not is_main_process()) as bar:
        for start in range(0, len(wanted), batch_size):
            batch = wanted[start : start + batch_size]
            latents = _denoised(pipeline, batch, steps, guidance_scale, width, height)
            yield from zip(batch, _decoded(pipeline, latents, batch), strict=True)
            bar.update(len(batch))


def _denoised(
    pipeline: DiffusionPipeline,
    batch: Sequence[Wanted],
    steps: int,
    guidance_scale: float,
    width: int,
    height: int,
) -> Tensor:
    generators = [torch.Generator().manual_seed(row.noise_seed) for row in batch]
    denoiser = sd_model.family(pipeline).denoiser
    factor = pipeline.vae_scale_factor
    shape = (denoiser.config.in_channels, height // factor, width // factor)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    return pipeline(
        [row.text for row in batch],
        height=height,
        width=width,
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        latents=noise.to(pipeline.device, denoiser.dtype),
        generator=generators,  # for schedulers that add noise at every step
        output_type="latent",
    ).images


def _decoded(pipeline: DiffusionPipeline, latents: Tensor, batch: Sequence[Wanted]) -> list[np.ndarray]:
    pictures = []
    for latent, row in zip(latents, batch, strict=True):  # one by one: decoding is what fills the memory
        pixels = sd_model.from_latents(pipeline.vae, latent[None])[0]
        if not torch.isfinite(pixels).all():
            raise ModelError(
                f"the model made no picture of '{row.text}' (values that are not finite); "
                "use --precision no, or another model"
            )
        pixels = (pixels.clamp(-1, 1) + 1) * 127.5
        pictures.append(pixels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())
    return pictures


def reading_problems(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[str]:
    """What the model will not understand of the prompts: words strange to its tokenizer, ends it cuts off."""
    problems = []
    words = {word for prompt in prompts for word in re.findall(r"[^\W\d_]+", prompt)}
    if strange := sorted(word for word in words if _is_strange(tokenizer, word)):
        problems.append(f"words the model does not know: {', '.join(strange)}")
    longest = tokenizer.model_max_length
    cut = [prompt for prompt in dict.fromkeys(prompts) if len(tokenizer(prompt).input_ids) > longest]
    if cut:
        problems.append(f"the model reads {longest} tokens; cut off: {len(cut)} prompts, first '{cut[0]}'")
    return problems


def _is_strange(tokenizer: PreTrainedTokenizerBase, word: str) -> bool:
    """Byte-level tokenizers know every word, but spell out what they never met: under 2 letters a token."""
    tokens = tokenizer(word, add_special_tokens=False).input_ids
    return tokenizer.unk_token_id in tokens or (len(word) > 2 and len(tokens) > len(word) / 2)
