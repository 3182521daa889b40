"""Whether what is to learn is reached by the first step's gradient."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from torch import nn

from fsynth.console import counted
from fsynth.errors import ModelError

_LEARNT = re.compile(r"\.lora_B\.default|\.lokr_w1\.default")
"""The half of an adapter that is 0 at first, so that a gradient reaches it and not yet the other half."""


class GradientWatch:
    """Whether the first step's gradient reaches every adapter: one that is never called, or whose answer
    nobody uses, would pass for trained.

    Args:
        networks: with adapters by peft.
        advice: what the message ends with: why that may be, and what to do.
    """

    def __init__(self, networks: Iterable[nn.Module], advice: str) -> None:
        self.advice = advice
        adapters = {
            name: value
            for network in networks
            for name, value in network.named_parameters()
            if value.requires_grad and _LEARNT.search(name)
        }
        self._waiting = set(adapters)
        self._hooks = [
            value.register_post_accumulate_grad_hook(functools.partial(self._see, name))
            for name, value in adapters.items()
        ]

    def _see(self, name: str, adapter: nn.Parameter) -> None:
        if adapter.grad is not None and adapter.grad.any():
            self._waiting.discard(name)

    def check(self) -> None:
        """Call it after each step: the first one decides.

        Raises:
            ModelError: adapters without a gradient, by name.
        """
        if not self._hooks:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if self._waiting:
            first = _LEARNT.split(min(self._waiting))[0]
            raise ModelError(
                f"{counted(len(self._waiting), 'adapter')} got no gradient in the first step, {first} among "
                f"them: {self.advice}"
            )
