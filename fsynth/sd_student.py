"""The diffusion model that learns: what of it learns, how fast, and how it is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fsynth import sd_folder, sd_model
from fsynth.console import counted, say
from fsynth.errors import ModelError
from fsynth.keyed import seed_of
from fsynth.sd_folder import Found

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

MOST_WARMUP = 100
RELOAD_TOLERANCE = 1e-5  # 0 is what is seen; a lost alpha is far above
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Student:
    """A pipeline of which a part learns. Says what.

    Trainable weights are float32; only a frozen base may be half, in the precision of the launch.

    Args:
        rank: of the adapters; None trains the whole UNet.
        alpha: of the adapters; None is the rank.
        precision: of the launch: ``no``, ``fp16`` or ``bf16``.
        seed: of the run; the adapters start at a function of it.
        zero_terminal_snr: train and draw with a noise schedule whose end holds no signal.

    Raises:
        ModelError: a model that does not load.
    """

    def __init__(
        self,
        found: Found,
        *,
        rank: int | None,
        alpha: float | None,
        precision: str,
        seed: int,
        zero_terminal_snr: bool = False,
    ) -> None:
        self.found, self.zero_terminal_snr = found, zero_terminal_snr
        base = HALVES.get(precision, torch.float32) if rank else torch.float32
        self.pipeline = sd_model.load_pipeline(found, dtype=torch.float32, unet_dtype=base, device="cpu")
        if zero_terminal_snr:
            sd_model.end_in_noise(self.pipeline)
        for part in (self.pipeline.vae, self.pipeline.text_encoder):
            part.requires_grad_(False)
        how = "the whole UNet"
        if rank:
            alpha = rank if alpha is None else alpha
            sd_model.add_lora(self.unet, rank, alpha, seed_of(seed, "lora"))
            how = f"LoRA of rank {rank}, alpha {alpha:g}"
        total = sum(value.numel() for value in self.unet.parameters())
        say(f"training: {how}: {self.size:,} of {total:,} parameters in float32, precision {precision}")

    @property
    def unet(self) -> UNet2DConditionModel:
        return self.pipeline.unet

    @property
    def learning(self) -> list[torch.nn.Parameter]:
        """The weights that learn; a list, since both optimizer and clipping go through it."""
        return [value for value in self.unet.parameters() if value.requires_grad]

    @property
    def size(self) -> int:
        """Numbers that learn."""
        return sum(value.numel() for value in self.learning)

    def to(self, device: torch.device) -> StableDiffusionPipeline:
        return self.pipeline.to(device)

    def optimizer(
        self, *, lr: float, weight_decay: float, warmup: int | None, steps: int
    ) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
        """AdamW, and a learning rate that is constant after a linear warm-up.

        Args:
            warmup: in optimizer steps; None is a tenth of ``steps``, at most 100.
        """
        if warmup is None:
            warmup = min(MOST_WARMUP, steps // 10)
        say(f"learning rate: {lr:g}, constant after {counted(warmup, 'step')} of warm-up")
        optimizer = torch.optim.AdamW(self.learning, lr=lr, weight_decay=weight_decay)
        rising = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / (warmup + 1))
        )
        return optimizer, rising

    def save(self, folder: Path) -> None:
        """Write what was trained as others load it, complete or absent."""
        scheduler = self.pipeline.scheduler if self.zero_terminal_snr else None
        sd_folder.save_trained(self.unet, self.found, folder, scheduler)

    def check_saved(self, folder: Path, trained: UNet2DConditionModel) -> float:
        """Load what was written again; returns how far its answer is off (`sd_model.reload_difference`).

        Args:
            trained: the UNet without wrappers, on the CPU.

        Raises:
            ModelError: when it is off by more than rounding.
        """
        difference = sd_model.reload_difference(trained, folder)
        if not difference <= RELOAD_TOLERANCE:  # also when it is not a number
            raise ModelError(
                f"the saved model, loaded again, answers differently by {difference:g} of its answers' "
                f"spread; it is left in {folder}, the run is not finished"
            )
        return difference
