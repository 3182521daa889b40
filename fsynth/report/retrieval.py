"""Retrieval scores of CLIP models, side by side, between chance and ceiling."""

from __future__ import annotations

import re
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
    Words,
    percent,
    points,
)

DIRECTIONS = {"text_to_image": "sentence → picture", "image_to_text": "picture → sentence"}
PROTOCOLS = {
    "group": (
        "Any picture of the sentence’s group is right",
        "Sentences of a group say the same of the garment: every picture of one counts.",
    ),
    "sentence": ("Any picture of the sentence is right", "Sentences repeat: every picture of one counts."),
    "pair": (
        "Only the row’s own partner is right",
        "As in the CLIP papers. Pictures that share a sentence are alike to it, hence the ceiling.",
    ),
}


def retrieval(folder: Path, options: Options) -> Section | None:
    """Retrieval scores of CLIP models side by side (`fsynth clip-finetune`, `fsynth clip-eval`)."""
    record = files.record_of(folder / samples.SCORES)
    if record is None or "models" not in record or "bounds" not in record:
        return None
    models = {name: found["scores"] for name, found in record["models"].items()}
    lead = (
        f"Among {record['n_samples']:,} held-out pictures with {record['distinct_captions']:,} distinct "
        "sentences: how often is the right one in the first k? The same rows for every column."
    )
    tables = [
        _retrieval_table(protocol, models, record["bounds"])
        for protocol in PROTOCOLS
        if protocol in record["bounds"]
    ]
    title = "Retrieval, before and after" if "before" in models else "Retrieval"
    verdicts = [_verdict(found) for found in record.get("comparisons", ())]
    return Section(title, lead, (*verdicts, *tables), _retrieval_facts(models, record))


def _verdict(found: Mapping[str, Any]) -> Words:
    text = re.sub(r"(?<= )-(?=\d)", "−", found["text"].replace("->", "→"))
    if found["model"] == "after":  # not a name of somebody's
        text = f"{text[0].upper()}{text[1:]}"
    return Words(f"{text}.", warning=found["verdict"] != "better")


def _retrieval_table(protocol: str, models: Mapping[str, Any], bounds: Mapping[str, Any]) -> Table:
    groups = {
        arrow: _retrieval_rows(
            [scores[protocol][direction] for scores in models.values()], bounds[protocol][direction]
        )
        for direction, arrow in DIRECTIONS.items()
    }
    title, lead = PROTOCOLS[protocol]
    return Table(title, ("", "0 to 100 %", *models, "ceiling", "chance"), groups, lead)


def _retrieval_rows(found: Sequence[Mapping[str, float]], limits: Mapping[str, float]) -> list[Row]:
    rows: list[Row] = []
    for name in (name for name in found[0] if name.startswith("recall@")):
        k = name.partition("@")[2]
        low, high = limits[f"chance@{k}"], limits[f"ceiling@{k}"]
        values = tuple(one[name] for one in found)
        rows.append((name, Track(values, low, high), *map(percent, (*values, high, low))))
    return [*rows, ("median rank", "", *(f"{one['median_rank']:,.1f}" for one in found), "", "")]


def _retrieval_facts(models: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[Fact, ...]:
    if "before" in models and record.get("comparisons"):
        found = next(one for one in record["comparisons"] if one["model"] == "after")
        return (_change(found, record["bounds"]["group"]),)
    found = {name: scores["group"]["text_to_image"]["recall@10"] for name, scores in models.items()}
    name, best = max(found.items(), key=lambda item: item[1])
    chance = record["bounds"]["group"]["text_to_image"]["chance@10"]
    note = f"{name}: recall@10, sentence → picture, N {record['n_samples']:,}, chance {percent(chance)}"
    return (Fact("A right picture in the first ten", f"{100 * best:.0f}{NARROW}%", note),)


def _change(found: Mapping[str, Any], limits: Mapping[str, Mapping[str, float]]) -> Fact:
    by_chance = [limits[way][f"chance@{k}"] for way in DIRECTIONS for k in (1, 5, 10)]
    difference, low, high = (points(found[name]) for name in ("difference", "low", "high"))
    note = (
        f"mean of the group recalls, chance {percent(sum(by_chance) / len(by_chance))}; {difference} points, "
        f"{100 * found['confidence']:.0f}{NARROW}% interval {low} to {high}, N{NARROW}{found['rows']:,}"
    )
    value = f"{100 * found['baseline_recall']:.0f} → {100 * found['model_recall']:.0f}{NARROW}%"
    return Fact(f"Retrieval, {VERDICTS[found['verdict']]}", value, note, bad=found["verdict"] == "worse")
