"""Small pictures of the rows a run learnt from, for its report: read again from where the run read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.errors import DataError, FsynthError
from fsynth.report import files
from fsynth.report.blocks import THUMBNAIL, Card, Gallery, Options, Picture, Section, data_uri

if TYPE_CHECKING:
    import datasets


def training_pictures(folder: Path, options: Options) -> Section | None:
    """Pictures, evenly spread over the rows that a run chose.

    Asks for no password: where none is at hand, or the data have moved, the section says so instead.
    """
    settings = files.yaml_of(folder / "run.yaml") or {}
    if not options.thumbnails or "n_images" not in settings:
        return None
    try:
        cards, rows = _cards(settings, options.thumbnails)
    except FsynthError as error:
        return Section("Training pictures", f"Left out: {error}.", ())
    lead = f"{len(cards):,} of the {rows:,} pictures it learnt from, {THUMBNAIL} px at most."
    return Section("Training pictures", lead, (Gallery(tuple(cards), training=True),))


def _cards(settings: Mapping[str, Any], most: int) -> tuple[list[Card], int]:
    from fsynth.order import choose_rows

    train = _open(settings)
    chosen = choose_rows(len(train), settings["n_images"], settings["seed"])
    count = min(most, len(chosen))
    shown = [chosen[number * len(chosen) // count] for number in range(count)]
    return [_card(train[place]) for place in shown], len(chosen)


def _card(row: Mapping[str, Any]) -> Card:
    return Card(row["text"], (Picture(data_uri(row["image"], THUMBNAIL)),))


def _open(settings: Mapping[str, Any]) -> datasets.Dataset:
    from fsynth.data import sources, synthetic

    root = Path(settings["data"] or synthetic.cached_archive())
    image_source, own = settings["image_source"], root / sources.PASSWORD_NAME
    file = settings.get("password_file") or (own if own.is_file() else None)  # of a drawn archive
    if file is None:
        _need_password(root, image_source)
    return sources.open_source(root, file and Path(file), image_source, settings["memory_limit"]).train


def _need_password(root: Path, image_source: str | None) -> None:
    from fsynth.data import archive, fashion_synthesis

    for file in fashion_synthesis.find(root).archives(image_source):
        if archive.Archive(file).encrypted and archive.current_password(file) is None:
            raise DataError(f"the password of {file.name} is not at hand (FSYNTH_ZIP_PASSWORD)")
