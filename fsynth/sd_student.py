"""The diffusion model that learns: what of it learns, how fast, and how it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fsynth import sd_folder, sd_lora, sd_model
from fsynth.console import counted, is_main_process, say
from fsynth.errors import ConfigError, ModelError
from fsynth.gradient_watch import GradientWatch
from fsynth.keyed import seed_of
from fsynth.sd_folder import Found
from fsynth.sd_lora import Adapters

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

MOST_WARMUP = 100
RELOAD_TOLERANCE = 1e-5  # 0 is what is seen; a lost alpha is far above
_NAMES = {"unet": "UNet"}
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def choose_adapters(rank: int | None, lora: Mapping[str, Any]) -> Adapters | None:
    """The adapters that settings ask for; None where all weights learn.

    Args:
        lora: the other arguments of `Adapters`; an alpha of None is the rank.

    Raises:
        ConfigError: settings that contradict each other.
    """
    defaults = {"alpha": None, "kind": "lora", "targets": "attention", "dropout": 0.0}
    given = next((name for name, value in lora.items() if value != defaults[name]), None)
    if rank is None and given:
        value = f"{lora[given]:g}" if isinstance(lora[given], float) else lora[given]
        raise ConfigError(
            f"lora.{given}: {value} belongs to adapters; give --lora-rank, too, or leave it out"
        )
    if rank is None:
        return None
    alpha = float(rank) if lora["alpha"] is None else lora["alpha"]
    adapters = Adapters(rank, **{**lora, "alpha": alpha})
    adapters.check()
    return adapters


class Student:
    """A pipeline of which a part learns. Says what.

    Trainable weights are float32; only a frozen base may be half, in the precision of the launch.

    Args:
        adapters: what is put into the UNet or transformer, and alone learns then; None trains all of it.
        precision: of the launch: ``no``, ``fp16`` or ``bf16``.
        seed: of the run; the adapters start at a function of it.
        zero_terminal_snr: train and draw with a noise schedule whose end holds no signal.

    Raises:
        ModelError: a model that does not load, or has no place for adapters.
    """

    def __init__(
        self,
        found: Found,
        adapters: Adapters | None,
        *,
        precision: str,
        seed: int,
        zero_terminal_snr: bool = False,
    ) -> None:
        self.found, self.adapters, self.zero_terminal_snr = found, adapters, zero_terminal_snr
        base = HALVES.get(precision, torch.float32) if adapters else torch.float32
        self.pipeline = sd_model.load_pipeline(found, dtype=torch.float32, denoiser_dtype=base, device="cpu")
        if zero_terminal_snr:
            sd_model.end_in_noise(self.pipeline)
        for part in self.pipeline.components.values():
            if isinstance(part, torch.nn.Module) and part is not self.denoiser:
                part.requires_grad_(False)
        if adapters:
            sd_lora.add(self.denoiser, adapters, seed_of(seed, "lora"))
        # a process whose share of a batch is padding has no gradient worth a look; the first one has rows
        watched = [self.denoiser] if is_main_process() else []
        self._reached = GradientWatch(watched, sd_lora.UNREACHED)
        for line in self._describe(precision):
            say(line)

    def _describe(self, precision: str) -> Iterator[str]:
        total = sum(value.numel() for value in self.denoiser.parameters())
        part = self.found.denoiser
        how = self.adapters.describe() if self.adapters else f"the whole {_NAMES.get(part, part)}"
        yield f"training: {how}: {self.size:,} of {total:,} parameters in float32, precision {precision}"
        if self.adapters and self.adapters.kind == "lokr":
            yield (
                "note: pipe.load_lora_weights takes no LoKr; fsynth sample does, and from diffusers 0.42 on "
                f"pipe.{part}.load_lora_adapter(FOLDER, prefix='{part}', use_safetensors=True)"
            )

    def after_step(self) -> None:
        """Call it after each optimizer step.

        Raises:
            ModelError: adapters that the first step's gradient did not reach.
        """
        self._reached.check()

    @property
    def denoiser(self) -> torch.nn.Module:
        return sd_model.family(self.pipeline).denoiser

    @property
    def learning(self) -> list[torch.nn.Parameter]:
        """The weights that learn; a list, since both optimizer and clipping go through it."""
        return [value for value in self.denoiser.parameters() if value.requires_grad]

    @property
    def size(self) -> int:
        """Numbers that learn."""
        return sum(value.numel() for value in self.learning)

    def to(self, device: torch.device) -> DiffusionPipeline:
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
        sd_folder.save_trained(self.pipeline, self.found, folder, scheduler)

    def check_saved(self, folder: Path, trained: torch.nn.Module) -> float:
        """Load what was written again; returns how far its answer is off (`sd_model.reload_difference`).

        Args:
            trained: the denoiser without wrappers, on the CPU.

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
