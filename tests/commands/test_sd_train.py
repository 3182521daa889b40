"""sd-train on small random pipelines and drawn squares: what is learnt, written, resumed and refused."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from fsynth import sd_folder, sd_model, sd_training, settings
from fsynth.commands import sd_train
from fsynth.comparison import compare_losses
from fsynth.config import (
    SDTrainBuckets,
    SDTrainCache,
    SDTrainConfig,
    SDTrainLora,
    SDTrainObjective,
    SDTrainValidation,
)
from fsynth.data.sources import Source
from fsynth.errors import ConfigError, DataError, DivergedError, FsynthError, ModelError, OutputError
from tests import launches, small_sd
from tests.small_sd import log as _log
from tests.small_sd import rows as _rows
from tests.small_sd import weights as _weights

QUICK = SDTrainValidation(rows=3, noise_levels=2, pictures=0)
BASE = SDTrainConfig(model="tiny", lr=1e-3, epochs=2, batch_size=4, validation=QUICK)


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    """A random pipeline in the place of the shipped one."""
    folder = small_sd.make(tmp_path_factory.mktemp("models") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sd_folder, "TINY_FOLDER", folder)
        yield folder


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return Source(_rows(10, 100, (32, 32)), _rows(5, 200, (32, 32)), root, True, True, True, "data: squares")


@pytest.fixture(autouse=True)
def source(squares, tmp_path, monkeypatch):
    monkeypatch.setattr(sd_train, "open_source", lambda **_: squares)
    monkeypatch.chdir(tmp_path)
    return squares


def _config(**changes):
    return dataclasses.replace(BASE, **changes)


def _largest_difference(first, second):
    assert first.keys() == second.keys()
    return max((first[key] - second[key]).abs().max().item() for key in first)


def _apart(first, second, base):
    """Distance between two runs' weights over the way from the base to the first."""
    start, one, two = (_flat(folder) for folder in (base, first / "model", second / "model"))
    return ((one - two).norm() / (one - start).norm()).item()


def _flat(model):
    from safetensors.torch import load_file

    weights = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    return torch.cat([weights[key].double().flatten() for key in sorted(weights)])


