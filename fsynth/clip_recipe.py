"""What CLIP fine-tuning does when it is not told: learning rate, epochs and batch size, each with its reason.

1e-5 is what fine-tunes of pretrained models agree on (FLYP, ALBEF, open_clip's own of CoCa). Hundreds of
pairs make a handful of steps of the usual batches in the usual epochs, which changes nothing: few pairs take
smaller batches and more epochs. scripts/bench_clip_recipe.py tries these values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Values = dict[str, int | float]
FOR_TINY: Values = {"lr": 3e-4, "epochs": 2, "batch_size": 64}
FOR_REAL: Values = {"lr": 1e-5, "epochs": 5, "batch_size": 256}
FASTER = 10
"""Adapters take this many times the rate of all weights (Schulman et al. 2025, LoRA Without Regret)."""
LEAST_STEPS, MOST_EPOCHS = 100, 30
LEAST_BATCHES, LEAST_BATCH = 8, 16
"""Batches of an epoch, and pairs of a batch, that few pairs are cut into."""


def values(
    given: Mapping[str, int | float | None], pairs: int, tiny: bool, adapters: bool = False
) -> tuple[Values, dict[str, str]]:
    """Learning rate, epochs and batch size of a run, and why.

    Args:
        given: each of them, None where nobody said.
        pairs: that train.
        tiny: whether it is the shipped model that learns.
        adapters: whether low-rank adapters learn in its place.

    Returns:
        name -> value, and name -> reason of those that were not given.
    """
    usual, model = (FOR_TINY, "the tiny model") if tiny else (FOR_REAL, "pretrained models")
    if adapters:
        usual, model = {**usual, "lr": FASTER * usual["lr"]}, f"adapters of {model}"
    found = {name: usual[name] if value is None else value for name, value in given.items()}
    reasons = {name: f"the default for {model}" for name, value in given.items() if value is None}
    if "batch_size" in reasons and found["batch_size"] > pairs / LEAST_BATCHES:
        found["batch_size"] = min(pairs, max(LEAST_BATCH, pairs // LEAST_BATCHES))
        reasons["batch_size"] = f"so that an epoch of few pairs has {LEAST_BATCHES} batches"
    steps = math.ceil(pairs / found["batch_size"])
    if "epochs" in reasons and found["epochs"] * steps < LEAST_STEPS:
        found["epochs"] = min(MOST_EPOCHS, math.ceil(LEAST_STEPS / steps))
        reasons["epochs"] = f"so that a run on few pairs has {LEAST_STEPS} steps, or {MOST_EPOCHS} epochs"
    return found, reasons
