"""Stable Diffusion 1.x and 2.x: loading, pictures to latents, captions to embeddings.

Training goes through the functions here and `fsynth.diffusion`; names and folders are `fsynth.sd_folder`'s.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fsynth import diffusion, sd_folder, sd_lora
from fsynth.errors import ConfigError, ModelError, reason
from fsynth.sd_folder import Found

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

DEFAULT_MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def load_pipeline(
    model: str | Path | Found,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    unet_dtype: torch.dtype | None = None,
) -> StableDiffusionPipeline:
    """Load a pipeline in eval mode, with its LoRA weights where it has some, without safety checker.

    Args:
        model: ``tiny``, hub name, pipeline folder, run folder, or what `sd_folder.find` gave.
        dtype: of all weights, whatever the files hold.
        unet_dtype: another one for the UNet.

    Raises:
        ModelError: when the model is unknown, broken or no Stable Diffusion 1.x/2.x text-to-image model.
    """
    from diffusers import StableDiffusionPipeline

    found = model if isinstance(model, Found) else sd_folder.find(model)
    _quiet_bars()
    try:
        pipeline = StableDiffusionPipeline.from_pretrained(
            found.pipeline,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
            local_files_only=True,
        )
        if found.lora is not None:
            sd_lora.load(pipeline, found.lora / sd_folder.LORA_WEIGHTS)
            follow_adapter(pipeline, found.lora)
    except Exception as error:  # loading raises whatever the reader of a broken file raises
        raise ModelError(f"model {found.lora or found.pipeline} does not load ({reason(error)})") from None
    _check_channels(pipeline, found)
    _set_dtype(pipeline.unet, unet_dtype or dtype)
    for part in (pipeline.vae, pipeline.text_encoder):
        _set_dtype(part, dtype)
    return pipeline.to(device)


def follow_adapter(pipeline: StableDiffusionPipeline, lora: Path) -> None:
    """Draw as the adapter in a folder was trained, where its fsynth.json says how."""
    if sd_folder.record_of(lora).get("zero_terminal_snr"):
        end_in_noise(pipeline)


def _set_dtype(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Here, because loaders of different versions take the type by different names. Weights also get memory
    of their own: mapped from a file they start at odd addresses, which changes the last digits of sums, and
    the same weights from two files would answer differently."""
    torch.nn.Module.to(module, dtype)
    for value in module.parameters():
        value.data = value.data.clone()


def _quiet_bars() -> None:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()


def _check_channels(pipeline: StableDiffusionPipeline, found: Found) -> None:
    given, latent = pipeline.unet.config.in_channels, pipeline.vae.config.latent_channels
    if given != latent:
        raise ModelError(
            f"the UNet of {found.name} takes {given} channels, the latents have {latent}: an inpainting or "
            "depth model; name a text-to-image model"
        )


# --------------------------------------------------------------------------------------------------
# what a found model says about itself, before its weights are read


def native_resolution(found: Found) -> int:
    """The picture size in pixels that the UNet was made for."""
    size = found.config("unet").get("sample_size", 64)
    return (size if isinstance(size, int) else size[0]) * vae_factor(found)


def vae_factor(found: Found) -> int:
    """Pixels per latent along a side: 8 for Stable Diffusion."""
    return 2 ** (len(found.config("vae")["block_out_channels"]) - 1)


def check_resolution(found: Found, resolution: int) -> None:
    """Refuse a picture size that the autoencoder cannot encode.

    Raises:
        ConfigError: with the two nearest sizes that it can.
    """
    factor = vae_factor(found)
    if resolution % factor:
        below = resolution // factor * factor
        nearest = f"{below} or {below + factor}" if below else f"{factor}"
        raise ConfigError(f"--resolution {resolution} is not a multiple of {factor}; take {nearest}")


def check_zero_terminal(found: Found) -> None:
    """Refuse a noise schedule without signal at its end to a model that answers with the noise.

    Raises:
        ConfigError: for such a model.
    """
    if found.config("scheduler", "scheduler_config.json").get("prediction_type", "epsilon") == "epsilon":
        raise ConfigError(
            f"objective.zero_terminal_snr: {found.name} predicts the noise (epsilon), which is all that it "
            "would see at the last level: nothing could be learnt or drawn from there; take a model that "
            "predicts v, or objective.noise_offset"
        )


def end_in_noise(pipeline: StableDiffusionPipeline) -> None:
    """Give a pipeline the noise schedule of zero terminal SNR (Lin et al. 2023, arXiv 2305.08891), and the
    spacing of steps that begins at its end, as diffusers spells both. A scheduler that cannot hold it, as
    Stable Diffusion's own PNDM, becomes a DDIM scheduler."""
    from diffusers import DDIMScheduler

    given, wanted = pipeline.scheduler, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    if "rescale_betas_zero_snr" in given.config:
        pipeline.scheduler = type(given).from_config(given.config, **wanted)
    else:  # latents are not in [-1, 1], where DDIM would clip them
        pipeline.scheduler = DDIMScheduler.from_config(given.config, **wanted, clip_sample=False)


def training_schedule(pipeline: StableDiffusionPipeline) -> diffusion.NoiseSchedule:
    """Signal and noise factors of the schedule that the pipeline's scheduler describes, on the CPU."""
    from diffusers import DDPMScheduler

    return diffusion.noise_schedule(DDPMScheduler.from_config(pipeline.scheduler.config).alphas_cumprod)


