"""Optimizers and learning rates by name: what they need, how they start, what a checkpoint and a look at the
weights take.

AdamW (Loshchilov & Hutter 2019), the same with its state in 8 bits (Dettmers et al. 2022), Adafactor (Shazeer
& Stern 2018), Prodigy (Mishchenko & Defazio 2023), schedule-free AdamW (Defazio et al. 2024).
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch

from fsynth.console import counted
from fsynth.errors import ConfigError, need

Kind = Literal["adamw", "adamw-8bit", "paged-adamw-8bit", "adafactor", "prodigy", "schedule-free"]
Schedule = Literal["constant", "cosine", "linear"]
MOST_WARMUP = 100

_PACKAGES = {
    "adamw-8bit": "bitsandbytes",
    "paged-adamw-8bit": "bitsandbytes",
    "prodigy": "prodigyopt",
    "schedule-free": "schedulefree",
}
BYTES_A_WEIGHT = {
    "adamw": 8.0,
    "adamw-8bit": 2.1,
    "paged-adamw-8bit": 2.1,
    "adafactor": 0.1,
    "prodigy": 16.0,
    "schedule-free": 8.0,
}
"""Of the optimizer's state on large matrices: two float32 numbers with AdamW, four with Prodigy."""


def check(
    kind: Kind, schedule: Schedule, rates: Sequence[float | None] = (), running_mean: bool = False
) -> None:
    """Refuse what cannot be, before anything is said.

    Args:
        rates: learning rates that were given, for parts of what learns.

        running_mean: whether one is kept of the weights.

    Raises:
        ConfigError: a schedule or a mean for the optimizer that has its own; several rates for Prodigy, which
            has one.
        MissingPackage: its package is not installed.
    """
    if kind in _PACKAGES:
        need(_PACKAGES[kind], f"optimizer.kind={kind}")
    if kind == "schedule-free" and schedule != "constant":
        raise ConfigError(
            f"optimizer.schedule={schedule}: schedule-free averages its steps instead; leave it out, or take "
            "another optimizer.kind"
        )
    if kind == "schedule-free" and running_mean:
        raise ConfigError("tuning.ema: schedule-free keeps a mean of its own; leave one of them out")
    if kind == "prodigy" and len(set(rates)) > 1:
        raise ConfigError("text.lr: Prodigy finds one rate for all that learns; leave it out")


def default_rate(kind: Kind, usual: float, what: str) -> tuple[float, str]:
    """A learning rate and why.

    Args:
        usual: what AdamW takes.
        what: that learns, for the reason.
    """
    if kind == "prodigy":
        return 1.0, "of Prodigy, which finds the rate itself and multiplies it by this"
    if kind == "schedule-free":
        return usual, f"for {what}; schedule-free may take up to ten times as much"
    return usual, f"for {what}"


def make(
    kind: Kind,
    groups: list[dict[str, Any]],
    *,
    lr: float,
    weight_decay: float,
    warmup: int = 0,
) -> torch.optim.Optimizer:
    """The optimizer over parameter groups, each of ``params`` and, where it is its own, ``lr``.

    On CUDA, AdamW takes its steps in one kernel. Schedule-free warms up by itself, in ``warmup`` steps.
    """
    shared: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
    if kind == "adamw":
        fused = groups[0]["params"][0].is_cuda
        return torch.optim.AdamW(groups, fused=fused or None, **shared)
    if kind == "adafactor":
        from transformers.optimization import Adafactor

        # as long steps as AdamW's: by default they would shrink with the weights, and adapters start at 0
        own = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
        return Adafactor(groups, **own, **shared)
    if kind == "prodigy":
        from prodigyopt import Prodigy

        with contextlib.redirect_stdout(io.StringIO()):  # it prints that its weight decay is decoupled
            return Prodigy(groups, use_bias_correction=True, safeguard_warmup=True, **shared)
    if kind == "schedule-free":
        from schedulefree import AdamWScheduleFree

        optimizer = AdamWScheduleFree(groups, warmup_steps=warmup, **shared)
        optimizer.train()
        return optimizer
    from bitsandbytes import optim

    return (optim.PagedAdamW8bit if kind == "paged-adamw-8bit" else optim.AdamW8bit)(groups, **shared)


# --------------------------------------------------------------------------------------------------
# learning rates over the steps


class Rates(torch.optim.lr_scheduler.LambdaLR):
    """A schedule whose last rates are those that steps were really made at, also where the optimizer finds
    or raises them by itself."""

    def get_last_lr(self) -> list[float]:
        groups = self.optimizer.param_groups
        rates = [
            rate * group.get("d", 1.0) for rate, group in zip(super().get_last_lr(), groups, strict=True)
        ]
        return [group.get("scheduled_lr") or rate for rate, group in zip(rates, groups, strict=True)]


def warmup_steps(given: int | None, steps: int) -> int:
    """Of a run: a tenth of its steps, at most `MOST_WARMUP`, where none were given."""
    return min(MOST_WARMUP, steps // 10) if given is None else given


def make_schedule(optimizer: torch.optim.Optimizer, kind: Schedule, steps: int, warmup: int) -> Rates:
    """A linear rise over ``warmup`` optimizer steps, then constant, or down to 0 at ``steps``, straight or as
    a cosine."""
    return Rates(optimizer, shape(kind, steps, 0 if hasattr(optimizer, "train") else warmup))


def shape(kind: Schedule, steps: int, warmup: int) -> Callable[[int], float]:
    """The factor of the rate at each step, from 0: in (0, 1]."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = (step - warmup) / max(1, steps - warmup)
        if kind == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return max(0.0, 1 - done) if kind == "linear" else 1.0

    return factor


def describe(kind: Kind, schedule: Schedule, lr: float, warmup: int) -> str:
    """Rate, schedule and optimizer in a line."""
    then = {"constant": "constant", "cosine": "a cosine to 0", "linear": "a straight line to 0"}[schedule]
    return f"learning rate: {lr:g}, {then} after {counted(warmup, 'step')} of warm-up; optimizer {kind}"


# --------------------------------------------------------------------------------------------------
# weights as they are judged


@contextlib.contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The weights that the optimizer would hand out in the place of those that it steps from; these come back
    to the bit. Only schedule-free has two."""
    if not hasattr(optimizer, "train"):
        yield
        return
    weights = [value for group in optimizer.param_groups for value in group["params"]]
    kept = [value.detach().clone() for value in weights]
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()  # it comes near what was there, but not to the bit
        with torch.no_grad():
            for value, before in zip(weights, kept, strict=True):
                value.copy_(before)


def hand_out(optimizer: torch.optim.Optimizer) -> None:
    """Put the weights that are to be used in place, for good: no step may follow."""
    if hasattr(optimizer, "train"):
        optimizer.eval()
