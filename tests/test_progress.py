"""What a run says of its pace: waiting, rates without validation, memory, operations."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
import torch

from fsynth import progress
from fsynth.progress import Progress, Work
from fsynth.run import Run

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when it is told to."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now.seconds)
    return now


def _pass(clock, seconds):
    clock.seconds += seconds


def _progress(**settings):
    return Progress("training", 0, 10, device=CPU, shown=False, **{"workers": 0, **settings})


def _batches(clock, count, reading):
    for number in range(count):
        _pass(clock, reading)
        yield number


def test_reading_counts_and_validation_does_not(clock):
    pace = _progress()
    for number in pace.timed(_batches(clock, 4, reading=1.0)):
        _pass(clock, 3.0)
        pace.end(8, leaves=number == 3)
        if number == 3:
            _pass(clock, 1000.0)  # validation
        pace.made(16)
    found = pace.figures()
    assert found["pictures_per_second"] == pytest.approx(4 * 16 / 16) and found["waiting_for_data"] == 0.25
    pace.leave()
    _pass(clock, 50.0)  # a checkpoint
    pace.back()
    _pass(clock, 2.0)
    pace.made(16)
    found = pace.figures()
    assert found["pictures_per_second"] == pytest.approx(8) and found["waiting_for_data"] == 0


@pytest.mark.parametrize(
    ("workers", "reading", "says"),
    [
        (
            0,
            2.0,
            "takes 40% of the time: raise --workers (it is 0; there are 4 cores for it)",
        ),
        (
            4,
            2.0,
            "takes 40% of the time, with --workers 4 on 4 cores; --cache-images memory may help",
        ),
        (0, 0.5, ""),
    ],
)
def test_what_is_waited_for_is_said_once_and_at_the_end(clock, capsys, monkeypatch, workers, reading, says):
    monkeypatch.setattr(progress.machine, "cores", lambda: 4)
    pace = _progress(workers=workers)
    for _ in pace.timed(_batches(clock, 10, reading)):
        _pass(clock, 3.0)
        pace.made(2)
        pace.show(0.5, 1e-4, pace.figures())
    notes = capsys.readouterr().err
    assert notes.count("note: ") == bool(says) and says in notes
    pace.sum_up()
    total = capsys.readouterr().err
    rate = "0.4" if reading == 2.0 else "0.571"
    assert total.startswith(f"speed: {rate} pictures/s; peak memory of this process ") and says in total
    assert total.count("\n") == 1


def test_a_run_that_makes_no_step_says_nothing_of_its_speed(capsys):
    _progress().sum_up()
    assert capsys.readouterr().err == ""


def test_the_bar_shows_loss_rate_speed_and_memory(capsys):
    pace = Progress("training", 0, 10, device=CPU, workers=0, shown=True)
    pace.work = Work(peak=1000.0, devices=2)
    pace.work.each = 100.0
    time.sleep(0.01)
    pace.made(4)
    pace.show(0.123456, 5e-5, {"pictures_per_second": 10.0, "peak_memory_gib": 3.21, "mfu": 0.5})
    pace.close()
    shown = capsys.readouterr().err
    assert "loss=0.1235, lr=5e-05, pictures/s=10, GiB=3.2, MFU=50%" in shown and "1/10" in shown


def test_operations_are_those_of_forward_and_backward():
    """Of a linear layer: 2 x rows x in x out forward, as much again for the weights and for the input."""
    layer, work = torch.nn.Linear(32, 64), Work(peak=1e6, devices=2)
    given = torch.randn(8, 32, requires_grad=True)
    assert work.share(10.0) is None
    for _ in range(2):  # the second is not counted
        work.begin()
        layer(given).sum().backward()
        work.end(8)
    assert work.each == 3 * 2 * 32 * 64
    assert work.share(100.0) == pytest.approx(100 * work.each / 2e6)


def test_counting_ends_where_an_error_comes_in_between():
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    work = Work(peak=1.0, devices=1)
    work.begin()
    assert _get_current_dispatch_mode_stack()
    work.close()
    assert not _get_current_dispatch_mode_stack() and work.share(1.0) is None


def test_the_speed_of_products_is_that_of_the_device():
    """A CPU core makes between 1 and 1,000 billion operations a second."""
    assert 1e9 < progress.matmul_speed(CPU, torch.float32, side=128, seconds=0.05) < 1e13


def test_compiled_models_are_known():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    assert not progress.is_compiled([model])
    model[0].compile()
    assert progress.is_compiled([model])


def test_gpu_marks_are_read_as_seconds():
    event = SimpleNamespace(elapsed_time=lambda other: other - 3.0)
    assert progress._between(event, 2503.0) == 2.5


class Rows:
    def __len__(self):
        return 8

    def __getitem__(self, pick):
        return {"x": torch.ones(3)}


def test_a_run_logs_its_pace_and_says_it_at_the_end(tmp_path, capsys):
    model = torch.nn.Linear(3, 1)
    run = Run("toy-train", {}, output=tmp_path / "run")
    model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    for batch in run.batches(Rows(), batch_size=4, epochs=2, models=[model]):
        run.descend((model(batch["x"])[:, 0] * batch["weight"]).sum(), model, optimizer)
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "loss" in row]
    assert len(steps) == 4
    assert all(row["pictures_per_second"] > 0 and 0 <= row["waiting_for_data"] <= 1 for row in steps)
    assert all(0.05 < row["peak_memory_gib"] < 100 and "mfu" not in row for row in steps)
    assert "speed: " in capsys.readouterr().err
