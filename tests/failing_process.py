"""A training command of which one process alone meets a broken row; a script for torchrun.

It stands in for a real command, so that starting it imports little. At exit it would wait for minutes, as a
library may that says farewell to the other processes.
"""

import atexit
import sys
import time

import torch

from fsynth import cli
from fsynth.errors import DataError
from fsynth.run import Run


class Rows:
    """Four rows of which the given one cannot be read."""

    def __init__(self, broken):
        self.broken = broken

    def __len__(self):
        return 4

    def __getitem__(self, pick):
        if pick.index == self.broken:
            raise DataError(f"row {pick.index} cannot be read")
        return {"x": torch.ones(3)}


def main(config):
    from fsynth.order import epoch_order

    with Run.of("clip-finetune", config) as run:
        model = torch.nn.Linear(3, 1)
        model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
        rows = Rows(broken=epoch_order(4, run.seed, 0)[-1])  # in the last process' share of the first batch
        for batch in run.batches(rows, batch_size=4, epochs=1, models=[model]):
            run.descend((model(batch["x"])[:, 0] * batch["weight"]).sum(), model, optimizer)


if __name__ == "__main__":
    atexit.register(time.sleep, 600)
    sys.modules["fsynth.commands.clip_finetune"] = sys.modules["__main__"]
    cli.main(["clip-finetune", "--output", sys.argv[1]])
