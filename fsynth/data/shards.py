"""WebDataset shards: tar files in which a picture and its sentence share a name up to the first dot.

The sentence is a ``.txt``, or a field of a ``.json``. Only headers and sentences are read at the start
(`shard_index`); a picture is then read from its place in the shard, which may be on another machine.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth.data import addresses, fashion_synthesis, picture_files, remote, shard_index
from fsynth.data.column_kinds import need_unicode
from fsynth.data.labels import LABELS
from fsynth.data.rows import PICTURES, TEXT, Listed, Opened, need_sentence, streamed_row
from fsynth.data.shard_index import Member, Shard
from fsynth.data.stream_splits import Side
from fsynth.errors import ConfigError, DataError, reason

if TYPE_CHECKING:
    import datasets

SUFFIX = ".tar"
WHAT = "WebDataset"


def open_files(
    origin: Path | str, parts: Mapping[str, Sequence[str]], image_column: str | None, text_column: str | None
) -> Opened:
    """Open shards, near or far.

    Args:
        origin: how messages name them all.
        parts: split -> paths and addresses.
        image_column: ending of the pictures, such as ``jpg``; default: any.
        text_column: ``txt``, or the field of the JSON of the sentence (default: the ``.txt``, else ``text``).

    Raises:
        ConfigError: a field that is not there.
        DataError: a broken shard, a picture without sentence; see `remote.look`.
        MissingPackage: for an address whose scheme needs another package.
    """
    listed = Listed(labels={column: [] for column in LABELS})
    files = [(split, shard) for split, shards in parts.items() for shard in shards]
    found = shard_index.read_all([file for _, file in files])
    for (split, _), shard in zip(files, found, strict=True):
        _list(listed, shard, split, image_column, text_column)
    if not listed.names:
        raise _empty(origin)
    far = any(addresses.is_far(file) for _, file in files)
    notes = [remote.UNVERSIONED] if any(shard.file and not shard.file.versioned for shard in found) else []
    return listed.open(f"{WHAT} ({len(files)} shards{', read from where they are' if far else ''})", notes)


def streamable(parts: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """The shards of every split: they are opened when their turn comes."""
    return parts


def stream(
    shards: Sequence[str], side: Side, image_column: str | None, text_column: str | None, origin: str
) -> datasets.IterableDataset:
    """The rows of one side, read from one end of each shard to the other.

    Raises:
        ConfigError, DataError: see `open_files`; here of the first row alone, of others when they come.
    """
    import datasets

    columns = {"image_column": image_column, "text_column": text_column}
    if next(_examples(shards, None, **columns), None) is None:
        raise _empty(origin)
    return datasets.IterableDataset.from_generator(
        _examples,
        features=fashion_synthesis.columns_of(with_pictures=True),
        gen_kwargs={"shards": [*shards], "side": side, **columns},
        split=datasets.NamedSplit(side.name),
    )


def _examples(
    shards: Sequence[str], side: Side | None, image_column: str | None, text_column: str | None
) -> Iterator[dict[str, Any]]:
    """The rows of shards, with their pictures' bytes; of one side, or all."""
    ending = ending_of(image_column)
    for shard in shards:
        for sample, content in _streamed(shard, ending):
            record = sample.record()
            name = name_of(record, sample.picture)
            if side is None or side.has(name):
                _check(content, sample)
                picture = {"bytes": content, "path": sample.picture.name}
                text = sample.sentence(record, text_column)
                yield streamed_row(picture, text, record, name, record.get("row"), sample.where)


def _empty(origin: Path | str) -> DataError:
    return DataError(
        f"no pictures in the shards of {addresses.shown(origin)}; they should hold .jpg or .png members"
    )


def _check(content: bytes, sample: Sample) -> None:
    try:
        picture_files.check_picture(content)
    except picture_files.undecodable() as error:
        raise DataError(
            f"the picture of {sample.where} cannot be decoded ({reason(error)}); make the shard again, or "
            "take it out"
        ) from None


