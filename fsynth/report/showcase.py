"""The pictures of a data report: few thumbnails and mean pictures, chosen and written beside its numbers.

They lie in the report's folder, so that its page can be made again without the data and their password.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.data import overview
from fsynth.data.labels import UNKNOWN
from fsynth.report.blocks import THUMBNAIL
from fsynth.report.data_uris import webp

if TYPE_CHECKING:
    from fsynth.data.mean_picture import MeanPictures
    from fsynth.data.overview import Rows
    from fsynth.data.sources import Source

THUMBNAILS, MEANS = "thumbnails", "means"
CATEGORIES, OF_A_CATEGORY = 10, 4
DUPLICATES, OF_A_GROUP = 24, 4
"""Thumbnails of duplicates, of all groups and of one; with the examples, 64 together."""
MEAN_OF = 30
"""Pictures that a category needs to have a mean of its own: of fewer, single ones could be made out."""
MOST_MEANS = 11


def choose(
    rows: Rows, readable: Collection[int], groups: Mapping[str, Sequence[Sequence[int]]]
) -> dict[str, Any]:
    """Which rows to show.

    Args:
        readable: numbers of rows whose picture can be read.
        groups: kind of duplicates -> groups of rows.

    Returns:
        ``examples`` (`overview.examples`), each row with its ``text``; ``duplicates``: dicts of ``kind``,
        ``size`` of the group and ``shown``, a list of ``row`` and ``split``.
    """
    places = {number: place for place, number in enumerate(rows.number)}
    examples = overview.examples(rows, set(readable), CATEGORIES, OF_A_CATEGORY)
    for one in (one for example in examples for one in example["shown"]):
        one["text"] = rows.text[places[one["row"]]]
    found: list[dict[str, Any]] = []
    room = DUPLICATES
    for kind, group in _in_turn(rows, groups):
        shown = group[:OF_A_GROUP]
        if len(shown) <= room:
            room -= len(shown)
            lines = [{"row": row, "split": rows.split[places[row]]} for row in shown]
            found.append({"kind": kind, "size": len(group), "shown": lines})
    return {"examples": examples, "duplicates": found}


def _in_turn(
    rows: Rows, groups: Mapping[str, Sequence[Sequence[int]]]
) -> Iterator[tuple[str, Sequence[int]]]:
    """The worst group of each kind, then the next of each."""
    ordered = {kind: overview.worst_first(rows, found)[0] for kind, found in groups.items()}
    for turn in range(max(map(len, ordered.values()), default=0)):
        yield from ((kind, found[turn]) for kind, found in ordered.items() if turn < len(found))


def rows_of(shown: Mapping[str, Any]) -> list[int]:
    """The rows of what `choose` chose, each once."""
    groups = [*shown["examples"], *shown["duplicates"]]
    return list(dict.fromkeys(one["row"] for group in groups for one in group["shown"]))


def write_thumbnails(folder: Path, source: Source, numbers: Sequence[int]) -> None:
    """A file a row, `path_of`."""
    (folder / THUMBNAILS).mkdir()
    for part in (source.train, source.validation, source.test):
        places = {} if part is None else {row: place for place, row in enumerate(part["row"][:])}
        for number in (number for number in numbers if number in places):
            path_of(folder, number).write_bytes(webp(part[places[number]]["image"], THUMBNAIL))


def path_of(folder: Path, number: int) -> Path:
    return folder / THUMBNAILS / f"{number:08d}.webp"


def write_means(folder: Path, means: MeanPictures) -> list[dict[str, Any]]:
    """The mean of all pictures, and of each category that has `MEAN_OF`; no mean of fewer.

    Returns:
        for each its ``label`` (null for all), ``pictures`` (how many), ``file``, ``width`` and ``height``.
    """
    whole = means.whole()
    if whole.pictures < MEAN_OF:
        return []
    (folder / MEANS).mkdir()
    largest = {label: mean for label, mean in means.largest(MEAN_OF).items() if label != UNKNOWN}
    found = []
    for label, mean in [(None, whole), *list(largest.items())[:MOST_MEANS]]:
        file, picture = f"{MEANS}/{label or 'all'}.png", mean.picture()
        picture.save(folder / file)
        size = {"width": picture.width, "height": picture.height}
        found.append({"label": label, "pictures": mean.pictures, "file": file, **size})
    return found
