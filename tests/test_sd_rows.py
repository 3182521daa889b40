"""Rows as a training step takes them: the draws of their noise."""

import collections
import types

import pytest
import torch

from fsynth.order import Pick
from fsynth.sd_captions import Captions
from fsynth.sd_rows import Draws, TrainingRows

ROWS = 200


@pytest.fixture
def rows_with(random_pipeline):
    def make(**draws):
        pictures = types.SimpleNamespace(
            texts=["the lady wore a red dress."] * ROWS,
            rows=range(ROWS),
            targets=[(64, 64)] * ROWS,
            frames=lambda: torch.zeros(ROWS, 6),
        )
        return TrainingRows(
            pictures,
            Captions(random_pipeline, pictures.texts),
            Draws(seed=0, timesteps=1000, channels=4, factor=8, caption_dropout=0.1, **draws),
            moments=collections.defaultdict(lambda: torch.zeros(8, 8, 8)),
        )

    return make


def noise(rows, index):
    return rows[Pick(index, epoch=1, weight=1.0)]["noise"]


def test_a_noise_offset_shifts_whole_channels_and_nothing_else(rows_with):
    plain, shifted = rows_with(), rows_with(noise_offset=0.3)
    shifts = torch.stack([noise(shifted, index) - noise(plain, index) for index in range(ROWS)])
    assert shifts.std(dim=(2, 3)).max() < 1e-6  # the same for every place of a channel
    by_channel = shifts.mean(dim=(2, 3))
    assert abs(by_channel.std() - 0.3) < 0.03 and abs(by_channel.mean()) < 0.05
    assert by_channel.T.corrcoef().fill_diagonal_(0).abs().max() < 0.25  # each channel by itself


def test_a_noise_offset_is_drawn_by_row_and_epoch_and_changes_no_other_draw(rows_with):
    plain, shifted = rows_with(), rows_with(noise_offset=0.3)
    pick = Pick(7, epoch=2, weight=1.0)
    assert torch.equal(shifted[pick]["noise"], rows_with(noise_offset=0.3)[pick]["noise"])
    for name in ("timestep", "caption", "posterior"):
        assert torch.equal(torch.as_tensor(plain[pick][name]), torch.as_tensor(shifted[pick][name]))
    assert not torch.equal(noise(shifted, 7), shifted[pick]["noise"])


def test_a_perturbation_is_drawn_by_row_and_epoch_and_changes_no_other_draw(rows_with):
    plain, moved = rows_with(), rows_with(input_perturbation=0.2)
    pick = Pick(7, epoch=2, weight=1.0)
    assert "perturbation" not in plain[pick]
    for name in ("noise", "timestep", "caption", "posterior"):
        assert torch.equal(torch.as_tensor(plain[pick][name]), torch.as_tensor(moved[pick][name]))
    drawn = torch.stack([moved[Pick(index, 1, 1.0)]["perturbation"] for index in range(ROWS)])
    assert abs(drawn.std() - 0.2) < 0.01
    again = rows_with(input_perturbation=0.2)[pick]["perturbation"]
    assert torch.equal(moved[pick]["perturbation"], again)
    assert not torch.equal(again, moved[Pick(7, 3, 1.0)]["perturbation"])
