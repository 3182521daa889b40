"""Every kind of source opens as the same columns, pictures and labels, or says in a line what is wrong."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import fsynth
from fsynth import hub
from fsynth.data import labels, sources
from fsynth.errors import ConfigError, DataError
from tests.data import make_fixture
from tests.data import make_sources as make

COLUMNS = {"image", "text", *labels.LABELS, "name", "row"}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    import datasets

    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setenv("FSYNTH_CACHE", str(cache))
    monkeypatch.delenv("FSYNTH_DATA", raising=False)
    monkeypatch.setattr(hub, "reachable", lambda: False)


def _rows(source) -> list[dict]:
    """All rows of a source, by row number."""
    parts = [part for part in (source.train, source.validation, source.test) if part is not None]
    assert all(set(part.column_names) == COLUMNS for part in parts)
    return sorted((row for part in parts for row in part), key=lambda row: row["row"])


def _check_same(source) -> None:
    """Pictures, sentences and labels are those of `make_sources`."""
    rows = _rows(source)
    assert [row["row"] for row in rows] == [0, 1, 2, 3]
    assert [row["text"] for row in rows] == make.TEXTS
    assert [row["name"] for row in rows] == make.NAMES
    for row in rows:
        assert row["image"].mode == "RGB"
        assert np.abs(np.asarray(row["image"]).astype(int) - make_fixture.picture(row["row"])).mean() < 3
    features = source.train.features
    said = [
        {name: features[name].int2str(row[name]) for name in labels.LABELS if row[name] is not None}
        for row in rows
    ]
    assert said == [
        {"gender": "female", "sleeve": "sleeveless", "category": "dress", "color": "red"},
        {"gender": "male", "sleeve": "long", "category": "tee", "color": "blue"},
        {"sleeve": "not stated"},  # nothing else is said, and nothing is made up
        {"gender": "female", "sleeve": "short", "category": "blouse", "color": "white"},
    ]


@pytest.fixture
def folder(tmp_path) -> Path:
    make.pictures(tmp_path, make.NAMES)
    return make.jsonl(tmp_path, make.records())


# ------------------------------------------------------------------------------------ image folders


def test_an_image_folder_holds_out_a_tenth(folder):
    source = sources.open_source(folder)
    _check_same(source)
    assert (len(source.train), len(source.test), source.validation) == (3, 1, None)
    assert (
        source.describe
        == f"data: {folder}, 4 rows (3 for training, 1 held out), image folder, metadata.jsonl"
    )
    assert source.rows.startswith(
        "rows: 3 train, 0 validate, 1 test (the data bring no test rows; 0.1 of all"
    )
    assert source.setting == folder and source.fingerprint in source.rows


def test_an_image_folder_may_have_a_csv_and_other_columns(folder):
    (folder / "metadata.jsonl").unlink()
    rows = [{"picture": row["file_name"], "caption": row["text"], "category": ""} for row in make.records()]
    make.table_csv(folder, rows)
    _check_same(sources.open_source(folder, image_column="picture", text_column="caption"))
    with pytest.raises(ConfigError) as error:
        sources.open_source(folder, image_column="picture")
    assert str(error.value) == (
        f"{folder / 'metadata.csv'} has no column 'text'; name one of these with --text-column: "
        "picture, caption, category"
    )


def test_split_folders_are_the_official_splits(tmp_path):
    for split, text in (("train", make.TEXTS[0]), ("validation", make.TEXTS[1]), ("test", make.TEXTS[3])):
        make.pictures(tmp_path / split, ["g/0.jpg"])
        make.jsonl(tmp_path / split, [{"file_name": "g/0.jpg", "text": text}])
    source = sources.open_source(tmp_path)
    parts = (source.train, source.validation, source.test)
    assert [part["text"][:] for part in parts] == [[make.TEXTS[0]], [make.TEXTS[1]], [make.TEXTS[3]]]
    assert source.held_out == ("validation", source.validation)


def test_labels_that_a_source_brings_come_before_the_sentence(folder):
    make.jsonl(folder, make.records(category="coat", color="navy"))
    source = sources.open_source(folder)
    rows = _rows(source)
    assert {labels.CATEGORIES[row["category"]] for row in rows} == {"coat"}
    assert labels.COLORS[rows[0]["color"]] == "red"
    assert source.describe.endswith(
        "; labels in 'color' are left aside, first 'navy': read from the sentences"
    )


def test_the_same_folder_opens_in_datasets(folder):
    import datasets

    theirs = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train")
    assert sorted(theirs["text"][:]) == sorted(make.TEXTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file_name": "../x.jpg"}, "names '../x.jpg', which lies outside its folder; take the row out"),
        ({"text": " "}, "row 3 of {table} has no sentence in 'text' but ' '; add it, or take the row out"),
        (
            {"file_name": "no.jpg"},
            "names 4 pictures, of which 1 are not there, first {folder}/no.jpg; add them, or",
        ),
    ],
)
def test_a_broken_row_is_named(folder, change, message):
    rows = make.records()
    rows[3] |= change
    make.jsonl(folder, rows)
    with pytest.raises(DataError) as error:
        sources.open_source(folder)
    assert message.format(table=folder / "metadata.jsonl", folder=folder) in str(error.value)


def test_a_line_that_is_no_object_and_an_empty_table_are_named(folder):
    table = folder / "metadata.jsonl"
    table.write_text('{"file_name": "a.jpg", "text": "x"}\n[1]\n')
    with pytest.raises(DataError, match=f"line 2 of {table} is no JSON object"):
        sources.open_source(folder)
    table.write_text("")
    with pytest.raises(DataError, match=f"{table} lists no pictures; write one row a picture"):
        sources.open_source(folder)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_sentence_may_hold_any_character(folder, kind):
    """Also those at which Python's splitlines divides."""
    text = "a red\u2028dress\x85 \x0b \x0c\u2029 \U0001f457 \x1c more"
    rows = [{"file_name": name, "text": text} for name in make.NAMES]
    if kind == "jsonl":
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / "metadata.jsonl").write_text(lines, encoding="utf-8")
    else:
        (folder / "metadata.jsonl").unlink()
        make.table_csv(folder, rows)
    assert {row["text"] for row in _rows(sources.open_source(folder))} == {text}


