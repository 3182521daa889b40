"""What a run resumes from: the newest checkpoint, and the log as it stood then."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from fsynth import outputs
from fsynth.errors import OutputError

KEPT = 2


def save(run_folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write ``checkpoints/step-N.pt`` whole, then remove all but the two newest."""
    folder = outputs.make_folder(run_folder / "checkpoints")
    beside = folder / f".step-{step:08d}.part"
    with open(beside, "wb") as file:
        torch.save(state, file)
    outputs.put_in_place(beside, folder / f"step-{step:08d}.pt")
    for old in sorted(folder.glob("step-*.pt"))[:-KEPT]:
        old.unlink()


def newest(run_folder: Path) -> dict[str, Any]:
    """The state of the newest checkpoint, on the CPU.

    Raises:
        OutputError: when there is none, or it cannot be read.
    """
    files = sorted((run_folder / "checkpoints").glob("step-*.pt"))
    if not files:
        raise OutputError(
            f"--resume {run_folder}: no checkpoint there; start anew (and set --checkpoint-every)"
        )
    try:
        return torch.load(files[-1], map_location="cpu", weights_only=True)
    except Exception as error:
        first = str(error).splitlines()[0]
        raise OutputError(
            f"checkpoint {files[-1]} cannot be read ({first}); delete it to use the one before"
        ) from None


def drop_log_after(run_folder: Path, step: int) -> None:
    """Cut metrics.jsonl back to what had happened by then."""
    path = run_folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if _step_of(line) <= step]
    outputs.write_text(path, "".join(line + "\n" for line in kept))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:  # cut off when the machine went down
        return math.inf
