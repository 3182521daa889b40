"""What every source is read into: a data set of all rows, with the columns of `fashion_synthesis`.

A source brings pictures and sentences. Labels that it does not bring are read off the sentence; what that
does not say is null, or "not stated" (sleeve). The benchmark itself calls a colour that is not stated
multicolor; in other data that would be a false label.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from fsynth.data import attributes, fashion_synthesis
from fsynth.data.column_kinds import brief, need_kinds, need_pictures, need_unicode
from fsynth.data.labels import LABELS, NOT_STATED
from fsynth.errors import DataError

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import pyarrow as pa

TEXT = "text"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What files and folders of a split are called, as in `datasets`."""


@dataclass(frozen=True)
class Opened:
    """A source before its rows are divided.

    Attributes:
        dataset: all rows, in the order of the column ``row``, which counts from 0.
        official: train, validation, test -> rows, as the source brings them; empty where it does not.
        what: the kind of source, and what its pictures come from.
        has_pictures: whether the column ``image`` is there.
        notes: what the user should know.
        drawn: whether the pictures are those of a drawn archive.
    """

    dataset: datasets.Dataset
    official: Mapping[str, Sequence[int]]
    what: str
    has_pictures: bool = True
    notes: tuple[str, ...] = ()
    drawn: bool = False

    def names(self) -> list[str]:
        """The path of every row's picture."""
        return self.dataset.select_columns(["name"])[:]["name"]

    def part(self, rows: np.ndarray, name: str) -> datasets.Dataset:
        """Some rows; of a table in memory, in memory."""
        from datasets.table import InMemoryTable

        if isinstance(self.dataset.data, InMemoryTable):
            return fashion_synthesis.take(self.dataset, rows, name)
        return self.dataset.select(rows)


@dataclass
class Listed:
    """Rows as a source lists them, by split: grown row by row, then made a data set.

    Attributes:
        names: path of the picture inside the source.
        labels: label column -> names, where the source brings them.
        paths: what `datasets.Image` opens.
        official: split -> rows.
        numbers: of the rows, where the source counts them itself (`in_own_order`).
    """

    names: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    labels: dict[str, list[Any]] = field(default_factory=dict)
    official: dict[str, list[int]] = field(default_factory=dict)
    numbers: list[Any] = field(default_factory=list)

    def add(self, split: str | None, name: str, text: str, path: str, number: Any = None) -> None:
        """One row; a split of None is no split, a number of None no number.

        Raises:
            DataError: a name that cannot be stored.
        """
        need_unicode(name, "the name of a picture")
        self.numbers.append(number)
        if split is not None:
            self.official.setdefault(split, []).append(len(self.names))
        self.names.append(name)
        self.texts.append(text)
        self.paths.append(path)

    def open(self, what: str, notes: Sequence[str] = ()) -> Opened:
        """The data set, in memory."""
        codes, more = codes_of(self.texts, self.labels)
        columns: dict[str, list[Any]] = {TEXT: self.texts, **codes, "name": self.names}
        paths, official = self.paths, self.official
        if order := in_own_order(self.numbers):
            columns = {name: [values[place] for place in order] for name, values in columns.items()}
            paths = [paths[place] for place in order]
            official = {split: [self.numbers[place] for place in rows] for split, rows in official.items()}
        return Opened(fashion_synthesis.in_memory(columns, paths), official, what, notes=(*notes, *more))