@pytest.mark.parametrize("key", ["text", "name"])
def test_half_a_character_is_named(folder, key):
    make.jsonl(folder, [*make.records(), make.records()[0] | {key: "a dress \ud83d"}])
    with pytest.raises(DataError) as error:
        sources.open_source(folder)
    where = "the sentence of row 4" if key == "text" else "the name of a picture"
    assert str(error.value) == (
        f"{where} holds half of a character, '\\ud83d' in 'a dress \\ud83d'; write it as UTF-8"
    )


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("key", ["text", "name"])
def test_half_a_character_in_a_shard_is_named(tmp_path, key, streaming):
    members = make.samples("text", range(1))
    members["g0/0.json"] = json.dumps({"text": "a dress", key: "half \ud83d"}).encode()
    file = make.shard(tmp_path / "train.tar", members)
    with pytest.raises(DataError, match=r"holds half of a character, '\\ud83d' in 'half \\ud83d'; write it"):
        list(fsynth.load_dataset(file, streaming=streaming)["train"])


def test_a_long_value_in_place_of_a_sentence_is_shortened(folder):
    make.jsonl(folder, [make.records()[0] | {"text": [*range(5000)]}])
    with pytest.raises(
        DataError, match=r"has no sentence in 'text' but \[0, 1, .*\.\.\.; add it, or"
    ) as error:
        sources.open_source(folder)
    assert len(str(error.value)) < 300


# ------------------------------------------------------------------------------------ Parquet


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"image_column": "n"},
            "column 'n' of {file} holds int64, no pictures; name another with --image-column (could be: "
            "image, text)",
        ),
        (
            {"text_column": "image"},
            "column 'image' of {file} holds fields (bytes, path), no sentences; name another with --text-col",
        ),
        (
            {"text_column": "n"},
            "column 'n' of {file} holds int64, no sentences; name another with --text-colu",
        ),
        (
            {"image_column": "text"},
            "column 'text' of {file} should name pictures, but 'the lady wore a red sleeveless dress.' is no "
            "file; bring it there, or name another column with --image-column",
        ),
    ],
)
def test_columns_of_another_kind_are_refused(tmp_path, columns, message, streaming):
    file = make.parquet(tmp_path / "rows.parquet", text=make.TEXTS, n=[1, 2, 3, 4])
    with pytest.raises((ConfigError, DataError)) as error:
        list(fsynth.load_dataset(file, streaming=streaming, **columns)["train"])
    assert str(error.value).startswith(message.format(file=file))


