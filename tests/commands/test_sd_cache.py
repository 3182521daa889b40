"""sd-cache: what it writes, that sd-train finds it, bad input, two processes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from fsynth import cli, sd_folder, sd_model
from fsynth.commands import sd_cache, sd_train
from fsynth.config import (
    AugmentSettings,
    SDCacheConfig,
    SDTrainBuckets,
    SDTrainCache,
    SDTrainConfig,
    SDTrainValidation,
)
from fsynth.errors import ConfigError, DataError
from tests import launches, small_sd
from tests.data import make_sources

SIZES = [(32, 32), (24, 40), (40, 24)]
ROWS = 9


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    folder = small_sd.make(tmp_path_factory.mktemp("models") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sd_folder, "TINY_FOLDER", folder)
        yield folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Square, tall and wide pictures; three to test on."""
    root = tmp_path_factory.mktemp("data")
    for split, rows in (("train", range(ROWS)), ("test", range(ROWS, ROWS + 3))):
        (root / split).mkdir()
        for row in rows:
            width, height = SIZES[row % 3]
            pixels = np.random.default_rng(row).integers(0, 255, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / split / f"{row}.png")
        make_sources.jsonl(root / split, [{"file_name": f"{row}.png", "text": "a red dress"} for row in rows])
    return root


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache folder of this test."""
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "sd"


def _train(data, output, **more):
    quick = SDTrainValidation(rows=3, noise_levels=2, pictures=0)
    given = {"data": data, "model": "tiny", "output": output, "lr": 1e-3, "validation": quick, **more}
    return sd_train.main(SDTrainConfig(epochs=2, batch_size=2, **given))


def _cache(data, **more):
    return sd_cache.main(SDCacheConfig(data=data, model="tiny", held_out=3, **more))


def test_a_run_finds_all_that_was_encoded_and_learns_the_same(data, folder, tmp_path, monkeypatch, capsys):
    never = _train(data, tmp_path / "never", cache=SDTrainCache(latents="none"))
    assert not folder.exists()
    made = _cache(data)
    assert (made.pictures, made.held_out, made.entries, made.encoded) == (9, 3, 12, 12)
    assert made.bytes == sum(8 * width // 8 * height // 8 * 4 for width, height in SIZES) * 4
    assert made.folder.parent == folder and json.loads((made.folder / "index.json").read_text())["about"]
    again = _cache(data)
    assert again.encoded == 0 and again.entries == 12
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(sd_model, "posterior_moments", None)
        found = _train(data, tmp_path / "found")
    said = capsys.readouterr().err
    assert f"latents: 9 are in {made.folder}, none to encode" in said
    assert "buckets: 24x40 (3), 32x32 (3), 40x24 (3)" in said
    for keys in (("step", "loss"), ("epoch", "epoch_loss", "validation_loss")):
        assert small_sd.log(found.folder, *keys) == small_sd.log(never.folder, *keys)


def test_mirrored_pictures_are_found_by_runs_that_mirror(data, tmp_path, monkeypatch):
    flip = {"augment": AugmentSettings(flip=0.5)}
    never = _train(data, tmp_path / "never", cache=SDTrainCache(latents="none"), **flip)
    memory = _train(data, tmp_path / "memory", cache=SDTrainCache(latents="memory"), **flip)
    assert _cache(data, mirrored=True).entries == 9 + 9 + 3
    monkeypatch.setattr(sd_model, "posterior_moments", None)
    found = _train(data, tmp_path / "found", **flip)
    losses = [small_sd.log(run.folder, "step", "loss") for run in (never, memory, found)]
    assert losses[0] == losses[1] == losses[2]
    plain = _train(data, tmp_path / "plain")
    assert small_sd.log(plain.folder, "step", "loss") != losses[0]


def test_two_processes_share_the_encoding_and_learn_what_one_learns(data, tiny, tmp_path):
    """In three sizes, of three pictures each: batches of two and one, so that one process gets padding."""
    command = ["sd-train", "--data", str(data), "--model", str(tiny), "--lr", "1e-3", "--epochs", "2"]
    command += ["--batch-size", "2", "--set", "validation.rows=3", "--set", "validation.noise_levels=2"]
    command += ["--set", "validation.pictures=0", "--set", "cache.latents=disk", "--output", tmp_path / "two"]
    launches.torchrun(2, "-m", "fsynth", *command, "--set", f"cache.dir={tmp_path / 'latents'}")
    shared = sd_cache.main(SDCacheConfig(data=data, model=str(tiny), held_out=3, dir=tmp_path / "latents"))
    assert shared.encoded == 0
    assert len(list(shared.folder.glob("*.safetensors"))) == 6  # a shard a size, of either kind of rows
    one = _train(data, tmp_path / "one")
    for keys in (("step", "loss"), ("epoch", "epoch_loss", "validation_loss")):
        logs = [small_sd.log(folder, *keys) for folder in (one.folder, tmp_path / "two")]
        np.testing.assert_allclose(*logs, rtol=1e-5)


def test_the_command_prints_its_folder_and_its_result(data, tmp_path, capsys):
    command = ["sd-cache", "--data", str(data), "--model", "tiny", "--n-images", "4", "--held-out", "0"]
    assert cli.run([*command, "--set", "buckets.enabled=off", "--json"]) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert (result["pictures"], result["held_out"], result["encoded"]) == (4, 0, 4)
    assert result["bytes"] == 4 * 8 * 4 * 4 * 4  # squares of 32 px
    assert "pictures: 4 of the 9 rows of the training split, drawn with --seed 0" in shown.err


def test_what_cannot_be_is_refused_before_anything_is_said_or_written(data, folder, capsys):
    with pytest.raises(ConfigError, match="--n-images 99 is more than the 9 rows"):
        _cache(data, n_images=99)
    with pytest.raises(ConfigError, match="not a multiple of 8"):
        _cache(data, resolution=30)
    with pytest.raises(ConfigError, match=r"buckets\.step: 12 is not a multiple of 8; take 16, or leave it"):
        _cache(data, buckets=SDTrainBuckets(step=12))
    with pytest.raises(DataError):
        _cache(data / "nothing")
    assert not folder.exists() and capsys.readouterr().err == ""
