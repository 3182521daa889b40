"""Stable Diffusion of any family: loading, pictures to latents and back, the training loss.

Training goes through the functions here and `fsynth.diffusion`; names and folders are `fsynth.sd_folder`'s.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fsynth import diffusion, sd_folder, sd_lora, sd_text
from fsynth.errors import ConfigError, ModelError, reason
from fsynth.sd_family import Family
from fsynth.sd_flow import Flow
from fsynth.sd_folder import Found
from fsynth.sd_unet import Unet
from fsynth.sd_xl import XL

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DiffusionPipeline

FAMILIES: tuple[type[Family], ...] = (Unet, XL, Flow)
DEFAULT_MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def family(pipeline: DiffusionPipeline) -> Family:
    """A pipeline with what its family knows."""
    return next(kind for kind in FAMILIES if type(pipeline).__name__ == kind.KIND)(pipeline)


def load_pipeline(
    model: str | Path | Found,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    denoiser_dtype: torch.dtype | None = None,
) -> DiffusionPipeline:
    """Load a pipeline in eval mode, with its LoRA weights where it has some, without safety checker.

    The autoencoder is float32 in any case: in half precision that of Stable Diffusion XL overflows, and those
    of others turn some pictures black.

    Args:
        model: ``tiny``, hub name, pipeline folder, run folder, or what `sd_folder.find` gave.
        dtype: of all other weights, whatever the files hold.
        denoiser_dtype: another one for the UNet or transformer.

    Raises:
        ModelError: when the model is unknown, broken or no text-to-image model of a known family.
    """
    found = model if isinstance(model, Found) else sd_folder.find(model)
    _quiet_bars()
    try:
        pipeline = _read(found)
        if found.lora is not None:
            _set_dtype(pipeline.text_encoder, dtype)  # half as files may hold it, it would round the adapters
            sd_lora.load(pipeline, found.lora / sd_folder.LORA_WEIGHTS)
            follow_adapter(pipeline, found.lora)
    except Exception as error:  # loading raises whatever the reader of a broken file raises
        raise ModelError(f"model {found.lora or found.pipeline} does not load ({reason(error)})") from None
    _check_channels(pipeline, found)
    own = {found.denoiser: denoiser_dtype or dtype, "vae": torch.float32}
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            _set_dtype(part, own.get(name, dtype))
    return pipeline.to(device)


def _read(found: Found) -> DiffusionPipeline:
    import diffusers

    settings = dict.fromkeys(found.absent()) | {"local_files_only": True}
    if found.kind == Unet.KIND:
        settings["requires_safety_checker"] = False
    return getattr(diffusers, found.kind).from_pretrained(found.pipeline, **settings)


def follow_adapter(pipeline: DiffusionPipeline, lora: Path) -> None:
    """Draw as the adapter in a folder was trained, where its fsynth.json says how."""
    if sd_folder.record_of(lora).get("zero_terminal_snr"):
        end_in_noise(pipeline)


def load_vae(found: Found) -> AutoencoderKL:
    """The autoencoder alone, in float32 and eval mode on the CPU.

    Raises:
        ModelError: it does not load.
    """
    from diffusers import AutoencoderKL

    _quiet_bars()
    try:
        vae = AutoencoderKL.from_pretrained(found.pipeline, subfolder="vae", local_files_only=True)
    except Exception as error:  # loading raises whatever the reader of a broken file raises
        raise ModelError(f"model {found.pipeline / 'vae'} does not load ({reason(error)})") from None
    _set_dtype(vae, torch.float32)
    return vae


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


def _check_channels(pipeline: DiffusionPipeline, found: Found) -> None:
    given, latent = family(pipeline).denoiser.config.in_channels, pipeline.vae.config.latent_channels
    if given != latent:
        raise ModelError(
            f"the {found.denoiser} of {found.name} takes {given} channels, the latents have {latent}: an "
            "inpainting or depth model; name a text-to-image model"
        )


# --------------------------------------------------------------------------------------------------
# what a found model says about itself, before its weights are read


def native_resolution(found: Found) -> int:
    """The picture size in pixels that the model was made for."""
    size = found.config(found.denoiser).get("sample_size", 64)
    return (size if isinstance(size, int) else size[0]) * vae_factor(found)


def vae_factor(found: Found) -> int:
    """Pixels per latent along a side: 8 for Stable Diffusion."""
    return 2 ** (len(found.config("vae")["block_out_channels"]) - 1)


def sides(found: Found) -> tuple[int, int | None]:
    """What the sides of pictures are multiples of, and the longest that the model knows; None for any."""
    config = found.config(found.denoiser)
    factor, most = vae_factor(found) * config.get("patch_size", 1), config.get("pos_embed_max_size")
    return factor, None if most is None else factor * most


def check_resolution(found: Found, resolution: int) -> None:
    """Refuse a picture size that the model cannot take.

    Raises:
        ConfigError: with the two nearest sizes that it can, or the largest.
    """
    factor, most = sides(found)
    if resolution % factor:
        below = resolution // factor * factor
        nearest = f"{below} or {below + factor}" if below else f"{factor}"
        raise ConfigError(f"--resolution {resolution} is not a multiple of {factor}; take {nearest}")
    if most is not None and resolution > most:
        raise ConfigError(f"--resolution {resolution}: {found.name} knows places up to {most} px; take that")


def check_zero_terminal(found: Found) -> None:
    """Refuse a noise schedule without signal at its end to a model that answers with the noise.

    Raises:
        ConfigError: for such a model, and for flows, which have nothing else.
    """
    if found.kind == Flow.KIND:
        raise ConfigError(
            f"objective.zero_terminal_snr: {found.name} ends in pure noise as it is; leave it out"
        )
    if found.config("scheduler", "scheduler_config.json").get("prediction_type", "epsilon") == "epsilon":
        raise ConfigError(
            f"objective.zero_terminal_snr: {found.name} predicts the noise (epsilon), which is all that it "
            "would see at the last level: nothing could be learnt or drawn from there; take a model that "
            "predicts v, or objective.noise_offset"
        )


def end_in_noise(pipeline: DiffusionPipeline) -> None:
    """Give a pipeline the noise schedule of zero terminal SNR (Lin et al. 2023, arXiv 2305.08891), and the
    spacing of steps that begins at its end, as diffusers spells both. A scheduler that cannot hold it, as
    Stable Diffusion's own PNDM, becomes a DDIM scheduler."""
    from diffusers import DDIMScheduler

    given, wanted = pipeline.scheduler, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    if "rescale_betas_zero_snr" in given.config:
        pipeline.scheduler = type(given).from_config(given.config, **wanted)
    else:  # latents are not in [-1, 1], where DDIM would clip them
        pipeline.scheduler = DDIMScheduler.from_config(given.config, **wanted, clip_sample=False)


