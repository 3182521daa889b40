"""Stable Diffusion 3.x: a transformer trained by rectified flow (Esser et al. 2024, arXiv 2403.03206).

A noisy sample is x_t = (1 - s) x + s e with s in (0, 1], and the transformer answers with e - x. Levels are
those of the pipeline's scheduler, shifted towards noise as it says (section 5.3.2 there); which of them are
drawn is another matter: most often middle ones (logit-normal, section 3.1).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fsynth.diffusion import NoiseSchedule
from fsynth.sd_family import Family, ids, last_but_one

T5_TOKENS = 256
"""What the pipeline reads."""


class Flow(Family):
    KIND = "StableDiffusion3Pipeline"
    DENOISER = "transformer"
    LEVELS = "logit-normal"

    @property
    def prediction_type(self) -> str:
        return "flow"

    def schedule(self) -> NoiseSchedule:
        from diffusers import FlowMatchEulerDiscreteScheduler

        sigmas = FlowMatchEulerDiscreteScheduler.from_config(self.pipeline.scheduler.config).sigmas
        growing = sigmas.double().flip(0)
        return NoiseSchedule((1 - growing).float(), growing.float())

    def tokens(self, captions: Sequence[str]) -> dict[str, Tensor]:
        pipe = self.pipeline
        length = pipe.tokenizer_max_length
        found = {
            "tokens": ids(pipe.tokenizer, captions, length),
            "tokens_2": ids(pipe.tokenizer_2, captions, length),
        }
        if pipe.text_encoder_3 is not None:
            found["tokens_3"] = ids(pipe.tokenizer_3, captions, T5_TOKENS)
        return found

    def text(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        """States of both CLIP encoders side by side, filled up to T5's width, above those of T5."""
        pipe = self.pipeline
        first, pooled = last_but_one(pipe.text_encoder, tokens["tokens"])
        second, pooled_2 = last_but_one(pipe.text_encoder_2, tokens["tokens_2"])
        clip = torch.cat([first, second], dim=-1).float()
        t5 = self._t5(tokens, clip)
        clip = nn.functional.pad(clip, (0, t5.shape[-1] - clip.shape[-1]))
        both = torch.cat([pooled, pooled_2], dim=-1).float()
        return {"states": torch.cat([clip, t5], dim=1), "pooled": both}

    def _t5(self, tokens: dict[str, Tensor], like: Tensor) -> Tensor:
        if "tokens_3" in tokens:
            return self.pipeline.text_encoder_3(tokens["tokens_3"])[0].float()
        return like.new_zeros(
            len(like), self._empty_tokens, self.pipeline.transformer.config.joint_attention_dim
        )

    @functools.cached_property
    def _empty_tokens(self) -> int:
        """Tokens of zeros in the place of a T5 that is not there: as many as the installed diffusers takes,
        256, or, in 0.34, as many as CLIP reads."""
        with torch.no_grad():
            states, *_ = self.pipeline.encode_prompt("", "", "", do_classifier_free_guidance=False)
        return states.shape[1] - self.pipeline.tokenizer_max_length

    def told(self, schedule: NoiseSchedule, level: Tensor) -> Tensor:
        return schedule.noise[level] * len(schedule.noise)

    @staticmethod
    def answer(
        denoiser: nn.Module, noisy: Tensor, told: Tensor, text: dict[str, Tensor], frame: Tensor
    ) -> Tensor:
        settings = {"pooled_projections": text["pooled"], "timestep": told}
        return denoiser(noisy, encoder_hidden_states=text["states"], **settings).sample

    @staticmethod
    def shapes(denoiser: nn.Module) -> dict[str, tuple[int, ...]]:
        config: Any = denoiser.config
        side = 4 * config.patch_size
        text = {"states": (8, config.joint_attention_dim), "pooled": (config.pooled_projection_dim,)}
        return {"sample": (config.in_channels, side, side), **text}
