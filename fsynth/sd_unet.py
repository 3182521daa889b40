"""Stable Diffusion 1.x and 2.x: a UNet that attends to one text encoder's last states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fsynth import diffusion
from fsynth.sd_family import Family, ids


class Unet(Family):
    KIND = "StableDiffusionPipeline"

    @property
    def prediction_type(self) -> str:
        return self.pipeline.scheduler.config.prediction_type

    def schedule(self) -> diffusion.NoiseSchedule:
        """That of the pipeline's scheduler, whichever way this one takes through it."""
        from diffusers import DDPMScheduler

        return diffusion.noise_schedule(
            DDPMScheduler.from_config(self.pipeline.scheduler.config).alphas_cumprod
        )

    def tokens(self, captions: Sequence[str]) -> dict[str, Tensor]:
        return {"tokens": ids(self.pipeline.tokenizer, captions)}

    def text(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"states": self.pipeline.text_encoder(tokens["tokens"])[0].float()}

    def told(self, schedule: diffusion.NoiseSchedule, level: Tensor) -> Tensor:
        return level

    @staticmethod
    def answer(
        denoiser: nn.Module, noisy: Tensor, told: Tensor, text: dict[str, Tensor], frame: Tensor
    ) -> Tensor:
        return denoiser(noisy, told, text["states"]).sample

    @staticmethod
    def shapes(denoiser: nn.Module) -> dict[str, tuple[int, ...]]:
        config: Any = denoiser.config
        side = 2 ** (len(config.block_out_channels) + 1)  # divisible at every level
        return {"sample": (config.in_channels, side, side), "states": (8, config.cross_attention_dim)}