# --------------------------------------------------------------------------------------------------
# pictures and latents


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
    """Draw latents and scale them as the denoiser expects: float32 (B, C, H/8, W/8).

    Args:
        moments: from `posterior_moments`.
        noise: standard normal (B, C, H/8, W/8).
    """
    mean, deviation = moments.chunk(2, dim=1)
    scale, shift = _scaling(vae, mean)
    return (mean + deviation * noise - shift) * scale


def from_latents(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures of latents as the denoiser knows them: (B, C, h, w) -> float32 (B, 3, H, W), about [-1, 1]."""
    scale, shift = _scaling(vae, latents)
    return vae.decode(latents.float() / scale + shift).sample


def _scaling(vae: AutoencoderKL, like: Tensor) -> tuple[Tensor, Tensor]:
    """What latents are multiplied by after the second is taken off: of one number each (Stable Diffusion), or
    of one a channel."""
    config, channels = vae.config, (1, -1, 1, 1)
    scale, shift = config.scaling_factor, config.get("shift_factor") or 0.0
    deviations, means = config.get("latents_std"), config.get("latents_mean")
    if deviations is not None and means is not None:
        return scale / like.new_tensor(deviations).view(channels), like.new_tensor(means).view(channels)
    return like.new_tensor(scale), like.new_tensor(shift)


# --------------------------------------------------------------------------------------------------
# the proof that what was written is what was trained


def probe_output(denoiser: torch.nn.Module) -> Tensor:
    """A denoiser's answer to one fixed noisy input, to compare two copies of it: float32 (1, C, h, w)."""
    kind = _kind_of(denoiser)
    drawn = {
        name: diffusion.draw_normal((1, *shape), "probe", name).to(denoiser.device, denoiser.dtype)
        for name, shape in kind.shapes(denoiser).items()
    }
    noisy, told = drawn.pop("sample"), torch.tensor([500], device=denoiser.device)
    frame = torch.tensor([[96.0, 64.0, 16.0, 0.0, 64.0, 64.0]], device=denoiser.device)
    training = denoiser.training
    with torch.no_grad():
        answer = kind.answer(denoiser.eval(), noisy, told, drawn, frame)
    denoiser.train(training)
    return answer.float()


def _kind_of(denoiser: torch.nn.Module) -> type[Family]:
    if "joint_attention_dim" in denoiser.config:
        return Flow
    return XL if denoiser.config.addition_embed_type == "text_time" else Unet


def reload_difference(pipeline: DiffusionPipeline, folder: Path) -> float:
    """How far what was written to a folder answers from this pipeline, over the spread of its answers: 0.

    Where adapters are float32 on a base in half precision, both are rounded to it first: loaders do.

    Args:
        pipeline: its denoiser and text encoder on the CPU, without autocast or other wrappers.
        folder: pipeline folder, or LoRA folder with its fsynth.json.
    """
    mine = family(pipeline).denoiser
    again = load_pipeline(folder, dtype=torch.float32, denoiser_dtype=mine.dtype, device="cpu")
    written = family(again).denoiser
    if mine.dtype != torch.float32:
        mine, written = (
            torch.nn.Module.to(copy.deepcopy(part), dtype=mine.dtype).float() for part in (mine, written)
        )
    answer = probe_output(mine)
    difference = ((answer - probe_output(written)).abs().max() / answer.std()).item()
    return max(difference, sd_text.difference(pipeline.text_encoder, again.text_encoder))


class Objective:
    """The per-row training loss of a pipeline's denoiser. All from latents to the loss is float32.

    Without further arguments it is the plain mean squared error of what the pipeline's scheduler names,
    by which epochs, runs and objectives compare.

    Args:
        captions: numbers of captions (B,) to what the denoiser is told of them (`sd_captions.Captions`).
        weighting, snr_gamma: of the noise levels (`diffusion.loss_weights`).
        huber_c: None squares errors (`diffusion.loss_per_row`).
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        captions: Callable[[Tensor], dict[str, Tensor]],
        *,
        weighting: str = "none",
        snr_gamma: float = 5.0,
        huber_c: float | None = None,
    ) -> None:
        self.family, self.vae, self.captions = family(pipeline), pipeline.vae, captions
        self.prediction_type, self.huber_c = self.family.prediction_type, huber_c
        schedule = self.family.schedule()
        weights = diffusion.loss_weights(schedule, self.prediction_type, weighting, snr_gamma)
        self.schedule, self.weights = schedule.to(pipeline.device), weights.to(pipeline.device)

    def __call__(self, denoiser: torch.nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Weighted error of each row's prediction: float32 (B,).

        Args:
            denoiser: the pipeline's own, in whatever wrappers the launch put around it.
            batch: entries of `sd_rows.TrainingRows`, stacked, on the device.
        """
        moments = batch["moments"] if "moments" in batch else posterior_moments(self.vae, batch["pixels"])
        latents = latents_of(self.vae, moments, batch["posterior"])
        noise, level = batch["noise"], batch["timestep"]
        shown = noise + batch["perturbation"] if "perturbation" in batch else noise
        noisy = diffusion.add_noise(self.schedule, latents, shown, level)
        answer = self._answer(denoiser, noisy, level, batch)
        wanted = diffusion.target(self.schedule, self.prediction_type, latents, noise, level)
        return self.weights[level] * diffusion.loss_per_row(answer, wanted, self.huber_c)

    def _answer(
        self, denoiser: torch.nn.Module, noisy: Tensor, level: Tensor, batch: dict[str, Tensor]
    ) -> Tensor:
        kind = next(
            denoiser.parameters()
        ).dtype  # of the frozen base; autocast, where it is on, decides itself
        text = {name: value.to(kind) for name, value in self.captions(batch["caption"]).items()}
        told = self.family.told(self.schedule, level)
        return self.family.answer(denoiser, noisy.to(kind), told, text, batch["frame"])
