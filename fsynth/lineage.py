"""What a model came from: the chain of runs behind it, down to the model that was there first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsynth import outputs, records
from fsynth.errors import ModelError
from fsynth.sd_folder import INDEX, LORA_WEIGHTS, RECORD, TINY, TINY_FOLDER, base_of


@dataclass(frozen=True)
class Lineage:
    """``base`` is the model at the end of the chain: a hub name, a folder, or ``tiny``.

    ``drawn`` is True when the base is the shipped tiny model or a run learnt from drawn data: such
    pictures are judged by the probe, not by a network of photographs. ``resolution`` is the newest run's
    picture size in pixels, None for a model that no run made.
    """

    base: str
    runs: tuple[Path, ...]
    drawn: bool
    resolution: int | None


def newest_run(runs: Path | None = None) -> Path | None:
    """The sd-train run that finished last under ``runs/``, or None."""
    results = (runs or outputs.RUNS).glob("*/result.json")
    finished = [path for path in results if holds_pipeline(path.parent / "model")]
    newest = max(finished, key=lambda path: (path.stat().st_mtime_ns, path.parent.name), default=None)
    return newest.parent if newest else None


def holds_pipeline(folder: Path) -> bool:
    """Whether a folder holds a model that draws: a pipeline, or adapters for one."""
    return (folder / INDEX).is_file() or (folder / LORA_WEIGHTS).is_file()


def trace(model: str) -> Lineage:
    """Follow a model through the runs that made it.

    Args:
        model: run folder, a run's model folder, LoRA folder, pipeline folder, hub name, or ``tiny``.

    Raises:
        ModelError: when a run of the chain is not finished or its records cannot be read.
    """
    runs: list[Path] = []
    drawn, resolution = False, None
    while (run := _run_of(model)) is not None and run not in runs:
        runs.append(run)
        settings, result = _records(run)
        drawn = drawn or bool(result.get("drawn"))
        resolution = resolution or settings.get("resolution")
        model = str(result.get("model") or settings.get("model") or TINY)
    base = _base_of_lora(Path(model)) or model
    tiny = base == TINY or Path(base).resolve() == TINY_FOLDER.resolve()
    return Lineage(TINY if tiny else base, tuple(runs), drawn or tiny, resolution)


def _base_of_lora(folder: Path) -> str | None:
    """What a LoRA folder that left its run names as its base model."""
    if not (folder / LORA_WEIGHTS).is_file() or not (folder / RECORD).is_file():
        return None
    return base_of(folder)


def _run_of(model: str) -> Path | None:
    folder = Path(model)
    for candidate in (folder, folder.parent) if folder.name == "model" else (folder,):
        if (candidate / "run.yaml").is_file():
            return candidate
    return None


def _records(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    if not (run / "result.json").is_file():
        raise ModelError(f"{run} is not a finished run (no result.json); finish it with --resume {run}")
    advice = "train again, or copy its model/ out and name that"
    settings, result = (records.read(run / name, ModelError, advice) for name in ("run.yaml", "result.json"))
    return settings, result
