"""What CLIP models can tell: zero-shot accuracies, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsynth import samples
from fsynth.report import files
from fsynth.report.blocks import (
    NARROW,
    VERDICTS,
    Fact,
    Options,
    Row,
    Section,
    Table,
    Track,
    percent,
    points,
)

Tasks = Mapping[str, Mapping[str, Any]]
OWN = {"gender", "sleeve", "category", "color"}
"""Tasks about labels of the data; others are about pictures from elsewhere."""


def abilities(folder: Path, options: Options) -> Section | None:
    """Whether models tell gender, sleeve, category and colour, and classes from elsewhere
    (`fsynth clip-finetune`, `fsynth clip-eval`)."""
    record = (files.record_of(folder / samples.SCORES) or {}).get("zero_shot")
    if not record or not record["tasks"]:
        return None
    lead = (
        "A class is named by a few sentences; a picture belongs to the class whose sentences are nearest. "
        f"Intervals hold 95{NARROW}% if pictures are independent."
    )
    if "elsewhere" in record:
        lead += f" {record['elsewhere'][0].upper()}{record['elsewhere'][1:]}."
    tables = (_accuracies(record["tasks"], record["models"]), *_changes(record["comparisons"]))
    return Section("What it can tell", lead, tables, (*_lost(record), *_facts(record)))


def _accuracies(tasks: Tasks, models: Mapping[str, Tasks]) -> Table:
    groups = {
        "pictures told right": [_row(name, task, models, "accuracy") for name, task in tasks.items()],
        "the same, interval": [_interval(name, models) for name in tasks],
        "each class counting as much": [_row(name, task, models, "balanced") for name, task in tasks.items()],
    }
    left = [f"{name} {task['left_out']:,}" for name, task in tasks.items() if task["left_out"]]
    lead = f"Left out, their label not being stated: {', '.join(left)}." if left else ""
    return Table("Accuracy", ("", "0 to 100 %", *models, "majority", "chance"), groups, lead)


def _row(name: str, task: Mapping[str, Any], models: Mapping[str, Tasks], kind: str) -> Row:
    values = tuple(found[name][kind] for found in models.values())
    title = f"{name}, {len(task['classes'])} classes, N{NARROW}{task['pictures']:,}"
    majority = percent(task["majority"]) if kind == "accuracy" else ""
    track = Track(values, task["chance"], 1.0)
    return (title, track, *map(percent, values), majority, percent(task["chance"]))


def _interval(name: str, models: Mapping[str, Tasks]) -> Row:
    between = (
        f"{100 * found[name]['low']:.1f} to {100 * found[name]['high']:.1f}" for found in models.values()
    )
    return (name, "", *between, "", "")


def _changes(comparisons: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Each further model against the first; none where there is one model."""
    if not comparisons:
        return []
    groups: dict[str, list[Row]] = {}
    for found in comparisons:
        low, high = points(found["low"]), points(found["high"])
        verdict = {"better": "better", "worse": "worse", "unclear": "no difference shown"}[found["verdict"]]
        row = (
            found["task"],
            points(found["difference"]),
            f"{low} to {high}",
            f"{found['clusters']:,}",
            verdict,
        )
        groups.setdefault(found["model"], []).append(row)
    head = ("", "points", f"95{NARROW}% interval", "groups", "")
    lead = "The same pictures; those of one caption group are told or mistaken together."
    return [Table(f"Compared with {comparisons[0]['baseline']}", head, groups, lead)]


def _lost(record: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Labels that fine-tuning is shown to have cost."""
    worse = [one for one in record["comparisons"] if one["model"] == "after" and one["verdict"] == "worse"]
    if not ("before" in record["models"] and (worse := [one for one in worse if one["task"] in OWN])):
        return ()
    shares = (
        f"{one['task']} {percent(one['baseline_accuracy'])} → {percent(one['model_accuracy'])}"
        for one in worse
    )
    note = f"asked by sentences about them: {', '.join(shares)}"
    return (Fact("Told worse than before", ", ".join(one["task"] for one in worse), note, bad=True),)


def _facts(record: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What became of the pictures from elsewhere, which training has not seen."""
    found = [one for one in record["comparisons"] if one["task"] not in OWN]
    if not ({"before", "after"} <= record["models"].keys() and found):
        return ()
    last = found[-1]
    task = record["tasks"][last["task"]]
    difference, low, high = (points(last[name]) for name in ("difference", "low", "high"))
    note = (
        f"{last['task']} by name, chance {percent(task['chance'])}; {difference} points, 95{NARROW}% "
        f"interval {low} to {high}, N{NARROW}{task['pictures']:,}"
    )
    value = f"{100 * last['baseline_accuracy']:.0f} → {100 * last['model_accuracy']:.0f}{NARROW}%"
    return (Fact(f"Elsewhere, {VERDICTS[last['verdict']]}", value, note, bad=last["verdict"] == "worse"),)
