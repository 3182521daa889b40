"""What is wrong with opened data of other kinds; the benchmark's: tests/commands/test_data_check.py."""

from __future__ import annotations

import pytest

from fsynth.data import inspection, layout, picture_files, sources, zip_writer
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
