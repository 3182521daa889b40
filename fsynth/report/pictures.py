"""Generated pictures and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsynth import samples
from fsynth.data import picture_files
from fsynth.errors import DataError
from fsynth.report import files
from fsynth.report.blocks import (
    GENERATED,
    Block,
    Card,
    Fact,
    Gallery,
    Options,
    Picture,
    Section,
    Table,
    Words,
)
from fsynth.report.data_uris import data_uri

MOST_PICTURES, COVER = 60, 8


def before_after(folder: Path, options: Options) -> Section | None:
    """The same prompts and noise, drawn before and after training (`fsynth sd-train`)."""
    index = folder / "samples" / samples.ROWS
    rows = samples.rows_of(index) if index.is_file() else []
    times = list(dict.fromkeys(row["when"] for row in rows if "when" in row))
    if not times:
        return None
    by_prompt: dict[str, dict[str, Path]] = {}
    for row in rows:
        by_prompt.setdefault(row["text"], {})[row["when"]] = index.parent / row["file_name"]
    cards = [
        Card(text, tuple(_generated(paths[when], when) for when in times if when in paths))
        for text, paths in list(by_prompt.items())[: MOST_PICTURES // len(times)]
    ]
    title, lead = "Pictures before training", "Held-out sentences, drawn before the first step."
    if "after" in times:
        title = "Pictures, before and after training"
        lead = "Held-out sentences, drawn before the first step and after the last, from the same noise."
    cover = _cover([card.pictures[-1] for card in cards])
    return Section(title, lead, (Gallery(tuple(cards)),), cover=cover)


def pictures(folder: Path, options: Options) -> Section | None:
    """Pictures from prompts (`fsynth sample`)."""
    if not (folder / samples.ROWS).is_file():
        return None
    rows = samples.rows_of(folder / samples.ROWS)
    shown = rows[:MOST_PICTURES]
    several = len({row["seed"] for row in rows}) > 1
    cards = [
        Card(row["text"], (_generated(folder / row["file_name"], f"seed {row['seed']}" if several else ""),))
        for row in shown
    ]
    shared = samples.shared_record(folder)
    amount = f"{len(rows):,} pictures" + (f", the first {len(shown)} shown" if len(shown) < len(rows) else "")
    made = f"{shared['steps']} steps, guidance {shared['guidance_scale']:g}" if shared else "made elsewhere"
    cover = _cover([card.pictures[0] for card in cards])
    return Section("Pictures from prompts", f"{amount}; {made}.", (Gallery(tuple(cards)),), cover=cover)


def scores(folder: Path, options: Options) -> Section | None:
    """Scores of generated pictures with all that they depend on (`fsynth score`)."""
    record = files.record_of(folder / samples.SCORES) or {}
    if "extractor" not in record:
        return None
    from fsynth.scoring import METRICS  # imports torch

    by, blocks, facts = record["extractor"], list[Block](), []
    for title, score in ((METRICS[name], record[name]) for name in METRICS if name in record):
        if score["note"]:
            note = score["note"]
            blocks.append(Words(f"{note[0].upper()}{note[1:]}.", warning=not score["is_score"]))
        blocks.append(_score_table(title, score, by))
        facts.append(_score_fact(title, score, by))
    lead = f"Judged by {by['name']} (version {by['version']}). Comparable only with scores of the same judge."
    return Section("Scores", lead, tuple(blocks), tuple(facts))


def _score_table(title: str, score: Mapping[str, Any], by: Mapping[str, Any]) -> Table:
    mean = f"{score['mean']:.3f}" + ("" if score["std"] is None else f" ± {score['std']:.3f}")
    lines = {
        "value": mean if score["is_score"] else f"({mean}) not a score",
        "pictures (N)": f"{score['pictures']:,}",
        "splits": _splits(score),
        "highest possible": f"{score['ceiling']:.3g}",
        "seed of the shuffle": str(score["seed"]),
        "extractor": f"{by['name']} {by['version']}, weights {by['sha256'][:12]}",
        "classes": by["logits"],
        "preprocessing": by["preprocessing"],
    }
    return Table(title, ("", ""), {"": list(lines.items())})


def _splits(score: Mapping[str, Any]) -> str:
    splits, least, pictures = score["splits"], score["smallest_split"], score["pictures"]
    if splits == 1:
        return "1, of all pictures"
    each = f"{least:,}" if least * splits == pictures else f"{least:,} or {least + 1:,}"
    return f"{splits} of {each} pictures each"


def _score_fact(title: str, score: Mapping[str, Any], by: Mapping[str, Any]) -> Fact:
    value = f"{score['mean']:.2f}" if score["is_score"] else f"({score['mean']:.2f})"
    meaning = "" if score["is_score"] else "not a score: "
    return Fact(title, value, f"{meaning}N {score['pictures']:,} by {by['name']}")


def _generated(path: Path, tag: str = "") -> Picture:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return Picture(data_uri(picture, GENERATED), tag)
    except picture_files.undecodable() as error:
        raise DataError(f"{path} is not a whole picture ({error}); sample it again") from None


def _cover(found: Sequence[Picture]) -> tuple[Picture, ...]:
    """Pictures from all over the list for the head of the page; none of a list that would not fill it."""
    return (
        tuple(found[number * len(found) // COVER] for number in range(COVER)) if len(found) >= COVER else ()
    )
