"""Small pictures of the rows a run learnt from, for its report: read again from where the run read them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.errors import DataError, FsynthError
from fsynth.report import files
from fsynth.report.blocks import THUMBNAIL, Card, Gallery, Options, Picture, Section, data_uri

if TYPE_CHECKING:
    import datasets


NOTICE = (
    f"This page holds thumbnails, {THUMBNAIL} px at most, of your own training pictures. To pass it on "
    "without them, make it again with --no-pictures."
)


def training_pictures(folder: Path, options: Options) -> Section | None:
    """Pictures, evenly spread over the rows that a run chose.

    Asks for no password: where none is at hand, or the data have moved, the section says so instead.
    """
    settings = files.record_of(folder / "run.yaml") or {}
    if not options.thumbnails or "n_images" not in settings:
        return None
    try:
        cards, rows = _cards(settings, options.thumbnails)
    except FsynthError as error:
        return Section("Training pictures", f"Left out: {error}.", ())
    gallery = Gallery(tuple(cards), training=True)
    lead = f"{len(cards):,} of the {rows:,} it learnt from."
    return Section("Training pictures", lead, (gallery,), notice="" if _is_drawn(settings) else NOTICE)


def _cards(settings: Mapping[str, Any], most: int) -> tuple[list[Card], int]:
    from fsynth.order import choose_rows

    train = _open(settings)
    chosen = choose_rows(len(train), settings["n_images"], settings["seed"])
    count = min(most, len(chosen))
    shown = [chosen[number * len(chosen) // count] for number in range(count)]
    return [_card(train[place]) for place in shown], len(chosen)


def _is_drawn(settings: Mapping[str, Any]) -> bool:
    from fsynth.data import drawn_archive

    return drawn_archive.is_drawn(_root(settings))


def _root(settings: Mapping[str, Any]) -> Path:
    from fsynth.data import sources, synthetic

    data = Path(settings["data"])
    return synthetic.cached_archive() if data == sources.DRAWN else data


def _card(row: Mapping[str, Any]) -> Card:
    return Card(row["text"], (Picture(data_uri(row["image"], THUMBNAIL)),))


def _open(settings: Mapping[str, Any]) -> datasets.Dataset:
    from fsynth.data import fashion_synthesis, sources

    root = _root(settings)
    own = root / sources.PASSWORD_NAME
    file = settings.get("password_file") or (own if own.is_file() else None)  # of a drawn archive
    ask = functools.partial(_password, file and Path(file))
    limit = int(settings["memory_limit"] * fashion_synthesis.GIB)
    where = fashion_synthesis.find(root)
    return fashion_synthesis.open_layout(where, settings["image_source"], limit, ask).splits["train"]


def _password(file: Path | None, archive: Path) -> bytes:
    from fsynth.data import passwords

    found = passwords.find_password(file, archive, prompt=False)
    if found is None:
        raise DataError(f"the password of {archive.name} is not at hand ({passwords.VARIABLE})")
    return found
