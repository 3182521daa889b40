"""Data read row by row as they come, for what does not fit the disk: `datasets.IterableDataset`.

Shards, Parquet files and hub data sets are streamed from where they are. Every other source lies in memory
anyway, without its pictures, and is streamed from there, with exactly the rows of the map-style data. In a
stream from elsewhere each row stands alone: its side may be a function of its name (`stream_splits`), a label
that is none of ours is read from its sentence, and ``row`` is null where the source counts no rows itself, as
our exports do: shards and hub data sets do not say how many rows come before. Parquet files do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth.data import addresses, hub_data, kinds, stream_splits
from fsynth.errors import ConfigError

if TYPE_CHECKING:
    import datasets

OPTIONS = ("image_column", "text_column", "split_by", "val_fraction", "split_seed")
"""Of `sources.open_source`: those of `open_stream`."""
WHOLE = ("drop_duplicates", "drop_unreadable", "min_side")
"""Those that look at every picture before the first row is given."""
MOST_SHARDS = 64
"""Parts of a source in memory: as many loader workers can share it."""


def refuse_options(options: Mapping[str, object]) -> None:
    """Stop where an option of `sources.open_source` asks for what no stream can do.

    Raises:
        ConfigError: naming it.
    """
    for name in WHOLE:
        if options.get(name):
            raise ConfigError(
                f"{name} looks at every picture first, and a stream passes over them once; leave it out, or "
                "streaming"
            )
    if options.get("cache_images", "none") != "none":
        raise ConfigError(
            "cache_images keeps pictures, and a stream keeps nothing; leave it out, or streaming"
        )


def is_streamed(found: kinds.Found) -> bool:
    """Whether the rows come from where they are; others lie in memory."""
    return found.kind in ("files", "hub")


def open_stream(
    found: kinds.Found,
    root: Path | str,
    image_column: str | None,
    text_column: str | None,
    split_by: str,
    val_fraction: float,
    split_seed: int,
) -> tuple[dict[str, datasets.IterableDataset], list[str]]:
    """Stream shards, Parquet files or a hub data set.

    Args:
        found: one that `is_streamed`.
        root: how messages name it; for the others see `sources.open_source`.

    Returns:
        side -> rows, and the lines to say.

    Raises:
        ConfigError: a column that is not there, a division that the rows do not allow.
        DataError: files that are not there or broken; while reading, rows that are.
        MissingPackage: for addresses whose scheme needs another package.
    """
    kind = hub_data if found.kind == "hub" else kinds.FILE_KINDS[found.files.suffix]
    there = kind.streamable(found.files if found.kind == "hub" else found.files.parts)
    sides, how = stream_splits.divide(there, split_by, val_fraction, split_seed)
    origin = addresses.shown(root)
    streams = {}
    for side in sides:
        chosen = [one for part in side.parts for one in there[part]]
        streams[side.name] = kind.stream(chosen, side, image_column, text_column, origin)
    what = f"data: {origin}, streamed, {kind.WHAT}"
    return streams, [what, f"rows: {', '.join(streams)} ({how}); their number shows when they are read"]


def from_memory(parts: Mapping[str, datasets.Dataset]) -> dict[str, datasets.IterableDataset]:
    """Rows that lie in memory, without their pictures, as streams."""
    return {
        name: part.to_iterable_dataset(num_shards=max(1, min(len(part), MOST_SHARDS)))
        for name, part in parts.items()
    }
