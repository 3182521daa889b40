"""What a training run says of its pace: a bar, and what metrics.jsonl holds of speed, memory and waiting.

A GPU works on while Python waits for the next rows, so there the time between two marks that the GPU itself
passes is counted, not Python's. Marks are read where the loss is read, which waits for the GPU anyway.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from fsynth import machine
from fsynth.console import say

if TYPE_CHECKING:
    from accelerate import Accelerator

MEASURED = ("pictures_per_second", "waiting_for_data", "peak_memory_gib", "mfu")
"""Names in metrics.jsonl that differ from run to run, as ``seconds`` does."""

COMPUTED_IN = {"fp16": torch.float16, "bf16": torch.bfloat16}
"""Of a launch's precision; others compute in float32."""

_MUCH = 0.25
"""Share of the time that may pass in waiting before it is said."""
_SURE = 20.0
"""Seconds of steps before it is."""

Item = TypeVar("Item")


class Progress:
    """The bar of a run, and the clock of its steps: reading rows counts, validation and checkpoints do not.

    Args:
        start, steps: made so far, and of the whole run.
        workers: loader processes.
        shown: whether in this process.
    """

    def __init__(
        self, title: str, start: int, steps: int, *, device: torch.device, workers: int, shown: bool
    ) -> None:
        from tqdm.auto import tqdm

        self.device, self.workers = device, workers
        self._bar = tqdm(total=steps, initial=start, desc=title, unit="step", disable=not shown)
        self._gaps: list[tuple[Any, Any]] = []
        self._since = time.monotonic()
        self._away = 0.0  # seconds since then that were none of the steps'
        self._left: float | None = None
        self._pictures = 0
        self._totals = {"seconds": 0.0, "waiting": 0.0, "pictures": 0}
        self._said = False
        self.work: Work | None = None

    @classmethod
    def of(
        cls,
        accelerator: Accelerator,
        title: str,
        start: int,
        steps: int,
        workers: int,
        models: Sequence[torch.nn.Module],
    ) -> Progress:
        """The progress of a launch; on GPUs with the share of their speed, unless the models are compiled."""
        device, shown = accelerator.device, accelerator.is_main_process
        progress = cls(title, start, steps, device=device, workers=workers, shown=shown)
        if device.type == "cuda" and not is_compiled(models):
            kind = COMPUTED_IN.get(accelerator.mixed_precision, torch.float32)
            progress.work = Work(matmul_speed(device, kind), accelerator.num_processes)
        return progress

    def timed(self, batches: Iterable[Item]) -> Iterator[Item]:
        """The batches, and how long each was waited for."""
        source = iter(batches)
        while True:
            began = self._mark()
            try:
                item = next(source)
            except StopIteration:
                return
            self._gaps.append((began, self._mark()))
            yield item

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            return time.monotonic()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def begin(self) -> None:
        """A step begins."""
        if self.work is not None:
            self.work.begin()

    def end(self, pictures: float, *, leaves: bool) -> None:
        """All of a step has been computed, of as many pictures in this process.

        Args:
            leaves: whether what follows is no part of the steps, until `made`.
        """
        if self.work is not None:
            self.work.end(pictures)
        if leaves:
            self.leave()

    def leave(self) -> None:
        """What follows is no part of a step, until `back`. A GPU first does what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._left = time.monotonic()

    def back(self) -> None:
        """Steps are made again."""
        if self._left is not None:
            self._away += time.monotonic() - self._left
            self._left = None

    def made(self, pictures: int) -> None:
        """A step has been made, of as many pictures over all processes."""
        self.back()
        self._pictures += pictures
        self._bar.update()

    def figures(self) -> dict[str, float]:
        """Of the steps since the last call, by the names of `MEASURED`; a GPU has done all it was given."""
        seconds = max(1e-9, time.monotonic() - self._since - self._away)
        waited = sum(_between(*gap) for gap in self._gaps)
        self._totals["seconds"] += seconds
        self._totals["waiting"] += waited
        self._totals["pictures"] += self._pictures
        pace = self._pictures / seconds
        found = {
            "pictures_per_second": round(pace, 3),
            "waiting_for_data": round(min(1.0, waited / seconds), 3),
            "peak_memory_gib": round(peak_memory(self.device) / 2**30, 3),
        }
        if self.work is not None and (share := self.work.share(pace)) is not None:
            found["mfu"] = round(share, 4)
        self._gaps.clear()
        self._since, self._away, self._pictures = time.monotonic(), 0.0, 0
        return found

    def show(self, loss: float, rate: float | None, figures: dict[str, float]) -> None:
        """Put the figures of the last steps behind the bar; say, once, where data are what is waited for."""
        shown = {"loss": f"{loss:.4f}"}
        if rate is not None:
            shown["lr"] = f"{rate:.2g}"
        shown["pictures/s"] = f"{figures['pictures_per_second']:.3g}"
        shown["GiB"] = f"{figures['peak_memory_gib']:.1f}"
        if "mfu" in figures:
            shown["MFU"] = f"{figures['mfu']:.0%}"
        self._bar.set_postfix(shown)
        if self._totals["seconds"] > _SURE and self._waiting > _MUCH and not self._said:
            self._said = True
            say(f"note: {self._bottleneck}")

    @property
    def _waiting(self) -> float:
        return min(1.0, self._totals["waiting"] / max(1e-9, self._totals["seconds"]))

    @property
    def _bottleneck(self) -> str:
        spent = f"reading pictures takes {self._waiting:.0%} of the time"
        cores = max(1, machine.cores() // machine.launched_here())
        if self.workers < cores:
            return f"{spent}: raise --workers (it is {self.workers}; there are {cores} cores for it)"
        return f"{spent}, with --workers {self.workers} on {cores} cores; --cache-images memory may help"

    def sum_up(self) -> None:
        """A line about the whole run; before its first step there is nothing to say."""
        if not self._totals["pictures"]:
            return
        pace = self._totals["pictures"] / self._totals["seconds"]
        where = "of the GPU" if self.device.type == "cuda" else "of this process"
        said = f"speed: {pace:.3g} pictures/s; peak memory {where} {peak_memory(self.device) / 2**30:.1f} GiB"
        if self.work is not None and (share := self.work.share(pace)) is not None:
            said += f"; {share:.0%} of the speed that matrices are multiplied with here"
        say(f"{said}; {self._bottleneck}" if self._waiting > _MUCH else said)

    def close(self) -> None:
        """End the bar, and the counting of operations where an error came in between."""
        self._bar.close()
        if self.work is not None:
            self.work.close()


def _between(began: Any, ended: Any) -> float:
    return ended - began if isinstance(began, float) else began.elapsed_time(ended) / 1000


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that tensors took on a GPU, or that this process took, on a CPU, since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB


class Work:
    """Floating-point operations of a picture, counted in one step, against the speed of this device.

    Both are of matrix products and convolutions (`torch.utils.flop_counter`), forward and backward, frozen
    networks and what is computed twice included. Compiled networks and 4-bit layers hide theirs.

    Args:
        peak: operations a second of one device.
        devices: that share the pictures.
    """

    def __init__(self, peak: float, devices: int) -> None:
        self.peak, self.devices = peak, devices
        self.each: float | None = None
        self._counter: Any = None

    def begin(self) -> None:
        """Count what is computed from now on, once in a run."""
        if self.each is None and self._counter is None:
            from torch.utils.flop_counter import FlopCounterMode

            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

    def end(self, pictures: float) -> None:
        """So many pictures were computed with, in this process."""
        if self._counter is not None:
            self.each = self._counter.get_total_flops() / pictures
            self.close()

    def close(self) -> None:
        """Stop counting."""
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._counter = None

    def share(self, pace: float) -> float | None:
        """Of the peak at this many pictures a second; None before anything was counted."""
        return None if not self.each else self.each * pace / (self.devices * self.peak)


def is_compiled(models: Sequence[torch.nn.Module]) -> bool:
    """Whether any part of the models is compiled."""
    parts = (part for model in models for part in model.modules())
    return any(
        type(part).__name__ == "OptimizedModule" or getattr(part, "_compiled_call_impl", None) is not None
        for part in parts
    )


def matmul_speed(device: torch.device, kind: torch.dtype, side: int = 4096, seconds: float = 0.2) -> float:
    """Operations a second of square matrix products, the best of several rounds.

    Args:
        kind: what training computes in.
        seconds: how long to try.
    """
    one = torch.randn(side, side, device=device, dtype=kind)
    best, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        for _ in range(8):
            one @ one
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = max(best, 8 * 2 * side**3 / (time.monotonic() - began))
    return best
