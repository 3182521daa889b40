"""Noising, targets and keyed draws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth import diffusion
from fsynth.errors import ModelError
from tests.reference import diffusion as slow

T = 1000


@pytest.fixture(scope="module")
def scheduler():
    from diffusers import DDPMScheduler

    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


@pytest.fixture(scope="module")
def every_timestep(scheduler):
    """The schedule and one (sample, noise) pair of numbers at each of its 1,000 timesteps."""
    generator = torch.Generator().manual_seed(0)
    samples, noise = torch.randn(2, T, 1, 1, 1, generator=generator)
    return diffusion.noise_schedule(scheduler.alphas_cumprod), samples, noise, torch.arange(T)


def _numbers(tensor):
    return tensor.double().flatten().tolist()


@pytest.mark.parametrize("name", ["noisy", "velocity"])
def test_noising_equals_the_equations_in_float64_at_every_timestep(scheduler, every_timestep, name):
    ours = {"noisy": diffusion.add_noise, "velocity": diffusion.velocity}[name](*every_timestep)
    rows = zip(*map(_numbers, (scheduler.alphas_cumprod, every_timestep[1], every_timestep[2])), strict=True)
    exact = torch.tensor([getattr(slow, name)(*row) for row in rows], dtype=torch.float64)
    assert (ours.double().flatten() - exact).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_no_input_precision_loses_the_noise_of_the_first_timesteps(every_timestep, dtype):
    schedule, samples, _, timesteps = every_timestep
    nothing, ones = torch.zeros_like(samples).to(dtype), torch.ones_like(samples).to(dtype)
    level = diffusion.add_noise(schedule, nothing, ones, timesteps)
    assert level.dtype == torch.float32
    assert torch.equal(level.flatten(), schedule.noise)
    assert level.min() > 0.029


def test_noising_equals_the_scheduler_of_diffusers(scheduler, every_timestep):
    schedule, samples, noise, timesteps = every_timestep
    torch.testing.assert_close(
        diffusion.add_noise(schedule, samples, noise, timesteps),
        scheduler.add_noise(samples, noise, timesteps),
        rtol=0,
        atol=1e-6,
    )
    torch.testing.assert_close(
        diffusion.velocity(schedule, samples, noise, timesteps),
        scheduler.get_velocity(samples, noise, timesteps),
        rtol=0,
        atol=1e-6,
    )


def test_a_perfect_velocity_gives_the_sample_back(scheduler, every_timestep):
    x_t = diffusion.add_noise(*every_timestep)
    v = diffusion.target(every_timestep[0], "v_prediction", *every_timestep[1:])
    rows = zip(*map(_numbers, (scheduler.alphas_cumprod, x_t, v)), strict=True)
    back = torch.tensor([slow.sample_from_velocity(*row) for row in rows])
    torch.testing.assert_close(back, every_timestep[1].flatten(), rtol=0, atol=1e-5)


def test_epsilon_and_sample_targets_are_the_noise_and_the_sample(every_timestep):
    schedule, samples, noise, timesteps = every_timestep
    assert torch.equal(diffusion.target(schedule, "epsilon", samples, noise, timesteps), noise)
    assert torch.equal(diffusion.target(schedule, "sample", samples, noise, timesteps), samples)
    with pytest.raises(ModelError, match="'flow'"):
        diffusion.target(schedule, "flow", samples, noise, timesteps)


def test_a_zero_terminal_schedule_ends_in_pure_noise():
    schedule = diffusion.noise_schedule(torch.tensor([0.999, 0.5, 0.0]))
    x = torch.full((1, 4, 2, 2), 7.0)
    e = torch.randn(1, 4, 2, 2)
    assert torch.equal(diffusion.add_noise(schedule, x, e, torch.tensor([2])), e)
    assert torch.equal(diffusion.velocity(schedule, x, e, torch.tensor([2])), -x)


def test_the_loss_of_a_row_does_not_depend_on_its_batch():
    prediction, wanted = torch.randn(2, 5, 4, 8, 8, dtype=torch.float64)
    alone = torch.stack([((p - w) ** 2).mean() for p, w in zip(prediction, wanted, strict=True)])
    torch.testing.assert_close(diffusion.loss_per_row(prediction, wanted).double(), alone)


@given(st.integers(0, 2**31), st.integers(0, 9), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_draws_are_functions_of_their_key(seed, epoch, row):
    key = (seed, "noise", epoch, row)
    torch.manual_seed(row)
    first = diffusion.draw_normal((4, 3), *key)
    torch.manual_seed(row + 1)
    assert torch.equal(first, diffusion.draw_normal((4, 3), *key))
    assert not torch.equal(first, diffusion.draw_normal((4, 3), seed, "noise", epoch, row + 1))
    assert not torch.equal(first, diffusion.draw_normal((4, 3), seed, "noise", epoch + 1, row))
    assert 0 <= diffusion.draw_timestep(T, *key) < T


def test_keyed_draws_over_rows_have_the_right_distribution():
    rows = range(4000)
    normal = torch.stack([diffusion.draw_normal((2,), 0, "noise", 0, row) for row in rows])
    assert normal.mean().abs() < 0.05
    assert abs(normal.std() - 1) < 0.05
    timesteps = torch.tensor([diffusion.draw_timestep(T, 0, "timestep", 0, row) for row in rows]).double()
    counts = torch.histc(timesteps, bins=10, min=0, max=T)
    assert counts.min() > 320  # 400 expected, sigma 19
    hits = [diffusion.draw_chance(0.1, 0, "caption", 0, row) for row in rows]
    assert 340 < sum(hits) < 460  # 400 expected, sigma 19


def test_the_chances_of_nothing_and_everything():
    assert not any(diffusion.draw_chance(0.0, row) for row in range(50))
    assert all(diffusion.draw_chance(1.0, row) for row in range(50))


@given(st.integers(1, 64))
@settings(max_examples=20, deadline=None)
def test_spread_timesteps_hit_every_part_once(draws):
    parts = sorted(step * draws // T for step in diffusion.spread_timesteps(T, draws))
    assert parts == list(range(draws))
