"""The probe that judges drawn pictures: its training and its held-out accuracy."""

from __future__ import annotations

import torch
from asset_training import Clock, Pictures, minutes_of, training_record
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from fsynth import probe_model


def train_probe(
    train: Pictures, held_out: Pictures, minutes: float, epochs: int, go_on: bool = False
) -> None:
    """Cross-entropy over four heads; shifts, blur and tone changes, as generated pictures have them."""
    stages: list[object] = []
    probe, peak, blurred = probe_model.Probe(), 3e-3, 0.3
    if go_on:  # sharpen what is there: less blur, smaller steps
        probe, record = probe_model.load_probe()
        probe.requires_grad_(True).train()
        stages, peak, blurred = record["training"], 1e-3, 0.05
    optimizer = torch.optim.AdamW(probe.parameters(), lr=0.0, weight_decay=0.02)
    clock = Clock(minutes, epochs * (len(train) // 64))
    epoch = 0
    while clock.share() < 1:
        for rows in tqdm(list(train.batches(64, epoch)), desc=f"probe, epoch {epoch + 1}"):
            optimizer.param_groups[0]["lr"] = clock.rate(peak)
            _, logits = probe(_shaken(train.signed(rows), blurred))
            loss = _probe_loss(logits, {name: values[rows] for name, values in train.labels.items()})
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if clock.share() >= 1:
                break
        epoch += 1
        print(f"epoch {epoch}: loss {loss.item():.3f}", _overall(probe_accuracy(probe, held_out)), flush=True)
    record = {
        "version": 1,
        "accuracy": probe_accuracy(probe, held_out),
        "held_out_rows": len(held_out),
        "training": [
            *stages,
            training_record(
                train, epochs=epoch, batch_size=64, lr=peak, blurred=blurred, minutes=minutes_of(clock)
            ),
        ],
    }
    probe_model.save_probe(probe, probe_model.ASSET, record)


def _probe_loss(logits: dict[str, Tensor], labels: dict[str, Tensor]) -> Tensor:
    # rows whose sentence does not state the sleeve carry a code past the head's classes
    losses = []
    for name, values in logits.items():
        target = torch.where(labels[name] < values.shape[1], labels[name], -100)
        losses.append(functional.cross_entropy(values, target, ignore_index=-100, label_smoothing=0.02))
    return torch.stack(losses).sum()


def _shaken(pictures: Tensor, blurred: float) -> Tensor:
    """Shift by up to 6 pixels, mirror half of them, blur some, change brightness by up to 4 %."""
    shift = torch.randint(-6, 7, (2,)).tolist()
    pictures = torch.roll(functional.pad(pictures, (6,) * 4, mode="replicate"), shift, (2, 3))[
        ..., 6:-6, 6:-6
    ]
    if torch.rand(()) < 0.5:
        pictures = pictures.flip(3)
    if torch.rand(()) < blurred:
        pictures = functional.interpolate(functional.avg_pool2d(pictures, 2), scale_factor=2, mode="bilinear")
    gain = 1 + 0.04 * (2 * torch.rand(len(pictures), 1, 1, 1) - 1)
    return (pictures * gain + 0.03 * torch.randn_like(pictures)).clamp(-1, 1)


@torch.no_grad()
def probe_accuracy(probe: nn.Module, pictures: Pictures) -> dict[str, dict[str, float]]:
    """Share of held-out pictures read rightly: by head, overall and for every class that occurs."""
    probe.eval()
    rows = torch.arange(len(pictures)).split(256)
    found = [probe(pictures.signed(part))[1] for part in rows]
    probe.train()
    return {
        name: _by_class(torch.cat([f[name] for f in found]), pictures.labels[name], name) for name in found[0]
    }


def _by_class(logits: Tensor, labels: Tensor, head: str) -> dict[str, float]:
    known = labels < logits.shape[1]
    right = (logits.argmax(1) == labels)[known].double()
    labels = labels[known]
    classes = {
        name: round(right[labels == index].mean().item(), 4)
        for index, name in enumerate(probe_model.HEADS[head])
        if (labels == index).any()
    }
    return {"overall": round(right.mean().item(), 4), **classes}


def _overall(accuracy: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: values["overall"] for name, values in accuracy.items()}
