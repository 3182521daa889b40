import itertools
import math
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from open_clip import ClipLoss
from PIL import Image

from fsynth import caption_groups, clip_tiny, contrastive
from fsynth.order import Pick
from tests import contrastive_process, launches


def unit(rows, seed, width=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=1)


def test_the_loss_equals_open_clips():
    pictures, sentences, scale = unit(12, 0), unit(12, 1), torch.tensor(14.3)
    ours = contrastive.contrastive_loss(pictures, sentences, scale, torch.full((12,), 1 / 12))
    assert torch.allclose(ours, ClipLoss()(pictures, sentences, scale))


def test_rows_of_weight_zero_neither_ask_nor_answer():
    pictures, sentences, scale = unit(7, 0).requires_grad_(), unit(7, 1), torch.tensor(20.0)
    weight = torch.tensor([1, 1, 0, 1, 1, 0, 1]) / 5
    kept = weight > 0
    loss = contrastive.contrastive_loss(pictures, sentences, scale, weight)
    alone = contrastive.contrastive_loss(pictures[kept], sentences[kept], scale, weight[kept])
    assert torch.allclose(loss, alone)
    loss.backward()
    assert pictures.grad[~kept].abs().max() == 0 and pictures.grad[kept].abs().min(1).values.max() > 0


def test_half_precision_features_are_compared_in_single_precision():
    pictures, sentences = unit(5, 0).bfloat16(), unit(5, 1).bfloat16()
    loss = contrastive.contrastive_loss(pictures, sentences, torch.tensor(100.0), torch.ones(5) / 5)
    assert loss.dtype == torch.float32


def test_three_processes_have_the_loss_and_gradients_of_one(tmp_path):
    """7 rows over 3 processes: two rows of padding."""
    contrastive_process.run(0, 1, tmp_path)
    launches.torchrun(3, contrastive_process.__file__, tmp_path)
    alone = torch.load(tmp_path / "1-0.pt")
    for rank in range(3):
        for one, several in zip(alone, torch.load(tmp_path / f"3-{rank}.pt"), strict=True):
            assert torch.allclose(one, several, atol=1e-6)


def test_norms_biases_and_the_scale_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
    network.logit_scale = torch.nn.Parameter(torch.tensor(1.0))
    decayed, kept = contrastive.make_optimizer(network, lr=1e-5, weight_decay=0.1).param_groups
    assert [value.shape for value in decayed["params"]] == [(3, 3)] and decayed["weight_decay"] == 0.1
    assert len(kept["params"]) == 4 and kept["weight_decay"] == 0
    assert decayed["betas"] == (0.9, 0.98) and decayed["eps"] == 1e-6


def test_the_rate_rises_then_falls_to_nothing_and_no_step_is_wasted():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = contrastive.make_schedule(optimizer, steps=20, warmup=4)
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
    contrastive.keep_scale(network)
    assert math.exp(network.logit_scale) == pytest.approx(100)


def test_crops_are_a_function_of_seed_epoch_and_row(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (4, 128, 128, 3), dtype=np.uint8)
    table = {"image": [Image.fromarray(one) for one in noise], "text": ["a red tee.", "a tee."] * 2}
    table["row"] = [10, 11, 12, 13]
    dataset = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
    model = clip_tiny.create_tiny(tmp_path / "tiny", table["text"])
    pairs = contrastive.Pairs(dataset, [3, 1], model, 5, caption_groups.find(["a tee.", "a tee."]))
    before = torch.get_rng_state()
    first = pairs[Pick(0, 0, 1.0)]
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    both = caption_groups.find(["a red tee.", "a tee."])
    again = contrastive.Pairs(dataset, [0, 3], model, 5, both)[Pick(1, 0, 1.0)]
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], pairs[Pick(0, 1, 1.0)]["image"])
    assert again["group"] == 1
    assert torch.equal(first["tokens"], model.tokenizer(["a tee."])[0])


def test_batch_norms_of_a_residual_tower_are_found(tmp_path):
    model = clip_tiny.create_tiny(tmp_path / "tiny", ["a red tee."] * 3)
    layers = contrastive.batch_norms(model.network)
    assert len(layers) > 10 and all(hasattr(layer, "running_mean") for layer in layers)
