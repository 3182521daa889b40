"""Noising and targets in float64, one number at a time, straight from the papers' equations."""

from __future__ import annotations

import math


def noisy(alpha_bar: float, x: float, e: float) -> float:
    """Ho et al. 2020, equation 4."""
    return math.sqrt(alpha_bar) * x + math.sqrt(1 - alpha_bar) * e


def velocity(alpha_bar: float, x: float, e: float) -> float:
    """Salimans and Ho 2022, appendix D."""
    return math.sqrt(alpha_bar) * e - math.sqrt(1 - alpha_bar) * x


def sample_from_velocity(alpha_bar: float, x_t: float, v: float) -> float:
    """The clean sample that a velocity implies: signal x_t - noise v."""
    return math.sqrt(alpha_bar) * x_t - math.sqrt(1 - alpha_bar) * v


def min_snr(alpha_bar: float, prediction_type: str, gamma: float) -> float:
    """Hang et al. 2023, section 3.4: the weight of errors of x, of the noise and of the velocity."""
    snr = alpha_bar / (1 - alpha_bar)
    return min(snr, gamma) / {"sample": 1.0, "epsilon": snr, "v_prediction": snr + 1}[prediction_type]


def rescaled(alpha_bars: list[float]) -> list[float]:
    """Lin et al. 2023, algorithm 1, on the square roots."""
    roots = [math.sqrt(value) for value in alpha_bars]
    first, last = roots[0], roots[-1]
    return [((root - last) * first / (first - last)) ** 2 for root in roots]
