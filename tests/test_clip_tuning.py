import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from fsynth import clip_tiny, clip_tuning


def test_norms_biases_and_the_scale_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
    network.logit_scale = torch.nn.Parameter(torch.tensor(1.0))
    decayed, kept = clip_tuning.make_optimizer(network, lr=1e-5, weight_decay=0.1).param_groups
    assert [value.shape for value in decayed["params"]] == [(3, 3)] and decayed["weight_decay"] == 0.1
    assert len(kept["params"]) == 4 and kept["weight_decay"] == 0
    assert decayed["betas"] == (0.9, 0.98) and decayed["eps"] == 1e-6


def test_the_rate_rises_then_falls_to_nothing_and_no_step_is_wasted():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = clip_tuning.make_schedule(optimizer, steps=20, warmup=4)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[4:]))
    assert 0 < rates[-1] < 0.02 and schedule.get_last_lr()[0] == pytest.approx(0)


def test_the_scale_is_held_at_one_hundred():
    network = SimpleNamespace(logit_scale=torch.tensor(7.0))
    clip_tuning.keep_scale(network)
    assert math.exp(network.logit_scale) == pytest.approx(100)


def test_batch_norms_of_a_residual_tower_are_found(tmp_path):
    model = clip_tiny.create_tiny(tmp_path / "tiny", ["a red tee."] * 3)
    layers = clip_tuning.batch_norms(model.network)
    assert len(layers) > 10 and all(hasattr(layer, "running_mean") for layer in layers)
