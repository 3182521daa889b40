"""How this process was launched: one honest Accelerator for every command that uses one."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from fsynth.errors import ConfigError, FsynthError

if TYPE_CHECKING:
    from accelerate import Accelerator

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others. The default of ten minutes ends launches in which the first
process alone draws, evaluates or saves for longer."""


def make_accelerator(precision: str = "auto") -> Accelerator:
    """An Accelerator that really has as many processes as were launched.

    Raises:
        FsynthError: when it has not (a plain Accelerator under torchrun on a CPU trains lone copies), or
            when the environment overrides what is ours to decide.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    AcceleratorState._reset_state()  # a notebook may train several times, each time in its own precision
    world = int(os.environ.get("WORLD_SIZE", "1"))
    cpu = True if world > 1 and not torch.cuda.is_available() else None
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=resolve_precision(precision),
        gradient_accumulation_steps=1,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    if accelerator.num_processes != world:
        raise FsynthError(
            f"{world} processes were launched but accelerate sees {accelerator.num_processes}; "
            "launch with: torchrun --nproc-per-node N -m fsynth ..., or see `fsynth doctor`"
        )
    if accelerator.gradient_accumulation_steps != 1:
        raise ConfigError(
            f"ACCELERATE_GRADIENT_ACCUMULATION_STEPS={accelerator.gradient_accumulation_steps} is set by the "
            "launcher; unset it: fsynth splits batches itself"
        )
    return accelerator


def same_everywhere(value: Any, accelerator: Accelerator) -> Any:
    """The first process' value, in every process of a launch."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def resolve_precision(precision: str) -> str:
    """``auto`` -> ``bf16`` where the GPU computes in it, else ``no``; other values stay."""
    if precision != "auto":
        return precision
    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
