"""Captions of a run as the denoiser takes them: each different one is encoded once, where nothing changes it.

Rows carry the number of their caption. Whether embeddings are kept or made at every step is decided here, and
nowhere else: they are kept where the text encoder is frozen and all of them fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fsynth import sd_model
from fsynth.console import counted

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

IN_MEMORY = 2**30
"""Bytes of embeddings to keep on the device of the model. FashionSynthesis' 4,004 captions take 0.95 GB with
Stable Diffusion 1.x; more captions are encoded at every step, which takes less than a hundredth of it."""
AT_ONCE = 64
"""Captions that are encoded together before the first step."""


class Captions:
    """The different captions of some rows; number 0 is the empty one, which is shown for a dropped caption.

    Called with numbers int64 (B,) it gives embeddings float32 (B, L, D), both on the pipeline's device.

    Args:
        texts: the captions of all rows.
        keep: False encodes at every step in any case.
    """

    def __init__(self, pipeline: StableDiffusionPipeline, texts: Iterable[str], keep: bool = True) -> None:
        self.texts = list(dict.fromkeys(["", *texts]))
        self._numbers = {text: number for number, text in enumerate(self.texts)}
        self.encoder = pipeline.text_encoder
        self.ids = sd_model.token_ids(pipeline.tokenizer, self.texts).to(pipeline.device)
        self.kept = self._encode_all() if keep and self._is_frozen() and self._fits() else None

    def __len__(self) -> int:
        return len(self.texts)

    def number(self, text: str) -> int:
        """What rows carry in place of a caption.

        Raises:
            KeyError: for a caption that is not among them.
        """
        return self._numbers[text]

    def __call__(self, numbers: Tensor) -> Tensor:
        if self.kept is not None:
            return self.kept[numbers]
        return sd_model.embeddings(self.encoder, self.ids[numbers])

    def describe(self) -> str:
        """How many there are, and when they are embedded."""
        when = "at every step" if self.kept is None else "once, before the first step"
        return f"captions: {counted(len(self.texts) - 1, 'different one')}, embedded {when}"

    def _is_frozen(self) -> bool:
        return not any(value.requires_grad for value in self.encoder.parameters())

    def _fits(self) -> bool:
        one = sd_model.embeddings(self.encoder, self.ids[:1])
        return len(self.texts) * math.prod(one.shape[1:]) * one.element_size() <= IN_MEMORY

    def _encode_all(self) -> Tensor:
        return torch.cat([sd_model.embeddings(self.encoder, part) for part in self.ids.split(AT_ONCE)])
