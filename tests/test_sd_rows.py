"""Rows as a training step takes them: the draws of their noise."""

import collections
import types

import numpy as np
import pytest
import torch
from datasets import concatenate_datasets
from PIL import Image

from fsynth.order import Pick
from fsynth.sd_captions import Captions
from fsynth.sd_rows import Draws, HeldOutRows, Pictures, TrainingRows, View
from tests import small_sd

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


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("size", "bucket"), [((100, 40), (40, 24)), ((40, 97), (24, 40)), ((64, 64), (32, 32))]
)
def test_the_frame_of_a_row_says_where_its_pixels_lie_in_the_resized_picture(size, bucket, mirrored):
    """Resized as a whole and cropped where the frame says, the picture is what the row shows."""
    dataset = small_sd.rows(1, 0, size)
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 255, (5, 5, 3), dtype=np.uint8)).resize(
        size
    )
    dataset = dataset.map(lambda row: {"image": smooth}, load_from_cache_file=False)
    pictures = Pictures(dataset, [0], 32)
    pictures.fit([bucket])
    height, width, top, left, *target = pictures.frames()[0].int().tolist()
    assert (width, height) == size and target == [bucket[1], bucket[0]]
    scale = max(bucket[0] / width, bucket[1] / height)
    shown = smooth.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else smooth
    whole = shown.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    cut = np.asarray(whole.crop((left, top, left + bucket[0], top + bucket[1])), dtype=float)
    pixels = (pictures[View(0, mirrored)].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(pixels - cut).mean() < 3 and pixels.shape == (bucket[1], bucket[0], 3)
    for shift in ((8, 0), (0, 8)):  # the comparison would notice another place
        assert np.abs(pixels - np.roll(cut, shift, axis=(0, 1))).mean() > 6


def test_rows_carry_the_frame_of_their_picture_training_and_held_out(random_pipeline):
    datasets = [small_sd.rows(1, row, size) for row, size in enumerate([(40, 97), (64, 64)])]
    pictures = Pictures(concatenate_datasets(datasets), [0, 1], 32)
    pictures.fit([(24, 40), (32, 32)])
    captions = Captions(random_pipeline, pictures.texts)
    moments = {View(0): torch.zeros(8, 10, 6), View(1): torch.zeros(8, 8, 8)}
    rows = TrainingRows(pictures, captions, Draws(0, 1000, 4, 4, 0.0), moments)
    held_out = HeldOutRows(pictures, captions, moments, 1000, draws=2)
    for index, expected in enumerate(([97, 40, 9, 0, 40, 24], [64, 64, 0, 0, 32, 32])):
        row = rows[Pick(index, 0, 1.0)]
        assert row["frame"].tolist() == held_out[2 * index]["frame"].tolist() == expected
        assert row["noise"].shape == row["posterior"].shape == (4, *moments[View(index)].shape[1:])
    assert list(held_out.batches(9)) == [[0, 1], [2, 3]] and rows.kinds.of == (0, 1)
