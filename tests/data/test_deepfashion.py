"""DeepFashion's own benchmarks: their lists, their pictures unpacked or in the ZIP, their faults."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fsynth.data import labels, sources, zip_writer
from fsynth.errors import DataError, PasswordError
from tests.data import make_fixture
from tests.data import make_sources as make

PASSWORD = make_fixture.PASSWORD


@pytest.fixture
def category(tmp_path) -> Path:
    return make.category(tmp_path)


@pytest.fixture
def in_shop(tmp_path) -> Path:
    return make.in_shop(tmp_path)


def _rows(source) -> list[dict]:
    parts = [part for part in (source.train, source.validation, source.test) if part is not None]
    return sorted((row for part in parts for row in part), key=lambda row: row["row"])


def _pack(root: Path, folder: Path, name: str = "img.zip", leave_out: int = 0) -> Path:
    """The unpacked pictures into a ZIP beside, as the benchmark is handed out."""
    files = sorted(file for file in folder.rglob("*.jpg"))[leave_out:]
    members = [(str(file.relative_to(folder.parent)), file.read_bytes()) for file in files]
    (root / "Img").mkdir(exist_ok=True)
    zip_writer.write_encrypted_zip(root / "Img" / name, members, PASSWORD)
    for file in folder.rglob("*.jpg"):
        file.unlink()
    return root / "Img" / name


def _describe_items(root: Path, entries: object) -> Path:
    file = root / "Anno" / "list_description_inshop.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(entries))
    return file


# ------------------------------------------------------------------------------------ lists


def test_category_attribute_makes_sentences_from_its_labels(category):
    source = sources.open_source(category)
    rows = _rows(source)
    assert [row["text"] for row in rows] == [
        "a person is wearing a chic floral print cotton dress with a v neck",
        "a person is wearing a dress",
        "a person is wearing cotton jeans",
        "a person is wearing an animal tee",
    ]
    assert [row["category"] for row in rows] == [*[labels.CATEGORIES.index("dress")] * 2, None, 12]
    assert rows[2]["name"] == "img/Blue_Jeans/img_00000002.jpg" and rows[2]["image"].mode == "RGB"
    assert [part["row"][:] for part in (source.train, source.validation, source.test)] == [[0, 3], [1], [2]]


@pytest.mark.parametrize("name", ["list_category_cloth.txt", "list_category_img.txt", "list_attr_img.txt"])
def test_a_list_with_lost_rows_is_refused(category, name):
    """Ids count rows: one that is lost would shift all that follow."""
    file = category / "Anno" / name
    file.write_text(file.read_text().rstrip().rpartition("\n")[0] + "\n")
    lines = len(file.read_text().splitlines())
    with pytest.raises(DataError) as error:
        sources.open_source(category)
    assert str(error.value) == (
        f"{file} has {lines - 2} rows but its first line says {lines - 1}; get it again"
    )


def test_category_attribute_refuses_foreign_codes_short_rows_and_pictures_that_are_not_there(category):
    file = category / "Anno" / "list_category_img.txt"
    whole = file.read_text()
    file.write_text(whole.replace("jpg   1", "jpg   4"))
    with pytest.raises(DataError, match="the category 4, but there are 3; take both lists from one download"):
        sources.open_source(category)
    file.write_text(whole.replace("jpg   1", "jpg"))
    with pytest.raises(DataError, match=r"list_category_img.txt has a row of 1 columns, 'img/Blue_Jeans/"):
        sources.open_source(category)
    file.write_text(whole)
    (category / "Img" / "img").rename(category / "elsewhere")
    with pytest.raises(
        DataError, match=f"nowhere under {category}; put img.zip or img_highres.zip there, or"
    ):
        sources.open_source(category)


def test_a_benchmark_may_lie_in_a_folder_of_its_own(tmp_path):
    """As several downloads lie beside each other; Consumer-to-shop's list of sides is called the same."""
    other = tmp_path / "Consumer-to-shop" / "Eval" / "list_eval_partition.txt"
    columns = "image_pair_name_1 image_pair_name_2 item_id evaluation_status"
    make.listing(other, columns, ["img/a.jpg img/b.jpg id_00000001 train"])
    category = make.category(tmp_path / "Category and Attribute Prediction Benchmark")
    rows = _rows(sources.open_source(category))
    assert [row["name"] for row in rows] == [row["name"] for row in _rows(sources.open_source(tmp_path))]
    in_shop = make.in_shop(tmp_path / "A")
    with pytest.raises(DataError) as error:
        sources.open_source(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} holds two of DeepFashion's benchmarks, Category/Attribute ("
        f"{category / 'Anno' / 'list_category_img.txt'}) and In-shop ("
        f"{in_shop / 'Eval' / 'list_eval_partition.txt'}); point --data at the folder of one of them"
    )
    category.rename(tmp_path.with_name("elsewhere"))
    assert len(_rows(sources.open_source(tmp_path))) == 4
    _pack(in_shop, in_shop / "img")
    assert len(_rows(sources.open_source(tmp_path, password=PASSWORD))) == 4


