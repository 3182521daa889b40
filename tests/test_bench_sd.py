"""The benchmark against diffusers' example scripts: both sides are run and clocked, bars are judged."""

from __future__ import annotations

import pytest

from scripts import bench_sd

CASE = {"size": 128, "batch": 4, "precision": "no", "steps": 8, "warm_up": 2}
SCRIPT = """
import argparse, torch
parser = argparse.ArgumentParser()
parser.add_argument("--max_train_steps", required=True)
given, others = parser.parse_known_args()
assert all(other.startswith("--") and "=" in other for other in others) and "--train_batch_size=4" in others
weight = torch.nn.Parameter(torch.ones(()))
optimizer = torch.optim.SGD([weight], lr=0.1)
for _ in range(int(given.max_train_steps)):
    weight.grad = torch.ones(())
    optimizer.step()
print("a script may print what it likes")
"""


def test_a_script_is_clocked_without_being_changed(tmp_path, capsys):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    job = {**CASE, "side": "script", "script": str(script), "method": "full", "round": 0}
    found = bench_sd._apart({**job, "model": "m", "data": "d", "place": str(tmp_path)})
    assert found["rate"] > 0 and found["peak_gib"] > 0 and found["cpu"] >= 0


def test_a_script_that_fails_ends_the_benchmark_with_its_last_line(tmp_path):
    (tmp_path / "train.py").write_text("raise RuntimeError('no such option')")
    job = {**CASE, "side": "script", "script": str(tmp_path / "train.py"), "method": "full", "round": 0}
    with pytest.raises(SystemExit, match=r"bench_sd: script \(full\) failed: RuntimeError: no such option"):
        bench_sd._apart({**job, "model": "m", "data": "d", "place": str(tmp_path)})


def _rounds(*rates):
    return [{"rate": rate, "cpu": 1 / rate, "peak_gib": 1.0} for rate in rates]


@pytest.mark.parametrize(
    ("cached", "plain", "missed"),
    [
        ((1.3, 1.4, 1.5), (1.0, 1.1, 1.2), []),
        ((1.1, 1.2, 1.5), (1.0, 1.1, 1.2), ["fsynth"]),
        ((1.3, 1.4, 1.5), (0.8, 0.9, 1.2), ["fsynth, nothing cached"]),
    ],
)
def test_bars_are_judged_by_the_median_of_rounds(capsys, cached, plain, missed):
    found = {
        "fsynth": _rounds(*cached),
        "fsynth, nothing cached": _rounds(*plain),
        "script": _rounds(1, 1, 1),
    }
    assert bench_sd.show("full", CASE, found) == missed
    assert "fsynth over script" in capsys.readouterr().out


def test_the_bound_is_that_of_true_size():
    assert bench_sd.bound("full") == pytest.approx(1.47, abs=0.005)
    assert bench_sd.bound("lora") == pytest.approx(1.66, abs=0.005)
