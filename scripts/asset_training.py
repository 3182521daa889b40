"""What the trainings of all shipped models share: drawn pictures in memory, a clock, the record."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

import fsynth
from fsynth.data import synthetic
from fsynth.data.figure import DRAWING_VERSION

SEED = 4711  # not the default archive's
BALANCE = 1.0  # equal categories: at the benchmark's frequencies a jersey is too rare to be learnt


@dataclass
class Pictures:
    """Rows in memory: pixels (N, 3, 128, 128) uint8, label indices by column (N,), sentences."""

    pixels: Tensor
    labels: dict[str, Tensor]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def batches(self, size: int, epoch: int) -> Iterator[Tensor]:
        """Shuffled row numbers; a short last batch is left out."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(epoch))
        return iter(order[: len(self) // size * size].split(size))

    def signed(self, rows: Tensor) -> Tensor:
        """Pictures as the models take them: (B, 3, 128, 128) float in [-1, 1]."""
        return self.pixels[rows].float() / 127.5 - 1


def read_pictures(rows: int, work: Path) -> tuple[Pictures, Pictures]:
    """Train and held-out pictures of an archive drawn for this purpose."""
    root = work / f"archive-{rows}-balance-{BALANCE:g}-drawing-{DRAWING_VERSION}"
    if not root.exists():
        synthetic.make_archive(root, rows=rows, seed=SEED, balance=BALANCE)
    data = fsynth.load_dataset(root, password_file=root / "password.txt")
    return _in_memory(data["train"]), _in_memory(data["test"])


def _in_memory(rows: object) -> Pictures:
    import numpy

    pixels = torch.empty((len(rows), 3, 128, 128), dtype=torch.uint8)
    for place in tqdm(range(len(rows)), desc="reading pictures"):
        pixels[place] = torch.from_numpy(numpy.array(rows[place]["image"])).permute(2, 0, 1)
    columns = {name: torch.tensor(rows[name][:]) for name in ("gender", "sleeve", "category", "color")}
    return Pictures(pixels, columns, list(rows["text"]))


class Clock:
    """Progress through --minutes or a number of steps, and the learning rate that belongs to it."""

    def __init__(self, minutes: float, steps: int) -> None:
        self.start, self.seconds, self.steps, self.step = time.monotonic(), 60 * minutes, steps, 0

    def share(self) -> float:
        """How much of the run is over, 0 to 1."""
        return min(1.0, max((time.monotonic() - self.start) / self.seconds, self.step / self.steps))

    def rate(self, peak: float, warm_up: int = 100) -> float:
        """Linear warm-up, then a cosine to 2 % of the peak."""
        self.step += 1
        return (
            peak
            * min(1.0, self.step / warm_up)
            * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.share())))
        )


def training_record(train: Pictures, **settings: float) -> dict[str, object]:
    """What a model's record says of the pictures and settings it was trained with."""
    return {
        "rows": len(train),
        "archive_seed": SEED,
        "balance": BALANCE,
        "drawing": DRAWING_VERSION,
        "torch": torch.__version__,
        **settings,
    }


def minutes_of(clock: Clock) -> float:
    """Since the training began."""
    return round((time.monotonic() - clock.start) / 60, 1)
