from __future__ import annotations

import errno
import json
import os
import zipfile

import pytest

from fsynth import cli
from fsynth.data import drawn_archive

QUICK = ["--rows", "12", "--size", "32", "--workers", "0"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_prints_the_folder_it_wrote(here, capsys):
    assert cli.run(["data-make", "--output", "drawn", *QUICK]) == 0
    assert capsys.readouterr().out.strip() == "drawn"
    assert sorted(path.name for path in here.rglob("*") if path.is_file()) == [
        "README.txt",
        "boxes.jsonl",
        "img.zip",
        "ind.mat",
        "language_original.mat",
        "password.txt",
    ]


def test_the_result_counts_rows_and_bytes(here, capsys):
    assert cli.run(["data-make", "--held-out", "5", "--hdf5", "--json", *QUICK]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["train"], result["test"]) == (12, 7, 5)
    assert result["folder"].startswith("runs/data-make-")
    files = [path for path in (here / result["folder"]).rglob("*") if path.is_file()]
    assert result["bytes"] == sum(path.stat().st_size for path in files)
    assert "G2.h5" in {path.name for path in files}


def test_a_disk_without_room_for_the_hdf5_is_refused_before_drawing(here, capsys, monkeypatch):
    def full(descriptor, start, size):
        assert (start, size) == (0, 12 * 32 * 32 * 4)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert cli.run(["data-make", "--output", "drawn", "--hdf5", *QUICK]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[0].endswith("; G2.h5 takes 0.0 MiB more while it is made") and len(said) == 2
    assert said[1].startswith(
        "fsynth: G2.h5 needs 49,152 bytes beside itself while it is made, and the disk has not as many (No "
        "space left on device); free some, draw fewer rows, or choose another --output"
    )
    assert not list(here.rglob("*"))


def test_a_file_system_that_cannot_take_room_is_used_without(here, monkeypatch):
    def unknown(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    assert cli.run(["data-make", "--output", "drawn", "--hdf5", *QUICK]) == 0
    assert sorted(path.name for path in (here / "drawn/Img").iterdir()) == ["G2.h5", "img.zip"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "Can't write chunk"), RuntimeError("disk is full")])
def test_a_disk_that_fills_up_is_one_line(here, capsys, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(drawn_archive, "_chunk", fail)
    assert cli.run(["data-make", "--output", "drawn", "--hdf5", *QUICK]) == 1
    told = "disk is full" if isinstance(error, RuntimeError) else "No space left on device"
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("fsynth: cannot write") and f"G2.h5 ({told}); choose another --output" in last
    assert not list(here.rglob("*"))


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(here, capsys):
    (here / "mine").mkdir()
    (here / "mine/notes.txt").write_text("keep")
    assert cli.run(["data-make", "--output", "mine", *QUICK]) == 1
    assert "mine is not empty" in capsys.readouterr().err
    assert [path.name for path in here.rglob("*")] == ["mine", "notes.txt"]


def test_a_password_file_encrypts_and_is_not_shown(here, capsys):
    (here / "secret").write_text("tulip-27\n")
    assert cli.run(["data-make", "--output", "drawn", "--password-file", "secret", *QUICK]) == 0
    seen = capsys.readouterr()
    assert "tulip-27" not in seen.out + seen.err
    with zipfile.ZipFile("drawn/Img/img.zip") as file:
        first = file.namelist()[0]
        assert file.read(first, pwd=b"tulip-27")[:2] == b"\xff\xd8"
        with pytest.raises(RuntimeError):
            file.read(first, pwd=b"fsynth")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--annotations", "nowhere"], "no folder nowhere"),
        (["--annotations", "nowhere", "--held-out", "3"], "leave one out"),
        (["--held-out", "12"], "leaves no rows"),
        (["--password-file", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(here, capsys, arguments, told):
    assert cli.run(["data-make", "--output", "drawn", *QUICK, *arguments]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("fsynth: ") and told in error
    assert not list(here.rglob("*"))
