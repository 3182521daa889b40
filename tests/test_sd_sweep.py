"""The sweep over numbers of pictures: a row a run, runs that are there are not made again."""

from __future__ import annotations

import json

import pytest

from fsynth import cli
from scripts import sd_sweep

FOUND = {"before": 0.5, "after": 0.45, "low": -0.06, "high": -0.04, "verdict": "better", "rows": 8}


def _write(folder, found=FOUND):
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    steps = [{"step": step, "loss": step / 100} for step in range(1, 8)]
    lines = [{"step": 0, "epoch": 0}, *steps, {"step": 7, "epoch": 5}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "result.json").write_text(json.dumps({"images": 1000, "steps": 7, "validation": found}))


@pytest.fixture
def asked(monkeypatch):
    """What the command line is asked for; it writes a finished run."""
    calls = []

    def run(words):
        calls.append(words)
        where = sd_sweep.Path(words[-1])
        _write(where)
        return 0

    monkeypatch.setattr(cli, "run", run)
    return calls


def test_each_size_is_a_run_and_a_row(asked, tmp_path, capsys):
    assert sd_sweep.main(["--output", str(tmp_path), "--sizes", "20,100", "--", "--data", "drawn"]) == 0
    recipe = ["sd-train", "--recipe", str(sd_sweep.RECIPE), "--data", "drawn"]
    assert asked == [
        [*recipe, "--n-images", size, "--output", str(tmp_path / size)] for size in ("20", "100")
    ]
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "sweep.md").read_text()
    row = "| 1,000 | 7 | 5 times | 0.0300 0.0400 0.0500 0.0600 0.0700 | 0.50000 → 0.45000 | "
    assert shown.splitlines()[2] == row + "-10.00 % (-12.00 to -8.00 %) | better, 8 rows |"


def test_a_whole_run_is_kept_and_a_broken_one_taken_up(asked, tmp_path):
    _write(tmp_path / "20")
    (tmp_path / "100" / "checkpoints").mkdir(parents=True)
    (tmp_path / "100" / "checkpoints" / "step-00000004.pt").touch()
    assert sd_sweep.main(["--output", str(tmp_path), "--sizes", "20,100", "--recipe", "none"]) == 0
    assert asked == [["sd-train", "--resume", str(tmp_path / "100")]]


def test_a_run_that_fails_ends_the_sweep_with_its_code(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "run", lambda words: 75)
    assert sd_sweep.main(["--output", str(tmp_path), "--sizes", "20"]) == 75
    assert not (tmp_path / "sweep.md").exists()


def test_a_run_without_validation_says_so(tmp_path):
    _write(tmp_path / "20", found=None)
    assert sd_sweep.row_of(tmp_path / "20").endswith("| not measured | not measured | not measured |")
