"""What a signal does to a training run: its step is finished, a checkpoint is written, the exit code is 75.

SIGTERM and SIGINT (Ctrl-C) are heard while steps are made, in any process of a launch. A second one, and one
at any other time, does what it did before: it ends the process at once. Launchers replace exit codes by their
own, so the run's folder says it, too: a file ``stopped`` names the step and how to go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fsynth import outputs
from fsynth.console import is_main_process

CODE = 75
"""``os.EX_TEMPFAIL``: not done, and worth another start. Not every system has the name."""

MARKER = "stopped"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_ECHO = 1.0
"""Seconds in which another signal is the same one: timeout(1) signals a process and then its whole group."""


class Stopped(SystemExit):
    """A signal ended the process: what is open is closed, what is half written goes, and a line says so.

    Typer turns a KeyboardInterrupt into a bare exit code; this passes through it.
    """

    def __init__(self, what: str, code: int) -> None:
        super().__init__(code)
        self.what = what


class Listener:
    """Notes a signal instead of being ended by it.

    Deaf in notebooks and in threads: there, an interrupt is whoever's who shows the notebook or made the
    thread, and stays a KeyboardInterrupt.

    Attributes:
        heard: number of the first signal; 0 before there was one.
    """

    def __init__(self) -> None:
        self.heard = 0
        self._since = 0.0
        self._before: dict[int, Any] = {}
        self._group: Any = None

    def open(self) -> None:
        """Listen from now on."""
        if threading.current_thread() is not threading.main_thread() or _in_notebook():
            return
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._note) or signal.SIG_DFL

    def close(self) -> None:
        """Let signals do what they did before."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, _: Any) -> None:
        now = time.monotonic()
        if not self.heard:
            self.heard, self._since = number, now
            _tell(f"{signal.Signals(number).name}: finishing the step, then a checkpoint; again ends at once")
        elif now - self._since > _ECHO:
            self.close()
            signal.raise_signal(number)

    def heard_anywhere(self, world: int) -> int:
        """`heard` of any process of the launch: the same number in all, asked by all of them together.

        Asked on the CPU, over gloo: it waits until the other processes have given the same step to their
        GPUs, and for no GPU to have done it.
        """
        if world == 1:
            return self.heard
        import torch

        distributed = torch.distributed
        if self._group is None:
            plain = distributed.get_backend() == "gloo"
            self._group = distributed.group.WORLD if plain else distributed.new_group(backend="gloo")
        number = torch.tensor(self.heard)
        distributed.all_reduce(number, distributed.ReduceOp.MAX, group=self._group)
        return int(number)


def _tell(text: str) -> None:
    """Straight to the terminal: a handler may have interrupted a write to the buffer."""
    if is_main_process():
        with contextlib.suppress(OSError):
            os.write(2, f"\nfsynth: {text}\n".encode())


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def stopped(number: int, folder: Path, command: str, step: int, steps: int) -> Stopped:
    """What a run raises that has a checkpoint of its last step; its marker is written by the first process.

    Args:
        number: of the signal.
        step, steps: made, and of the whole run.
    """
    name, again = signal.Signals(number).name, f"fsynth {command} --resume {folder}"
    if is_main_process():
        record = {"step": step, "steps": steps, "signal": name, "resume": again}
        outputs.write_json(folder / MARKER, record)
    ended = Stopped(f"stopped by {name} after step {step:,} of {steps:,}", CODE)
    ended.add_note(f"go on from there: {again}")
    return ended


def survive_signals(_: int = 0) -> None:
    """For a loader worker, which a signal to the whole group or job reaches, too: its rows are needed to the
    end of the step. The training process, who tells it to go by SIGTERM, too, has its way the second time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