def _streamed(shard: str, ending: str | None) -> Iterator[tuple[Sample, bytes]]:
    """The samples that have a picture, and its bytes; members of one name lie together."""
    seen: set[str] = set()
    for key, members in itertools.groupby(shard_index.walk(shard), lambda pair: pair[0].key):
        sample, content = Sample(f"{key} in {addresses.shown(shard)}"), b""
        if key in seen:
            raise sample.given_twice()
        seen.add(key)
        for member, opened in members:
            before = sample.picture
            sample.add(member, ending)
            if sample.picture is not before:
                content = opened.read()
        if sample.picture is not None:
            yield sample, content


@dataclass
class Sample:
    """Members of one name. ``texts``: suffix -> content; ``where`` names it in messages."""

    where: str
    picture: Member | None = None
    texts: dict[str, bytes | None] = field(default_factory=dict)

    def add(self, member: Member, ending: str | None) -> None:
        """Take a member up, if it is a picture of the wanted ending (None: of any) or a text."""
        if member.suffix == ending or (ending is None and member.suffix in PICTURES):
            if self.picture is not None and self.picture.suffix == member.suffix:
                raise self.given_twice()
            self.picture = self.picture or member
        elif member.suffix in shard_index.TEXTS:
            if member.suffix in self.texts:
                raise self.given_twice()
            self.texts[member.suffix] = member.text

    def given_twice(self) -> DataError:
        """Of two pictures and two sentences of one name nobody can tell which belong together."""
        return DataError(f"there are several {self.where}; give each sample a name of its own")

    def record(self) -> dict[str, Any]:
        """The JSON.

        Raises:
            DataError: it is no object.
        """
        try:
            record = json.loads(self.texts.get(".json") or b"{}")
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise DataError(f"the JSON of {self.where} is no object; make the shard again")
        return record

    def sentence(self, record: Mapping[str, Any], column: str | None) -> str:
        """The sentence.

        Raises:
            ConfigError: a field that is not there.
            DataError: there is nothing in it.
        """
        if column in (None, "txt") and ".txt" in self.texts:
            text: Any = (self.texts[".txt"] or b"").decode("utf-8", errors="replace").strip()
        elif (column or TEXT) in record:
            text = record[column or TEXT]
        else:
            there = ", ".join([*(["txt"] if ".txt" in self.texts else []), *record]) or "none"
            raise ConfigError(
                f"{self.where} has no '{column or TEXT}'; name one of these with --text-column: {there}"
            )
        return need_sentence(text, self.where, rows="picture")


def ending_of(image_column: str | None) -> str | None:
    """``jpg`` or ``.JPG`` -> ``.jpg``; None is any picture."""
    return None if image_column is None else "." + image_column.lower().removeprefix(".")


def name_of(record: Mapping[str, Any], member: Member) -> str:
    """The row's name: the one in the JSON, else the member's.

    Raises:
        DataError: one that cannot be stored.
    """
    name = record.get("name")
    return need_unicode(name if isinstance(name, str) else member.name, "the name of a picture")


def _list(
    listed: Listed, shard: Shard, split: str, image_column: str | None, text_column: str | None
) -> None:
    pairs = [
        (one, one.picture) for one in _samples(shard, ending_of(image_column)) if one.picture is not None
    ]
    paths = _paths(shard, [picture for _, picture in pairs])
    for (sample, picture), path in zip(pairs, paths, strict=True):
        record = sample.record()
        text = sample.sentence(record, text_column)
        listed.add(split, name_of(record, picture), text, path, record.get("row"))
        for column, values in listed.labels.items():
            values.append(record.get(column) or None)


def _samples(shard: Shard, ending: str | None) -> Iterable[Sample]:
    samples: dict[str, Sample] = {}
    for member in shard.members:
        key = member.key
        if key not in samples:
            samples[key] = Sample(f"{key} in {addresses.shown(shard.address)}")
        samples[key].add(member, ending)
    return samples.values()


def _paths(shard: Shard, pictures: Sequence[Member]) -> list[str]:
    places = [(picture.name, picture.offset, picture.size) for picture in pictures]
    if shard.file is None:
        return picture_files.tar_paths(Path(shard.address), places)
    return picture_files.remote_tar_paths(shard.file, places)
