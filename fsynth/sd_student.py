"""The diffusion model that learns: what of it learns, how fast, and how it is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fsynth import compiling, optimizers, sd_folder, sd_lora, sd_memory, sd_model, sd_quantized, sd_text
from fsynth.console import is_main_process, say
from fsynth.ema import Ema
from fsynth.errors import ConfigError, ModelError
from fsynth.gradient_watch import GradientWatch
from fsynth.keyed import seed_of
from fsynth.order import Pick
from fsynth.sd_folder import Found
from fsynth.sd_lora import Adapters
from fsynth.sd_quantized import Quantize
from fsynth.sd_text import Train

if TYPE_CHECKING:
    from fsynth.sd_rows import TrainingRows

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
        text: what learns of the text encoder (`sd_text.check`).
        quantize: ``nf4`` holds the frozen base in 4 bits (`sd_quantized.check`).
        decay: of the running mean of the weights, which is judged and saved in their place; None for none.
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
        text: Train = "none",
        quantize: Quantize = "none",
        decay: float | None = None,
        zero_terminal_snr: bool = False,
    ) -> None:
        self.found, self.adapters, self.text, self.decay = found, adapters, text, decay
        self.ema: Ema | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._kind: optimizers.Kind = "adamw"
        self.zero_terminal_snr, self.quantize = zero_terminal_snr, quantize
        base = HALVES.get(precision, torch.float32) if adapters else torch.float32
        self.pipeline = sd_model.load_pipeline(found, dtype=torch.float32, denoiser_dtype=base, device="cpu")
        if zero_terminal_snr:
            sd_model.end_in_noise(self.pipeline)
        for part in self.pipeline.components.values():
            if isinstance(part, torch.nn.Module) and part is not self.denoiser:
                part.requires_grad_(False)
        sd_text.begin(self.pipeline.text_encoder, text, adapters, seed)
        if adapters:
            sd_lora.add(self.denoiser, adapters, seed_of(seed, "lora"))
        total = sum(value.numel() for model in self.models for value in model.parameters())
        self._packed = sd_quantized.pack(self.denoiser) if quantize != "none" else 0.0
        # a process whose share of a batch is padding has no gradient worth a look; the first one has rows
        watched = self.models if is_main_process() else []
        self._reached = GradientWatch(watched, sd_lora.UNREACHED)
        for line in self._describe(precision, total):
            say(line)

    def _describe(self, precision: str, total: int) -> Iterator[str]:
        part = self.found.denoiser
        whole = f"the whole {_NAMES.get(part, part)}" + (" and text encoder" if self.text == "full" else "")
        how = self.adapters.describe() if self.adapters else whole
        how += ", and of the text encoder" if self.text == "lora" else ""
        yield f"training: {how}: {self.size:,} of {total:,} parameters in float32, precision {precision}"
        if self._packed:
            yield (
                f"base: {self._packed:.0%} of the numbers in 4 bits (NF4), also where this run draws "
                "and validates; what is written belongs on the base as it is"
            )
        if self.decay is not None:
            yield (
                f"running mean: of the weights that learn, decay {self.decay:g} (less in the first steps); "
                "it is judged and saved in their place"
            )
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
        if self.ema is not None:
            self.ema.update()
        self._reached.check()

    @property
    def denoiser(self) -> torch.nn.Module:
        return sd_model.family(self.pipeline).denoiser

    @property
    def models(self) -> list[torch.nn.Module]:
        """The parts of the pipeline that learn, the denoiser first."""
        return [self.denoiser] if self.text == "none" else [self.denoiser, self.pipeline.text_encoder]

    @property
    def learning(self) -> list[torch.nn.Parameter]:
        """The weights that learn; a list, since both optimizer and clipping go through it."""
        return [value for model in self.models for value in model.parameters() if value.requires_grad]

    @property
    def size(self) -> int:
        """Numbers that learn."""
        return sum(value.numel() for value in self.learning)

    @property
    def states(self) -> list[Ema]:
        """What a checkpoint must hold beside models, optimizer and schedule."""
        return [] if self.ema is None else [self.ema]

    def to(self, device: torch.device, *, checkpointing: bool = False, channels_last: bool = False) -> Any:
        """The pipeline on the device (`sd_memory` says what the settings do)."""
        self.pipeline.to(device)
        sd_memory.format_for(self.denoiser, channels_last)
        if checkpointing:
            sd_memory.compute_again(self.models)
        if self.decay is not None:
            self.ema = Ema(torch.nn.ModuleList(self.models), self.decay)
        return self.pipeline

    def optimizer(
        self,
        *,
        kind: optimizers.Kind,
        schedule: optimizers.Schedule,
        lr: float,
        text_lr: float | None,
        weight_decay: float,
        warmup_steps: int | None,
        steps: int,
    ) -> tuple[torch.optim.Optimizer, optimizers.Rates]:
        """The optimizer of what learns, and its learning rate over the steps (`optimizers`).

        Args:
            warmup_steps: None is a tenth of ``steps``, at most 100.
        """
        warmup = optimizers.warmup_steps(warmup_steps, steps)
        say(optimizers.describe(kind, schedule, lr, warmup))
        groups = [
            {"params": [value for value in model.parameters() if value.requires_grad], "lr": rate}
            for model, rate in zip(self.models, (lr, text_lr), strict=False)
        ]
        optimizer = optimizers.make(kind, groups, lr=lr, weight_decay=weight_decay, warmup=warmup)
        self._optimizer, self._kind = optimizer, kind
        return optimizer, optimizers.make_schedule(optimizer, schedule, steps, warmup)

    def compile(self) -> None:
        """Compile what happens when the denoiser is called, in steps alone."""
        compiling.compile_calls(self.denoiser)

    def attempt(self, objective: Callable[..., Tensor], rows: TrainingRows) -> Callable[[int], None]:
        """A forward and backward pass over so many times the first row, of which nothing stays."""

        def attempt(size: int) -> None:
            device = next(self.denoiser.parameters()).device
            batch = sd_memory.repeated(rows[Pick(0, 0, 1.0)], size, device)
            try:
                objective(self.denoiser.train(), batch).mean().backward()
            finally:
                for value in self.learning:
                    value.grad = None

        return attempt

    @property
    def state_size(self) -> float:
        """Bytes that the optimizer will hold after its first step."""
        return self.size * optimizers.BYTES_A_WEIGHT[self._kind]

    @contextlib.contextmanager
    def judged(self) -> Iterator[None]:
        """The weights that would be saved now, in the place of those that learn: a running mean, or what the
        optimizer averages."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(compiling.paused(self.denoiser))
            if self.ema is not None:
                stack.enter_context(self.ema.applied())
            elif self._optimizer is not None:
                stack.enter_context(optimizers.averaged(self._optimizer))
            yield

    def settle(self) -> None:
        """Put the weights that are to be saved in place, for good."""
        if self.ema is not None:
            self.ema.put_in_place()
        elif self._optimizer is not None:
            optimizers.hand_out(self._optimizer)
        self.ema = self._optimizer = None
        compiling.end(self.denoiser)

    def save(self, folder: Path) -> None:
        """Write what was trained as others load it, complete or absent."""
        sd_memory.format_for(self.denoiser, channels_last=False)
        scheduler = self.pipeline.scheduler if self.zero_terminal_snr else None
        sd_folder.save_trained(self.pipeline, self.found, folder, scheduler, self.text == "full")

    def check_saved(self, folder: Path) -> float:
        """Load what was written again; returns how far its answer is off (`sd_model.reload_difference`). The
        pipeline is without wrappers by then, and ends on the CPU.

        Raises:
            ModelError: when it is off by more than rounding.
        """
        for model in (self.denoiser, self.pipeline.text_encoder):
            torch.nn.Module.cpu(model)
        difference = self._reload_difference(folder)
        if not difference <= RELOAD_TOLERANCE:  # also when it is not a number
            raise ModelError(
                f"the saved model, loaded again, answers differently by {difference:g} of its answers' "
                f"spread; it is left in {folder}, the run is not finished"
            )
        return difference

    def _reload_difference(self, folder: Path) -> float:
        if self.quantize == "none":
            return sd_model.reload_difference(self.pipeline, folder)
        again = sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu")
        written = sd_model.family(again).denoiser
        text = sd_text.difference(self.pipeline.text_encoder, again.text_encoder)
        return max(sd_quantized.difference(self.denoiser, written), text)
