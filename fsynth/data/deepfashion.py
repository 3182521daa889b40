"""DeepFashion's Category/Attribute and In-shop benchmarks, with sentences made from their labels.

The sentences are `deepfashion_sentences`. The pictures may be unpacked, or still in their ZIP, encrypted or
not, which is then read as that of FashionSynthesis.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fsynth.data import deepfashion_sentences as sentences
from fsynth.data import fashion_synthesis, layout, picture_files
from fsynth.data.fashion_synthesis import Ask
from fsynth.data.labels import CATEGORIES
from fsynth.data.rows import Listed, Opened, check_inside, need_files
from fsynth.errors import DataError

CATEGORY_NAMES, CATEGORY_ROWS = "list_category_cloth.txt", "list_category_img.txt"
ATTRIBUTE_NAMES, ATTRIBUTE_ROWS = "list_attr_cloth.txt", "list_attr_img.txt"
PARTITION = "list_eval_partition.txt"
DESCRIPTIONS = "list_description_inshop.json"
FILES = (CATEGORY_ROWS, PARTITION, DESCRIPTIONS)
CATEGORY_COLUMNS, IN_SHOP_COLUMNS = (2, False), (3, True)
"""Of their lists of sides: how many, and whether with items. Consumer-to-shop's has four."""

SPLITS = {"train": "train", "val": "validation", "test": "test", "query": "test", "gallery": "test"}
PEOPLE = {"WOMEN": ("the lady", "female"), "MEN": ("the man", "male")}

_FOLDERS = ("", "Img", "Img/img", "img", "img_highres", "Img/img_highres")


def open_category(root: Path, rows_file: Path, partition: Path, ask: Ask) -> Opened:
    """Open Category/Attribute.

    Args:
        rows_file: its ``list_category_img.txt``; the other lists lie beside it.
        partition: its ``list_eval_partition.txt``.
        ask: finds the password of an encrypted ZIP.

    Raises:
        DataError: a list that is missing or not whole, codes without names, pictures that are not there.
        PasswordError: when the ZIP's password is needed and missing or wrong.
    """
    categories = [row[0] for row in table(rows_file.with_name(CATEGORY_NAMES))]
    attributes = _attributes(rows_file)
    sides = dict(table(partition))
    listed = Listed(labels={"category": []})
    files = []
    for name, code in table(rows_file):
        if not code.isdigit() or not 1 <= int(code) <= len(categories):
            raise DataError(
                f"{rows_file} gives {name} the category {code}, but there are {len(categories)}; "
                "take both lists from one download"
            )
        category = categories[int(code) - 1].lower()
        files.append(check_inside(name, str(rows_file)))
        text = sentences.of_attributes(category, attributes.get(name, ()))
        listed.add(_split(sides, name, partition), name, text, "")
        listed.labels["category"].append(category if category in CATEGORIES else None)
    return _open(listed, root, files, rows_file, ask, "DeepFashion Category/Attribute")


def open_in_shop(root: Path, partition: Path, descriptions: Path | None, ask: Ask) -> Opened:
    """Open In-shop; query and gallery are test rows.

    Args:
        partition: its ``list_eval_partition.txt``.
        descriptions: its ``list_description_inshop.json``, where it is there: sentences then say more.
        ask: finds the password of an encrypted ZIP.

    Raises:
        DataError: a list that is not whole, a path of another form, pictures that are not there.
        PasswordError: when the ZIP's password is needed and missing or wrong.
    """
    items = {} if descriptions is None else _items(descriptions)
    listed = Listed(labels={"gender": [], "color": []})
    files = []
    for name, item, side in table(partition):
        parts = name.split("/")
        if len(parts) < 4 or parts[1] not in PEOPLE:
            raise DataError(f"{partition} names {name}; In-shop's paths read img/WOMEN/TYPE/id_.../VIEW.jpg")
        person, gender = PEOPLE[parts[1]]
        color, description = items.get(item, ("", ""))
        files.append(check_inside(name, str(partition)))
        text = sentences.of_item(person, parts[2], color, description)
        listed.add(_split({name: side}, name, partition), name, text, "")
        listed.labels["gender"].append(gender)
        several = len(sentences.color_parts(color)) > 1
        listed.labels["color"].append("multicolor" if several else None)
    return _open(
        listed, root, files, partition, ask, f"DeepFashion In-shop{' with descriptions' * bool(items)}"
    )


def find(
    root: Path, found: Mapping[str, list[Path]]
) -> tuple[Literal["category", "in-shop"], tuple[Path | None, ...]] | None:
    """The benchmark under a folder, and its lists as its opener takes them; None for no whole one.

    All of DeepFashion's benchmarks call their list of sides the same: its columns tell them apart, and lists
    belong together that lie close together.

    Args:
        found: of `FILES`, as `layout.find_files` finds them.

    Raises:
        DataError: two benchmarks, or two different copies of one.
    """
    sides = {file: _columns(file) for file in found.get(PARTITION, ())}
    in_shop = layout.choose(root, [file for file in sides if sides[file] == IN_SHOP_COLUMNS], [])
    rows = layout.choose(root, found.get(CATEGORY_ROWS, []), [])
    partition = rows and _closest(rows, [file for file in sides if sides[file] == CATEGORY_COLUMNS])
    if in_shop and partition:
        raise DataError(
            f"{root} holds two of DeepFashion's benchmarks, Category/Attribute ({rows}) and In-shop "
            f"({in_shop}); point --data at the folder of one of them"
        )
    if in_shop:
        return "in-shop", (in_shop, _closest(in_shop, found.get(DESCRIPTIONS, ())))
    return ("category", (rows, partition)) if partition else None


