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
