"""A training run: its losses and its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsynth import samples
from fsynth.report import charts, files
from fsynth.report.blocks import (
    NARROW,
    VERDICTS,
    Charts,
    Fact,
    Options,
    Section,
    Settings,
)

RECALL_LEAD = (
    "Recall is of validation rows, any answer of the caption group being right; at step 0 "
    "nothing is learnt yet."
)
SHARES = ("validation_recall", "validation_text_to_image", "validation_image_to_text")
LOSSES = ("loss", "epoch_loss", "validation_loss")
CURVES = (*LOSSES, "logit_scale", *SHARES)
"""Names in metrics.jsonl."""

Curves = Mapping[str, Sequence[tuple[float, float]]]


def losses(folder: Path, options: Options) -> Section | None:
    """Curves of a training run, from its metrics.jsonl: losses, and recall where there is some."""
    path = folder / "metrics.jsonl"
    lines = files.json_lines_of(path) if path.is_file() else []
    curves = {name: _curve(lines, name) for name in CURVES}
    of_loss, of_recall = _loss_charts(curves), _recall_charts(curves)
    drawn = [*of_loss, *of_recall, *_scale_charts(curves)]
    if not drawn:
        return None
    leads = [_loss_lead(of_loss), RECALL_LEAD if of_recall else "", _kept(folder), _axes(drawn)]
    facts = _loss_facts(lines, files.record_of(folder / "result.json") or {})
    title = "Loss and recall" if of_recall else "Loss"
    return Section(title, " ".join(filter(None, leads)), (Charts(tuple(drawn)),), facts)


def _curve(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    scale = 100 if name in SHARES else 1
    return [(row["step"], scale * row[name]) for row in lines if name in row and math.isfinite(row[name])]


def _loss_charts(curves: Curves) -> list[charts.Chart]:
    drawn = []
    if len({step for name in LOSSES for step, _ in curves[name]}) > 1:
        steps = charts.Line("each step", curves["loss"], "faint")
        mean = charts.Line("mean of an epoch", curves["epoch_loss"])
        lines = [steps, mean]
        if len(curves["validation_loss"]) > 1:
            lines.append(charts.Line("held-out rows", curves["validation_loss"], "second"))
        title = "Training and validation loss" if len(lines) > 2 else "Training loss"
        drawn.append(charts.chart(title, "step", lines))
    return drawn


def _loss_lead(drawn: Sequence[charts.Chart]) -> str:
    if not any(len(chart.lines) > 2 for chart in drawn):
        return ""
    return (
        "The loss of a single step follows the noise it drew; the validation loss, on held-out rows with "
        "fixed noise, is the one to read. Where it rises while the mean of an epoch goes on falling, the "
        "model learns its pictures by heart."
    )


def _recall_charts(curves: Curves) -> list[charts.Chart]:
    """Of a CLIP model, after each epoch."""
    if len(curves["validation_recall"]) < 2:
        return []
    mean = charts.Line("mean of recall@1, 5 and 10, both ways", curves["validation_recall"])
    ways = [
        charts.Line("sentence → picture", curves["validation_text_to_image"]),
        charts.Line("picture → sentence", curves["validation_image_to_text"], "second"),
    ]
    unit = f"{NARROW}%"
    return [
        charts.chart("Validation recall", "step", [mean], unit),
        charts.chart("Validation recall@1", "step", ways, unit),
    ]


def _scale_charts(curves: Curves) -> list[charts.Chart]:
    """Of a CLIP model: what its loss multiplies cosines with."""
    if len(curves["logit_scale"]) < 2:
        return []
    line = charts.Line("at the end of an epoch", curves["logit_scale"])
    return [charts.chart("Logit scale", "step", [line])]


def _kept(folder: Path) -> str:
    """Which epoch's weights a run wrote; nothing of an unfinished run, and where no rows chose."""
    result = files.record_of(folder / "result.json") or {}
    epoch = result.get("epoch")
    if epoch is None:
        return ""
    became = "are kept" if result.get("blend") is None else "were blended"
    return f"The weights {f'of epoch {epoch}' if epoch else 'before the first step'} {became}."


def _axes(drawn: Sequence[charts.Chart]) -> str:
    cut = [chart.title for chart in drawn if not chart.from_zero]
    if not cut:
        return ""
    if len(cut) == len(drawn) > 1:
        return "The vertical axes do not start at 0."
    if len(cut) > 1:
        return "Not all vertical axes start at 0."
    return f"The vertical axis of the {cut[0].lower()} does not start at 0."


def _loss_facts(lines: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> tuple[Fact, ...]:
    """The validation loss before training and with the weights that were kept; of an unfinished run the last.

    What held-out rows can show of them is in a whole run's result (`fsynth.comparison.LossComparison`).
    """
    points = [row for row in lines if math.isfinite(row.get("validation_loss", math.nan))]
    if len(points) < 2:
        return ()
    verdict = (result.get("validation") or {}).get("verdict")
    kept = next((row for row in points if row.get("epoch", -1) == result.get("epoch")), points[-1])
    first, last = points[0]["validation_loss"], kept["validation_loss"]
    change = f"{100 * (last / first - 1):+.1f}{NARROW}%".replace("-", "−")
    digits = next((digits for digits in range(3, 8) if f"{first:.{digits}g}" != f"{last:.{digits}g}"), 3)
    note = f"{change} in {kept['step']:,} steps; held-out rows, fixed noise"
    value = f"{first:.{digits}g} → {last:.{digits}g}"
    label = f"Validation loss, {VERDICTS[verdict]}" if verdict else "Validation loss"
    return (Fact(label, value, note, bad=verdict == "worse"),)


def unfinished(folder: Path) -> str | None:
    """How far a training run without result.json has come; None for a whole one and for other folders."""
    if not (folder / "run.yaml").is_file() or (folder / "result.json").is_file():
        return None
    path = folder / "metrics.jsonl"
    rows = files.json_lines_of(path) if path.is_file() else []
    step = max((row.get("step", 0) for row in rows), default=0)
    steps = next((f" of {row['steps']:,}" for row in rows if "steps" in row), "")
    saved = sorted((folder / "checkpoints").glob("step-*.pt"))
    resume = f"; --resume goes on from step {int(saved[-1].stem[5:]):,}" if saved else ""
    return (
        f"{folder.resolve().name} is not finished: its log ends at step {step:,}{steps}, and there is no "
        f"result.json{resume}."
    )


def settings(folder: Path, options: Options) -> Section | None:
    """What came out and what repeats it: result.json and run.yaml, or the settings of a samples folder."""
    result = files.record_of(folder / "result.json") or {}
    chosen = files.record_of(folder / "run.yaml") or samples.shared_record(folder)
    plain = {name: value for name, value in result.items() if not isinstance(value, (dict, list))}
    lists = {"result": plain, "settings": chosen}
    blocks = [Settings(title, tuple(_flat(values))) for title, values in lists.items() if values]
    return Section("Details", "", tuple(blocks)) if blocks else None


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            rows.append((prefix + name, f"{value:.6g}" if isinstance(value, float) else str(value)))
    return rows
