"""For test_stopping.py: a training command that is signalled in its third step; a script, also for torchrun.

It stands in for a real command, so that starting it imports little. The process of rank $SIGNALLED waits in
that step until a signal has come, which it sends itself where $SIGNAL_ITSELF is set; without, nobody waits.
What is learnt goes into model.pt.
"""

import os
import signal
import sys
import time

import torch

from fsynth import cli
from fsynth.run import Run

WAITS = 60.0  # seconds


class Rows:
    """Eleven rows of a regression; the noise is keyed as a command's would be."""

    def __len__(self):
        return 11

    def __getitem__(self, pick):
        x = torch.randn(3, generator=torch.Generator().manual_seed(1000 * pick.epoch + pick.index))
        return {"x": x, "y": x.sum()}


def main(config):
    torch.manual_seed(7)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))
    with Run.of("clip-finetune", config) as run:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        wrapped, optimizer = run.prepare(model, optimizer)
        sizes = {"batch_size": 4, "epochs": 4, "micro_batch": 1, "workers": config.workers}
        for batch in run.batches(Rows(), models=[wrapped], **sizes):
            loss = ((wrapped(batch["x"])[:, 0] - batch["y"]).square() * batch["weight"]).sum()
            run.descend(loss, wrapped, optimizer)
            if str(run.rank) == os.environ.get("SIGNALLED"):
                in_step(run)
            if run.ends_epoch:
                run.log(epoch=run.epoch + 1, epoch_loss=run.epoch_loss())
        if run.is_main:
            torch.save(model.state_dict(), run.folder / "model.pt")
        run.finish({"loss": run.last_epoch_loss, "steps": run.steps})


def in_step(run):
    if run.step != 3 or not run.ends_step:
        return
    print("in step 3", flush=True)
    if "SIGNAL_ITSELF" in os.environ:
        os.kill(os.getpid(), signal.SIGTERM)
    end = time.monotonic() + WAITS
    while not run._listener.heard and time.monotonic() < end:
        time.sleep(0.02)


if __name__ == "__main__":
    sys.modules["fsynth.commands.clip_finetune"] = sys.modules["__main__"]
    cli.main(["clip-finetune", *sys.argv[1:]])
