"""The pictures of a data report: sizes, mean pictures, examples of labels, duplicates side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsynth.data.scan import SMALL
from fsynth.report import files
from fsynth.report.blocks import (
    MOST_THUMBNAILS,
    THUMBNAIL,
    Block,
    Card,
    Gallery,
    Options,
    Picture,
    Section,
    Table,
    Words,
    percent,
)
from fsynth.report.data_overview import record_of
from fsynth.report.data_uris import data_uri, uri_of
from fsynth.report.showcase import DUPLICATES, path_of

MOST_SIZES = 8
NOTICE = (
    f"This page holds {{count}} thumbnails of the data, {THUMBNAIL} px at most, and mean pictures. To pass "
    "it on without them, make it again with --no-pictures."
)
_KINDS = {"exact": "the same, pixel for pixel", "near": "nearly the same"}


def examples(folder: Path, options: Options) -> Section | None:
    """Pictures of the most frequent categories, each in several colours; the page's notice, too."""
    record = record_of(folder)
    chosen = record["shown"] if record and options.thumbnails else {"examples": [], "duplicates": []}
    groups = _within(chosen["examples"], options.thumbnails - _room(chosen, options))
    if record is None or not groups:
        return None
    cards = [
        Card(
            f"{group['category']}, {group['count']:,} rows",
            tuple(_thumbnail(folder, one["row"], one["color"]) for one in group["shown"]),
        )
        for group in groups
    ]
    count = sum(len(group["shown"]) for group in [*groups, *_duplicates_shown(record, options)])
    notice = "" if record["drawn"] else NOTICE.format(count=count)
    lead = "The most frequent categories, each in its most frequent colours; which rows is drawn by lot."
    return Section("Examples", lead, (Gallery(tuple(cards)),), notice=notice)


def means(folder: Path, options: Options) -> Section | None:
    """The mean of all pictures, and of categories."""
    record = record_of(folder)
    if record is None or not record["means"] or not options.thumbnails:
        return None
    cards = [
        Card(
            f"{one['label'] or 'all'}, N {one['pictures']:,}",
            (Picture(_file(folder / one["file"])),),
        )
        for one in record["means"]
    ]
    of_sample = " of the sample" if record["pictures"]["sampled"] else ""
    lead = (
        f"All pictures{of_sample}, {SMALL} px on their longer side, laid on each other by their centres: "
        "where the mean is sharp, they are alike."
    )
    return Section("The mean picture", lead, (Gallery(tuple(cards)),))


def sizes(folder: Path, options: Options) -> Section | None:
    """How large the pictures are."""
    record = record_of(folder)
    if record is None or record["pictures"] is None or len(record["pictures"]["sizes"]) < 2:
        return None
    found = record["pictures"]["sizes"]
    total = sum(count for *_, count in found)
    lines = [
        (f"{width} × {height}", f"{width / height:.2f}", f"{count:,}", percent(count / total))
        for width, height, count in found[:MOST_SIZES]
    ]
    rest = total - sum(count for *_, count in found[:MOST_SIZES])
    if rest:
        lines.append((f"{len(found) - MOST_SIZES:,} other sizes", "", f"{rest:,}", percent(rest / total)))
    widths, heights = ([one[axis] for one in found] for axis in (0, 1))
    lead = f"{min(widths)} to {max(widths)} px wide, {min(heights)} to {max(heights)} px high."
    table = Table("", ("width × height", "width / height", "pictures", "share"), {"": lines})
    return Section("Sizes", lead, (table,))


def repeated(folder: Path, options: Options) -> Section | None:
    """Pictures that occur twice."""
    record = record_of(folder)
    pictures = record["pictures"] if record else None
    if record is None or pictures is None:
        return None
    found = pictures["duplicates"]
    if found is None:
        return Section("Duplicates", "Not looked for: only a sample of the pictures was read.", ())
    if not any(one["groups"] for one in found.values()):
        return Section("Duplicates", f"None among {pictures['read']:,} pictures, neither exact nor near.", ())
    lines = [
        (_KINDS[kind], *(f"{one[name]:,}" for name in ("groups", "pictures", "across_splits")))
        for kind, one in found.items()
    ]
    blocks: list[Block] = [
        Table("", ("pictures that are", "groups", "pictures", "in train and test"), {"": lines})
    ]
    cards = tuple(_group_card(folder, group) for group in _duplicates_shown(record, options))
    blocks += [Gallery(cards, small=True)] if cards else []
    if not cards and not options.thumbnails:
        blocks.append(Words("Pictures are left out (--no-pictures)."))
    lead = "Those that stand on both sides of the division come first: scores would count them as new."
    return Section("Duplicates", lead, tuple(blocks))


def _room(chosen: Mapping[str, Any], options: Options) -> int:
    """Thumbnails that the duplicates take of what the page may show."""
    wanted = sum(len(group["shown"]) for group in chosen["duplicates"])
    return min(wanted, DUPLICATES * options.thumbnails // MOST_THUMBNAILS)


def _within(groups: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """The first groups that have no more pictures together."""
    kept: list[Mapping[str, Any]] = []
    for group in groups:
        most -= len(group["shown"])
        if most >= 0:
            kept.append(group)
    return kept


def _duplicates_shown(record: Mapping[str, Any], options: Options) -> list[Mapping[str, Any]]:
    return _within(record["shown"]["duplicates"], _room(record["shown"], options))


def _group_card(folder: Path, group: Mapping[str, Any]) -> Card:
    pictures = tuple(_thumbnail(folder, one["row"], one["split"]) for one in group["shown"])
    rows = ", ".join(f"{one['row'] + 1:,}" for one in group["shown"])
    more = group["size"] - len(group["shown"])
    return Card(f"{group['kind']}: rows {rows}" + (f" and {more:,} more" if more else ""), pictures)


def _thumbnail(folder: Path, row: int, tag: str) -> Picture:
    return Picture(uri_of(files.content_of(path_of(folder, row))), tag)


def _file(path: Path) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(files.content_of(path))) as picture:
        return data_uri(picture, THUMBNAIL)
