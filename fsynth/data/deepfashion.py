"""DeepFashion's Category/Attribute and In-shop benchmarks, with sentences made from their labels.

The rule for Category/Attribute: "a", the first three attributes of texture, fabric, shape and style in the
order of the file, the category, and "with" the first attribute of a part: "a floral dress with v-neck". For
In-shop: "the lady wears" or "the man wears" and the type in the path: "the lady wears blouses or shirts".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fsynth.data.labels import CATEGORIES
from fsynth.data.rows import Listed, Opened, check_inside, need_files
from fsynth.errors import DataError

CATEGORY_NAMES, CATEGORY_ROWS = "list_category_cloth.txt", "list_category_img.txt"
ATTRIBUTE_NAMES, ATTRIBUTE_ROWS = "list_attr_cloth.txt", "list_attr_img.txt"
PARTITION = "list_eval_partition.txt"

PART = "4"  # attribute type
MOST_ATTRIBUTES = 3
SPLITS = {"train": "train", "val": "validation", "test": "test", "query": "test", "gallery": "test"}
PEOPLE = {"WOMEN": ("the lady", "female"), "MEN": ("the man", "male")}

_FOLDERS = ("", "Img", "Img/img", "img", "img_highres", "Img/img_highres")


def open_category(root: Path, rows_file: Path, partition: Path) -> Opened:
    """Open Category/Attribute.

    Args:
        rows_file: its ``list_category_img.txt``; the other lists lie beside it.
        partition: its ``list_eval_partition.txt``.

    Raises:
        DataError: a list that is missing or not whole, codes without names, pictures that are not there.
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
        listed.add(_split(sides, name, partition), name, _sentence(category, attributes.get(name, ())), "")
        listed.labels["category"].append(category if category in CATEGORIES else None)
    return _open(listed, root, files, rows_file, "DeepFashion Category/Attribute, made sentences")


def open_in_shop(root: Path, partition: Path) -> Opened:
    """Open In-shop; query and gallery are test rows.

    Raises:
        DataError: a list that is not whole, a path of another form, pictures that are not there.
    """
    listed = Listed(labels={"gender": []})
    files = []
    for name, _, side in table(partition):
        parts = name.split("/")
        if len(parts) < 4 or parts[1] not in PEOPLE:
            raise DataError(f"{partition} names {name}; In-shop's paths read img/WOMEN/TYPE/id_.../VIEW.jpg")
        person, gender = PEOPLE[parts[1]]
        what = parts[2].lower().replace("graphic_", "graphic ").replace("_", " or ")
        files.append(check_inside(name, str(partition)))
        listed.add(_split({name: side}, name, partition), name, f"{person} wears {what}", "")
        listed.labels["gender"].append(gender)
    return _open(listed, root, files, partition, "DeepFashion In-shop, made sentences")


def is_in_shop(partition: Path) -> bool:
    """Whether a partition list is In-shop's: it has items."""
    with partition.open(encoding="utf-8", errors="replace") as lines:
        return "item_id" in [*lines.readline().split(), *lines.readline().split()]


def table(file: Path) -> list[list[str]]:
    """Rows of a list: a line with their number, a line with the columns, then the rows.

    A first column may hold blanks.

    Raises:
        DataError: the number of rows is not the one that the first line gives.
    """
    return [line.rsplit(maxsplit=columns - 1) for columns, line in _lines(file)]


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


def _sentence(category: str, attributes: Sequence[tuple[str, str]]) -> str:
    looks = [name for name, kind in attributes if kind != PART][:MOST_ATTRIBUTES]
    parts = [name for name, kind in attributes if kind == PART][:1]
    words = " ".join([*looks, category])
    article = "an" if words[0] in "aeiou" else "a"
    return f"{article} {words}" + "".join(f" with {part}" for part in parts)


def _split(sides: dict[str, str], name: str, partition: Path) -> str:
    side = sides.get(name)
    if side not in SPLITS:
        raise DataError(f"{partition} gives {name} no side ({side}); it should be one of {', '.join(SPLITS)}")
    return SPLITS[side]


def _open(listed: Listed, root: Path, files: Sequence[str], origin: Path, what: str) -> Opened:
    """Find the folder of the pictures by the first of them."""
    if not files:
        raise DataError(f"{origin} lists no pictures; get it again")
    for folder in (root / name for name in _FOLDERS):
        for cut in ("", "img/"):
            if (folder / files[0].removeprefix(cut)).is_file():
                listed.paths[:] = [str((folder / file.removeprefix(cut)).absolute()) for file in files]
                need_files(listed.paths, str(origin))
                return listed.open(what)
    raise DataError(f"{origin} names {files[0]}, which is nowhere under {root}; unpack the picture ZIP there")