def test_a_row_whose_name_is_null_is_called_by_its_path(tmp_path):
    names = [None, "", *make.NAMES[2:]]
    file = make.parquet(tmp_path / "rows.parquet", text=make.TEXTS, name=names)
    assert [row["name"] for row in _rows(sources.open_source(file))] == make.NAMES


def test_a_parquet_file_and_a_folder_of_them(tmp_path):
    file = make.parquet(tmp_path / "rows.parquet")
    source = sources.open_source(file)
    _check_same(source)
    assert "Parquet (1 files)" in source.describe
    _check_same(sources.open_source(tmp_path))


def test_parquet_files_tell_their_splits_and_columns(tmp_path):
    make.parquet(tmp_path / "data" / "train-00000.parquet", "photo", words=make.TEXTS, name=make.NAMES)
    make.parquet(tmp_path / "data" / "test-00000.parquet", "photo", words=make.TEXTS, name=make.NAMES)
    source = sources.open_source(tmp_path, image_column="photo", text_column="words")
    assert source.train["row"][:] == [0, 1, 2, 3] and source.test["row"][:] == [4, 5, 6, 7]
    assert source.test[3]["text"] == make.TEXTS[3] and source.test[3]["name"] == make.NAMES[3]
    with pytest.raises(ConfigError) as error:
        sources.open_source(tmp_path, text_column="words")
    assert str(error.value) == (
        f"{tmp_path} has no column 'image'; name one of these with --image-column: photo, words, name"
    )


