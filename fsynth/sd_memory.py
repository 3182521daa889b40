"""Time for memory, and memory for time, in diffusion training: checkpointing, memory formats, a batch plan.

How much fits is tried, not computed: a step with a share of the batch, beside what the optimizer will hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fsynth import compiling, sd_quantized
from fsynth.console import say
from fsynth.errors import ConfigError
from fsynth.sd_quantized import Quantize

if TYPE_CHECKING:
    from accelerate import Accelerator

    from fsynth.sd_lora import Adapters


def check(channels_last: bool, compiles: bool, quantize: Quantize, adapters: Adapters | None) -> None:
    """Refuse what cannot be, before anything is said.

    Raises:
        ConfigError: DoRA on convolutions with their channels last, which peft (up to 0.21 at least) cannot
            read; no compiler that works; weights in 4 bits that cannot be (`sd_quantized.check`).
    """
    if channels_last and adapters is not None and (adapters.kind, adapters.targets) == ("dora", "all"):
        raise ConfigError("memory.channels_last: not with lora.kind=dora on lora.targets=all; leave one out")
    if compiles:
        compiling.check()
    sd_quantized.check(quantize, adapters)


def compute_again(models: Sequence[nn.Module]) -> None:
    """Gradient checkpointing (Chen et al. 2016): activations within blocks are computed again in the backward
    pass instead of kept. Never reentrant, which would stop at frozen first layers.

    Args:
        models: of diffusers or transformers.
    """
    for model in models:
        if hasattr(model, "enable_gradient_checkpointing"):
            model.enable_gradient_checkpointing()
        elif hasattr(model, "activation_checkpointing_enable"):  # from transformers 5 on
            model.activation_checkpointing_enable({"use_reentrant": False})
        else:
            model.gradient_checkpointing_enable({"use_reentrant": False})


def format_for(network: nn.Module, channels_last: bool) -> None:
    """Lay out convolutions' weights with their channels last, as tensor cores read them, or back again: files
    hold the plain format."""
    kind = torch.channels_last if channels_last else torch.contiguous_format
    nn.Module.to(network, memory_format=kind)  # type: ignore[call-overload]


# --------------------------------------------------------------------------------------------------
# what fits


def is_measured(device: torch.device) -> bool:
    """Whether memory is a GPU's, which ends a run where it is too small."""
    return device.type == "cuda"


def largest(wanted: int, attempt: Callable[[int], Any]) -> int | None:
    """The most that fits: ``wanted``, or what halving it leads to; None where not even one does.

    Args:
        attempt: called with a number of pictures; runs out of memory where they are too many.
    """
    size = wanted
    while size:
        try:
            attempt(size)
            return size
        except torch.OutOfMemoryError:
            pass  # outside the handler, whose traceback keeps the tensors alive
        torch.cuda.empty_cache()
        size //= 2
    return None


@contextlib.contextmanager
def reserved(size: float, device: torch.device) -> Iterator[None]:
    """Hold so many bytes: what will be there in the first step and is not yet."""
    held = torch.empty(int(size), dtype=torch.uint8, device=device)
    try:
        yield
    finally:
        del held
        if device.type == "cuda":
            torch.cuda.empty_cache()


class BatchPlan:
    """How many pictures a process holds at once; kept in checkpoints: a resumed run sums as before.

    Args:
        given: --micro-batch, which is taken as it is; None tries.
    """

    def __init__(self, given: int | None) -> None:
        self.size = given

    def state_dict(self) -> dict[str, int | None]:
        return {"size": self.size}

    def load_state_dict(self, state: dict[str, int | None]) -> None:
        self.size = state["size"]

    def measure(
        self, share: int, attempt: Callable[[int], Any], later: float, accelerator: Accelerator
    ) -> None:
        """Try how many of a process' share of the batch fit at once, on all of them; says what was found.

        Args:
            attempt: a forward and backward pass over so many pictures.
            later: bytes that the optimizer will hold.

        Raises:
            ConfigError: not even one fits.
        """
        if self.size is not None or not is_measured(accelerator.device):
            return
        with reserved(later, accelerator.device):
            mine = largest(share, attempt) or 0
        fits = int(accelerator.gather(torch.tensor([mine], device=accelerator.device)).min())
        if not fits:
            raise ConfigError(
                "not even one picture fits into the GPU's memory; try --set memory.checkpointing=true, "
                "--set optimizer.kind=adamw-8bit, --lora-rank 16 or a smaller --resolution"
            )
        parts = "" if fits == share else f", so a step takes {-(-share // fits)} parts"
        say(f"memory: {fits} of the {share} pictures of a process fit at once{parts} (tried; --micro-batch)")
        self.size = fits


def repeated(row: dict[str, Any], size: int, device: torch.device) -> dict[str, Any]:
    """A batch of one row, so many times, on the device."""
    rows = torch.utils.data.default_collate([row] * size)
    return {key: value.to(device) if torch.is_tensor(value) else value for key, value in rows.items()}
