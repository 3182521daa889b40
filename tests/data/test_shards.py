"""Shards that are not what they seem: cut short, put together from several, without a version."""

from __future__ import annotations

import io
import tarfile
import threading
import time

import pytest

from fsynth.data import remote, shard_index, sources
from fsynth.errors import DataError
from tests.data import make_fixture, range_server
from tests.data import make_sources as make


def _rows_streamed(file) -> int:
    return sum(1 for part in sources.load_dataset(file, streaming=True).values() for _ in part)


@pytest.mark.parametrize("suffix", ["jpg", "txt"])
@pytest.mark.parametrize("apart", [False, True])
def test_a_name_that_a_shard_gives_twice_is_refused(tmp_path, suffix, apart):
    """Or the sentence of one picture would be trained with another picture."""
    members = [("a.jpg", make_fixture.jpeg(0)), ("a.txt", b"a red dress")]
    others = [("b.jpg", make_fixture.jpeg(1)), ("b.txt", b"a blue tee")] if apart else []
    again = [
        (f"a.{end}", b) for end, b in (("jpg", make_fixture.jpeg(2)), ("txt", b"a coat")) if end == suffix
    ]
    file = tmp_path / "0.tar"
    with tarfile.open(file, "w") as tar:
        for name, content in (*members, *others, *again):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    told = f"there are several a in {file}; give each sample a name of its own"
    with pytest.raises(DataError) as error:
        sources.open_source(file)
    assert str(error.value) == told
    with pytest.raises(DataError) as error:
        _rows_streamed(file)
    assert str(error.value) == told


def test_a_shard_that_is_cut_anywhere_is_noticed(tmp_path):
    """At the end of a member, in a header or in padding, too, where tarfile stops without a word."""
    whole = make.shard(tmp_path / "whole.tar", make.samples()).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        ends = [info.offset for info in tar][1:]
        end = tar.offset
    cut = tmp_path / "cut.tar"
    for length in (*ends, ends[1] + 200, ends[2] - 1, end):
        cut.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cannot read the shard .*cut\.tar .*(cut off|end of data)"):
            list(shard_index.walk(str(cut)))
    cut.write_bytes(whole[: end + 512])
    assert len(list(shard_index.walk(str(cut)))) == len(make.samples())


def test_a_server_that_tells_no_version_is_asked_anew(tmp_path, monkeypatch):
    """A new shard of the same size would get the sentences of the old one."""
    monkeypatch.setattr(remote, "WAITS", (0.0,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "files"
    texts = {}
    with range_server.serve(folder) as served:
        served.etags = False
        for color in ("red", "tan"):
            members = {f"{n}.{end}": make_fixture.jpeg(n) for n in range(3) for end in ("jpg",)}
            members |= {f"{n}.txt": f"a {color} dress".encode() for n in range(3)}
            make.shard(folder / "train.tar", members)
            source = sources.open_source(f"{served.url}/train.tar")
            texts[color] = set(source.train["text"])
            assert source.describe.endswith("read anew each time, as its server tells no version of a file")
    assert texts == {"red": {"a red dress"}, "tan": {"a tan dress"}}


def test_walks_that_nobody_waits_for_end(tmp_path):
    stop = threading.Event()
    file = make.shard(tmp_path / "0.tar", make.samples())
    stop.set()
    with pytest.raises(DataError):
        shard_index._read(str(file), stop)


def test_a_server_that_is_busy_keeps_nobody_who_gave_up(tmp_path, monkeypatch):
    """One shard is not there; the other's server asks for a minute's patience."""
    monkeypatch.setattr(remote, "WAITS", (60.0,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    begun = time.monotonic()
    with range_server.serve(tmp_path) as served, range_server.serve(tmp_path) as busy:
        busy.answers += [503]
        with pytest.raises(DataError, match=r"/gone\.tar is not there"):
            shard_index.read_all([f"{served.url}/gone.tar", f"{busy.url}/0.tar"])
    assert time.monotonic() - begun < 20
