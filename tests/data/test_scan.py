"""Every picture read once: what the table says, also of pictures that cannot be read."""

from __future__ import annotations

import errno
import io
import os

import datasets
import fsspec
import numpy as np
import pytest
from PIL import Image

from fsynth.data import duplicates, fashion_synthesis, hdf5_pictures, picture_files, scan
from fsynth.errors import UnreachableError
from tests.data import make_fixture


@pytest.fixture
def benchmark(password, benchmark_folder):
    return fashion_synthesis.load(benchmark_folder)["train"]


def test_a_line_a_picture_in_the_order_of_the_data_set(benchmark):
    table = scan.scan(benchmark)
    assert table["row"].to_pylist() == benchmark["row"]
    assert set(table["width"].to_pylist()) == {make_fixture.WIDTH}
    assert set(table["height"].to_pylist()) == {make_fixture.HEIGHT}
    assert set(table["mode"].to_pylist()) == {"RGB"} and table["error"].null_count == len(benchmark)
    assert len(set(table["sha256"].to_pylist())) == len(benchmark)
    first = benchmark[0]["image"]
    assert table["phash"][0].as_py() == duplicates.perceptual_hash(first)
    assert table["colors"][0].as_py() == duplicates.color_grid(first)


def test_workers_read_the_same(benchmark):
    assert scan.scan(benchmark, workers=2) == scan.scan(benchmark)


@pytest.mark.parametrize("workers", [0, 2])
def test_whoever_watches_sees_every_readable_picture_small_and_in_order(benchmark, workers):
    large = benchmark[0]["image"].resize((300, 200))
    content = io.BytesIO()
    large.save(content, "PNG")
    shown = [{"bytes": content.getvalue(), "path": None}, {"bytes": b"no picture", "path": None}]
    rows = datasets.Dataset.from_dict(
        {"image": [*shown, shown[0]], "row": [5, 6, 7]},
        features=datasets.Features({"image": datasets.Image(), "row": datasets.Value("int32")}),
    )
    seen = []
    scan.scan(rows, workers, seen=lambda row, pixels: seen.append((row, pixels)))
    assert [row for row, _ in seen] == [5, 7]
    small = np.asarray(large.convert("RGB").resize((128, 85), Image.Resampling.BOX), int)
    assert seen[0][1].shape == (85, 128, 3) and np.abs(seen[0][1] - small).max() <= 2


def test_a_sample_is_spread_over_all_rows():
    assert list(scan.Reading(3).some(range(10, 21))) == [10, 15, 20]
    assert scan.Reading(3).some([7, 8]) == [7, 8] and scan.ALL.some([1, 2, 3]) == [1, 2, 3]


def test_pictures_that_cannot_be_read_have_an_error_and_nothing_else(no_password, tmp_path, monkeypatch):
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", make_fixture.PASSWORD.decode())
    members = {make_fixture.name(1): b"no picture", make_fixture.name(2): make_fixture.jpeg(2)[:-200]}
    file = make_fixture.save_zip(tmp_path / "img.zip", 4, members=members)
    paths = picture_files.zip_paths(file, [make_fixture.name(row) for row in range(4)])
    table = scan.scan(scan.pictures([7, 8, 9, 10], paths)).to_pylist()
    assert [line["row"] for line in table] == [7, 8, 9, 10]
    assert [line["error"] is None for line in table] == [True, False, False, True]
    assert "no known picture format" in table[1]["error"]
    assert all(value is None for key, value in table[1].items() if key not in ("row", "error"))


def test_pictures_held_in_the_table_are_read_too():
    """As an image folder or a Parquet file brings them."""
    content = make_fixture.jpeg(3)
    dataset = datasets.Dataset.from_dict(
        {"image": [{"bytes": content, "path": None}, None], "row": [0, 1]},
        features=datasets.Features({"image": datasets.Image(), "row": datasets.Value("int32")}),
    )
    first, second = scan.scan(dataset).to_pylist()
    assert first["width"] == make_fixture.WIDTH and second["error"].startswith("there is no picture")