def from_columns(
    parts: Mapping[str, datasets.Dataset],
    what: str,
    image_column: str | None,
    text_column: str | None,
    origin: str,
    name_of: Callable[[Any], str] | None = None,
) -> Opened:
    """A source that `datasets` has opened: its pictures stay where they are, only the other columns are read.

    Args:
        parts: split -> rows.
        image_column: default ``image``.
        text_column: default ``text``.
        origin: how messages name the source.
        name_of: what a picture without a name is called, given its path or else its bytes; None for its path,
            else the number of its row.

    Raises:
        ConfigError: a column that is not there, or of another kind.
        DataError: a picture that is not there, a row without sentence.
    """
    import datasets

    image, text = image_column or "image", text_column or TEXT
    whole = datasets.concatenate_datasets(list(parts.values()))
    need_kinds(whole.features, image, text, origin)
    known = {name: _plain(whole, name) for name in LABELS if name in whole.column_names}
    texts = check_texts(_plain(whole, text), text, origin)
    codes, notes = codes_of(texts, known)
    numbers = _plain(whole, "row") if "row" in whole.column_names else []
    order = in_own_order(numbers)
    rows = numbers if order else list(range(len(whole)))
    columns = {TEXT: texts, **codes, "name": _names(whole, image, rows, name_of), "row": rows}
    features = fashion_synthesis.columns_of(with_pictures=False)
    others = datasets.Dataset.from_dict(columns, features=features)
    pictures = whole.select_columns([image])
    if isinstance(whole.features[image], datasets.Value):
        need_pictures(_paths(whole, image), image, origin)
    if image != "image":
        pictures = pictures.rename_column(image, "image")
    pictures = pictures.cast_column("image", datasets.Image(mode="RGB"))
    official: dict[str, Sequence[int]] = {}
    start = 0
    for name, part in parts.items():
        official[name] = range(start, start + len(part))
        start += len(part)
    joined = datasets.concatenate_datasets([pictures, others], axis=1)
    if order:
        joined = joined.select(order)
        official = {name: [numbers[place] for place in rows] for name, rows in official.items()}
    return Opened(joined, official, what, notes=tuple(notes))


def check_texts(texts: Sequence[Any], column: str, origin: str) -> list[str]:
    """The sentences, none of which may be missing.

    Raises:
        DataError: naming the first row that has none, or one that cannot be stored.
    """
    where = f"of {origin} has no sentence in '{column}'"
    return [need_sentence(text, f"row {row}", where) for row, text in enumerate(texts)]


def need_sentence(text: Any, row: str, fault: str = "has no sentence", rows: str = "row") -> str:
    """A row's sentence.

    Args:
        row: how messages name the row.
        fault: how they go on, where it has none.
        rows: what is to be taken out then.

    Raises:
        DataError: there is none, or one that cannot be stored.
    """
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{row} {fault} but {brief(text)}; add it, or take the {rows} out")
    return need_unicode(text, f"the sentence of {row}")


def codes_of(
    texts: Sequence[str], known: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, list[int | None]], list[str]]:
    """Label column -> 0-based codes of `LABELS`, and notes on columns that could not be used.

    Args:
        known: label columns that the source brings, as names, None where it does not say; one with a
            foreign name is left aside whole.
    """
    said = [attributes.parse(text) for text in texts]
    codes: dict[str, list[int | None]] = {}
    notes = []
    for column, names in LABELS.items():
        numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)}
        given = known.get(column)
        foreign = None if given is None else next((x for x in given if x not in (None, *names)), None)
        unsaid = numbers.get(NOT_STATED)
        codes[column] = [numbers.get(getattr(one, column), unsaid) for one in said]
        if given is not None and foreign is None:
            pairs = zip(given, codes[column], strict=True)
            codes[column] = [numbers.get(value, read) for value, read in pairs]
        if foreign is not None:
            notes.append(f"labels in '{column}' are left aside, first {foreign!r}: read from the sentences")
    return codes, notes


def in_own_order(numbers: Sequence[Any]) -> list[int] | None:
    """Where the rows 0, 1, 2 ... of a source stand that numbers each of its rows once, from 0.

    None for any other: its rows count as they come. So an export opens with the rows of what was exported.
    """
    places = {number: place for place, number in enumerate(numbers) if type(number) is int}
    order = [places.get(number) for number in range(len(numbers))]
    return None if None in order else order  # type: ignore[return-value]


def streamed_row(
    picture: Any, text: Any, known: Mapping[str, Any], name: str, row: Any, where: str
) -> dict[str, Any]:
    """One row with the columns of `fashion_synthesis`, by itself: a label of a foreign name is read from the
    sentence in this row alone.

    Args:
        picture: what `datasets.Image` encodes.
        row: its number in the source; anything but a whole number is none.
        where: how messages name the row.

    Raises:
        DataError: a row without sentence.
    """
    need_sentence(text, where)
    need_unicode(name, f"the name of {where}")
    codes, _ = codes_of([text], {column: [known[column] or None] for column in LABELS if column in known})
    labels = {column: values[0] for column, values in codes.items()}
    number = row if type(row) is int else None
    return {"image": picture, TEXT: text, **labels, "name": name, "row": number}


