"""Parquet files that are not alike, hold no rows, or have no version."""

from __future__ import annotations

import pytest

import fsynth
from fsynth.data import remote, sources
from fsynth.errors import DataError
from tests.data import make_sources as make
from tests.data import range_server


def _empty(file, **columns):
    from pyarrow import parquet

    parquet.write_table(parquet.read_table(make.parquet(file, **columns)).slice(0, 0), file)
    return file


def _texts(root) -> list[str]:
    source = sources.open_source(root)
    return sorted([*source.train["text"], *source.test["text"]])


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({"image": "image"}, {"image": "photo"}, ("image", "fields (bytes, path)", "missing")),
        ({"name": make.NAMES}, {"name": [1, 2, 3, 4]}, ("name", "string", "whole numbers")),
        ({}, {"row": [0, 1, 2, 3]}, ("row", "missing", "whole numbers")),
        ({"name": [None] * 4}, {"name": make.NAMES}, ("name", "null", "string")),
    ],
)
def test_files_that_are_not_alike_are_named(tmp_path, capfd, first, second, told):
    for number, columns in enumerate((first, second)):
        make.parquet(tmp_path / f"train-{number}.parquet", **({"text": make.TEXTS} | columns))
    with pytest.raises(DataError) as error:
        sources.open_source(tmp_path)
    column, one, other = told
    assert str(error.value) == (
        f"column '{column}' is {one} in {tmp_path}/train-0.parquet, but {other} in "
        f"{tmp_path}/train-1.parquet; write both alike, or take one out"
    )
    assert "cast" not in capfd.readouterr().err


def test_columns_that_are_not_read_may_differ(tmp_path):
    """As may the width of numbers, the length of texts, and names that are all missing."""
    import pyarrow as pa

    wide = pa.array(make.TEXTS, pa.large_string())
    make.parquet(tmp_path / "train-0.parquet", text=make.TEXTS, name=make.NAMES, n=[1, 2, 3, 4])
    make.parquet(tmp_path / "train-1.parquet", text=wide, name=[None] * 4, n=list("abcd"), more=make.TEXTS)
    assert _texts(tmp_path) == sorted([*make.TEXTS, *make.TEXTS])


@pytest.mark.parametrize("streaming", [False, True])
def test_files_without_rows_are_refused_where_a_split_has_no_others(tmp_path, streaming):
    _empty(tmp_path / "train-0.parquet")
    with pytest.raises(DataError) as error:
        fsynth.load_dataset(tmp_path, streaming=streaming)
    assert str(error.value) == (
        f"{tmp_path}/train-0.parquet holds no rows, nor does another Parquet file of the train split; write "
        "it again, or take it out"
    )
    make.parquet(tmp_path / "train-1.parquet")
    parts = fsynth.load_dataset(tmp_path, streaming=streaming)
    assert sorted(row["text"] for part in parts.values() for row in part) == sorted(make.TEXTS)
    _empty(tmp_path / "test-0.parquet")
    with pytest.raises(DataError, match=r"test-0\.parquet holds no rows, nor does .* of the test split"):
        fsynth.load_dataset(tmp_path, streaming=streaming)


@pytest.mark.parametrize("etags", [True, False])
def test_a_copy_is_made_anew_where_the_file_is_new(tmp_path, monkeypatch, etags):
    """Without a version it might be another one of the same size."""
    import datasets

    monkeypatch.setattr(remote, "WAITS", (0.0,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    with range_server.serve(tmp_path / "files") as served:
        served.etags = etags
        for color in ("red", "tan"):
            file = make.parquet(tmp_path / "files" / "r.parquet", text=[f"a {color} dress"] * 4)
            source = sources.open_source(f"{served.url}/{file.name}")
            assert set(source.train["text"]) == {f"a {color} dress"} and source.train[0]["image"].size
            told = "read anew each time, as its server tells no version of a file"
            assert (told in source.describe) is not etags