@pytest.fixture(scope="module")
def whole_run(squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    validation = dataclasses.replace(QUICK, pictures=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sd_train, "open_source", lambda **_: squares)
        return sd_train.main(_config(n_images=7, output=folder, validation=validation))


# ------------------------------------------------------------------------------------------ a run


def test_a_run_learns_and_writes_a_pipeline_that_diffusers_loads(whole_run):
    from diffusers import StableDiffusionPipeline

    folder = whole_run.folder
    assert whole_run.steps == 4  # 7 pictures in batches of 4 and 3, twice
    assert whole_run.validation.after < whole_run.validation.before
    assert whole_run.reload_difference == 0
    assert json.loads((folder / "result.json").read_text())["steps"] == 4
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "model", dtype=torch.float32)
    base = sd_model.load_pipeline("tiny", dtype=torch.float32, device="cpu")
    assert not torch.equal(sd_model.probe_output(pipeline.unet), sd_model.probe_output(base.unet))
    assert torch.equal(
        sd_model.probe_output(sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu").unet),
        sd_model.probe_output(pipeline.unet),
    )


def test_the_epoch_loss_is_the_mean_over_the_epoch_and_validation_runs_around_it(whole_run):
    steps = dict(_log(whole_run.folder, "step", "loss"))
    (first, second) = [loss for (loss,) in _log(whole_run.folder, "epoch_loss")]
    assert first == pytest.approx((4 * steps[1] + 3 * steps[2]) / 7, rel=1e-6)
    assert second == pytest.approx((4 * steps[3] + 3 * steps[4]) / 7, rel=1e-6)
    assert whole_run.loss == second
    assert [epoch for epoch, _ in _log(whole_run.folder, "epoch", "validation_loss")] == [0, 1, 2]


def test_the_run_repeats_itself_from_its_recipe_to_the_bit(whole_run, tmp_path):
    stored = yaml.safe_load((whole_run.folder / "run.yaml").read_text())
    assert stored["data"] == "drawn"  # also where $FSYNTH_DATA will name others
    again = sd_train.main(settings.load(SDTrainConfig, stored, flags={"output": tmp_path / "again"}))
    assert _largest_difference(_weights(whole_run.folder), _weights(again.folder)) == 0


def test_pictures_before_and_after_show_held_out_sentences(whole_run):
    folder = whole_run.folder / "samples"
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert [row["file_name"] for row in rows] == ["before-1.png", "after-1.png"]
    assert len({(row["text"], row["noise_seed"]) for row in rows}) == 1
    assert (folder / "before-1.png").read_bytes() != (folder / "after-1.png").read_bytes()


# ------------------------------------------------------------------------------------------ invariances


class _Stop(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_resumed_run_ends_with_the_same_weights_and_losses(whole_run, tmp_path, monkeypatch, stop_after):
    config = _config(n_images=7, output=tmp_path / "broken", checkpoint_every=1)
    see = sd_train.LossWatch.see

    def stop(self, losses, index, step, steps):
        if step == stop_after + 1:
            raise _Stop
        see(self, losses, index, step, steps)

    with monkeypatch.context() as patch, pytest.raises(_Stop):
        patch.setattr(sd_train.LossWatch, "see", stop)
        sd_train.main(config)
    resumed = sd_train.main(dataclasses.replace(config, output=None, resume=tmp_path / "broken"))
    assert _largest_difference(_weights(whole_run.folder), _weights(resumed.folder)) == 0
    for keys in (("step", "loss"), ("epoch", "epoch_loss", "validation_loss")):
        assert _log(resumed.folder, *keys) == _log(whole_run.folder, *keys)
    assert resumed.validation == whole_run.validation


def test_what_is_encoded_once_gives_what_encoding_at_every_step_gives_to_the_bit(whole_run, tmp_path, capsys):
    cache = SDTrainCache(captions="none", latents="none")
    other = sd_train.main(_config(n_images=7, output=tmp_path / "other", cache=cache))
    assert "captions: 4 different ones, embedded at every step" in capsys.readouterr().err
    assert _largest_difference(_weights(whole_run.folder), _weights(other.folder)) == 0
    for keys in (("step", "loss"), ("epoch", "epoch_loss", "validation_loss")):
        assert _log(other.folder, *keys) == _log(whole_run.folder, *keys)


def test_micro_batches_do_not_change_what_is_learnt(whole_run, tmp_path, tiny):
    other = sd_train.main(_config(n_images=7, output=tmp_path / "other", micro_batch=1))
    losses = [_log(run.folder, "step", "loss") for run in (whole_run, other)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert _apart(whole_run.folder, other.folder, tiny) < 1e-3


def test_validation_losses_compare_between_seeds_and_batch_sizes(tmp_path):
    losses = [
        sd_train.main(_config(n_images=4, epochs=1, seed=seed, batch_size=size)).validation.before
        for seed, size in ((0, 4), (1, 1))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_two_processes_learn_what_one_learns(tiny, tmp_path, monkeypatch):
    """From an encrypted archive, through the command line: nine rows, so that one process gets padding."""
    from fsynth import cli
    from fsynth.data import sources, synthetic

    archive = synthetic.make_archive(tmp_path / "archive", rows=14, held_out=4, size=32, workers=1)
    monkeypatch.setattr(sd_train, "open_source", sources.open_source)
    command = ["sd-train", "--data", str(archive), "--password-file", str(archive / "password.txt")]
    command += ["--model", str(tiny), "--n-images", "9", "--batch-size", "5", "--epochs", "2", "--lr", "1e-3"]
    command += ["--set", "validation.pictures=0", "--output"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli.run([*command, str(one)]) == 0
    launches.torchrun(2, "-m", "fsynth", *command, two)
    results = [json.loads((folder / "result.json").read_text()) for folder in (one, two)]
    assert [(result["processes"], result["drawn"]) for result in results] == [(1, True), (2, True)]
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=1e-5)
    assert np.ptp([result["validation"]["after"] for result in results]) < 1e-5
    assert _apart(one, two, tiny) < 1e-3


# ------------------------------------------------------------------------------------------ LoRA


def test_lora_writes_weights_that_load_on_their_base(tmp_path):
    result = sd_train.main(_config(n_images=4, lora_rank=2, lr=1e-2, output=tmp_path / "lora"))
    model = tmp_path / "lora" / "model"
    assert {path.name for path in model.iterdir()} == {"pytorch_lora_weights.safetensors", "fsynth.json"}
    assert json.loads((model / "fsynth.json").read_text())["base"] == "tiny"
    assert result.reload_difference == 0
    example = tmp_path / "new"
    example.touch()
    modes = {path.stat().st_mode for path in tmp_path.glob("lora/model/*")}
    assert modes == {example.stat().st_mode}  # safetensors alone would keep others from reading
    base = sd_model.load_pipeline("tiny", dtype=torch.float32, device="cpu").unet
    mine = sd_model.load_pipeline(tmp_path / "lora", dtype=torch.float32, device="cpu").unet
    assert not torch.equal(sd_model.probe_output(base), sd_model.probe_output(mine))
    base_size = sum(value.numel() for value in base.parameters())
    assert 0 < result.trainable_parameters < base_size / 10


@pytest.fixture
def fresh_accelerator():
    """accelerate keeps the first precision of a process; this test needs another one."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def test_lora_in_bf16_keeps_float32_adapters_and_reloads(tmp_path, fresh_accelerator):
    from safetensors.torch import load_file

    settings = {"lora_rank": 2, "lr": 1e-2, "precision": "bf16"}
    validation = dataclasses.replace(QUICK, pictures=1)
    sd_train.main(_config(n_images=4, output=tmp_path / "lora", validation=validation, **settings))
    assert (tmp_path / "lora" / "samples" / "after-1.png").exists()
    saved = load_file(tmp_path / "lora" / "model" / "pytorch_lora_weights.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.float32}


def test_training_on_top_of_lora_weights_is_refused(tmp_path):
    sd_train.main(_config(n_images=2, epochs=1, lora_rank=2, output=tmp_path / "lora"))
    with pytest.raises(ModelError, match="train from that model instead"):
        sd_train.main(_config(model=str(tmp_path / "lora")))


# ------------------------------------------------------------------------------------------ what is said


def test_a_batch_larger_than_the_pictures_is_cut_and_said(capsys):
    result = sd_train.main(_config(n_images=3, batch_size=64, epochs=1))
    assert result.steps == 1
    talk = capsys.readouterr().err
    assert "batch size: 3, all pictures there are, instead of 64 (--batch-size)" in talk
    assert "3 of the 10 rows of the training split" in talk
    assert "steps: 1 (epochs 1 x 1)" in talk


def test_pictures_that_are_cropped_or_enlarged_are_said(source, monkeypatch, capsys):
    wide = dataclasses.replace(source, train=_rows(4, 0, (24, 16)))
    monkeypatch.setattr(sd_train, "open_source", lambda **_: wide)
    sd_train.main(_config(epochs=1, buckets=SDTrainBuckets(enabled="off")))
    talk = capsys.readouterr().err
    assert "resolution: 32 px, the model's own (--resolution), from pictures of 24x16" in talk
    assert "cropped: 33.3% of the pixels on average, at most 33.3% (0.jpg); enlarged: 4 of 4" in talk
    assert "enlarging the pictures adds no detail" in talk


# ------------------------------------------------------------------------------------------ bad input


def test_what_cannot_be_is_refused_before_anything_is_said_or_written(tmp_path, capsys):
    with pytest.raises(ConfigError, match="--n-images 11 is more than the 10 rows"):
        sd_train.main(_config(n_images=11))
    with pytest.raises(ConfigError, match="not a multiple of 8"):
        sd_train.main(_config(resolution=30))
    with pytest.raises(ModelError, match="unknown model 'nothing'"):
        sd_train.main(_config(model="nothing"))
    with pytest.raises(ConfigError, match=r"lora\.alpha: 0 switches the adapters off; leave it out"):
        sd_train.main(_config(lora_rank=2, lora=SDTrainLora(alpha=0.0)))
    with pytest.raises(ConfigError, match=r"lora\.alpha: 8 belongs to adapters; give --lora-rank"):
        sd_train.main(_config(lora=SDTrainLora(alpha=8.0)))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text("")
    with pytest.raises(OutputError, match=r"run: its run\.yaml is empty; start a new run"):
        sd_train.main(_config(resume=tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"] and capsys.readouterr().err == ""


def test_a_worse_model_is_called_worse_with_what_to_try(whole_run, capsys):
    worse = compare_losses([0.40, 0.41] * 9, [0.42, 0.44] * 9)
    sd_train._say_result(dataclasses.replace(whole_run, validation=worse))
    assert f"{worse.text()}; try a lower --lr, fewer --epochs or more" in capsys.readouterr().err


def test_a_picture_that_cannot_be_decoded_is_named_and_leaves_no_run(source, tmp_path, monkeypatch):
    import datasets

    raw = source.train.cast_column("image", datasets.Image(decode=False)).to_dict()
    raw["image"][6]["bytes"] = b"no picture"
    broken = datasets.Dataset.from_dict(raw, features=source.train.features)
    monkeypatch.setattr(sd_train, "open_source", lambda **_: dataclasses.replace(source, train=broken))
    with pytest.raises(DataError, match=r"106\.jpg"):
        sd_train.main(_config())
    assert not list((tmp_path / "runs").glob("*"))


def test_weights_that_do_not_change_fail_the_run(tmp_path):
    with pytest.raises(FsynthError, match="did not change"):
        sd_train.main(_config(lr=1e-60, n_images=2, epochs=1, output=tmp_path / "still"))
    assert not (tmp_path / "still" / "result.json").exists()


def test_a_loss_that_is_not_finite_stops_the_run_with_its_rows(source, tmp_path, monkeypatch):
    whole = sd_train.TrainingRows._picture

    def broken(self, pick):
        found = whole(self, pick)
        return found | {"moments": found["moments"] / (self.pictures.rows[pick.index] != 104)}

    monkeypatch.setattr(sd_train.TrainingRows, "_picture", broken)
    with pytest.raises(DivergedError, match=r"not finite at step \d: 104\.jpg; lower --lr") as caught:
        sd_train.main(_config(output=tmp_path / "broken", checkpoint_every=1))
    assert not (tmp_path / "broken" / "model").exists()
    assert not hasattr(caught.value, "__notes__")  # --resume would lead there again


def test_pictures_that_cannot_be_drawn_do_not_cost_the_trained_model(tmp_path, monkeypatch, capsys):
    def fail(*_, when, **__):
        if when == "after":
            raise RuntimeError("CUDA out of memory.")

    monkeypatch.setattr(sd_training, "draw_pictures", fail)
    validation = dataclasses.replace(QUICK, pictures=1)
    run = sd_train.main(_config(n_images=4, epochs=1, output=tmp_path / "run", validation=validation))
    assert (
        "note: no pictures after training (CUDA out of memory.); the model is saved"
        in capsys.readouterr().err
    )
    assert (run.folder / "result.json").exists() and run.reload_difference == 0


def test_no_process_holds_more_pictures_than_micro_batch_says(tmp_path, monkeypatch):
    at_once = []

    def watched(model, pixels, encode=sd_model.posterior_moments):
        at_once.append(len(pixels))
        return encode(model, pixels)

    monkeypatch.setattr(sd_model, "posterior_moments", watched)
    sd_train.main(_config(n_images=4, batch_size=4, micro_batch=1))
    assert set(at_once) == {1}


# ------------------------------------------------------------------------------------------ prediction types


def test_a_v_prediction_model_is_trained_on_velocities(tiny, tmp_path):
    other = shutil.copytree(tiny, tmp_path / "velocity")
    file = other / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "v_prediction"}))
    config = _config(n_images=4, epochs=1, objective=SDTrainObjective(caption_dropout=0.0))
    epsilon, velocity = (
        sd_train.main(dataclasses.replace(config, model=model)) for model in ("tiny", str(other))
    )
    assert epsilon.validation.before != velocity.validation.before
    saved = json.loads((velocity.folder / "model" / "scheduler" / "scheduler_config.json").read_text())
    assert saved["prediction_type"] == "v_prediction"