def split_named(relative: PurePath | str) -> str | None:
    """The split of a file by its folder's name or its own: ``train/0.tar``, ``val-0.parquet``."""
    *folders, file = PurePath(relative).parts
    stem = file.replace(".", "-").replace("_", "-").split("-")[0]
    for part in (*folders, stem):
        for name, words in SPLIT_WORDS.items():
            if part.lower() in words:
                return name
    return None


def by_split(files: Mapping[str, PurePath], origin: Path | str) -> dict[str, list[str]]:
    """Files by split; without any sign of one, all are ``train``.

    Args:
        files: file -> its path below what was given; a split keeps their order.
        origin: how messages name what was given.

    Raises:
        DataError: some files belong to a split and others to none.
    """
    found: dict[str, list[str]] = {}
    for file, below in files.items():
        found.setdefault(split_named(below) or "", []).append(file)
    if "" in found and len(found) > 1:
        raise DataError(
            f"{found[''][0]} belongs to no split but others in {origin} do; name it or its folder train, "
            "validation or test"
        )
    return {name or "train": found[name] for name in (*SPLIT_WORDS, "") if name in found}


def check_inside(name: str, origin: str) -> str:
    """A picture's path as written in a list, tidied.

    Raises:
        DataError: it leads out of the folder.
    """
    tidy = posixpath.normpath(name.replace("\\", "/"))
    if tidy.startswith(("/", "../")) or tidy == "..":
        raise DataError(f"{origin} names '{name}', which lies outside its folder; take the row out")
    return tidy


def need_files(paths: Sequence[str], origin: str) -> None:
    """Refuse a list that names pictures which are not there.

    Raises:
        DataError: how many, and the first.
    """
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        raise DataError(
            f"{origin} names {len(paths):,} pictures, of which {len(missing):,} are not there, first "
            f"{missing[0]}; add them, or take their rows out"
        )


def named(feature: Any, value: Any) -> Any:
    """A value of a column, a class label as its name."""
    import datasets

    is_code = isinstance(feature, datasets.ClassLabel) and value is not None
    return feature.names[value] if is_code else value


def _plain(dataset: datasets.Dataset, column: str) -> list[Any]:
    """A column as Python values, class labels as names."""
    feature = dataset.features[column]
    return [named(feature, value) for value in dataset.select_columns([column])[:][column]]


def _names(
    dataset: datasets.Dataset, image: str, rows: Sequence[int], name_of: Callable[[Any], str] | None
) -> list[str]:
    """The column ``name``, else what `name_of` says, else the pictures' paths, else numbers."""
    named = _plain(dataset, "name") if "name" in dataset.column_names else [None] * len(dataset)
    if all(named):
        return [str(name) for name in named]
    if name_of is not None:
        pictures = _stored(dataset, image)
        return [str(name or name_of(picture)) for name, picture in zip(named, pictures, strict=True)]
    paths = _paths(dataset, image)
    return [str(name or path or f"{row:08d}") for name, path, row in zip(named, paths, rows, strict=True)]


def _paths(dataset: datasets.Dataset, image: str) -> list[str | None]:
    return [path for chunk in _chunks(dataset, image) for path in _field(chunk, "path").to_pylist()]


def _stored(dataset: datasets.Dataset, image: str) -> Iterator[dict[str, Any]]:
    """The pictures as they are stored; the bytes only of those without a path."""
    for chunk in _chunks(dataset, image):
        paths, contents = _field(chunk, "path"), _field(chunk, "bytes")
        for path, content in zip(paths.to_pylist(), contents, strict=True):
            yield {"path": path, "bytes": None if path else content.as_py()}


def _chunks(dataset: datasets.Dataset, image: str) -> list[pa.Array]:
    return dataset.select_columns([image]).data.column(image).chunks


def _field(chunk: pa.Array, name: str) -> pa.Array:
    """Paths or bytes of pictures, null where there are none."""
    import pyarrow as pa

    types = pa.types
    if types.is_struct(chunk.type) and chunk.type.get_field_index(name) >= 0:
        return chunk.field(name)
    is_path = types.is_string(chunk.type) or types.is_large_string(chunk.type)
    is_bytes = types.is_binary(chunk.type) or types.is_large_binary(chunk.type)
    return chunk if {"path": is_path, "bytes": is_bytes}[name] else pa.nulls(len(chunk))
