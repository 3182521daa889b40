"""Loss and gradients of a contrastive batch as one of several processes sees them; a script for torchrun."""

import os
import sys

import torch

from fsynth.contrastive import contrastive_loss
from fsynth.order import Order


def run(rank, world, folder):
    """Save them as FOLDER/WORLD-RANK.pt: 7 rows, two linear towers, the gradients averaged as DDP does."""
    torch.manual_seed(0)
    towers = torch.nn.ModuleList([torch.nn.Linear(6, 4), torch.nn.Linear(5, 4)])
    scale = torch.nn.Parameter(torch.tensor(1.5))
    inputs = torch.randn(7, 6), torch.randn(7, 5)
    plan = next(Order(7, 7, 1, 0, rank, world).from_step(0))
    rows = [pick.index for pick in plan.picks]
    weight = torch.tensor([pick.weight for pick in plan.picks])
    features = [
        torch.nn.functional.normalize(tower(given[rows]), dim=1)
        for tower, given in zip(towers, inputs, strict=True)
    ]
    loss = contrastive_loss(*features, scale.exp(), weight)
    loss.backward()
    gradients = [value.grad for value in [*towers.parameters(), scale]]
    if world > 1:
        for gradient in gradients:
            torch.distributed.all_reduce(gradient)
            gradient /= world
    torch.save([loss.detach(), *gradients], f"{folder}/{world}-{rank}.pt")


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    run(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), sys.argv[1])
    torch.distributed.destroy_process_group()
