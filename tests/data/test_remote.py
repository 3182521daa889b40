"""Parts of files elsewhere: what a server says, what passes, what has changed; `Window` against the bytes."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest

from fsynth.data import remote
from fsynth.errors import DataError, MissingPackage
from tests.data import range_server

CONTENT = bytes(np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8))


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "file.bin").write_bytes(CONTENT)
    with range_server.serve(tmp_path) as server:
        yield server


def _look(served, query: str = "") -> remote.RemoteFile:
    return remote.look(f"{served.url}/file.bin{query}")


def test_parts_are_the_bytes_of_the_file(served):
    file = _look(served)
    assert file.size == len(CONTENT)
    for start, length in ((0, 1), (17, 1000), (len(CONTENT) - 5, 5), (len(CONTENT) - 5, 100), (3, 0)):
        assert file.read(start, length) == CONTENT[start : start + length]
    assert served.asked[1][1:] == (0, 0) and served.asked[2][1:] == (17, 1016)


@pytest.mark.parametrize("answers", [[503, 429], ["hang up"], ["cut", 500]])
def test_what_may_pass_is_tried_again(served, answers):
    file = _look(served)
    served.answers += answers
    assert file.read(10, 5000) == CONTENT[10:5010]
    assert len(served.asked) == 2 + len(answers)


def test_a_server_may_ask_to_wait(served, monkeypatch):
    waited = []
    monkeypatch.setattr(remote.time, "sleep", waited.append)
    served.answers += [429]
    served.headers["Retry-After"] = "7"
    _look(served)
    assert waited == [7.0]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "{url}/file.bin is not there (404 Not Found); check the address"),
        (
            403,
            "{url}/file.bin may not be read (403 Forbidden); check the rights, ~/.netrc, or a signature: "
            "give --data again with a new one, as run.yaml keeps none",
        ),
        (
            503,
            "cannot read {url}/file.bin after 3 tries (the server answers 503 Service Unavailable); check "
            "the address and the network, or try again later",
        ),
        (400, "{url}/file.bin cannot be read (the server answers 400 Bad Request); check the address"),
    ],
)
def test_what_does_not_pass_is_one_line_without_the_query(served, status, message):
    served.answers += [status] * 3
    with pytest.raises(DataError) as error:
        _look(served, "?signature=secret")
    assert str(error.value) == message.format(url=served.url)


def test_a_server_without_ranges_and_an_empty_file_are_refused(served):
    (served.folder / "empty").touch()
    with pytest.raises(DataError, match=r"/empty is empty, or shorter than it was \(416"):
        remote.look(f"{served.url}/empty")
    served.ranges = False
    with pytest.raises(DataError, match=r"the server of .*/file.bin sends whole files only \(no range req"):
        _look(served)


def test_nobody_there_is_one_line(served, monkeypatch):
    with range_server.serve(served.folder) as gone:
        address = f"{gone.url}/file.bin"
    with pytest.raises(DataError) as error:
        remote.look(address)
    assert str(error.value) == (
        f"cannot read {address} after 3 tries (Connection refused); check the address and the network, or "
        "try again later"
    )


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_changed_is_refused(served, etags):
    """Without a version the size alone tells."""
    served.etags = etags
    file = _look(served)
    (served.folder / "file.bin").write_bytes(CONTENT[::-1] if etags else CONTENT[1:])
    os.utime(served.folder / "file.bin", (1, 1))
    with pytest.raises(DataError, match=r"/file.bin has changed since it was opened; start again"):
        file.read(0, 10)


def test_a_window_reads_as_a_file(served):
    """Random reads and seeks, near and far, against the same on the bytes themselves."""
    window, plain = remote.Window(_look(served)), io.BytesIO(CONTENT)
    draw = np.random.default_rng(1)
    for _ in range(200):
        if draw.random() < 0.3:
            place = int(draw.integers(0, len(CONTENT)))
            assert window.seek(place) == plain.seek(place)
        count = int(draw.choice([1, 512, 5000, 200_000]))
        assert window.read(count) == plain.read(count)
        assert window.tell() == plain.tell()
    assert window.seek(0, io.SEEK_END) == len(CONTENT) and window.read(1) == b""


def test_a_window_reads_ahead_when_read_to_the_end_and_little_when_jumping(served, monkeypatch):
    monkeypatch.setattr(remote, "LEAST_WINDOW", 1000)
    window = remote.Window(_look(served))
    while window.read(512):
        pass
    assert len(served.asked) < 12  # windows of 1,000, 2,000, 4,000 ... bytes
    served.asked.clear()
    window = remote.Window(_look(served))
    for place in range(0, 300_000, 100_000):
        window.seek(place)
        window.read(512)
    assert sum(end + 1 - start for _, start, end in served.asked) < 10_000


def test_other_schemes_come_through_fsspec():
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/shards/file.bin", CONTENT)
    try:
        file = remote.look("memory://shards/file.bin")
        assert file.read(7, 100) == CONTENT[7:107] and file.size == len(CONTENT)
        files.pipe("/shards/file.bin", CONTENT[1:])
        assert remote.look("memory://shards/file.bin").mark != file.mark
        with pytest.raises(DataError, match="has changed since it was opened"):
            file.read(7, 100)
    finally:
        files.rm("/shards", recursive=True)
    with pytest.raises(DataError, match=r"memory://shards/gone is not there; check the address"):
        remote.look("memory://shards/gone")


def test_a_scheme_that_needs_a_package_names_it():
    with pytest.raises(MissingPackage) as error:
        remote.look("gs://bucket/train-0.tar")
    assert str(error.value) == "gs:// needs a package that is not installed: pip install gcsfs"
    with pytest.raises(DataError, match=r"nothing here reads nosuch://; use https:// or a path"):
        remote.look("nosuch://bucket/0.tar")


@pytest.mark.parametrize("told", [{"xet_hash": "a"}, {"blob_id": "a"}, {"ETag": "a"}])
def test_a_version_is_whatever_a_storage_tells(monkeypatch, told):
    """The hub tells `blob_id` and `xet_hash`, no ETag."""
    from fsspec.implementations.memory import MemoryFileSystem

    files = MemoryFileSystem()
    files.pipe("/versions/file.bin", CONTENT)
    about = {"name": "/versions/file.bin", "size": len(CONTENT), "type": "file"}
    marks = []
    try:
        for version in (told, dict.fromkeys(told, "b"), {}):
            monkeypatch.setattr(MemoryFileSystem, "info", lambda *_, now=version, **__: about | now)
            file = remote.look("memory://versions/file.bin")
            assert file.versioned == bool(version)
            marks.append(file.mark)
    finally:
        monkeypatch.undo()
        files.rm("/versions", recursive=True)
    assert len({*marks}) == 3
