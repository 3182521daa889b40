"""Loss and gradients of a contrastive batch as one of several processes sees them; a script for torchrun."""

import os
import sys
from contextlib import nullcontext

import torch

from fsynth.accumulation import Accumulation
from fsynth.order import Order

KINDS = ("clip", "clip-multi", "siglip-multi")
SENTENCE = (0, 1, 0, 2, 3, 1, 4, 0, 5, 6, 7)
ROWS = len(SENTENCE)


class Towers(torch.nn.Module):
    """As small as open_clip's models can be thought: two towers with dropout, scale and bias."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.visual = torch.nn.Sequential(
            torch.nn.Linear(6, 8), torch.nn.Dropout(dropout), torch.nn.Linear(8, 4)
        )
        self.text = torch.nn.Linear(5, 4)
        self.logit_scale = torch.nn.Parameter(torch.tensor(1.5))
        self.logit_bias = torch.nn.Parameter(torch.tensor(-2.0))

    def forward(self, image=None, tokens=None):
        sides = ((self.visual, image), (self.text, tokens))
        features = [
            None if given is None else torch.nn.functional.normalize(tower(given), dim=1)
            for tower, given in sides
        ]
        return *features, self.logit_scale.exp(), self.logit_bias


def batches(rank=0, world=1, micro_batch=None):
    """11 rows of 8 sentences in 4 groups, in this process' micro-batches, padded to come out even."""
    generator = torch.Generator().manual_seed(1)
    rows = {
        "image": torch.randn(ROWS, 6, generator=generator),
        "tokens": torch.randn(ROWS, 5, generator=generator)[torch.tensor(SENTENCE)],
        "sentence": torch.tensor(SENTENCE),
        "group": torch.tensor(SENTENCE) // 2,
    }
    for part in Order(ROWS, ROWS, 1, 0, rank, world, micro_batch).from_step(0):
        chosen = [pick.index for pick in part.picks]
        weight = torch.tensor([pick.weight for pick in part.picks])
        yield {name: value[chosen] for name, value in rows.items()} | {"weight": weight}


def backward(model, kind, parts):
    """One step as `Run.descend` makes it; the loss and all gradients."""
    accumulation, parts = Accumulation(model, kind), list(parts)
    for number, part in enumerate(parts[:-1]):
        torch.manual_seed(number)
        accumulation.add(part)
    torch.manual_seed(len(parts) - 1)
    loss, replays = accumulation.finish(parts[-1])
    if not replays:
        loss.backward()
    for number, replay in enumerate(replays):
        torch.manual_seed(number)
        with model.no_sync() if hasattr(model, "no_sync") and replay != replays[-1] else nullcontext():
            replay().backward()
    return [loss.detach(), *(value.grad for value in model.parameters())]


def run(rank, world, folder):
    """Save them as FOLDER/WORLD-RANK.pt: of every loss, at once and in micro-batches of 2."""
    found = {}
    for kind in KINDS:
        for micro_batch in (None, 2):
            torch.manual_seed(0)
            model = Towers()
            if world > 1:
                model = torch.nn.parallel.DistributedDataParallel(model)
            found[kind, micro_batch] = backward(model, kind, batches(rank, world, micro_batch))
    torch.save(found, f"{folder}/{world}-{rank}.pt")


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    run(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), sys.argv[1])
    torch.distributed.destroy_process_group()
