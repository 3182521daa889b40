"""The computed memory table: known sums, and activations against what can be counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scripts import sd_memory_table


class Two(nn.Module):
    """Two linear layers as a UNet is called; each keeps its input of 4 x 8 numbers in bfloat16."""

    is_gradient_checkpointing = False

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).to("meta", torch.bfloat16)

    def forward(self, sample):
        return self.layers(sample)


def test_every_tensor_that_autograd_keeps_counts_once_and_weights_do_not(monkeypatch):
    sample = torch.empty(4, 8, device="meta", dtype=torch.bfloat16)
    monkeypatch.setattr(sd_memory_table, "_inputs", lambda *_: {"sample": sample})
    assert sd_memory_table.activations(Two(), 512, 1) == 2 * 4 * 8 * 2


def test_stable_diffusion_fits_where_the_table_says():
    frozen, learning, gradients, states, kept, total = sd_memory_table.row("sd15", "LoRA of rank 16", 512, 1)
    assert learning == gradients == pytest.approx(3_188_736 * 4 / 1e9) and states == 2 * learning
    assert frozen == pytest.approx((859_520_964 + 3_188_736) * 2 / 1e9 + (83_653_863 + 123_060_480) * 4 / 1e9)
    assert 0.5 < kept < 1.2 and total < 8 - 2
