"""The mathematics of diffusion training: pure tensor functions in float32, and keyed random draws.

Notation of Ho et al. 2020 (arXiv 2006.11239): a noisy sample is x_t = signal_t x + noise_t e with
signal_t = sqrt(alphas_cumprod_t) and noise_t = sqrt(1 - alphas_cumprod_t). The velocity is
v_t = signal_t e - noise_t x (Salimans and Ho 2022, arXiv 2202.00512, equation in appendix D).

Samples, noise, targets and losses stay in float32 whatever the network computes in: mixed in bfloat16, a
sample at the first timesteps carries no noise at all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fsynth.errors import ModelError
from fsynth.keyed import seed_of

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")


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
        ModelError: for a prediction type other than epsilon, v_prediction and sample.
    """
    if prediction_type == "epsilon":
        return noise.float()
    if prediction_type == "v_prediction":
        return velocity(schedule, samples, noise, timesteps)
    if prediction_type == "sample":
        return samples.float()
    raise ModelError(
        f"the model's scheduler names the prediction type '{prediction_type}'; "
        f"known: {', '.join(PREDICTION_TYPES)}"
    )


def loss_per_row(prediction: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of each row: (B, ...) twice -> float32 (B,)."""
    return (prediction.float() - wanted.float()).square().flatten(1).mean(1)


def draw_normal(shape: tuple[int, ...], *key: int | str) -> Tensor:
    """Standard normal float32 of this shape, a function of the key alone (drawn on the CPU)."""
    return torch.randn(shape, generator=_generator(key))


def draw_timestep(count: int, *key: int | str) -> int:
    """One timestep, uniform in [0, count), a function of the key alone."""
    return int(torch.randint(count, (), generator=_generator(key)))


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
