"""What a run resumes from: the newest checkpoint, and the log as it stood then."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fsynth import outputs
from fsynth.errors import ConfigError, OutputError, reason
from fsynth.settings import read_recipe

KEPT = 2
MAY_DIFFER = {
    "cache",
    "cache_images",
    "checkpoint_every",
    "workers",
    "password_file",
    "resume",
    "output",
    "tracking",
}
"""Settings that a resumed run may have changed."""


def save(run_folder: Path, step: int, things: Sequence[Any], scaler: Any, **more: Any) -> None:
    """Write ``checkpoints/step-N.pt`` whole, then remove all but the two newest.

    Args:
        things: models, optimizers and what else has a state, in the order in which `restore` gets them.
        scaler: of gradients; None where nothing is scaled.
        more: plain values.
    """
    state = {
        "step": step,
        "states": [state_of(thing) for thing in things],
        "scaler": scaler.state_dict() if scaler is not None else None,
        **more,
    }
    folder = outputs.make_folder(run_folder / "checkpoints")
    beside = folder / f".step-{step:08d}.part"
    try:
        with open(beside, "wb") as file:
            torch.save(state, file)
        outputs.put_in_place(beside, folder / f"step-{step:08d}.pt")
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    for old in sorted(folder.glob("step-*.pt"))[:-KEPT]:
        old.unlink()


def restore(state: dict[str, Any], things: Sequence[Any], scaler: Any) -> None:
    """Put back what `save` took, as `newest` read it."""
    for thing, own in zip(things, state["states"], strict=True):
        put_state(thing, own)
    if scaler is not None and state["scaler"]:
        scaler.load_state_dict(state["scaler"])


def state_of(thing: Any) -> dict[str, Any]:
    """What a checkpoint holds of a model (what learns, and buffers), an optimizer or a schedule."""
    if not isinstance(thing, torch.nn.Module):
        return thing.state_dict()
    learning = {name: value.detach() for name, value in thing.named_parameters() if value.requires_grad}
    return learning | dict(thing.named_buffers())


@torch.no_grad()
def put_state(thing: Any, state: dict[str, Any]) -> None:
    """Put back what `state_of` took."""
    if not isinstance(thing, torch.nn.Module):
        thing.load_state_dict(state)
        return
    own = dict(thing.named_parameters()) | dict(thing.named_buffers())
    for name, value in state.items():
        own[name].copy_(value)


def weights_signature(model: torch.nn.Module) -> tuple[tuple[float, float], ...]:
    """Sum and sum of squares of every trainable tensor: equal before and after, nothing was learnt."""
    # on the CPU, because not every device has float64
    trainable = (value.detach().cpu().double() for value in model.parameters() if value.requires_grad)
    return tuple((value.sum().item(), value.square().sum().item()) for value in trainable)


def check_place(command: str, output: Path | None, resume: Path | None) -> None:
    """Refuse a folder that `fsynth.run.Run` could not use, before anything is loaded.

    Raises:
        OutputError: an output folder that is not empty; a folder to resume that is no run, is finished or has
            no checkpoint.
    """
    if resume is None:
        outputs.choose_folder(output, command)
    else:
        check_resumable(resume)


def check_resumable(run_folder: Path) -> None:
    """Refuse a folder to resume that is no run, is finished or has no checkpoint.

    Raises:
        OutputError: saying which.
    """
    recipe = outputs.recipe_of(run_folder)
    if not recipe.stat().st_size:
        raise OutputError(f"--resume {run_folder}: its run.yaml is empty; start a new run")
    if (run_folder / "result.json").exists():
        raise OutputError(f"--resume {run_folder}: this run is finished (result.json is there)")
    if newest_file(run_folder) is None:
        raise OutputError(
            f"--resume {run_folder}: no checkpoint there; start anew (and set --checkpoint-every)"
        )


def prospects(run_folder: Path, command: str, reached: str) -> str:
    """What can be done with a run that was stopped.

    Args:
        reached: e.g. ``step 7 of 20``.
    """
    file = newest_file(run_folder)
    if file is None:
        return (
            f"{run_folder} is unfinished ({reached}) and has no checkpoint to go on from; "
            "--checkpoint-every N writes some"
        )
    step = int(file.stem.partition("-")[2])
    again = f"fsynth {command} --resume {run_folder}"
    return f"{run_folder} is unfinished ({reached}); go on from step {step}: {again}"


def check_same(run_folder: Path, recipe: dict[str, Any]) -> None:
    """Refuse settings other than those of the run's run.yaml.

    Raises:
        ConfigError: naming what differs.
    """
    stored = read_recipe(outputs.recipe_of(run_folder))
    differing = [
        f"{key}: {stored.get(key)!r} -> {recipe.get(key)!r}"
        for key in sorted({*stored, *recipe} - MAY_DIFFER)
        if stored.get(key) != recipe.get(key)
    ]
    if differing:
        raise ConfigError(f"--resume {run_folder}: settings differ ({', '.join(differing)}); start a new run")


def newest(run_folder: Path) -> dict[str, Any]:
    """The state of the newest checkpoint, on the CPU.

    Raises:
        OutputError: when it cannot be read.
    """
    file = newest_file(run_folder)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise OutputError(
            f"checkpoint {file} cannot be read ({reason(error)}); delete it to use the one before"
        ) from None


def newest_file(run_folder: Path) -> Path | None:
    """The file of the newest checkpoint, or None."""
    return max((run_folder / "checkpoints").glob("step-*.pt"), default=None)


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
