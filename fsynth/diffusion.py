"""The mathematics of diffusion training: pure tensor functions in float32, and keyed random draws.

Notation of Ho et al. 2020 (arXiv 2006.11239): a noisy sample is x_t = signal_t x + noise_t e with
signal_t = sqrt(alphas_cumprod_t) and noise_t = sqrt(1 - alphas_cumprod_t). The velocity is
v_t = signal_t e - noise_t x (Salimans and Ho 2022, arXiv 2202.00512, equation in appendix D). Rectified flows
(Esser et al. 2024, arXiv 2403.03206) have signal_t = 1 - noise_t and answer with e - x.

Samples, noise, targets and losses stay in float32 whatever the network computes in: mixed in bfloat16, a
sample at the first timesteps carries no noise at all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fsynth.errors import ModelError
from fsynth.keyed import seed_of

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample", "flow")
LEVELS = ("uniform", "logit-normal")
WEIGHTINGS = ("none", "min-snr", "debiased")


class NoiseSchedule(NamedTuple):
    """The factors of signal and noise at every timestep: two float32 tensors (T,)."""

    signal: Tensor
    noise: Tensor

    def to(self, device: torch.device | str) -> NoiseSchedule:
        return NoiseSchedule(self.signal.to(device), self.noise.to(device))


def noise_schedule(alphas_cumprod: Tensor) -> NoiseSchedule:
    """A scheduler's ``alphas_cumprod`` (T,), in [0, 1], as signal and noise factors.

    Computed in float64 (1 - alphas_cumprod loses digits at the first timesteps), rounded once.
    """
    exact = alphas_cumprod.detach().cpu().double()
    return NoiseSchedule(exact.sqrt().float(), (1 - exact).sqrt().float())


def add_noise(schedule: NoiseSchedule, samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """x_t of samples (B, ...) with noise (B, ...) at timesteps (B,) in [0, T): float32 (B, ...)."""
    signal, level = _factors(schedule, samples, timesteps)
    return signal * samples.float() + level * noise.float()


def velocity(schedule: NoiseSchedule, samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """v_t, shapes as in `add_noise`."""
    signal, level = _factors(schedule, samples, timesteps)
    return signal * noise.float() - level * samples.float()


def target(
    schedule: NoiseSchedule, prediction_type: str, samples: Tensor, noise: Tensor, timesteps: Tensor
) -> Tensor:
    """What a network of this prediction type should answer for x_t: float32 (B, ...).

    Raises:
        ModelError: for a prediction type that is not in ``PREDICTION_TYPES``.
    """
    if prediction_type == "epsilon":
        return noise.float()
    if prediction_type == "v_prediction":
        return velocity(schedule, samples, noise, timesteps)
    if prediction_type == "sample":
        return samples.float()
    if prediction_type == "flow":
        return noise.float() - samples.float()
    raise ModelError(
        f"the model's scheduler names the prediction type '{prediction_type}'; "
        f"known: {', '.join(PREDICTION_TYPES)}"
    )


def loss_per_row(prediction: Tensor, wanted: Tensor, huber_c: float | None = None) -> Tensor:
    """Mean error of each row: (B, ...) twice -> float32 (B,).

    Args:
        huber_c: None squares the differences d. Else their pseudo-Huber loss, 2c (sqrt(d^2 + c^2) - c): the
            square of those far below c, 2c times those far above, so that single pictures pull less.
    """
    squares = (prediction.float() - wanted.float()).square()
    if huber_c is not None:  # in the form that loses no digits where d is small
        squares = 2 * huber_c * squares / ((squares + huber_c**2).sqrt() + huber_c)
    return squares.flatten(1).mean(1)


def loss_weights(schedule: NoiseSchedule, prediction_type: str, weighting: str, gamma: float = 5.0) -> Tensor:
    """What the squared error at each timestep counts: float32 (T,), finite.

    ``min-snr`` (Hang et al. 2023, arXiv 2303.09556) and ``debiased`` (Yu et al. 2023, arXiv 2310.08442) weigh
    errors of the noise, by min(1, gamma / snr) and by 1 / sqrt(snr), where snr = signal^2 / noise^2. An error
    of the velocity, or of a flow, is that of the noise over signal, one of the sample that of the noise over
    sqrt(snr): the weights given here make the loss the same whatever the network predicts. Where that cannot
    be, because the noisy sample is the very answer (noise without signal), the weight is 0.
    """
    if weighting == "none":
        return torch.ones_like(schedule.signal)
    signal, noise = (factor.double().square() for factor in schedule)
    of_velocity = {"min-snr": torch.minimum(signal, gamma * noise), "debiased": (signal * noise).sqrt()}
    per = {"epsilon": signal, "sample": noise}.get(prediction_type, torch.ones_like(signal))
    return torch.where(per > 0, of_velocity[weighting] / per, 0.0).float()


def draw_normal(shape: tuple[int, ...], *key: int | str) -> Tensor:
    """Standard normal float32 of this shape, a function of the key alone (drawn on the CPU)."""
    return torch.randn(shape, generator=_generator(key))


def draw_timestep(count: int, *key: int | str) -> int:
    """One timestep, uniform in [0, count), a function of the key alone."""
    return int(torch.randint(count, (), generator=_generator(key)))


def draw_level(levels: str, count: int, *key: int | str) -> int:
    """One timestep in [0, count), a function of the key: ``uniform``, or ``logit-normal``: the sigmoid of a
    standard normal number, most often in the middle (Esser et al. 2024, arXiv 2403.03206, section 3.1)."""
    if levels == "uniform":
        return draw_timestep(count, *key)
    place = torch.randn((), generator=_generator(key), dtype=torch.float64).sigmoid()
    return min(int(place * count), count - 1)


def draw_chance(probability: float, *key: int | str) -> bool:
    """True with this probability, a function of the key alone. Raising the probability only adds hits."""
    return float(torch.rand((), generator=_generator(key), dtype=torch.float64)) < probability


def spread_timesteps(count: int, draws: int) -> list[int]:
    """The middles of ``draws`` equal parts of [0, count), in a fixed shuffled order.

    Covers all noise levels evenly, so that a mean over few rows is comparable from run to run; shuffled,
    so that the place of a row does not decide its noise level.
    """
    order = torch.randperm(draws, generator=_generator(("spread", draws))).tolist()
    return [int((place + 0.5) * count / draws) for place in order]


def _factors(schedule: NoiseSchedule, samples: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    shape = (-1,) + (1,) * (samples.ndim - 1)
    return schedule.signal[timesteps].view(shape), schedule.noise[timesteps].view(shape)


def _generator(key: tuple[int | str, ...]) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(*key))
