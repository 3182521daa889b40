"""Writes small sources of every kind: the same pictures and sentences in each."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

from tests.data.make_fixture import jpeg

TEXTS = [
    "the lady wore a red sleeveless dress.",
    "the man is wearing a blue long-sleeved tee.",
    "somebody somewhere.",
    "the lady was wearing a white short-sleeved blouse.",
]
NAMES = [f"g{row // 2}/{row}.jpg" for row in range(len(TEXTS))]


def pictures(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(number))


def records(**more) -> list[dict]:
    rows = zip(NAMES, TEXTS, strict=True)
    return [{"file_name": name, "text": text, **more} for name, text in rows]


def jsonl(folder: Path, rows: list[dict]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(lines)
    return folder


def table_csv(folder: Path, rows: list[dict]) -> Path:
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def parquet(file: Path, image: str = "image", **columns) -> Path:
    import pyarrow as pa
    from pyarrow import parquet as pq

    images = [{"bytes": jpeg(row), "path": name} for row, name in enumerate(NAMES)]
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({image: images, **(columns or {"text": TEXTS})}), file)
    return file


def shard(file: Path, members: dict[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def samples(text: str = "txt", rows=(0, 1, 2, 3)) -> dict[str, bytes]:
    """Members of a shard: pictures with their sentences as ``.txt`` or in ``.json``."""
    members = {}
    for row in rows:
        key = NAMES[row].removesuffix(".jpg")
        members[f"{key}.jpg"] = jpeg(row)
        sentence = TEXTS[row]
        content = sentence if text == "txt" else json.dumps({text: sentence})
        members[f"{key}.{'txt' if text == 'txt' else 'json'}"] = content.encode()
    return members


def listing(file: Path, columns: str, rows: list[str], stated: int | None = None) -> None:
    """A list as DeepFashion writes them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    count = len(rows) if stated is None else stated
    file.write_text("\n".join([str(count), columns, *rows]) + "\n")


def category(root: Path) -> Path:
    """Four pictures of two garments with three categories and five attributes."""
    names = [f"img/{'Red_Dress' if row < 2 else 'Blue_Jeans'}/img_{row:08d}.jpg" for row in range(4)]
    anno = root / "Anno"
    listing(anno / "list_category_cloth.txt", "category_name  category_type", ["Tee 1", "Jeans 2", "Dress 3"])
    listing(
        anno / "list_category_img.txt",
        "image_name  category_label",
        [f"{name}   {code}" for name, code in zip(names, (3, 3, 2, 1), strict=True)],
    )
    kinds = ["floral print  1", "v neck  4", "cotton  2", "animal  1", "chic  5"]
    listing(anno / "list_attr_cloth.txt", "attribute_name  attribute_type", kinds)
    marks = ["1 1 1 1 1", "-1 -1 0 -1 -1", "-1 -1 1 -1 -1", "0 0 0 1 -1"]
    listing(
        anno / "list_attr_img.txt",
        "image_name  attribute_labels",
        [f"{name}  {mark}" for name, mark in zip(names, marks, strict=True)],
    )
    listing(
        root / "Eval" / "list_eval_partition.txt",
        "image_name  evaluation_status",
        [f"{name} {side}" for name, side in zip(names, ("train", "val", "test", "train"), strict=True)],
    )
    pictures(root / "Img", names)
    return root


def in_shop(root: Path) -> Path:
    names = [f"img/WOMEN/Blouses_Shirts/id_0000000{row}/01_1_front.jpg" for row in range(3)]
    names.append("img/MEN/Graphic_Tees/id_00000009/01_2_side.jpg")
    sides = ("train", "query", "gallery", "train")
    rows = [f"{name} {name.split('/')[3]} {side}" for name, side in zip(names, sides, strict=True)]
    listing(root / "Eval" / "list_eval_partition.txt", "image_name item_id evaluation_status", rows)
    pictures(root, names)
    return root
