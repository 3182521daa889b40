"""Blends of a CLIP model before and after fine-tuning, as `fsynth clip-finetune --wise-ft` tried them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsynth.errors import DataError
from fsynth.report import files
from fsynth.report.blocks import NARROW, Block, Fact, Options, Plot, Row, Section, Table, percent
from fsynth.report.data_uris import data_uri
from fsynth.wise_ft import FILE, PLOT

WIDEST = 1200
"""Most pixels on a side of a plot."""


def blends(folder: Path, options: Options) -> Section | None:
    """What each blend retrieves and what it can still tell."""
    record = files.record_of(folder / FILE)
    if record is None:
        return None
    retention, found = record["retention"], record["blends"]
    others = [name for name in found[0]["told"] if name != retention]
    head = ("a", "recall@1", "mean group recall", retention, *others)
    rows = [_row(one, others, one["share"] == record["chosen"]) for one in found]
    lead = (
        f"The weights (1 − a) before + a after fine-tuning, judged on {record['rows']:,} validation pairs "
        f"(WiSE-FT). The best mean group recall is taken, of equal ones the nearest to the model before."
    )
    table = Table("What each blend is worth", head, {"": rows}, _meaning(retention))
    return Section("Blends with the model before", lead, (*_plot(folder), table), (_fact(record),))


def _row(one: Mapping[str, Any], others: Sequence[str], taken: bool) -> Row:
    kept = "" if one["retention"] is None else percent(one["retention"])
    told = (percent(one["told"][name]) for name in others)
    name = f"{one['share']:g}, taken" if taken else f"{one['share']:g}"
    return (name, percent(one["recall_at_1"]), percent(one["recall"]), kept, *told)


def _meaning(retention: str) -> str:
    return f"Recalls are of caption groups. {retention[0].upper()}{retention[1:]}: share told right by name."


def _plot(folder: Path) -> tuple[Block, ...]:
    from PIL import Image

    path = folder / PLOT
    if not path.is_file():
        return ()
    try:
        with Image.open(path) as picture:
            source = data_uri(picture, WIDEST)
    except OSError as error:
        raise DataError(f"{path} is not a whole picture ({error}); {files.AGAIN}") from None
    return (Plot("Retrieval against what is kept", source),)


def _fact(record: Mapping[str, Any]) -> Fact:
    taken = next(one for one in record["blends"] if one["share"] == record["chosen"])
    kept = "" if taken["retention"] is None else f"; {record['retention']} {percent(taken['retention'])}"
    note = f"mean group recall {percent(taken['recall'])}, N{NARROW}{record['rows']:,} validation pairs{kept}"
    return Fact("Blend taken", f"a = {record['chosen']:g}", note)
