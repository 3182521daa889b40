"""The head of a data report: what the data are, and what is wrong with them (`fsynth data-report`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsynth.console import counted
from fsynth.data import summary
from fsynth.report import files
from fsynth.report.blocks import Fact, Options, Remark, Remarks, Section, Table, Words, percent

SPLIT_WORDS = {"train": "train", "validation": "validate", "test": "test"}


def record_of(folder: Path) -> dict[str, Any] | None:
    """The numbers of a data report; None in other folders."""
    record = files.record_of(folder / summary.NAME)
    return record if record is not None and "sentences" in record else None


def data(folder: Path, options: Options) -> Section | None:
    """Where the rows come from and how they are divided."""
    record = record_of(folder)
    if record is None:
        return None
    lines = {
        "source": record["source"],
        "rows": record["division"].removesuffix(f"; fingerprint {record['fingerprint']}"),
        "fingerprint": record["fingerprint"],
        "pictures": _pictures_read(record["pictures"]),
    }
    table = Table("", ("", ""), {"": list(lines.items())})
    lead = "What every command says of these data before it works on them."
    return Section("The data", lead, (table,), _facts(record))


def findings(folder: Path, options: Options) -> Section | None:
    """What `fsynth data-check` finds in the same pass."""
    record = record_of(folder)
    if record is None:
        return None
    remarks = tuple(
        Remark(one["level"], one["check"], one["text"], one["advice"], tuple(one["examples"]))
        for one in record["findings"]
    )
    passed = (Words(f"Without a finding: {', '.join(record['passed'])}."),) if record["passed"] else ()
    verdict = record["verdict"]
    return Section("Findings", f"{verdict[0].upper()}{verdict[1:]}.", (Remarks(remarks), *passed))


def _pictures_read(pictures: Mapping[str, Any] | None) -> str:
    if pictures is None:
        return "none: sentences and labels only"
    parts = [
        f"{pictures['read']:,} read" + (", a sample (--quick)" if pictures["sampled"] else ", all of them")
    ]
    if pictures["unreadable"]:
        parts.append(f"{pictures['unreadable']:,} cannot be read")
    if pictures["sizes"]:
        width, height, _ = pictures["sizes"][0]
        more = len(pictures["sizes"]) - 1
        parts.append(f"{width} × {height} px" + (f" and {counted(more, 'other size')}" if more else ""))
        parts.append("stored as " + ", ".join(pictures["modes"]))
    return "; ".join(parts)


def _facts(record: Mapping[str, Any]) -> tuple[Fact, ...]:
    told = record["sentences"]["repetition"]
    divided = ", ".join(f"{count:,} {SPLIT_WORDS[split]}" for split, count in record["rows"].items())
    share = percent(told["top_10"] / told["rows"])
    facts = [
        Fact("Rows", f"{told['rows']:,}", divided),
        Fact(
            "Distinct sentences",
            f"{told['distinct']:,}",
            f"the ten most frequent stand in {share} of all rows",
        ),
    ]
    if record["pictures"] is not None and record["pictures"]["duplicates"]:
        facts.append(_duplicates(record["pictures"]["duplicates"]))
    return (*facts, _verdict(record))


def _duplicates(found: Mapping[str, Mapping[str, int]]) -> Fact:
    exact, near = (found[kind]["pictures"] for kind in ("exact", "near"))
    across = sum(one["across_splits"] for one in found.values())
    sides = f"; {counted(across, 'group')} in train and test" if across else ""
    return Fact("Duplicates", f"{exact + near:,}", f"{exact:,} exact, {near:,} near{sides}", bad=across > 0)


def _verdict(record: Mapping[str, Any]) -> Fact:
    levels = [one["level"] for one in record["findings"]]
    faults, warnings = levels.count("error"), levels.count("warning")
    value = f"{faults} / {warnings}"
    return Fact("Faults / warnings", value, record["verdict"], bad=faults > 0)
