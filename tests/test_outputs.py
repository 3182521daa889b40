"""Output folders: complete or absent, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from fsynth import outputs
from fsynth.errors import OutputError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_full_disk_is_recognised_behind_the_errors_of_writers(tmp_path):
    torch_like = RuntimeError("unexpected pos 704 vs 598")  # as torch.save ends, the reason behind it
    torch_like.__context__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert outputs.write_problem(torch_like) == "No space left on device"
    rust = RuntimeError("I/O error: No space left on device (os error 28)")  # as safetensors puts it
    assert outputs.write_problem(rust) == "No space left on device"
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert outputs.write_problem(denied) == f"{tmp_path}: Permission denied"
    assert outputs.write_problem(ValueError("No")) is None


def test_a_text_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        outputs.write_text(tmp_path / "a.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_text_file_that_is_stopped_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        outputs.write_text(tmp_path / "a.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_whole_when_the_block_ends(here):
    with outputs.whole_folder(None, "sample") as (staging, final):
        (staging / "a.txt").write_text("a")
        assert not list(final.iterdir())
    assert final.parent.name == "runs" and final.name.startswith("sample-") and final.name.endswith("-1")
    assert sorted(path.name for path in here.rglob("*")) == sorted(["runs", final.name, "a.txt"])


@pytest.mark.parametrize("output", [None, "new", "deep/er/new"])
def test_an_error_leaves_nothing_not_even_the_folders_above(here, output):
    with (
        pytest.raises(KeyboardInterrupt),
        outputs.whole_folder(output and here / output, "sample") as (staging, _),
    ):
        (staging / "a.txt").write_text("a")
        raise KeyboardInterrupt
    assert not list(here.iterdir())


def test_an_error_leaves_an_empty_folder_and_other_runs_where_they_were(here):
    (here / "mine").mkdir()
    (here / "runs" / "older").mkdir(parents=True)
    for output in (here / "mine", None):
        with pytest.raises(ZeroDivisionError), outputs.whole_folder(output, "sample"):
            raise ZeroDivisionError
    assert sorted(path.name for path in here.rglob("*")) == ["mine", "older", "runs"]


@pytest.mark.parametrize("output", [None, "new", "deep/er/new"])
def test_a_claim_that_is_taken_back_leaves_nothing_that_it_made(here, output):
    claim = outputs.claim_folder(output and Path(output), "sd-train")
    (claim.folder / "model").mkdir()
    (claim.folder / "model" / "weights").write_text("w")
    (claim.folder / "run.yaml").write_text("r")
    claim.take_back()
    assert not list(here.iterdir())


def test_a_claim_that_is_taken_back_leaves_an_empty_folder_and_other_runs_where_they_were(here):
    (here / "mine").mkdir()
    (here / "runs" / "older").mkdir(parents=True)
    for output in (Path("mine"), None):
        claim = outputs.claim_folder(output, "sd-train")
        (claim.folder / "run.yaml").write_text("r")
        claim.take_back()
    assert sorted(path.name for path in here.rglob("*")) == ["mine", "older", "runs"]


def test_two_that_choose_the_same_name_at_once_get_two_folders(here, monkeypatch):
    first = outputs.choose_folder(None, "sample")
    free = outputs.choose_folder(None, "sample").with_name("free")
    names = iter([first, first, free])
    monkeypatch.setattr(outputs, "_new_name", lambda stem: next(names))
    assert [outputs.claim_folder(None, "sample").folder for _ in range(2)] == [first, free]


def test_only_a_writer_that_is_denied_has_an_output_problem(tmp_path, monkeypatch):
    (tmp_path / "there").write_text("")
    allowed = {tmp_path: os.X_OK}
    monkeypatch.setattr(os, "access", lambda path, mode: allowed.get(Path(path), 0) & mode == mode)
    for name, problem in (("there", None), ("new", f"{tmp_path / 'new'}: Permission denied")):
        denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / name))
        assert outputs.write_problem(denied) == problem
    allowed[tmp_path / "there"] = os.R_OK
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "there"))
    assert outputs.write_problem(denied) == f"{tmp_path / 'there'}: Permission denied"


def test_two_at_a_time_get_two_folders():
    with outputs.whole_folder(None, "sample") as (_, one), outputs.whole_folder(None, "sample") as (_, two):
        pass
    assert one != two and one.is_dir() and two.is_dir()


def test_a_folder_that_somebody_filled_meanwhile_is_not_touched(here):
    with (
        pytest.raises(OutputError, match=r"cannot write .*mine"),
        outputs.whole_folder(here / "mine", "sample") as (_, final),
    ):
        (final / "theirs.txt").write_text("keep")
    assert sorted(path.name for path in here.rglob("*")) == ["mine", "theirs.txt"]


@pytest.mark.parametrize(
    ("output", "told"), [("file", "is a file"), ("file/under", "is a file"), ("x" * 300, "too long")]
)
def test_a_place_that_cannot_be_a_folder_is_one_line(here, output, told):
    (here / "file").write_text("")
    with pytest.raises(OutputError, match=told):
        outputs.choose_folder(here / output, "sample")


def test_everything_is_on_the_disk_before_it_has_its_name(here, monkeypatch):
    flushed, fsync = {}, os.fsync

    def watched(descriptor):
        flushed[os.fstat(descriptor).st_ino] = (here / "final").exists() and any((here / "final").iterdir())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with outputs.whole_folder(here / "final", "sample") as (staging, final):
        (staging / "deep").mkdir()
        (staging / "deep" / "b.txt").write_text("b")
        outputs.write_text(staging / "a.txt", "a")
    places = [final, *final.rglob("*")]
    assert len(places) == 4 and not any(flushed[place.stat().st_ino] for place in places)
    assert flushed[here.stat().st_ino]  # and the name itself


def test_a_file_system_that_cannot_flush_folders_will_do(here, monkeypatch):
    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    outputs.write_text(here / "a.txt", "a")
    assert (here / "a.txt").read_text() == "a"
