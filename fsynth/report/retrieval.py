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
from fsynth.score_names import COMPARED_WITH, SCORES, limit_name

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]

DIRECTIONS = {"text_to_image": "sentence → picture", "image_to_text": "picture → sentence"}
PROTOCOLS = {
    "group": (
        "Any picture and any sentence of the group is right",
        "Sentences of a group say the same of the garment. True recall is the share of all right answers.",
    ),
    "sentence": (
        "Any picture of the sentence is right",
        "Sentences of a group differ in wording, which no picture shows. A perfect eye sees gender, sleeve, "
        "category and colour, and nothing else; from a picture it names the most frequent sentence of them.",
    ),
    "pair": (
        "Only the row’s own partner is right",
        "As in the CLIP papers. Pictures that share a sentence are alike to it, hence the ceiling; to the "
        "perfect eye all of a group are.",
    ),
}
SHOWN = tuple(score for score in SCORES if score not in ("true_recall@1", "true_recall@5"))
ONE_RIGHT = (("pair", "text_to_image"), ("pair", "image_to_text"), ("sentence", "image_to_text"))
"""Where a query has one right answer, so that true recall is recall, and mAP is MRR."""
WORDS = {"mrr": "MRR", "map": "mAP"}
SIDES = {
    ("sentence", "seen"): "sentences that training pairs have, too",
    ("sentence", "unseen"): "sentences that no training pair has",
    ("group", "seen"): "sentences of groups that training pairs have, too",
    ("group", "unseen"): "sentences of groups that no training pair has",
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
    shown = ("sentence", "pair") if record.get("group_by") == "sentence" else PROTOCOLS
    tables = [_table(protocol, models, record) for protocol in shown if protocol in record["bounds"]]
    tables += _seen(record)
    title = "Retrieval, before and after" if {"before", "after"} <= models.keys() else "Retrieval"
    verdicts = [_verdict(found) for found in record.get("comparisons", ())]
    return Section(title, lead, (*verdicts, *tables), _facts(models, record))


def _verdict(found: Mapping[str, Any]) -> Words:
    sentences = [found["text"], *([found["details"]] if "details" in found else [])]
    if found["model"] in ("after", "fine-tuned"):  # not a name of somebody's
        sentences[0] = _capital(sentences[0])
    text = " ".join(f"{sentence}." for sentence in (sentences[0], *map(_capital, sentences[1:])))
    signs = re.sub(r"(?<= )-(?=\d)", "−", text.replace("->", "→"))
    return Words(signs, warning=found["verdict"] != "better")


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _table(protocol: str, models: Mapping[str, Scores], record: Mapping[str, Any]) -> Table:
    groups = {
        arrow: _rows(protocol, way, [scores[protocol][way] for scores in models.values()], record["bounds"])
        for way, arrow in DIRECTIONS.items()
    }
    limits = ("ceiling", "chance") if protocol == "group" else ("perfect eye", "ceiling", "chance")
    title, lead = PROTOCOLS[protocol]
    return Table(title, ("", "0 to 100 %", *models, *limits), groups, lead)


def _rows(protocol: str, way: str, found: Sequence[Mapping[str, float]], bounds: Scores) -> list[Row]:
    limits, compared = bounds[protocol][way], COMPARED_WITH[protocol][way]
    ideals = dict.fromkeys((compared, "ceiling", "chance"))  # in ``group`` the first is the ceiling
    rows: list[Row] = []
    left = ("true_recall@10", "map") if (protocol, way) in ONE_RIGHT else ()
    for score in (score for score in SHOWN if score in found[0] and score not in left):
        values = tuple(one[score] for one in found)
        ends = [limits.get(limit_name(ideal, score)) for ideal in ideals]
        track = Track(values, ends[-1], ends[-2]) if score.startswith("recall@") else ""
        cells = [_cell(score, number) for number in (*values, *ends)]
        rows.append((WORDS.get(score, score.replace("_", " ")), track, *cells))
    return rows


def _cell(score: str, number: float | None) -> str:
    if number is None:
        return ""
    if score.endswith("_rank"):
        return f"{number:,.1f}"
    return f"{number:.3f}" if score in ("mrr", "map") else percent(number)


def _seen(record: Mapping[str, Any]) -> list[Table]:
    """Recall@1 of the group of sentences that training had, and had not."""
    groups: dict[str, list[Row]] = {}
    for kind, sides in record.get("seen", {}).items():
        for side, counts in sides.items():
            found = [model["seen"][kind][side] for model in record["models"].values()]
            if counts["captions"]:
                name = f"{SIDES[kind, side]}: {counts['captions']:,}, of {counts['pictures']:,} pictures"
                groups[name] = [
                    (arrow, *(percent(one["group"][way]["recall@1"]) for one in found))
                    for way, arrow in DIRECTIONS.items()
                ]
    lead = "Recall@1, any picture and any sentence of the group being right, among all answers."
    return [Table("Among the training pairs or not", ("", *record["models"]), groups, lead)] if groups else []


def _facts(models: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[Fact, ...]:
    if {"before", "after"} <= models.keys() and record.get("comparisons"):
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
