"""The probe: a small network of ours that reads the four labels off a garment picture.

It is the feature extractor of drawn data, where Inception's photographs of dogs and ships mean nothing, and
the judge of whether a generated picture shows what its sentence asked for. It is trained on drawings, so
its scores are comparable with one another and with nobody else's.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fsynth import records
from fsynth.data.labels import LABELS, SLEEVES
from fsynth.errors import ModelError
from fsynth.outputs import make_folder, write_json
from fsynth.weight_files import sha256_of

NAME = "fsynth-probe"
PICTURE_SIZE = 128
FEATURES = 128
HEADS = {**LABELS, "sleeve": tuple(name for name in SLEEVES if name != "not stated")}
"""Column -> class names. 'not stated' is a property of the sentence, not of the picture: it is the last
sleeve code, so the other codes keep their index, and training skips the rows that carry it."""
ASSET = Path(__file__).parent / "assets" / "probe"
WEIGHTS, RECORD = "probe.safetensors", "probe.json"


class Probe(nn.Module):
    """Four strided stages with a residual convolution each, pooled, one embedding, four linear heads.

    About 0.4 million parameters and 65 million multiply-adds a picture.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 40, 80, 128)) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            _convolution(3, widths[0], stride=2),
            *[_Stage(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)],
        )
        self.embed = nn.Linear(2 * widths[-1], FEATURES)
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, len(names)) for name, names in HEADS.items()})

    def forward(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Features and logits of a batch.

        Args:
            pictures: (N, 3, 128, 128) RGB in [-1, 1].

        Returns:
            features (N, 128), never negative, and logits by head, each (N, classes).
        """
        maps = self.stages(pictures)
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
        features = self.embed(pooled).relu()
        return features, {name: head(features) for name, head in self.heads.items()}


class _Stage(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = _convolution(inputs, outputs, stride=2)
        self.refine = _convolution(outputs, outputs, stride=1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.down(maps)
        return maps + self.refine(maps)


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def save_probe(probe: Probe, folder: Path, record: dict[str, Any]) -> Path:
    """Write ``probe.safetensors`` (half precision) and, last, ``probe.json``.

    Args:
        record: what a reader must know: ``version``, held-out ``accuracy`` by head, how it was trained.
            Name, classes, picture size and the SHA-256 of the weights are added.
    """
    from safetensors.torch import save_file

    make_folder(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in probe.state_dict().items()}
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    save_file(half, folder / WEIGHTS)
    about = {"name": NAME, "picture_size": PICTURE_SIZE, "heads": {k: list(v) for k, v in HEADS.items()}}
    write_json(folder / RECORD, {**record, **about, "sha256": sha256_of(folder / WEIGHTS)})
    return folder


def load_probe(folder: Path = ASSET) -> tuple[Probe, dict[str, Any]]:
    """The probe in float32, ready to evaluate, and its record.

    Raises:
        ModelError: when the folder holds no probe, or weights that are not those of its record.
    """
    from safetensors.torch import load_file

    record = _read_record(folder)
    found = sha256_of(folder / WEIGHTS)
    if found != record.get("sha256"):
        raise ModelError(
            f"{folder / WEIGHTS} has SHA-256 {found[:8]}..., not that of its {RECORD}; replace both"
        )
    probe = Probe()
    probe.load_state_dict(load_file(folder / WEIGHTS))
    return probe.float().eval().requires_grad_(False), record


def _read_record(folder: Path) -> dict[str, Any]:
    for name in (RECORD, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(
                f"no probe in {folder}: {name} is missing; train it with scripts/train_assets.py"
            )
    record = records.read(folder / RECORD, ModelError, "train it again (scripts/train_assets.py)")
    if record.get("heads") != {name: list(names) for name, names in HEADS.items()}:
        raise ModelError(
            f"{folder / RECORD} was trained for other labels; train it again (scripts/train_assets.py)"
        )
    return record
