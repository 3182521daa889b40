"""WebDataset shards on a web server: the same rows as here, one request a picture, nothing on the disk."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from fsynth import outputs
from fsynth.data import remote, shard_index, sources
from fsynth.errors import DataError, UnreachableError
from tests.data import make_fixture, range_server
from tests.data import make_sources as make


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "WAITS", (0.0,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "files"
    make.shard(folder / "train-0.tar", make.samples(rows=range(2)))
    make.shard(folder / "train-1.tar", make.samples("text", rows=range(2, 3)))
    make.shard(folder / "test-0.tar", make.samples("text", rows=range(3, 4)))
    with range_server.serve(folder) as server:
        yield server


def _pattern(served) -> str:
    return f"{served.url}/train-{{0..1}}.tar::{served.url}/test-0.tar"


def _rows(source) -> list[dict]:
    return [row for part in (source.train, source.test) for row in part]


def test_remote_shards_are_the_same_as_the_files(served):
    far, near = sources.open_source(_pattern(served)), sources.open_source(served.folder)
    for one, other in zip(_rows(far), _rows(near), strict=True):
        assert np.array_equal(np.asarray(one.pop("image")), np.asarray(other.pop("image")))
        assert one == other
    assert far.fingerprint == near.fingerprint
    assert far.setting == _pattern(served) and sources.open_source(far.setting).rows == far.rows
    assert far.describe.endswith(
        "4 rows (3 for training, 1 held out), WebDataset (3 shards, read from where they are)"
    )


def test_a_signature_is_neither_shown_nor_recorded(served, capsys):
    source = sources.open_source(f"{served.url}/train-{{0..1}}.tar?sig=tulip")
    source.announce()
    assert source.setting == f"{served.url}/train-{{0..1}}.tar"
    shown = capsys.readouterr().err
    assert "tulip" not in shown and "give --data again to repeat or resume this run" in shown


def test_a_picture_is_one_request_and_an_index_is_made_once(served):
    source = sources.open_source(_pattern(served))
    served.asked.clear()
    part = pickle.loads(pickle.dumps(source.train))
    assert np.abs(np.asarray(part[1]["image"]).astype(int) - make_fixture.picture(1)).mean() < 3
    assert len(served.asked) == 1
    served.asked.clear()
    sources.open_source(_pattern(served))
    assert [(start, end) for _, start, end in served.asked] == [(0, 0)] * 3


def test_the_cache_holds_no_picture_and_nothing_else_is_written(served, tmp_path):
    before = {*tmp_path.rglob("*")}
    _rows(sources.open_source(_pattern(served)))
    made = [path for path in tmp_path.rglob("*") if path.is_file() and path not in before]
    made = [path for path in made if path.suffix != ".lock"]
    assert len(made) == 3 and all(path.parent == outputs.cache_folder() / "shards" for path in made)
    assert not any(make_fixture.CANARY in path.read_bytes() for path in made)


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(served, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert len(_rows(sources.open_source(_pattern(served)))) == 4


def test_a_shard_that_changes_is_noticed_by_its_pictures_and_read_anew_by_the_next(served):
    source = sources.open_source(_pattern(served))
    make.shard(served.folder / "train-0.tar", make.samples("caption", rows=range(2)))
    with pytest.raises(DataError, match=r"/train-0.tar has changed since it was opened; start again"):
        _ = source.train[0]
    renamed = make.samples(rows=range(2))
    renamed["g0/0.txt"] = b"other words"
    make.shard(served.folder / "train-0.tar", renamed)
    assert sources.open_source(_pattern(served)).train[0]["text"] == "other words"


def test_a_picture_that_vanishes_or_is_none_is_one_line(served):
    source = sources.open_source(_pattern(served))
    (served.folder / "train-0.tar").unlink()
    with pytest.raises(DataError, match=r"/train-0.tar is not there \(404 Not Found\); check the address"):
        _ = source.train[0]
    make.shard(served.folder / "train-0.tar", {"a.jpg": b"no picture", "a.txt": b"words"})
    source = sources.open_source(f"{served.url}/train-0.tar::{served.url}/test-0.tar")
    with pytest.raises(DataError, match=r"a.jpg in http://.*/train-0.tar is not a picture \(no known"):
        _ = source.train[0]


def test_faults_of_remote_shards_are_named(served):
    whole = (served.folder / "train-0.tar").read_bytes()
    (served.folder / "train-0.tar").write_bytes(whole[:1500])
    with pytest.raises(
        DataError, match=r"cannot read the shard http://.*/train-0.tar .*; get it again, as a"
    ):
        sources.open_source(_pattern(served))
    with pytest.raises(DataError, match=r"/train-9.tar is not there"):
        sources.open_source(f"{served.url}/train-9.tar")
    for name in ("pictures.zip", "", "train.tar.gz"):
        with pytest.raises(DataError, match=r"an address should name .tar shards or .parquet files"):
            sources.open_source(f"{served.url}/{name}")


def test_local_patterns_and_lists_open_the_same_files(served, monkeypatch):
    monkeypatch.chdir(served.folder)
    pattern = sources.open_source("{train-{0,1},test-0}.tar")
    assert Path(str(pattern.setting).partition("{")[0]) == served.folder
    (served.folder / "all.txt").write_text("test-0.tar\ntrain-0.tar\n" + f"{served.url}/train-1.tar\n")
    listed = sources.open_source(served.folder / "all.txt")
    assert [row["text"] for row in _rows(listed)] == [row["text"] for row in _rows(pattern)] == make.TEXTS
    assert listed.fingerprint == pattern.fingerprint


def test_processes_that_start_together_walk_through_a_shard_once(served, monkeypatch):
    walk, walked, found = shard_index.walk, [], []
    monkeypatch.setattr(
        shard_index, "walk", lambda shard, *more: (walked.append(shard), walk(shard, *more))[1]
    )
    address = f"{served.url}/train-0.tar"
    starters = [
        threading.Thread(target=lambda: found.append(shard_index.read_all([address]))) for _ in range(3)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert walked == [address] and found[0] == found[1] == found[2]


def test_a_large_shard_on_this_machine_is_walked_once_too(tmp_path, monkeypatch):
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shard_index, "WORTH_KEEPING", 4)
    small, large = (make.shard(tmp_path / f"{n}.tar", make.samples(rows=range(n))) for n in (1, 3))
    found = shard_index.read_all([str(small), str(large)])
    assert len([*(tmp_path / "cache" / "shards").iterdir()]) == 1
    walk, walked = shard_index.walk, []
    monkeypatch.setattr(
        shard_index, "walk", lambda shard, *more: (walked.append(shard), walk(shard, *more))[1]
    )
    assert shard_index.read_all([str(small), str(large)]) == found and walked == [str(small)]
    make.shard(large, make.samples(rows=range(2)))
    assert len(shard_index.read_all([str(large)])[0].members) == 4
    with pytest.raises(DataError, match=r"cannot open the shard .*/9.tar \(No such file or directory\)"):
        shard_index.read_all([str(tmp_path / "9.tar")])


def test_many_members_are_walked_in_a_few_requests_and_kept_whole(served):
    count = 300
    members = {
        f"{number:04d}.{end}": f"{number} {end}".encode() for number in range(count) for end in ("jpg", "txt")
    }
    make.shard(served.folder / "many.tar", members)
    (shard,) = shard_index.read_all([f"{served.url}/many.tar"])
    assert [member.name for member in shard.members] == list(members)
    assert len(served.asked) < 12
    (again,) = shard_index.read_all([f"{served.url}/many.tar"])
    assert again == shard
    os.utime(served.folder / "many.tar", (1, 1))
    (moved,) = shard_index.read_all([f"{served.url}/many.tar"])
    assert moved.members == shard.members and moved.file.mark != shard.file.mark


def test_cleaning_reads_remote_pictures_once_and_tells_a_lost_network_from_a_broken_picture(served):
    members = make.samples(rows=range(2)) | {"broken.jpg": b"no picture", "broken.txt": b"words"}
    make.shard(served.folder / "train-0.tar", members)
    broken = sources.open_source(_pattern(served))
    served.answers += ["as usual"] * 3 + [404]  # a look at each shard, then the first picture
    with pytest.raises(UnreachableError, match=r"/train-0.tar is not there \(404"):
        sources.open_source(_pattern(served), drop_unreadable=True, workers=0)
    assert not list((outputs.cache_folder() / "cleaning").glob("*.json"))
    served.answers.clear()
    for _ in range(2):
        served.asked.clear()
        source = sources.open_source(_pattern(served), drop_unreadable=True, workers=0)
        assert [one.name for one in source.dropped] == ["broken.jpg"]
        assert len(source.train) == len(broken.train) - 1
    assert [(start, end) for _, start, end in served.asked] == [(0, 0)] * 3
