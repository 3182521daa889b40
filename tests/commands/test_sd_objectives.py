"""Runs of sd-train that learn something other than plain squared errors."""

from __future__ import annotations

import json

import pytest
from diffusers import DDIMScheduler, DiffusionPipeline

from fsynth.commands import sample, sd_train
from fsynth.config import SampleConfig, SDTrainConfig, SDTrainObjective, SDTrainValidation
from fsynth.errors import ConfigError
from tests import sd_families


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return sd_families.write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    more = {"clip_sample": False, "steps_offset": 1}
    velocity = DDIMScheduler(**betas, **more, prediction_type="v_prediction")
    sd_families.write_unet(folder / "velocity", velocity)
    sd_families.write_unet(folder / "epsilon")
    return folder


def _config(pictures, model, output, **objective):
    return SDTrainConfig(
        data=pictures,
        model=str(model),
        output=output,
        lr=1e-3,
        epochs=1,
        batch_size=3,
        objective=SDTrainObjective(**objective),
        validation=SDTrainValidation(rows=2, noise_levels=2, pictures=0),
    )


def _losses(run):
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_an_objective_changes_what_is_learnt_and_not_the_validation_loss(pictures, models, tmp_path):
    plain = sd_train.main(_config(pictures, models / "epsilon", tmp_path / "plain"))
    others = {
        "snr": {"weighting": "min-snr", "snr_gamma": 0.01},
        "huber": {"loss": "huber", "huber_c": 0.01},
        "perturbed": {"input_perturbation": 0.5},
    }
    for name, objective in others.items():
        run = sd_train.main(_config(pictures, models / "epsilon", tmp_path / name, **objective))
        assert _losses(run)[0] != _losses(plain)[0], name
        assert run.validation.before == plain.validation.before, name
        assert run.validation.after != plain.validation.after, name


def test_a_run_with_zero_terminal_snr_writes_a_pipeline_that_draws_so(pictures, models, tmp_path):
    objective = {"zero_terminal_snr": True, "weighting": "min-snr"}
    run = sd_train.main(_config(pictures, models / "velocity", tmp_path / "run", **objective))
    loaded = DiffusionPipeline.from_pretrained(run.folder / "model")
    assert loaded.scheduler.config.rescale_betas_zero_snr
    assert loaded.scheduler.config.timestep_spacing == "trailing"
    assert loaded.scheduler.alphas_cumprod[-1] == 0
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(sd_families.SENTENCES[0] + "\n")
    settings = {"model": str(run.folder), "prompts": prompts, "steps": 2, "output": tmp_path / "pictures"}
    assert sample.main(SampleConfig(**settings)).pictures == 1


def test_zero_terminal_snr_is_refused_to_models_of_the_noise_before_anything_begins(
    pictures, models, tmp_path
):
    with pytest.raises(ConfigError, match="take a model that predicts v, or objective"):
        sd_train.main(_config(pictures, models / "epsilon", tmp_path / "run", zero_terminal_snr=True))
    assert not (tmp_path / "run").exists()
