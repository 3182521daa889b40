"""What differs between families of diffusion models, behind the same few functions.

A family is told by the class that a pipeline's model_index.json names. Each has a module of its own:
`sd_unet` (Stable Diffusion 1.x and 2.x), `sd_xl`, `sd_flow` (3.x). Around them everything is shared: rows,
draws, noising, losses, the loop, saving, sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from fsynth.diffusion import NoiseSchedule

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class Family:
    """A pipeline, and what only its family knows.

    Attributes:
        KIND: the pipeline's class in diffusers.
        DENOISER: the pipeline's part that predicts, ``unet`` or ``transformer``.
        LEVELS: how noise levels are drawn where nothing else is wished (`diffusion.LEVELS`).
    """

    KIND: ClassVar[str]
    DENOISER: ClassVar[str] = "unet"
    LEVELS: ClassVar[str] = "uniform"

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self.pipeline: Any = pipeline

    @property
    def denoiser(self) -> nn.Module:
        return getattr(self.pipeline, self.DENOISER)

    @property
    def prediction_type(self) -> str:
        """What the denoiser answers with (`diffusion.target`)."""
        raise NotImplementedError

    def schedule(self) -> NoiseSchedule:
        """Factors of signal and noise at every level, (T,) on the CPU, noise growing."""
        raise NotImplementedError

    def tokens(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Token ids of captions, int64 (B, L) a tokenizer."""
        raise NotImplementedError

    def text(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the denoiser is told of a caption, float32 (B, ...) each, of `tokens` on the device."""
        raise NotImplementedError

    @property
    def encoders(self) -> list[nn.Module]:
        """The parts that read captions."""
        parts = self.pipeline.components.items()
        return [part for name, part in parts if name.startswith("text_encoder") and part is not None]

    def with_part(self, name: str, part: nn.Module) -> Family:
        """The same with another module in the place of a part: what a launch wrapped around it, say."""
        return type(self)(_Swapped(self.pipeline, name, part))

    def told(self, schedule: NoiseSchedule, level: Tensor) -> Tensor:
        """What the denoiser is told of noise levels (B,), int64 in [0, T)."""
        raise NotImplementedError

    @staticmethod
    def answer(
        denoiser: nn.Module, noisy: Tensor, told: Tensor, text: dict[str, Tensor], frame: Tensor
    ) -> Tensor:
        """The denoiser's prediction for noisy latents (B, C, h, w), of their shape.

        Args:
            told: of the noise levels, by `told`.
            text: by `text`, in the denoiser's precision.
            frame: float32 (B, 6): height and width of the picture before it was resized, top and left of the
                crop after, height and width of the crop.
        """
        raise NotImplementedError

    @staticmethod
    def shapes(denoiser: nn.Module) -> dict[str, tuple[int, ...]]:
        """Small shapes that a denoiser takes: ``sample`` (C, h, w), and its `text` of one caption by name."""
        raise NotImplementedError


class _Swapped:
    """A pipeline of which one part is another module."""

    def __init__(self, pipeline: Any, name: str, part: nn.Module) -> None:
        self._pipeline = pipeline
        setattr(self, name, part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


def ids(tokenizer: Any, captions: Sequence[str], length: int | None = None) -> Tensor:
    """Padded and cut to ``length``, or to the tokenizer's own: int64 (B, L)."""
    length = length or tokenizer.model_max_length
    settings = {"padding": "max_length", "truncation": True, "max_length": length}
    return torch.tensor(tokenizer(list(captions), **settings).input_ids)


def last_but_one(encoder: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states (B, L, D) below a CLIP text encoder's last block, and its first output: the projection
    (B, P) of an encoder that has one, else the last states."""
    found = encoder(tokens, output_hidden_states=True)
    return found.hidden_states[-2], found[0]
