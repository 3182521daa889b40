"""Pictures that stay in memory once read: whether there is room, and that they are the same pictures."""

from __future__ import annotations

import io
import os
import tarfile

import numpy as np
import pytest

from fsynth import machine
from fsynth.data import hdf5_pictures, picture_files, picture_memory, shared_pictures, sources
from fsynth.data.archive import Archive
from fsynth.errors import ConfigError, DataError
from tests.data import make_fixture as make
from tests.data import make_sources

pytestmark = pytest.mark.usefixtures("password")
GIB = 2**30


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(shared_pictures, "_kept", {})


def opened(folder, source=None, **options):
    return sources.open_source(folder, image_source=source, cache_images="memory", **options)


def pixels(source):
    return [np.asarray(row["image"]) for part in (source.train, source.test) for row in part]


@pytest.mark.parametrize("kind", ["zip", "hdf5"])
def test_later_passes_read_no_file_and_see_the_same(benchmark_folder, kind, monkeypatch):
    plain = pixels(sources.open_source(benchmark_folder, image_source=kind))
    source = opened(benchmark_folder, kind)
    first = pixels(source)
    for reader in ((Archive, "read"), (hdf5_pictures.HDF5Pictures, "read")):
        monkeypatch.setattr(*reader, lambda *_: pytest.fail("a file was read"))
    second = pixels(source)
    assert all(np.array_equal(*three) for pair in (first, second) for three in zip(plain, pair, strict=True))
    (shared,) = set(shared_pictures._kept.values())
    assert shared.filled() == len(shared) == make.ROWS


def test_what_is_kept_is_said(benchmark_folder, capsys):
    size = sum(len(make.jpeg(row)) for row in range(make.ROWS)) / 2**20
    opened(benchmark_folder).announce()
    assert f"pictures stay in memory once read: {size:.1f} MiB for 24, " in capsys.readouterr().err


def test_pictures_in_shards_are_kept_too(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for row in range(4):
            for name, content in ((f"{row}.jpg", make.jpeg(row)), (f"{row}.txt", b"a dress.")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    source = opened(tmp_path)
    first = pixels(source)
    os.truncate(tmp_path / "train.tar", 0)
    assert all(np.array_equal(*pair) for pair in zip(first, pixels(source), strict=True))


def test_plain_files_are_left_to_the_system(tmp_path, capsys):
    names = ("a.jpg", "b.jpg")
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(make.jpeg(number))
    lines = [f'{{"file_name": "{name}", "text": "a dress."}}\n' for name in names]
    (tmp_path / "metadata.jsonl").write_text("".join(lines))
    opened(tmp_path).announce()
    assert "the system itself keeps in memory: nothing is cached" in capsys.readouterr().err
    assert not shared_pictures._kept


def test_an_hdf5_that_was_unpacked_into_memory_is_not_kept_twice(tmp_path, capsys):
    make.write_annotation(tmp_path)
    make.save_hdf5_zip(tmp_path / "G2.zip", make.save_hdf5(tmp_path / "x.h5", make.ROWS))
    (tmp_path / "x.h5").unlink()
    source = opened(tmp_path)
    source.announce()
    assert "unpacked into memory: nothing more is cached" in capsys.readouterr().err
    assert not shared_pictures._kept and len(pixels(source)) == make.ROWS


def test_too_little_memory_is_refused_with_both_sizes(benchmark_folder, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 20_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(DataError) as error:
        opened(benchmark_folder)
    assert str(error.value) == (
        "--cache-images memory needs 0.0 MiB for 24 pictures in each of 2 processes, and 0.0 MiB are free "
        "here, of which it takes 90% at most; leave it out, or free some memory"
    )
    assert not shared_pictures._kept


@pytest.mark.parametrize(
    "needed, free, processes, fits",
    [
        (9, 10, 1, True),
        (10, 10, 1, False),
        (3, 10, 3, True),
        (4, 10, 3, False),
        (10**15, None, 9, True),
    ],
)
def test_there_is_room_for_every_process_or_for_none(needed, free, processes, fits):
    if fits:
        picture_memory.check_room(needed, 1, free, processes)
    else:
        with pytest.raises(DataError, match="--cache-images memory needs"):
            picture_memory.check_room(needed, 1, free, processes)


def test_sizes_are_said_in_units_one_can_read():
    with pytest.raises(DataError, match=r"needs 1.50 GiB for 7 pictures, and 12.0 MiB are free here"):
        picture_memory.check_room(3 * GIB // 2, 7, 12 * 2**20, 1)


def test_systems_without_memory_that_has_no_name_are_refused(benchmark_folder, monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(ConfigError, match="--cache-images memory needs Linux"):
        opened(benchmark_folder)


@pytest.mark.parametrize("kind", ["zip", "hdf5"])
def test_the_sizes_of_slots_are_those_of_what_is_read(benchmark_folder, kind):
    paths = picture_memory._paths(opened(benchmark_folder, kind).train)
    assert [picture_files.size_of(path) for path in paths] == [
        len(picture_files.read(path)) for path in paths
    ]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 17])
def test_the_lines_of_a_bitmap_are_filled_up(tmp_path, width, monkeypatch):
    class Pictures:
        shape = (5, width)

        def read(self, row):
            return np.zeros((5, width, 3), np.uint8)

    monkeypatch.setitem(picture_files._hdf5, "/x.h5", Pictures())
    path = "fsynth-hdf5://x.h5!/0"
    assert picture_files.size_of(path) == len(picture_files.read(path))


def test_an_archive_that_is_opened_anew_is_read_anew(tmp_path):
    make.write_annotation(tmp_path)
    make.save_zip(tmp_path / "img.zip", make.ROWS)
    pixels(opened(tmp_path))
    swapped = {make.name(row): make.jpeg(row + 3) for row in range(make.ROWS)}
    make.save_zip(tmp_path / "img.zip", make.ROWS, members=swapped)
    source = sources.open_source(tmp_path)
    assert np.abs(pixels(source)[0].astype(int) - make.picture(source.train[0]["row"] + 3)).mean() < 4


def test_a_shard_that_is_opened_anew_is_read_anew(tmp_path):
    """Also one of the same size in every part, and without the flag."""

    def write(shift):
        members = {}
        for row in range(4):
            content = make.jpeg(row + shift).ljust(4000, b"\0")
            members |= {f"{row}.jpg": content, f"{row}.txt": b"a dress."}
        make_sources.shard(tmp_path / "train.tar", members)

    write(0)
    pixels(opened(tmp_path))
    write(3)
    source = sources.open_source(tmp_path)
    assert np.abs(pixels(source)[0].astype(int) - make.picture(source.train[0]["row"] + 3)).mean() < 4


def test_a_damaged_slot_is_read_from_the_archive_again(benchmark_folder):
    source = opened(benchmark_folder)
    first = pixels(source)
    (shared,) = set(shared_pictures._kept.values())
    start = shared._words[shared._starts]
    shared._memory[start : start + 200] = bytes(200)
    assert all(np.array_equal(*pair) for pair in zip(first, pixels(source), strict=True))
