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
KINDS = ("epsilon", "v_prediction", "sample")
"""What networks predict whose schedule keeps the variance."""


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
    with pytest.raises(ModelError, match="'nothing'"):
        diffusion.target(schedule, "nothing", samples, noise, timesteps)


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


# ------------------------------------------------------------------------------------------ weights, losses


@pytest.mark.parametrize("kind", KINDS)
def test_min_snr_weights_are_the_papers_at_every_timestep(scheduler, kind):
    schedule = diffusion.noise_schedule(scheduler.alphas_cumprod)
    ours = diffusion.loss_weights(schedule, kind, "min-snr", 5.0).double()
    exact = [slow.min_snr(value, kind, 5.0) for value in scheduler.alphas_cumprod.double().tolist()]
    torch.testing.assert_close(ours, torch.tensor(exact, dtype=torch.float64), rtol=1e-6, atol=0)
    if kind == "epsilon":  # known of Stable Diffusion's schedule
        assert (ours < 1).nonzero().max() == 146 and round(ours.mean().item(), 3) == 0.917


@pytest.mark.parametrize("weighting", ["min-snr", "debiased"])
def test_weighted_losses_are_the_same_whatever_the_network_predicts(every_timestep, weighting):
    """A network that is off by so much of the sample is off in noise and velocity, too: x_t holds both."""
    schedule, samples, noise, timesteps = every_timestep
    x_t = diffusion.add_noise(*every_timestep)
    guess = samples + 0.1 * torch.randn(T, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    signal, level = (factor.double().view(-1, 1, 1, 1) for factor in schedule)
    guessed_noise = (x_t - signal * guess) / level
    losses = []
    for kind in KINDS:
        answer = diffusion.target(schedule, kind, guess, guessed_noise, timesteps)
        wanted = diffusion.target(schedule, kind, samples, noise, timesteps)
        weights = diffusion.loss_weights(schedule, kind, weighting)
        losses.append(weights * diffusion.loss_per_row(answer, wanted))
    torch.testing.assert_close(losses[0], losses[2], rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(losses[1], losses[2], rtol=1e-3, atol=1e-9)


def test_debiased_weights_of_the_noise_are_one_over_the_root_of_the_snr(scheduler):
    schedule = diffusion.noise_schedule(scheduler.alphas_cumprod)
    weights = diffusion.loss_weights(schedule, "epsilon", "debiased").double()
    snr = scheduler.alphas_cumprod.double() / (1 - scheduler.alphas_cumprod.double())
    torch.testing.assert_close(weights * snr.sqrt(), torch.ones(T, dtype=torch.float64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("weighting", diffusion.WEIGHTINGS)
@pytest.mark.parametrize("kind", diffusion.PREDICTION_TYPES)
def test_weights_are_finite_where_the_schedule_ends_in_pure_noise(kind, weighting):
    schedule = diffusion.noise_schedule(torch.tensor([1.0, 0.999, 0.5, 0.0]))
    weights = diffusion.loss_weights(schedule, kind, weighting)
    assert weights.isfinite().all() and weights.dtype == torch.float32 and (weights[1:3] > 0).all()


def test_without_a_weighting_all_levels_count_the_same(every_timestep):
    assert diffusion.loss_weights(every_timestep[0], "v_prediction", "none").unique().tolist() == [1.0]


def test_the_huber_loss_is_the_square_of_small_errors_and_linear_in_large_ones():
    c = 0.1
    errors = torch.tensor([[1e-5, -1e-5], [30.0, -30.0], [0.2, 0.0]])
    found = diffusion.loss_per_row(errors, torch.zeros_like(errors), c).double()
    assert found[0].item() == pytest.approx(1e-10, rel=1e-4)
    assert found[1].item() == pytest.approx(2 * c * 30, rel=0.01)
    assert found[2].item() == pytest.approx((2 * c * ((0.2**2 + c**2) ** 0.5 - c)) / 2, rel=1e-5)


# ------------------------------------------------------------------------------------------ rectified flow


def test_a_flow_is_the_straight_way_from_the_sample_to_the_noise():
    """x_t moves by the target as the level of noise grows: a step along it ends where add_noise says."""
    levels = torch.tensor([0.2, 0.7])
    schedule = diffusion.NoiseSchedule(1 - levels, levels)
    samples, noise = torch.randn(2, 1, 4, 3, 3)
    start, end = (diffusion.add_noise(schedule, samples, noise, torch.tensor([at])) for at in (0, 1))
    way = diffusion.target(schedule, "flow", samples, noise, torch.tensor([0]))
    torch.testing.assert_close(start + 0.5 * way, end)


def test_flow_weights_are_those_of_the_noise_over_the_squared_signal():
    levels = torch.linspace(0.01, 0.99, 50)
    schedule = diffusion.NoiseSchedule(1 - levels, levels)
    weights = {kind: diffusion.loss_weights(schedule, kind, "min-snr") for kind in ("epsilon", "flow")}
    torch.testing.assert_close(weights["flow"], weights["epsilon"] * schedule.signal**2)


def test_logit_normal_levels_are_sigmoids_of_normal_draws():
    draws = [diffusion.draw_level("logit-normal", T, 0, "timestep", 0, row) for row in range(4000)]
    assert min(draws) >= 0 and max(draws) < T
    logits = (torch.tensor(draws).double() + 0.5).div(T).logit()
    assert abs(logits.mean()) < 0.05 and abs(logits.std() - 1) < 0.05
    assert diffusion.draw_level("uniform", T, 5) == diffusion.draw_timestep(T, 5)
