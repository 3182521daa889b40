"""What is wrong with opened data of other kinds; the benchmark's: tests/commands/test_data_check.py."""

from __future__ import annotations

import os
import signal
from unittest.mock import Mock

import pytest

from fsynth import cli
from fsynth.data import inspection, layout, picture_files, scan, sources, zip_writer
from fsynth.errors import DataError
from tests.data import make_fixture, make_flaws, make_sources

PICTURES = {"train": (0, 1, 2), "validation": (0, 4, 5), "test": (4, 7, 8)}


def test_validation_rows_are_a_side_of_their_own(tmp_path):
    for side, numbers in PICTURES.items():
        rows = [{"file_name": f"{place}.jpg", "text": f"a {side} dress {place}."} for place in range(3)]
        make_sources.jsonl(tmp_path / side, rows)
        for place, number in enumerate(numbers):
            (tmp_path / side / f"{place}.jpg").write_bytes(make_flaws.jpeg(make_flaws.texture(number)))
    report = inspection.inspect_source(sources.open_source(tmp_path))
    across = [finding for finding in report.findings if finding.check == "exact-duplicates-across-splits"]
    assert [finding.level for finding in across] == ["warning", "warning"]
    assert "in train and validation rows" in across[0].text
    assert "in validation and test rows" in across[1].text


LEAVING = ["/etc/passwd", "../up.jpg", "img/../../up.jpg", "C:/windows.jpg", "a/../C:x.jpg", ".."]
STAYING = ["Good..Dress/img_1.jpg", "img/a/../b.jpg", "1:1/a.jpg", "..a/b.jpg"]


def test_members_that_would_leave_their_folder_are_those_that_are_not_read(no_password, tmp_path):
    make_fixture.write_annotation(tmp_path)
    file = tmp_path / "img.zip"
    members = [(name, make_fixture.jpeg(0)) for name in LEAVING + STAYING]
    zip_writer.write_encrypted_zip(file, members, make_fixture.PASSWORD)
    report = inspection.inspect(layout.find(tmp_path), None, 0, lambda _: make_fixture.PASSWORD)
    (found,) = (finding for finding in report.findings if finding.check == "zip-slip")
    assert found.level == "error" and found.count == len(LEAVING)
    for name, path in zip(LEAVING + STAYING, picture_files.zip_paths(file, LEAVING + STAYING), strict=True):
        if name in LEAVING:
            with pytest.raises(DataError, match="named to leave"):
                picture_files.read(path)
        else:
            assert picture_files.read(path) == make_fixture.jpeg(0)


def _check(data, workers, capsys):
    """Lines of an ended `fsynth data-check`."""
    assert cli.run(["data-check", "--data", str(data), "--workers", str(workers)]) == 1
    said = capsys.readouterr().err.rstrip().splitlines()
    assert not any("verdict" in line or "Traceback" in line for line in said)
    return said


@pytest.mark.parametrize("workers", [0, 1])
def test_a_disk_that_fails_is_no_fault_of_the_data(no_password, tmp_path, monkeypatch, capsys, workers):
    monkeypatch.setattr("fsspec.open", Mock(side_effect=OSError(5, "Input/output error")))
    last = _check(make_flaws.folder(tmp_path), workers, capsys)[-1]
    assert last.startswith("fsynth: cannot read ") and "now (Input/output error), which says" in last


def test_a_killed_process_is_no_fault_of_the_data(no_password, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scan, "_describe", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    last = _check(make_flaws.folder(tmp_path), 1, capsys)[-1]
    assert last.startswith("fsynth: a process that read pictures has ended (")


def test_an_archive_that_cannot_be_read_now_ends_the_check(no_password, tmp_path, monkeypatch, capsys):
    make_flaws.archive(tmp_path)
    monkeypatch.setattr("os.pread", Mock(side_effect=OSError(116, "Stale file handle")))
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", make_fixture.PASSWORD.decode())
    last = _check(tmp_path, 0, capsys)[-1]
    assert last.startswith(f"fsynth: cannot read {tmp_path}/Img/img.zip now (Stale file handle), which says")
