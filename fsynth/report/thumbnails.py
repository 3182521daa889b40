"""Small pictures of the rows a run learnt from, for its report: read again from where the run read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.data.row_pictures import row_of
from fsynth.errors import FsynthError
from fsynth.report import files, nearest
from fsynth.report.blocks import NOTICE, THUMBNAIL, Card, Gallery, Options, Picture, Section
from fsynth.report.data_uris import data_uri
from fsynth.report.retrieval_sheets import room

if TYPE_CHECKING:
    from fsynth.data.sources import Source

OPTIONS = (
    "image_source",
    "memory_limit",
    "image_column",
    "text_column",
    "split_by",
    "val_fraction",
    "split_seed",
    "drop_duplicates",
    "drop_unreadable",
    "min_side",
)
"""Settings of a run that decide what its rows are."""

MOST = 24


def training_pictures(folder: Path, options: Options) -> Section | None:
    """Pictures, evenly spread over the rows that a run chose.

    Asks for no password: where none is at hand, or the data have moved, the section says so instead.
    """
    settings = files.record_of(folder / "run.yaml") or {}
    left = options.thumbnails - room(folder, options)
    found = nearest.distances(folder)
    pairs = nearest.drawn(folder)[: max(0, left)]
    most = min(MOST, left - len(pairs))
    if left <= 0 or "n_images" not in settings:
        return Section("Training pictures", nearest.LEAD, found) if found else None
    try:
        source = _open(settings)
        cards, rows = _cards(source, settings, most)
        beside = nearest.beside(folder, source.train, pairs)
    except FsynthError as error:
        return Section("Training pictures", f"Left out: {error}.", found)
    galleries = (*beside, Gallery(tuple(cards), training=True)) if cards else beside
    lead = f"{nearest.LEAD if found else ''} {len(cards):,} of the {rows:,} it learnt from.".strip()
    return Section("Training pictures", lead, (*found, *galleries), notice="" if source.drawn else NOTICE)


def _cards(source: Source, settings: Mapping[str, Any], most: int) -> tuple[list[Card], int]:
    from fsynth.order import choose_rows

    train, strata = source.train, source.strata(settings.get("stratify"))
    chosen = choose_rows(len(train), settings["n_images"], settings["seed"], strata)
    count = min(most, len(chosen))
    shown = [chosen[number * len(chosen) // count] for number in range(count)]
    return [_card(row_of(train, place)) for place in shown], len(chosen)


def _root(settings: Mapping[str, Any]) -> Path | str:
    from fsynth.data import addresses, places, synthetic

    data = addresses.read(settings["data"])
    return synthetic.cached_archive() if data == places.DRAWN else data


def _card(row: Mapping[str, Any]) -> Card:
    return Card(row["text"], (Picture(data_uri(row["image"], THUMBNAIL)),))


def _open(settings: Mapping[str, Any]) -> Source:
    from fsynth.data import places, sources

    root = _root(settings)
    own = Path(root) / places.PASSWORD_NAME
    file = settings.get("password_file") or (own if own.is_file() else None)  # of a drawn archive
    given = {name: settings[name] for name in OPTIONS if name in settings}
    source = sources.open_source(root, file and Path(file), prompt=False, **given)
    source.check_rows(settings.get("fingerprint"))
    return source
