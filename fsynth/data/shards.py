"""WebDataset shards: tar files in which a picture and its sentence share a name up to the first dot.

The sentence is a ``.txt``, or a field of a ``.json``. Only headers and sentences are read at the start;
a picture is then read from its place in the shard.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from fsynth.data import picture_files
from fsynth.data.labels import LABELS
from fsynth.data.rows import PICTURES, TEXT, Listed, Opened, by_split
from fsynth.errors import ConfigError, DataError

SUFFIX = ".tar"


def open_files(root: Path, files: list[Path], image_column: str | None, text_column: str | None) -> Opened:
    """Open one shard or those of a folder; their names or folders tell the splits.

    Args:
        image_column: ending of the pictures, such as ``jpg``; default: any.
        text_column: ``txt``, or the field of the JSON of the sentence (default: the ``.txt``, else ``text``).

    Raises:
        ConfigError: a field that is not there.
        DataError: a broken shard, a picture without sentence.
    """
    listed = Listed(labels={column: [] for column in LABELS})
    for split, shards in by_split(root if root.is_dir() else root.parent, files).items():
        for shard in shards:
            _read(listed, shard, split, image_column, text_column)
    if not listed.names:
        raise DataError(f"no pictures in the shards of {root}; they should hold .jpg or .png members")
    return listed.open(f"WebDataset ({len(files)} shards)")


def _read(listed: Listed, shard: Path, split: str, image_column: str | None, text_column: str | None) -> None:
    samples = _samples(shard, f".{image_column}".lower() if image_column else None)
    for key, sample in samples.items():
        if "picture" not in sample:
            continue
        record = _record(sample, f"{key}.json in {shard}")
        text = _sentence(sample, record, text_column, f"{key} in {shard}")
        member, offset, size = sample["picture"]
        name = record.get("name")
        path = picture_files.tar_path(shard, member, offset, size)
        listed.add(split, name if isinstance(name, str) else member, text, path)
        for column, values in listed.labels.items():
            values.append(record.get(column))


def _samples(shard: Path, ending: str | None) -> dict[str, dict[str, Any]]:
    """Name up to the first dot -> place of the picture, content of the text and JSON members."""
    samples: dict[str, dict[str, Any]] = {}
    whole = shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, file = member.name.rpartition("/")
                stem, _, suffix = file.partition(".")
                suffix = f".{suffix.lower()}"
                sample = samples.setdefault(f"{folder}/{stem}" if folder else stem, {})
                if member.offset_data + member.size > whole:
                    raise tarfile.ReadError(f"{member.name} is cut off")
                if suffix == ending or (ending is None and suffix in PICTURES):
                    sample.setdefault("picture", (member.name, member.offset_data, member.size))
                elif suffix in (".txt", ".json"):
                    sample[suffix] = tar.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"cannot read the shard {shard} ({error}); get it again, as a plain .tar") from None
    return samples


def _record(sample: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        record = json.loads(sample.get(".json", b"{}"))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise DataError(f"{where} is no JSON object; make the shard again")
    return record


def _sentence(sample: dict[str, Any], record: dict[str, Any], column: str | None, where: str) -> str:
    if column in (None, "txt") and ".txt" in sample:
        text: Any = sample[".txt"].decode("utf-8", errors="replace").strip()
    elif (column or TEXT) in record:
        text = record[column or TEXT]
    else:
        there = ", ".join([*(["txt"] if ".txt" in sample else []), *record]) or "none"
        raise ConfigError(f"{where} has no '{column or TEXT}'; name one of these with --text-column: {there}")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where} has no sentence but {text!r}; add it, or take the picture out")
    return text
