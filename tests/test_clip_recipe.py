"""Settings that nobody gave: usual ones, and more steps for few pairs."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fsynth import clip_recipe

NOBODY = {"lr": None, "epochs": None, "batch_size": None}


def test_many_pairs_take_the_usual_values():
    found, reasons = clip_recipe.values(NOBODY, 4275, tiny=True)
    assert found == {"lr": 3e-4, "epochs": 2, "batch_size": 64}
    assert {*reasons.values()} == {"the default for the tiny model"}
    found, reasons = clip_recipe.values({**NOBODY, "epochs": 3}, 70_000, tiny=False)
    assert found == {"lr": 1e-5, "epochs": 3, "batch_size": 256}
    assert reasons == dict.fromkeys(("lr", "batch_size"), "the default for pretrained models")


def test_few_pairs_take_smaller_batches_and_more_epochs():
    found, reasons = clip_recipe.values(NOBODY, 228, tiny=False)
    assert found == {"lr": 1e-5, "epochs": 12, "batch_size": 28}
    assert reasons["batch_size"] == "so that an epoch of few pairs has 8 batches"
    assert reasons["epochs"] == "so that a run on few pairs has 100 steps, or 30 epochs"
    assert clip_recipe.values(NOBODY, 20, tiny=True)[0] == {"lr": 3e-4, "epochs": 30, "batch_size": 16}


@given(st.integers(2, 100_000), st.booleans())
def test_every_run_has_a_hundred_steps_or_thirty_epochs(pairs, tiny):
    found, _ = clip_recipe.values(NOBODY, pairs, tiny)
    steps = math.ceil(pairs / found["batch_size"]) * found["epochs"]
    assert (steps >= 100 or found["epochs"] == 30) and min(2, pairs) <= found["batch_size"] <= pairs


def test_adapters_learn_faster():
    found, reasons = clip_recipe.values(NOBODY, 70_000, tiny=False, adapters=True)
    assert found["lr"] == 10 * clip_recipe.FOR_REAL["lr"] and clip_recipe.FOR_REAL["lr"] == 1e-5
    assert reasons["lr"] == "the default for adapters of pretrained models"


def test_what_is_given_stays():
    told = {"lr": 0.1, "epochs": 1, "batch_size": 999}
    assert clip_recipe.values(told, 30, tiny=True) == (told, {})