# --------------------------------------------------------------------------------------------------
# pictures and captions


def posterior_moments(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Mean and standard deviation of each picture's latents.

    A CPU encodes one picture after the other: its convolutions of several differ in the last digits from
    those of one, and what was encoded once would not be what is encoded at every step.

    Args:
        pixels: (B, 3, H, W) RGB in [-1, 1].

    Returns:
        float32 (B, 2C, H/8, W/8): the C means, then the C standard deviations, unscaled.
    """
    parts = pixels.split(1) if vae.device.type == "cpu" else (pixels,)
    with torch.no_grad():
        found = [vae.encode(part.to(vae.device, vae.dtype)).latent_dist for part in parts]
    return torch.cat([torch.cat([one.mean, one.std], dim=1) for one in found]).float()


def latents_of(vae: AutoencoderKL, moments: Tensor, noise: Tensor) -> Tensor:
    """Draw latents and scale them as the UNet expects: float32 (B, C, H/8, W/8).

    Args:
        moments: from `posterior_moments`.
        noise: standard normal (B, C, H/8, W/8).
    """
    mean, deviation = moments.chunk(2, dim=1)
    return (mean + deviation * noise) * vae.config.scaling_factor


def token_ids(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Padded and cut to the tokenizer's length: int64 (B, L)."""
    settings = {"padding": "max_length", "truncation": True, "max_length": tokenizer.model_max_length}
    return torch.tensor(tokenizer(list(captions), **settings).input_ids)


def embeddings(text_encoder: CLIPTextModel, ids: Tensor) -> Tensor:
    """What the UNet attends to: token ids (B, L) -> float32 (B, L, D)."""
    with torch.no_grad():
        return text_encoder(ids.to(text_encoder.device))[0].float()


# --------------------------------------------------------------------------------------------------
# the proof that what was written is what was trained


def probe_output(unet: UNet2DConditionModel) -> Tensor:
    """The UNet's answer to one fixed noisy input, to compare two copies of it: float32 (1, C, h, h)."""
    side = 2 ** (len(unet.config.block_out_channels) + 1)  # small, and divisible at every level
    width = unet.config.cross_attention_dim
    shapes = {"sample": (1, unet.config.in_channels, side, side), "text": (1, 8, width)}
    drawn = {
        name: diffusion.draw_normal(shape, "probe", name).to(unet.device, unet.dtype)
        for name, shape in shapes.items()
    }
    training = unet.training
    with torch.no_grad():
        answer = unet.eval()(drawn["sample"], 500, encoder_hidden_states=drawn["text"]).sample
    unet.train(training)
    return answer.float()


def reload_difference(unet: UNet2DConditionModel, folder: Path) -> float:
    """How far the UNet written to a folder answers from this one, over the spread of its answers: 0.

    Where adapters are float32 on a base in half precision, both are rounded to it first: loaders do.

    Args:
        unet: on the CPU, without autocast or other wrappers.
        folder: pipeline folder, or LoRA folder with its fsynth.json.
    """
    written = load_pipeline(folder, dtype=unet.dtype, device="cpu").unet
    if unet.dtype != torch.float32:
        unet, written = (
            torch.nn.Module.to(copy.deepcopy(part), dtype=unet.dtype).float() for part in (unet, written)
        )
    mine = probe_output(unet)
    return ((mine - probe_output(written)).abs().max() / mine.std()).item()


class Objective:
    """The per-row training loss of a pipeline's UNet. Everything but the UNet is frozen and float32.

    Without further arguments it is the plain mean squared error of what the pipeline's scheduler names,
    by which epochs, runs and objectives compare.

    Args:
        captions: numbers of captions (B,) to what the UNet attends to (`sd_captions.Captions`).
        weighting, snr_gamma: of the noise levels (`diffusion.loss_weights`).
        huber_c: None squares errors (`diffusion.loss_per_row`).
    """

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        captions: Callable[[Tensor], Tensor],
        *,
        weighting: str = "none",
        snr_gamma: float = 5.0,
        huber_c: float | None = None,
    ) -> None:
        self.vae, self.captions = pipeline.vae, captions
        self.prediction_type = pipeline.scheduler.config.prediction_type
        self.huber_c = huber_c
        schedule = training_schedule(pipeline)
        weights = diffusion.loss_weights(schedule, self.prediction_type, weighting, snr_gamma)
        self.schedule, self.weights = schedule.to(pipeline.device), weights.to(pipeline.device)

    def __call__(self, unet: torch.nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Weighted error of each row's prediction: float32 (B,).

        Args:
            unet: the pipeline's UNet, in whatever wrappers the launch put around it.
            batch: entries of `sd_rows.TrainingRows`, stacked, on the device.
        """
        moments = batch["moments"] if "moments" in batch else posterior_moments(self.vae, batch["pixels"])
        latents = latents_of(self.vae, moments, batch["posterior"])
        noise, level = batch["noise"], batch["timestep"]
        shown = noise + batch["perturbation"] if "perturbation" in batch else noise
        noisy = diffusion.add_noise(self.schedule, latents, shown, level)
        text = self.captions(batch["caption"])
        kind = next(unet.parameters()).dtype  # of the frozen base; autocast, where it is on, decides itself
        answer = unet(noisy.to(kind), level, text.to(kind)).sample
        wanted = diffusion.target(self.schedule, self.prediction_type, latents, noise, level)
        return self.weights[level] * diffusion.loss_per_row(answer, wanted, self.huber_c)