def _closest(file: Path, others: Sequence[Path]) -> Path | None:
    """The file that shares most folders with another one, the first of several."""
    return max(others, key=lambda other: len(Path(os.path.commonpath([file, other])).parts), default=None)


def _columns(file: Path) -> tuple[int, bool]:
    """How many columns a list has, and whether they tell items: its second line."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        lines.readline()
        names = lines.readline().split()
    return len(names), "item_id" in names


def table(file: Path) -> list[list[str]]:
    """Rows of a list: a line with their number, a line with the columns, then the rows.

    A first column may hold blanks.

    Raises:
        DataError: the number of rows is not the one that the first line gives, a row lacks columns.
    """
    rows = []
    for columns, line in _lines(file):
        rows.append(line.rsplit(maxsplit=columns - 1))
        if len(rows[-1]) != columns:
            raise DataError(f"{file} has a row of {len(rows[-1])} columns, {line.strip()!r}; get it again")
    return rows


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Number of columns, and each row."""
    count = 0
    try:
        with file.open(encoding="utf-8") as lines:
            stated, columns = lines.readline().strip(), len(lines.readline().split())
            for line in lines:
                if line.strip():
                    count += 1
                    yield columns, line
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file} ({error}); get it again") from None
    if stated != str(count):
        raise DataError(
            f"{file} has {count:,} rows but its first line says {stated or 'nothing'}; get it again"
        )


def _attributes(beside: Path) -> dict[str, list[tuple[str, str]]]:
    """Picture -> (attribute, its type) that it has; empty where the lists are not there."""
    rows, names = beside.with_name(ATTRIBUTE_ROWS), beside.with_name(ATTRIBUTE_NAMES)
    if not rows.is_file() or not names.is_file():
        return {}
    known = [(name.strip(), kind) for name, kind in table(names)]
    found = {}
    for _, line in _lines(rows):
        name, *values = line.split()
        if len(values) != len(known):
            raise DataError(f"{rows} gives {name} {len(values)} attributes, {names.name} names {len(known)}")
        found[name] = [known[place] for place, value in enumerate(values) if value == "1"]
    return found


def _items(file: Path) -> dict[str, tuple[str, str]]:
    """Item -> its colour and its description; no colour where entries of one item differ in it."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8-sig"))
        found: dict[str, tuple[str, str]] = {}
        for entry in entries:
            item, color, words = entry["item"], _text(entry.get("color")), _text(entry.get("description"))
            before = found.get(item, (color, ""))
            found[item] = (color if before[0] == color else "", f"{before[1]} {words}".strip())
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"cannot read {file} ({type(error).__name__}: {error}); it should hold a list of objects with "
            "item, color and description: get it again, or take it away"
        ) from None
    return found


def _text(value: Any) -> str:
    """A description is a text or a list of sentences."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _split(sides: dict[str, str], name: str, partition: Path) -> str:
    side = sides.get(name)
    if side not in SPLITS:
        raise DataError(f"{partition} gives {name} no side ({side}); it should be one of {', '.join(SPLITS)}")
    return SPLITS[side]


def _open(listed: Listed, root: Path, files: Sequence[str], origin: Path, ask: Ask, what: str) -> Opened:
    """Find the pictures: unpacked, by the first of them, or in a ZIP."""
    if not files:
        raise DataError(f"{origin} lists no pictures; get it again")
    notes: list[str] = []
    paths, place = _unpacked(root, origin, files), ""
    if paths is not None:
        need_files(paths, str(origin))
    else:
        zipped, paths = _zipped(root, files, origin, ask, notes)
        place = f", pictures from {zipped}"
    listed.paths[:] = paths
    return listed.open(f"{what}, made sentences{place}", notes)


def _unpacked(root: Path, origin: Path, files: Sequence[str]) -> list[str] | None:
    """In the benchmark's own folder, or any above it up to the root."""
    above = [folder for folder in origin.parents if folder.is_relative_to(root)]
    for folder in (start / name for start in above for name in _FOLDERS):
        for cut in ("", "img/"):
            if (folder / files[0].removeprefix(cut)).is_file():
                return [str((folder / file.removeprefix(cut)).absolute()) for file in files]
    return None


def _zipped(
    root: Path, files: Sequence[str], origin: Path, ask: Ask, notes: list[str]
) -> tuple[Path, list[str]]:
    found = layout.find_files(root, layout.IMAGE_ZIPS)
    zips = [file for name in layout.IMAGE_ZIPS for file in found.get(name, [])]
    if not zips:
        raise DataError(
            f"{origin} names {files[0]}, which is nowhere under {root}; put {' or '.join(layout.IMAGE_ZIPS)} "
            "there, or unpack it there"
        )
    chosen = fashion_synthesis.choose_zip(zips, files, notes, "download it again")
    if chosen is None:
        raise DataError(
            f"{zips[0]} holds none of the pictures named in {origin}; it belongs to another benchmark: add "
            "this one's"
        )
    zipped, members = chosen
    fashion_synthesis.unlock(zipped, ask)
    return zipped.path, picture_files.zip_paths(zipped.path, members)
