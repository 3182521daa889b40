"""Drawn pictures beside the training pictures that they are nearest to (`fsynth.nearest`), for a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from fsynth.data.row_pictures import row_of
from fsynth.report import files
from fsynth.report.blocks import THUMBNAIL, Block, Card, Gallery, Picture, Table
from fsynth.report.data_uris import data_uri

if TYPE_CHECKING:
    import datasets

FILE = "nearest.json"
MOST = 8
LEAD = (
    "What a model knows by heart is drawn again: such a picture is nearer to a training picture than almost "
    "all held-out ones are, 0 % of which are nearer then."
)


def drawn(folder: Path) -> Sequence[Mapping[str, Any]]:
    """The drawn pictures of a run that are shown beside their nearest training picture."""
    return (files.record_of(folder / FILE) or {"drawn": []})["drawn"][:MOST]


def distances(folder: Path) -> tuple[Block, ...]:
    """How near drawn pictures are, and how near held-out ones; nothing where none were compared."""
    record = files.record_of(folder / FILE)
    if not record:
        return ()
    rows = [
        (one["text"], f"{one['distance']:.2f}", f"{one['nearer_held_out']:.0%}", str(one["row"]))
        for one in record["drawn"][:MOST]
    ]
    held_out = record["held_out"]
    looked = f"{record['looked_at']:,} of the {record['training']:,}"
    lead = (
        f"Distances in features of {record['extractor']['name']}, to {looked} training pictures. Of "
        f"{len(held_out):,} held-out pictures: {median(held_out):.2f} (median), {min(held_out):.2f} (least)."
    )
    head = ("drawn", "distance", "held-out that are nearer", "row")
    return (Table("Nearest training pictures", head, {"": rows}, lead),)


def beside(folder: Path, train: datasets.Dataset, shown: Sequence[Mapping[str, Any]]) -> tuple[Gallery, ...]:
    """Each drawn picture and its nearest, both small: one thumbnail of the data each."""
    from PIL import Image

    cards = []
    for one in shown:
        with Image.open(folder / "samples" / one["file_name"]) as opened:
            mine = Picture(data_uri(opened.convert("RGB"), THUMBNAIL), "drawn")
        seen = Picture(data_uri(row_of(train, one["place"])["image"], THUMBNAIL), "nearest of training")
        cards.append(Card(one["text"], (mine, seen)))
    return (Gallery(tuple(cards), small=True),) if cards else ()
