"""The benchmark against open_clip's loop runs both loops and says what it measured."""

from __future__ import annotations

import json

import pytest

from scripts import bench_clip
from scripts.bench_clip import Case, Speed

CASE = Case("small", "short", "no", 8, None, 0, 5)


def speeds(*ratios):
    return [{"open_clip": Speed(10, 5, 0), "fsynth": Speed(10 * by, 5 * by, 0)} for by in ratios]


def test_both_loops_are_run_and_timed(tmp_path, monkeypatch, capsys):
    pytest.importorskip("open_clip_train.train", exc_type=ImportError)
    monkeypatch.setattr(bench_clip, "TOWER", {"width": 64, "layers": 1})
    sizes = ["--size", "32", "--batch", "4", "--micro-batch", "2", "--steps", "2", "--rounds", "1"]
    bench_clip.main([*sizes, "--sentences", "short", "--json", str(tmp_path / "numbers.json")])
    (found,) = json.loads((tmp_path / "numbers.json").read_text())
    assert found["case"]["batch"] == 4 and found["case"]["micro_batch"] == 2
    assert all(found["rounds"][0][side]["cpu"] > 0 for side in ("open_clip", "fsynth"))
    said = capsys.readouterr().out
    assert "small, short sentences, no, batch 4 in parts of 2, 1 rounds of 1 steps" in said


@pytest.mark.parametrize(
    ("ratios", "slower"), [((0.9, 0.9, 0.95, 0.99), True), ((0.9, 1.0, 1.1, 1.2), False)]
)
def test_slower_is_who_is_slower_in_three_quarters_of_the_rounds(capsys, ratios, slower):
    assert bench_clip.show(CASE, speeds(*ratios)) is slower
    assert "ratio 0.9" in capsys.readouterr().out or not slower
