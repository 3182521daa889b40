"""Stable Diffusion XL (Podell et al. 2023, arXiv 2307.01952): two text encoders, and a UNet that is also told
how the picture was cropped."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fsynth.sd_family import ids, last_but_one
from fsynth.sd_unet import Unet


class XL(Unet):
    KIND = "StableDiffusionXLPipeline"

    def tokens(self, captions: Sequence[str]) -> dict[str, Tensor]:
        pipe = self.pipeline
        return {"tokens": ids(pipe.tokenizer, captions), "tokens_2": ids(pipe.tokenizer_2, captions)}

    def text(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        """States of both encoders side by side, and the second's pooled one.

        The empty caption is zeros where the pipeline guides away from zeros: rows lose their caption so that
        the model can be guided.
        """
        pipe = self.pipeline
        first, _ = last_but_one(pipe.text_encoder, tokens["tokens"])
        second, pooled = last_but_one(pipe.text_encoder_2, tokens["tokens_2"])
        found = {"states": torch.cat([first, second], dim=-1).float(), "pooled": pooled.float()}
        if not pipe.config.force_zeros_for_empty_prompt:
            return found
        shown = (tokens["tokens"] != self._empty.to(tokens["tokens"].device)).any(1)
        return {
            "states": torch.where(shown[:, None, None], found["states"], 0.0),
            "pooled": torch.where(shown[:, None], found["pooled"], 0.0),
        }

    @functools.cached_property
    def _empty(self) -> Tensor:
        return ids(self.pipeline.tokenizer, [""])

    @staticmethod
    def answer(
        denoiser: nn.Module, noisy: Tensor, told: Tensor, text: dict[str, Tensor], frame: Tensor
    ) -> Tensor:
        more = {"text_embeds": text["pooled"], "time_ids": frame}
        return denoiser(noisy, told, text["states"], added_cond_kwargs=more).sample

    @staticmethod
    def shapes(denoiser: nn.Module) -> dict[str, tuple[int, ...]]:
        config: Any = denoiser.config
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        return {**Unet.shapes(denoiser), "pooled": (pooled,)}
