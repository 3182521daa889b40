"""The training loss of a pipeline: weights, perturbed inputs, and noise schedules that end in pure noise."""

from __future__ import annotations

import pytest
import torch

from fsynth import diffusion, sd_folder, sd_lora, sd_model
from fsynth.errors import ConfigError
from fsynth.sd_captions import Captions
from tests import sd_families
from tests.reference import diffusion as slow

LATENT = (4, 4, 4)


@pytest.fixture(scope="module")
def velocity(tmp_path_factory):
    """A model that predicts v, with the scheduler that Stable Diffusion brings, which cannot end in noise."""
    from diffusers import PNDMScheduler

    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        prediction_type="v_prediction",
    )
    return sd_families.write_unet(tmp_path_factory.mktemp("velocity") / "model", scheduler)


@pytest.fixture
def pipeline(velocity):
    return sd_model.load_pipeline(velocity, dtype=torch.float32, device="cpu")


def _objective(pipeline, **settings):
    captions = Captions(pipeline, ["the lady wore a blue dress"])
    return sd_model.Objective(pipeline, captions, **settings)


def _batch(pipeline, timesteps, **more):
    rows = len(timesteps)
    drawn = {name: diffusion.draw_normal((rows, *LATENT), name) for name in ("noise", "posterior")}
    moments = diffusion.draw_normal((rows, 2 * LATENT[0], *LATENT[1:]), "moments").abs()
    return {
        "moments": moments,
        "frame": torch.zeros(rows, 6),
        "caption": torch.ones(rows, dtype=torch.int64),
        "timestep": torch.tensor(timesteps),
        **drawn,
        **more,
    }


def test_weights_multiply_the_plain_loss_of_each_row(pipeline):
    batch = _batch(pipeline, [0, 500, 999])
    with torch.no_grad():
        plain = _objective(pipeline)(pipeline.unet, batch)
        weighted = _objective(pipeline, weighting="min-snr")(pipeline.unet, batch)
    alphas = pipeline.scheduler.alphas_cumprod.double()
    expected = [slow.min_snr(alphas[t].item(), "v_prediction", 5.0) for t in (0, 500, 999)]
    torch.testing.assert_close(weighted, plain * torch.tensor(expected).float(), rtol=1e-4, atol=1e-8)


def test_what_is_perturbed_is_seen_and_not_answered(pipeline):
    """With an answer of 0 the loss is the mean square of the target, which the perturbation leaves alone."""
    seen = []

    class Silent(torch.nn.Linear):
        def forward(self, noisy, *_):
            seen.append(noisy)
            return type("Answer", (), {"sample": torch.zeros_like(noisy)})

    silent, extra = Silent(1, 1), diffusion.draw_normal((1, *LATENT), "extra")
    objective = _objective(pipeline)
    plain = objective(silent, _batch(pipeline, [400]))
    moved = objective(silent, _batch(pipeline, [400], perturbation=0.1 * extra))
    assert torch.equal(plain, moved)
    torch.testing.assert_close(seen[1] - seen[0], 0.1 * extra * objective.schedule.noise[400])


def test_a_huber_loss_is_that_of_the_same_errors(pipeline):
    batch = _batch(pipeline, [300, 700])
    with torch.no_grad():
        squares, huber = (_objective(pipeline, huber_c=c)(pipeline.unet, batch) for c in (None, 1e3))
    torch.testing.assert_close(squares, huber)  # far below c they are the same


# ------------------------------------------------------------------------------------------ zero terminal SNR


def test_the_schedule_that_ends_in_noise_is_the_papers_and_is_drawn_from_its_end(pipeline):
    before = pipeline.scheduler.alphas_cumprod.double().tolist()
    sd_model.end_in_noise(pipeline)
    assert type(pipeline.scheduler).__name__ == "DDIMScheduler"
    schedule = sd_model.family(pipeline).schedule()
    expected = torch.tensor(slow.rescaled(before), dtype=torch.float64)
    torch.testing.assert_close(schedule.signal.double().square(), expected, rtol=1e-4, atol=1e-7)
    assert schedule.signal[-1] == 0 and schedule.noise[-1] == 1
    pipeline.scheduler.set_timesteps(10)
    assert pipeline.scheduler.timesteps[0] == 999
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert not pipeline.scheduler.config.clip_sample  # latents go beyond 1


def test_a_scheduler_that_can_end_in_noise_stays_what_it_is(pipeline):
    from diffusers import EulerDiscreteScheduler

    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    sd_model.end_in_noise(pipeline)
    assert type(pipeline.scheduler).__name__ == "EulerDiscreteScheduler"
    assert pipeline.scheduler.config.rescale_betas_zero_snr
    assert sd_model.family(pipeline).schedule().signal[-1] == 0


@pytest.mark.parametrize("weighting", diffusion.WEIGHTINGS)
def test_losses_at_the_end_of_such_a_schedule_are_finite(pipeline, weighting):
    sd_model.end_in_noise(pipeline)
    with torch.no_grad():
        losses = _objective(pipeline, weighting=weighting)(pipeline.unet, _batch(pipeline, [0, 999]))
    assert losses.isfinite().all()


def test_a_model_that_answers_with_the_noise_is_refused(tmp_path, velocity):
    found = sd_folder.find(sd_families.write_unet(tmp_path / "epsilon"))
    with pytest.raises(ConfigError, match=r"objective\.zero_terminal_snr: .*epsilon predicts the noise"):
        sd_model.check_zero_terminal(found)
    sd_model.check_zero_terminal(sd_folder.find(velocity))


@pytest.mark.parametrize("lora", [False, True])
def test_what_is_saved_is_drawn_as_it_was_trained(pipeline, velocity, tmp_path, lora):
    if lora:
        sd_lora.add(pipeline.unet, sd_lora.Adapters(2, 2.0), seed=0)
    sd_model.end_in_noise(pipeline)
    found = sd_folder.find(velocity)
    sd_folder.save_trained(pipeline, found, tmp_path / "model", pipeline.scheduler)
    again = sd_model.load_pipeline(tmp_path / "model", dtype=torch.float32, device="cpu")
    assert again.scheduler.config.rescale_betas_zero_snr
    assert again.scheduler.config.timestep_spacing == "trailing"
    assert torch.equal(again.scheduler.alphas_cumprod, pipeline.scheduler.alphas_cumprod)
