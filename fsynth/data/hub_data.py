"""A data set of the Hugging Face hub, by name: ``org/name``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fsynth import console, hub
from fsynth.data import fashion_synthesis
from fsynth.data.column_kinds import need_columns, need_kinds
from fsynth.data.labels import LABELS
from fsynth.data.rows import (
    SPLIT_WORDS,
    TEXT,
    Opened,
    from_columns,
    named,
    streamed_row,
)
from fsynth.data.stream_splits import Side
from fsynth.errors import DataError, reason

if TYPE_CHECKING:
    import datasets

BATCH = 16
"""Rows that a stream reads at once."""

WHAT = "hub data set"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_INSIDE = re.compile(r"\A\w+://(.+?)::.*\Z", re.DOTALL)
"""A file in an archive, as `datasets` writes it in a stream: ``zip://PATH::ARCHIVE``."""
_CACHES = re.compile(
    r"\A(?:hf://datasets/[^/]+/[^/]+/|.*/snapshots/[0-9a-f]{40}/|.*/downloads/extracted/[0-9a-f]{64}/)"
)
"""Where the files of a data set lie, on the hub or on this machine."""


def is_name(text: str) -> bool:
    """Whether a text could be ``org/name``."""
    return _NAME.fullmatch(text) is not None


def open_name(name: str, image_column: str | None, text_column: str | None) -> Opened:
    """Fetch a data set, or take it from the cache of `datasets`.

    Raises:
        ConfigError: a column that is not there, or of another kind.
        DataError: it cannot be had; it has no split called train, validation or test.
    """
    import datasets

    parts, notes = _parts(name)
    whole = {side: datasets.concatenate_datasets(splits) for side, splits in parts.items()}
    opened = from_columns(whole, WHAT, image_column, text_column, name, _name)
    return replace(opened, notes=(*opened.notes, *notes))


def streamable(name: str) -> dict[str, list[datasets.IterableDataset]]:
    """The splits of a data set, with its own columns, read from the hub as they are needed.

    Raises:
        DataError: see `open_name`.
    """
    parts, notes = _parts(name, streaming=True)
    for note in notes:
        console.say(f"data: {name}: {note}")
    return parts


def stream(
    parts: Sequence[datasets.IterableDataset],
    side: Side,
    image_column: str | None,
    text_column: str | None,
    origin: str,
) -> datasets.IterableDataset:
    """The rows of one side.

    Raises:
        ConfigError: a column that is not there, or of another kind.
        DataError: while reading, a row without sentence.
    """
    import datasets

    image, text = image_column or "image", text_column or TEXT
    whole = datasets.concatenate_datasets([*parts])
    columns = whole.column_names or [*next(iter(whole), {})]
    need_columns(columns, image, text, origin)
    features = whole.features or datasets.Dataset.from_list([*whole.take(1)]).features
    need_kinds(features, image, text, origin)
    if isinstance(features.get(image), datasets.Image):
        whole = whole.cast_column(image, datasets.Image(decode=False))  # decoded once, where it is used
    about = {"side": side, "image": image, "text": text, "origin": origin}
    labels = {name: features.get(name) for name in LABELS if name in columns}
    ours = fashion_synthesis.columns_of(with_pictures=True)
    rows = whole.map(
        _rows,
        batched=True,
        batch_size=BATCH,
        remove_columns=[name for name in columns if name not in ours],  # the others are written over
        fn_kwargs={**about, "labels": labels},
    )
    return rows.cast(ours)  # map itself decodes no pictures


def _rows(
    batch: dict[str, list[Any]], side: Side, image: str, text: str, origin: str, labels: dict[str, Any]
) -> dict[str, list[Any]]:
    """Those of a batch that are on the side."""
    rows = []
    for number, (picture, sentence) in enumerate(zip(batch[image], batch[text], strict=True)):
        name = str(("name" in batch and batch["name"][number]) or _name(picture))
        if side.has(name):
            known = {column: named(feature, batch[column][number]) for column, feature in labels.items()}
            row = batch["row"][number] if "row" in batch else None
            rows.append(streamed_row(picture, sentence, known, name, row, f"a row of {origin} ({name})"))
    columns = fashion_synthesis.columns_of(with_pictures=True)
    return {column: [row[column] for row in rows] for column in columns}


def _name(picture: Any) -> str:
    """Its path in the data set, else a hash of its content: nobody counts the rows of a stream, and sides
    depend on names."""
    if isinstance(picture, dict):
        picture = picture.get("path") or picture["bytes"]
    if isinstance(picture, str):
        return _CACHES.sub("", _INSIDE.sub(r"\1", picture))
    content = picture if isinstance(picture, bytes) else picture.tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _parts(name: str, **options: Any) -> tuple[dict[str, list[Any]], list[str]]:
    """Side -> splits of the data set, and notes on others."""
    import datasets

    try:
        with hub.without_waiting():
            found = datasets.load_dataset(name, **options)
    except Exception as error:  # of the network, the hub and each of its formats
        raise DataError(
            f"there is no folder {name}, and the hub's data set of that name cannot be had "
            f"({reason(error)}); check the name, or fetch it where there is a network and copy its cache"
        ) from None
    there = {side: [split for split in found if split in words] for side, words in SPLIT_WORDS.items()}
    parts = {side: [found[split] for split in splits] for side, splits in there.items() if splits}
    if not parts:
        raise DataError(f"{name} has the splits {', '.join(found)}, none of train, validation and test")
    return parts, _notes(there, [*found])


def _notes(there: dict[str, list[str]], found: list[str]) -> list[str]:
    """What became of splits that are not called after one side."""
    notes = [f"{' and '.join(splits)} together: {side}" for side, splits in there.items() if len(splits) > 1]
    used = [split for splits in there.values() for split in splits]
    left = ", ".join(split for split in found if split not in used)
    return [*notes, *[f"splits left out: {left}"] * bool(left)]
