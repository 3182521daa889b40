"""What is wrong with opened data of other kinds; the benchmark's: tests/commands/test_data_check.py."""

from __future__ import annotations

from fsynth.data import inspection, sources
from tests.data import make_flaws, make_sources

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
