"""A running mean of the weights that learn, to be scored and saved in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Ema:
    """Exponential moving average (Polyak & Juditsky 1992), in float32 on the weights' device.

    At its n-th update the mean keeps ``min(decay, (1 + n) / (10 + n))`` of itself, so that the first steps,
    and all of a short run, do not hang on to where training began.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._weights = {name: value for name, value in network.named_parameters() if value.requires_grad}
        self._means = {name: value.detach().float().clone() for name, value in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of the step that was made into the mean."""
        self.updates += 1
        kept = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = [value.detach().float() for value in self._weights.values()]
        get_ema_multi_avg_fn(kept)(list(self._means.values()), current, self.updates)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The mean in place of the weights, which are put back afterwards."""
        kept = [value.detach().clone() for value in self._weights.values()]
        self.put_in_place()
        try:
            yield
        finally:
            _copy(kept, self._weights.values())

    def put_in_place(self) -> None:
        """The mean in place of the weights, for good."""
        _copy(self._means.values(), self._weights.values())

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "means": self._means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        _copy([state["means"][name] for name in self._means], self._means.values())


@torch.no_grad()
def _copy(values: Any, into: Any) -> None:
    for value, place in zip(values, into, strict=True):
        place.copy_(value)
