"""Identities and sizes of pictures: what changes them, what does not, and what is read for them."""

from __future__ import annotations

import os
import shutil

import pytest
from PIL import Image

from fsynth.data import picture_files, picture_identity, picture_sizes, scan, sources
from fsynth.data.hdf5_pictures import HDF5Pictures
from fsynth.errors import DataError
from tests.data import make_fixture, make_sources


def identities(dataset):
    return picture_identity.identities(dataset, range(len(dataset)))


def changed(before, after):
    return [place for place, (one, two) in enumerate(zip(before, after, strict=True)) if one != two]


def from_zip(file):
    members = list(picture_files.open_archive(file).names)
    return scan.pictures(range(len(members)), picture_files.zip_paths(file, members)), members


def test_one_changed_member_of_a_zip_changes_one_identity_and_moving_the_archive_none(tmp_path, password):
    whole, members = from_zip(make_fixture.save_zip(tmp_path / "a.zip", 4))
    before = identities(whole)
    assert len(set(before)) == len(members) == 4
    (tmp_path / "moved").mkdir()
    shutil.copyfile(tmp_path / "a.zip", tmp_path / "moved" / "b.zip")
    assert identities(from_zip(tmp_path / "moved" / "b.zip")[0]) == before
    content = bytearray(picture_files.open_archive(tmp_path / "a.zip").read(members[2]))
    content[40] ^= 1
    other = make_fixture.save_zip(tmp_path / "c.zip", 4, members={members[2]: bytes(content)})
    assert changed(before, identities(from_zip(other)[0])) == [2]


def test_one_changed_file_changes_one_identity(tmp_path):
    make_sources.pictures(tmp_path, make_sources.NAMES)
    make_sources.jsonl(tmp_path, make_sources.records())
    train = sources.open_source(tmp_path).train
    before = identities(train)
    assert len(set(before)) == len(before)
    file = tmp_path / train["name"][1]
    os.utime(file, ns=(1, 1))
    assert changed(before, identities(train)) == [1]


def test_pictures_in_a_table_are_known_by_their_bytes_in_any_order():
    content = [make_fixture.jpeg(row) for row in range(4)]
    import datasets

    images = [{"bytes": one, "path": None} for one in content]
    table = datasets.Dataset.from_dict({"image": images}, features=datasets.Features(image=datasets.Image()))
    before = identities(table)
    assert identities(table.select([2, 0])) == [before[2], before[0]]
    assert picture_identity.identities(table, [3]) == [before[3]] and len(set(before)) == 4


def test_pictures_of_an_hdf5_change_with_their_file(tmp_path):
    file = make_fixture.save_hdf5(tmp_path / "G2.h5", 3)
    table = scan.pictures(range(3), picture_files.hdf5_paths(HDF5Pictures(file), 3))
    before = identities(table)
    assert len(set(before)) == 3 and identities(table) == before
    os.utime(file, ns=(1, 1))
    assert changed(before, identities(table)) == [0, 1, 2]


def test_sizes_are_read_off_headers_and_upright(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[Image.ExifTags.Base.Orientation] = 6
    Image.new("RGB", (30, 10)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (40, 20)).save(tmp_path / "plain.png")
    make_sources.jsonl(tmp_path, [{"file_name": name, "text": "a"} for name in ("turned.jpg", "plain.png")])
    train = sources.open_source(tmp_path, val_fraction=0.0).train
    shown = {row["name"]: row["image"].size for row in train}
    monkeypatch.setattr(picture_sizes, "row_of", None)  # nothing is decoded
    found = picture_sizes.find(train, range(len(train)), identities(train))
    assert found == [shown[name] for name in train["name"]]
    assert shown.get("turned.jpg", (10, 30)) == (10, 30)


def test_sizes_of_many_pictures_are_kept_until_one_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(picture_sizes, "_MANY", 2)
    data = tmp_path / "data"
    make_sources.pictures(data, make_sources.NAMES)
    make_sources.jsonl(data, make_sources.records())
    train = sources.open_source(data).train
    rows = range(len(train))
    first = picture_sizes.find(train, rows, identities(train))
    with monkeypatch.context() as patch:
        patch.setattr(picture_sizes, "_read", None)
        assert picture_sizes.find(train, rows, identities(train)) == first
    Image.new("RGB", (77, 33)).save(data / train["name"][0])
    again = picture_sizes.find(train, rows, identities(train))
    assert again[0] == (77, 33) and again[1:] == first[1:]


def test_a_picture_without_a_header_is_named(tmp_path):
    make_sources.pictures(tmp_path, make_sources.NAMES)
    make_sources.jsonl(tmp_path, make_sources.records())
    train = sources.open_source(tmp_path).train
    (tmp_path / train["name"][1]).write_bytes(b"no picture")
    with pytest.raises(DataError, match=rf"row {train['row'][1]} .* is not a picture"):
        picture_sizes.find(train, range(len(train)), identities(train))
