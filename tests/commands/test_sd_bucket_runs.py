"""Runs on pictures of several shapes: what is learnt, resumed, cut, drawn and said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from fsynth import samples, sd_folder
from fsynth.commands import sd_train
from fsynth.config import AugmentSettings, SDTrainBuckets, SDTrainCache, SDTrainConfig, SDTrainValidation
from fsynth.data.sources import Source
from tests import small_sd

SHAPES = {(24, 40): 5, (32, 32): 3, (60, 36): 2}
VALIDATION = SDTrainValidation(rows=4, noise_levels=2, pictures=0)


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    folder = small_sd.make(tmp_path_factory.mktemp("models") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sd_folder, "TINY_FOLDER", folder)
        yield folder


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Ten pictures in three shapes, of which the last is wider than its bucket."""
    import datasets

    start, parts = 0, []
    for size, count in SHAPES.items():
        parts.append(small_sd.rows(count, start, size))
        start += count
    train = datasets.concatenate_datasets(parts)
    test = datasets.concatenate_datasets([small_sd.rows(2, 50, (24, 40)), small_sd.rows(2, 60, (32, 32))])
    return Source(train, test, tmp_path_factory.mktemp("data"), True, True, True, "data: shapes")


@pytest.fixture(autouse=True)
def source(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(sd_train, "open_source", lambda **_: shapes)
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def _run(output, **more):
    given = {"lr": 1e-3, "epochs": 2, "batch_size": 3, "validation": VALIDATION, **more}
    return sd_train.main(SDTrainConfig(model="tiny", output=output, **given))


def _same(first, second):
    one, two = (small_sd.weights(run.folder) for run in (first, second))
    assert all(torch.equal(one[name], two[name]) for name in one)
    for keys in (("step", "loss"), ("epoch", "epoch_loss", "validation_loss")):
        assert small_sd.log(first.folder, *keys) == small_sd.log(second.folder, *keys)


class _Stop(Exception):
    pass


def test_a_run_in_buckets_resumes_in_mid_epoch_and_learns_the_same_from_the_disk(
    tmp_path, monkeypatch, capsys
):
    flip = AugmentSettings(flip=0.5)
    whole = _run(tmp_path / "whole", augment=flip, cache=SDTrainCache(latents="none", captions="none"))
    said = capsys.readouterr().err
    assert "buckets: 24x40 (5), 32x32 (3), 40x24 (2)" in said
    assert "cropped: 0.0% of the pixels on average (squares: 28.0%), at most 0.0%" in said
    assert "enlarged: 0 of 10 pictures" in said
    assert whole.steps == 8 and "steps: 8 (epochs 2 x 4)" in said  # 3 + 2, 3, 2
    broken = {"augment": flip, "cache": SDTrainCache(latents="disk"), "checkpoint_every": 1}
    see = sd_train.LossWatch.see

    def stop(self, losses, index, step, steps):
        if step == 6:
            raise _Stop
        see(self, losses, index, step, steps)

    with monkeypatch.context() as patch, pytest.raises(_Stop):
        patch.setattr(sd_train.LossWatch, "see", stop)
        _run(tmp_path / "broken", **broken)
    assert "are encoded now" in capsys.readouterr().err
    config = SDTrainConfig(
        model="tiny",
        lr=1e-3,
        epochs=2,
        batch_size=3,
        validation=VALIDATION,
        resume=tmp_path / "broken",
        **broken,
    )
    other = SDTrainCache(latents="disk", captions="none")  # how rows are kept may change
    resumed = sd_train.main(dataclasses.replace(config, workers=2, cache=other))
    assert "none to encode" in capsys.readouterr().err
    _same(whole, resumed)


def test_pictures_are_drawn_in_the_sizes_of_their_rows(tmp_path):
    from PIL import Image

    run = _run(tmp_path / "run", epochs=1, validation=dataclasses.replace(VALIDATION, pictures=4))
    rows = samples.rows_of(run.folder / "samples" / samples.ROWS)
    drawn = {row["file_name"]: Image.open(run.folder / "samples" / row["file_name"]).size for row in rows}
    assert len(drawn) == 8 and set(drawn.values()) == {(24, 40), (32, 32)}
    assert all(drawn[f"before-{number}.png"] == drawn[f"after-{number}.png"] for number in range(1, 5))
    assert samples.shared_record(run.folder / "samples")["size"] == 32


def test_squares_are_trained_where_they_are_asked_for_and_what_they_cut_is_said(tmp_path, capsys):
    run = _run(tmp_path / "squares", epochs=1, buckets=SDTrainBuckets(enabled="off"))
    assert run.steps == 4
    said = capsys.readouterr().err
    assert "buckets" not in said
    assert "cropped: 28.0% of the pixels on average, at most 40.0% (0.jpg)" in said
    micro = _run(tmp_path / "micro", epochs=1, micro_batch=1)
    buckets = _run(tmp_path / "buckets", epochs=1)
    losses = [small_sd.log(one.folder, "step", "loss") for one in (micro, buckets)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert small_sd.log(run.folder, "step", "loss") != losses[0]