def test_two_copies_of_a_benchmark_that_differ_are_refused(tmp_path):
    one, two = make.in_shop(tmp_path / "A"), make.in_shop(tmp_path / "B")
    assert len(_rows(sources.open_source(tmp_path))) == 4
    file = two / "Eval" / "list_eval_partition.txt"
    file.write_text(file.read_text().replace("query", "train"))
    with pytest.raises(
        DataError, match=f"{file.relative_to(tmp_path)} under {tmp_path} differ; point --data at"
    ):
        sources.open_source(tmp_path)
    assert len(sources.open_source(one).test) == 2


def test_in_shop_tests_on_query_and_gallery(in_shop):
    source = sources.open_source(in_shop)
    assert source.train["text"][:] == ["the lady is wearing a top", "the man is wearing a graphic tee"]
    assert source.test["row"][:] == [1, 2]
    assert [row["gender"] for row in _rows(source)] == [0, 0, 0, 1]
    assert source.train[1]["image"].mode == "RGB"


def test_in_shop_descriptions_tell_colour_sleeve_and_garment(in_shop):
    _describe_items(
        in_shop,
        [
            {
                "item": "id_00000000",
                "color": "Heather grey",
                "description": ["A silky blouse.", "Long sleeves."],
            },
            {"item": "id_00000001", "color": "Black-blush", "description": "a sleeveless shirt"},
            {"item": "id_00000002", "color": "Red", "description": []},
            {"item": "id_00000002", "color": "Blue", "description": []},
        ],
    )
    source = sources.open_source(in_shop)
    rows = _rows(source)
    assert [row["text"] for row in rows] == [
        "the lady is wearing a heather grey long-sleeved blouse",
        "the lady is wearing a black and blush sleeveless shirt",
        "the lady is wearing a top",  # of two colours, nobody says which picture shows which
        "the man is wearing a graphic tee",
    ]
    colors = [None if row["color"] is None else labels.COLORS[row["color"]] for row in rows]
    assert colors == ["gray", "multicolor", None, None]
    assert [labels.SLEEVES[row["sleeve"]] for row in rows[:2]] == ["long", "sleeveless"]
    assert labels.CATEGORIES[rows[0]["category"]] == "blouse"
    assert "DeepFashion In-shop with descriptions, made sentences" in source.describe


@pytest.mark.parametrize("entries", [{"id_00000000": "red"}, [{"color": "Red"}], ["id_00000000"]])
def test_descriptions_of_another_form_are_refused(in_shop, entries):
    file = _describe_items(in_shop, entries)
    with pytest.raises(
        DataError, match=f"cannot read {file} .*; it should hold a list of objects with item, c"
    ):
        sources.open_source(in_shop)


# ------------------------------------------------------------------------------------ pictures in the ZIP


@pytest.mark.parametrize("name", ["img.zip", "img_highres.zip"])
def test_pictures_are_read_from_the_encrypted_zip(category, no_password, name):
    unpacked = _rows(sources.open_source(category))
    before = [np.asarray(row.pop("image")) for row in unpacked]
    file = _pack(category, category / "Img" / "img", name)
    source = sources.open_source(category, password=PASSWORD)
    rows = _rows(source)
    assert all(np.array_equal(one, row.pop("image")) for one, row in zip(before, rows, strict=True))
    assert rows == unpacked
    assert source.describe.endswith(f"Category/Attribute, made sentences, pictures from {file}")


def test_in_shop_is_read_from_its_zip(in_shop, password):
    before = np.asarray(sources.open_source(in_shop).test[1]["image"])
    _pack(in_shop, in_shop / "img")
    assert np.array_equal(sources.open_source(in_shop).test[1]["image"], before)


def test_the_password_of_the_zip_is_needed_and_judged(category, no_password, tmp_path):
    file = _pack(category, category / "Img" / "img")
    with pytest.raises(PasswordError, match=f"{file} is encrypted and no password is given; set FSYNTH_ZIP"):
        sources.open_source(category, prompt=False)
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("wrong\n")
    with pytest.raises(PasswordError) as error:
        sources.open_source(category, wrong)
    assert str(file) in str(error.value) and "wrong\n" not in str(error.value)


def test_a_zip_that_lacks_pictures_or_is_another_benchmarks_is_refused(category, password):
    file = _pack(category, category / "Img" / "img", leave_out=1)
    with pytest.raises(DataError) as error:
        sources.open_source(category)
    assert str(error.value) == (
        f"{file} lacks 1 of 4 pictures (first: img/Blue_Jeans/img_00000002.jpg); download it again"
    )
    zip_writer.write_encrypted_zip(file, [("img/Other/x.jpg", make_fixture.jpeg(0))], PASSWORD)
    with pytest.raises(
        DataError, match=f"{file} holds none of the pictures named in .*list_category_img.txt"
    ):
        sources.open_source(category)
