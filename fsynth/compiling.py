"""torch.compile in training: whether it works here, and networks whose calls are compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from fsynth.errors import ConfigError, reason


def check() -> None:
    """Try to compile something small for the device that will train.

    Raises:
        ConfigError: it does not work on this machine.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.compile(lambda value: value * 2 + 1)(torch.ones(8, device=device))
    except Exception as error:  # whatever the compiler, or what it calls, raises
        raise ConfigError(f"memory.compile: this machine cannot ({reason(error)}); leave it out") from None


def compile_calls(network: nn.Module) -> None:
    """Compile what happens when the network is called. Its parts, its weights and their names stay as they
    are."""
    network.compile()


@contextlib.contextmanager
def paused(network: nn.Module) -> Iterator[None]:
    """Calls that are not compiled, where those of the network are: other shapes would be compiled anew."""
    compiled, network._compiled_call_impl = network._compiled_call_impl, None
    try:
        yield
    finally:
        network._compiled_call_impl = compiled


def end(network: nn.Module) -> None:
    """Back to calls that are not compiled."""
    network._compiled_call_impl = None