def test_twins_tell_swapped_pictures(password, benchmark_folder):
    zipped, hdf5 = (fashion_synthesis.load(benchmark_folder, source)["train"] for source in ("zip", "hdf5"))
    assert max(scan.scan(zipped, twins=hdf5)["apart"].to_pylist()) < 3
    last = hdf5[len(hdf5) - 1]["image"]
    assert scan.difference(zipped[0]["image"], last) > 6


def test_rows_without_a_twin_and_unreadable_twins_are_compared_with_nothing(benchmark):
    some = benchmark.select([2, 0])
    broken = scan.pictures(benchmark["row"][3:4], ["nowhere.jpg"])
    twins = datasets.concatenate_datasets(
        [scan.pictures(some["row"], [one["path"] for one in _undecoded(some)]), broken]
    )
    apart = scan.scan(benchmark, twins=twins)["apart"].to_pylist()
    assert [place for place, by in enumerate(apart) if by is not None] == [0, 2]
    assert apart[0] == apart[2] == 0


def _undecoded(dataset):
    return dataset.cast_column("image", datasets.Image(decode=False))["image"]


def test_a_killed_worker_is_an_error_of_one_line(benchmark, monkeypatch):
    import os
    import signal

    from fsynth.errors import DataError

    monkeypatch.setattr(scan, "_describe", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataError, match="a process that read pictures has ended"):
        scan.scan(benchmark, workers=1)


STALE = OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def _stale(*_: object, **__: object) -> None:
    raise STALE


def _of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(fsspec, "open", _stale)
    return str(tmp_path / "a.jpg")


def _of_a_zip(tmp_path, monkeypatch):
    file = make_fixture.save_zip(tmp_path / "img.zip", 1)
    (path,) = picture_files.zip_paths(file, [make_fixture.name(0)])
    assert picture_files.read(path)
    monkeypatch.setattr(os, "pread", _stale)
    return path


def _of_a_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files, "open", _stale, raising=False)
    return picture_files.tar_paths(tmp_path / "0.tar", [("a.jpg", 512, 100)])[0]


def _of_an_hdf5(tmp_path, monkeypatch):
    pictures = hdf5_pictures.HDF5Pictures(make_fixture.save_hdf5(tmp_path / "G2.h5", 1))
    told = (
        f"Can't synchronously read data (file read failed: filename = 'G2.h5', errno = {errno.ESTALE}, ...)"
    )
    told = OSError(told)  # as HDF5 says it: without a number of its own

    class Stale:
        def __getitem__(self, row):
            raise told

    monkeypatch.setattr(pictures, "_open", lambda: (Stale(), 0))
    return picture_files.hdf5_paths(pictures, 1)[0]


@pytest.mark.parametrize("path_of", [_of_a_file, _of_a_zip, _of_a_shard, _of_an_hdf5])
def test_a_file_that_cannot_be_read_now_is_no_fault_of_its_pictures(password, tmp_path, monkeypatch, path_of):
    pictures = scan.pictures([0], [path_of(tmp_path, monkeypatch)])
    with pytest.raises(
        UnreachableError, match=r"^cannot read \S+( in \S+)? now \(Stale file handle\), which"
    ):
        scan.scan(pictures)


def test_pictures_are_turned_upright_as_training_sees_them(tmp_path):
    upright = Image.fromarray(make_fixture.picture(0))
    exif = Image.Exif()
    exif[Image.ExifTags.Base.Orientation] = 6
    upright.save(tmp_path / "0.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "1.png", exif=exif)
    dataset = scan.pictures([0, 1], [str(tmp_path / f"{row}.png") for row in range(2)])
    first, second = scan.scan(dataset).to_pylist()
    assert {**first, "row": 1} == second
    trained = dataset.cast_column("image", datasets.Image(mode="RGB"))[1]["image"]
    assert np.array_equal(np.asarray(trained), make_fixture.picture(0))
