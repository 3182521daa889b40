"""Captions of a run as the denoiser takes them: each different one is encoded once, where nothing changes it.

Rows carry the number of their caption. Whether embeddings are kept or made at every step is decided here, and
nowhere else: they are kept where the text encoder is frozen and all of them fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fsynth import sd_model
from fsynth.console import counted

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

IN_MEMORY = 2**30
"""Bytes of embeddings to keep on the device of the model. FashionSynthesis' 4,004 captions take 0.95 GB with
Stable Diffusion 1.x; more captions are encoded at every step, which takes less than a hundredth of it."""
AT_ONCE = 64
"""Captions that are encoded together before the first step."""


class Captions:
    """The different captions of some rows; number 0 is the empty one, which is shown for a dropped caption.

    Called with numbers int64 (B,) it gives what the denoiser is told of them (`sd_family.Family.text`),
    float32 (B, ...) each, all on the pipeline's device.

    Args:
        texts: the captions of all rows.
        keep: False encodes at every step in any case.
    """

    def __init__(self, pipeline: DiffusionPipeline, texts: Iterable[str], keep: bool = True) -> None:
        self.texts = list(dict.fromkeys(["", *texts]))
        self._numbers = {text: number for number, text in enumerate(self.texts)}
        self.family = sd_model.family(pipeline)
        tokens = self.family.tokens(self.texts)
        self.tokens = {name: value.to(pipeline.device) for name, value in tokens.items()}
        self.kept = self._encode_all() if keep and self._is_frozen() and self._fits() else None

    def __len__(self) -> int:
        return len(self.texts)

    def number(self, text: str) -> int:
        """What rows carry in place of a caption.

        Raises:
            KeyError: for a caption that is not among them.
        """
        return self._numbers[text]

    def __call__(self, numbers: Tensor) -> dict[str, Tensor]:
        if self.kept is not None:
            return {name: value[numbers] for name, value in self.kept.items()}
        return self._embed(numbers)

    def describe(self) -> str:
        """How many there are, and when they are embedded."""
        when = "at every step" if self.kept is None else "once, before the first step"
        return f"captions: {counted(len(self.texts) - 1, 'different one')}, embedded {when}"

    def _is_frozen(self) -> bool:
        encoders = self.family.encoders
        return not any(value.requires_grad for encoder in encoders for value in encoder.parameters())

    def _fits(self) -> bool:
        one = self._embed(slice(1)).values()
        return len(self.texts) * sum(value.numel() * value.element_size() for value in one) <= IN_MEMORY

    def _encode_all(self) -> dict[str, Tensor]:
        starts = range(0, len(self.texts), AT_ONCE)
        parts = [self._embed(slice(start, start + AT_ONCE)) for start in starts]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _embed(self, which: Tensor | slice) -> dict[str, Tensor]:
        return self.family.text({name: value[which] for name, value in self.tokens.items()})
