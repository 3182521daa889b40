"""sd-train and sample on Stable Diffusion XL and 3.x: a run, adapters, a resume, pictures, refusals."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from fsynth import sd_model
from fsynth.commands import sample, sd_train
from fsynth.config import SampleConfig, SDTrainConfig, SDTrainObjective, SDTrainValidation
from fsynth.errors import ConfigError
from tests import sd_families

FAMILIES = ["xl", "flow"]
PARTS = {"xl": "unet", "flow": "transformer"}
WITHOUT_T5 = {"xl": {}, "flow": {"text_encoder_3": None, "tokenizer_3": None}}
"""What diffusers itself wants to be told of a pipeline without T5."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return sd_families.write_pictures(tmp_path_factory.mktemp("data"), size=(40, 48))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: sd_families.WRITERS[name](root / name) for name in FAMILIES}


@pytest.fixture(scope="module")
def config(pictures, models):
    def make(name, output, **more):
        quick = {"lr": 3e-3, "epochs": 2, "batch_size": 3, "checkpoint_every": 1}
        validation = SDTrainValidation(rows=2, noise_levels=2, pictures=1)
        where = {"data": pictures, "model": str(models[name]), "output": output, "validation": validation}
        return SDTrainConfig(**{**where, **quick, **more})

    return make


@pytest.fixture(scope="module")
def runs(config, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {name: sd_train.main(config(name, root / name)) for name in FAMILIES}


def _weights(run, name):
    return load_file(run.folder / "model" / PARTS[name] / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_learns_and_writes_a_pipeline_that_diffusers_loads(runs, models, name):
    from diffusers import DiffusionPipeline

    run = runs[name]
    assert run.validation.after < run.validation.before and run.reload_difference == 0
    loaded = DiffusionPipeline.from_pretrained(run.folder / "model", **WITHOUT_T5[name])
    base = sd_model.load_pipeline(models[name], dtype=torch.float32, device="cpu")
    mine, theirs = (sd_model.probe_output(sd_model.family(one).denoiser) for one in (loaded, base))
    assert type(loaded).__name__ == type(base).__name__ and not torch.equal(mine, theirs)
    rows = (run.folder / "samples" / "samples.jsonl").read_text().splitlines()
    assert [json.loads(row)["file_name"] for row in rows] == ["before-1.png", "after-1.png"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_resumed_run_ends_with_the_same_weights(config, runs, name, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    see = sd_train.LossWatch.see

    def stop(self, losses, index, step, steps):
        if step == 4:
            raise Stopped
        see(self, losses, index, step, steps)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(sd_train.LossWatch, "see", stop)
        sd_train.main(config(name, tmp_path / "run"))
    resumed = sd_train.main(dataclasses.replace(config(name, None), resume=tmp_path / "run"))
    first, second = _weights(runs[name], name), _weights(resumed, name)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", FAMILIES)
def test_adapters_load_on_their_base_in_diffusers_and_draw_with_sample(config, models, name, tmp_path):
    from diffusers import DiffusionPipeline

    run = sd_train.main(config(name, tmp_path / "lora", lora_rank=2, epochs=1))
    assert run.reload_difference == 0
    base = DiffusionPipeline.from_pretrained(models[name], **WITHOUT_T5[name])
    before = sd_model.probe_output(sd_model.family(base).denoiser)
    base.load_lora_weights(run.folder / "model")
    theirs = sd_model.probe_output(sd_model.family(base).denoiser)
    ours = sd_model.load_pipeline(run.folder, dtype=torch.float32, device="cpu")
    torch.testing.assert_close(sd_model.probe_output(sd_model.family(ours).denoiser), theirs)
    assert not torch.equal(before, theirs)
    (tmp_path / "prompts.txt").write_text("\n".join(sd_families.SENTENCES))
    settings = {"prompts": tmp_path / "prompts.txt", "steps": 2, "output": tmp_path / "pictures"}
    assert sample.main(SampleConfig(model=str(run.folder), **settings)).pictures == 2


def test_a_flow_draws_middle_levels_unless_told_otherwise(config, runs, tmp_path):
    settings = {"objective": SDTrainObjective(timesteps="uniform"), "epochs": 1}
    run = sd_train.main(config("flow", tmp_path / "even", **settings))
    assert run.validation.before == runs["flow"].validation.before
    assert run.validation.after != runs["flow"].validation.after


def test_what_a_flow_cannot_do_is_refused_before_anything_begins(config, tmp_path):
    with pytest.raises(ConfigError, match="ends in pure noise as it is"):
        sd_train.main(config("flow", tmp_path / "run", objective=SDTrainObjective(zero_terminal_snr=True)))
    with pytest.raises(ConfigError, match=r"--resolution 80: .* knows places up to 64 px"):
        sd_train.main(config("flow", tmp_path / "run", resolution=80))
    assert not (tmp_path / "run").exists()
