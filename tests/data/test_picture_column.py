"""The column of pictures: a `datasets.Image` to everybody, with a shorter way into archives."""

from __future__ import annotations

import pickle

import datasets
import fsspec
import numpy as np
import pytest

from fsynth.data import fashion_synthesis, picture_files
from fsynth.data.picture_column import Picture
from fsynth.errors import DataError
from tests.data import make_fixture as make

pytestmark = pytest.mark.usefixtures("password")


@pytest.fixture(params=["zip", "hdf5"])
def train(request, benchmark_folder):
    return fashion_synthesis.load(benchmark_folder, request.param)["train"]


def test_it_equals_the_column_of_datasets():
    plain = datasets.Image(mode="RGB")
    assert (
        Picture(mode="RGB") == plain and plain == Picture(mode="RGB") and isinstance(Picture(), type(plain))
    )
    assert Picture() != plain and plain != Picture() and Picture(decode=False) != Picture()
    assert Picture() != "Picture" and Picture()() == plain()


def test_it_survives_what_is_done_with_tables(train):
    brighter = train.map(lambda row: {"mean": float(np.asarray(row["image"]).mean())})
    some = brighter.filter(lambda row: row["mean"] > 0).shuffle(seed=0).select(range(4)).sort("row")
    halves = some.train_test_split(0.5, seed=0)
    joined = datasets.concatenate_datasets([halves["train"], halves["test"], some])
    for made in (some, joined, joined.select_columns(["image", "row"]), pickle.loads(pickle.dumps(some))):
        assert type(made.features["image"]) is Picture
        assert made[0]["image"].size == (make.WIDTH, make.HEIGHT)


def test_tables_with_the_plain_column_join_ours(train):
    plain = train.cast_column("image", datasets.Image(mode="RGB"))
    for pair in ([train, plain], [plain, train]):
        joined = datasets.concatenate_datasets(pair)
        same = [np.asarray(joined[place]["image"]) for place in (2, 2 + len(train))]
        assert np.array_equal(*same)


def test_it_takes_the_short_way(train, monkeypatch):
    train[0]
    monkeypatch.setattr(fsspec.AbstractFileSystem, "open", lambda *_, **__: pytest.fail("through fsspec"))
    assert train[1]["image"].mode == "RGB"
    with pytest.raises(pytest.fail.Exception):
        train.cast_column("image", datasets.Image())[1]


def test_other_paths_and_pictures_in_the_table_are_read_as_ever(tmp_path):
    (tmp_path / "a.jpg").write_bytes(make.jpeg(1))
    values = [str(tmp_path / "a.jpg"), {"bytes": make.jpeg(1), "path": None}, None]
    table = datasets.Dataset.from_dict(
        {"image": values}, features=datasets.Features({"image": Picture(mode="L")})
    )
    assert [row["image"] and row["image"].mode for row in table] == ["L", "L", None]
    with pytest.raises(RuntimeError, match="disabled"):
        Picture(decode=False).decode_example({"path": "fsynth-zip://x!/y", "bytes": None})


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"no picture", "no known picture format"),
        (make.jpeg(1)[:-60], "image file is truncated"),
        (b"", "no known"),
    ],
)
@pytest.mark.parametrize("kind", [Picture, datasets.Image])
def test_both_ways_name_the_member_that_is_no_picture(tmp_path, content, reason, kind):
    file = make.save_zip(tmp_path / "img.zip", 2, members={make.name(1): content})
    picture_files.register()
    column = datasets.Features({"image": kind()})
    path = picture_files.zip_paths(file, [make.name(1)])[0]
    with pytest.raises(DataError) as error:
        datasets.Dataset.from_dict({"image": [path]}, features=column)[0]
    start = f"{make.name(1)} in {file} is not a picture ({reason}"
    assert str(error.value).startswith(start) and str(error.value).endswith("); get the archive again")