def test_a_broken_parquet_file_and_files_of_no_split_are_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=rf"cannot read the Parquet file {tmp_path}/x.* \(.*\); get it again"):
        sources.open_source(tmp_path)
    (tmp_path / "test.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"x\.parquet belongs to no split but others in"):
        sources.open_source(tmp_path)


# ------------------------------------------------------------------------------------ WebDataset


@pytest.mark.parametrize("text", ["txt", "text", "caption"])
def test_shards_are_read_where_they_lie(tmp_path, text):
    make.shard(tmp_path / "a-0.tar", make.samples(text, range(3)))
    make.shard(tmp_path / "a-1.tar", make.samples(text, range(3, 4)))
    source = sources.open_source(tmp_path, text_column=text if text == "caption" else None)
    _check_same(source)
    assert "WebDataset (2 shards)" in source.describe
    part = pickle.loads(pickle.dumps(source.train))
    assert np.array_equal(np.asarray(part[0]["image"]), np.asarray(source.train[0]["image"]))
    assert copy.deepcopy(source.train)[0]["text"] == source.train[0]["text"]


def test_shards_tell_their_splits(tmp_path):
    make.shard(tmp_path / "train" / "0.tar", make.samples(rows=range(3)))
    make.shard(tmp_path / "val-0.tar", make.samples(rows=range(3, 4)))
    source = sources.open_source(tmp_path)
    _check_same(source)
    assert source.test["row"][:] == [3] and "validation rows test" in source.rows


def test_faults_of_shards_are_named(tmp_path):
    members = make.samples("caption")
    file = make.shard(tmp_path / "a.tar", members)
    with pytest.raises(ConfigError) as error:
        sources.open_source(file)
    assert str(error.value) == f"g0/0 in {file} has no 'text'; name one of these with --text-column: caption"
    file.write_bytes(file.read_bytes()[:1500])
    with pytest.raises(DataError, match=f"cannot read the shard {file} .*; get it again, as a plain .tar"):
        sources.open_source(file)
    make.shard(file, {"a.txt": b"words"})
    with pytest.raises(DataError, match=f"no pictures in the shards of {file}"):
        sources.open_source(file)
    make.shard(file, {f"{n}.{end}": b"words" for n in "ab" for end in ("jpg", "txt")})
    source = sources.open_source(file)
    with pytest.raises(DataError, match=f"[ab].jpg in {file} is not a picture"):
        _ = source.train[0]


# ------------------------------------------------------------------------------------ captions


def test_a_caption_file_names_its_pictures_by_garment(tmp_path):
    views = ["01_1_front", "02_7_additional", "03_2_side"]
    names = [f"WOMEN-Dresses-id_00000002-{view}.jpg" for view in views]
    names.append("MEN-Tees_Tanks-id_00000003-01_1_front.jpg")
    make.pictures(tmp_path / "images", names)
    file = tmp_path / "captions.json"
    file.write_text(json.dumps(dict.fromkeys(names, "a dress with long sleeves")))
    source = sources.open_source(tmp_path, split_by="garment")
    assert source.test["name"][:] == ["MEN/Tees_Tanks/id_00000003/01_1_front.jpg"]
    assert source.train[0]["name"] == "WOMEN/Dresses/id_00000002/01_1_front.jpg"
    assert source.train[0]["image"].size == (make_fixture.WIDTH, make_fixture.HEIGHT)
    assert (source.train[0]["gender"], source.test[0]["gender"]) == (0, 1)
    assert sources.open_source(file, split_by="garment").fingerprint == source.fingerprint
    with pytest.raises(ConfigError, match="a caption file has no columns to choose; leave --image-column"):
        sources.open_source(file, text_column="words")
    (tmp_path / "images" / names[2]).unlink()
    with pytest.raises(DataError, match=r"names 4 pictures, of which 1 are not there"):
        sources.open_source(file)
    file.write_text("[]")
    with pytest.raises(DataError, match=f"{file} should hold one JSON object"):
        sources.open_source(file)


# ------------------------------------------------------------------------------------ hub, nothing


def test_a_hub_data_set_comes_through_datasets(monkeypatch, tmp_path):
    import datasets

    rows = datasets.load_dataset("parquet", data_files=str(make.parquet(tmp_path / "rows.parquet")))
    monkeypatch.setattr(datasets, "load_dataset", lambda name: {"org/name": rows}[name])
    source = sources.open_source(Path("org/name"))
    _check_same(source)
    assert source.setting == Path("org/name")
    assert source.describe.startswith("data: org/name, 4 rows (3 for training, 1 held out), hub data set")


def test_splits_of_the_hub_that_mean_the_same_are_joined_and_others_said(monkeypatch, tmp_path):
    import datasets

    rows = datasets.load_dataset(
        "parquet", data_files=str(make.parquet(tmp_path / "x.parquet")), split="train"
    )
    sizes = {"train": [0, 1], "dev": [2], "validation": [3], "extra": [0]}
    parts = {split: rows.select(chosen) for split, chosen in sizes.items()}
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(parts))
    source = sources.open_source(Path("org/name"))
    assert source.train["text"][:] == make.TEXTS[:2] and source.test["text"][:] == make.TEXTS[2:]
    assert source.describe.endswith("; dev and validation together: validation; splits left out: extra")


def test_a_hub_data_set_that_cannot_be_had_says_so_in_a_line(monkeypatch):
    import datasets

    def fail(name):
        raise ConnectionError("Couldn't reach the Hub\nmany more words")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError) as error:
        sources.open_source(Path("org/name"))
    assert str(error.value) == (
        "there is no folder org/name, and the hub's data set of that name cannot be had (Couldn't reach the "
        "Hub); check the name, or fetch it where there is a network and copy its cache"
    )


def test_a_folder_or_file_of_no_known_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no language_original.mat under .*, no metadata.jsonl or .*\*\.tar"):
        sources.open_source(tmp_path)
    file = tmp_path / "x.rar"
    file.write_bytes(b"")
    with pytest.raises(DataError, match=r"x\.rar is no \.parquet, \.tar or \.json file, nor a \.txt"):
        sources.open_source(file)


def test_pictures_of_files_and_shards_pass_through_map_without_a_cache(folder, tmp_path_factory):
    """Their tables lie in memory, of which `datasets` caches nothing."""
    source = sources.open_source(folder)
    mapped = source.train.map(lambda row: {"copy": row["image"]})
    assert not mapped.cache_files and not source.train.cache_files
