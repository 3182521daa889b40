"""Signals: the step is finished, a checkpoint written, the code 75; a resumed run is the unbroken one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from fsynth import stopping
from fsynth.commands import demo
from fsynth.config import ClipFinetuneConfig
from fsynth.outputs import Claim
from fsynth.progress import MEASURED
from tests import launches, stopped_process

SCRIPT = launches.ROOT / "tests" / "stopped_process.py"


@pytest.fixture(autouse=True)
def handlers():
    """A signal that goes astray must not end the tests, and each test leaves what it found."""
    before = {number: signal.signal(number, _astray) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    now = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert set(now.values()) == {_astray}


class _Astray(BaseException):
    pass


def _astray(*_):
    raise _Astray


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    stopped_process.main(ClipFinetuneConfig(output=folder))
    return folder


@pytest.fixture
def signalled(monkeypatch):
    """In the given step the process gets these signals."""

    def at(step, *numbers):
        def arrive(run):
            if run.step == step and run.ends_step:
                for number in numbers:
                    os.kill(os.getpid(), number)

        monkeypatch.setenv("SIGNALLED", "0")
        monkeypatch.setattr(stopped_process, "in_step", arrive)

    return at


def _resume(folder, monkeypatch, **settings):
    monkeypatch.delenv("SIGNALLED", raising=False)
    stopped_process.main(ClipFinetuneConfig(resume=folder, **settings))


def _same(one, two):
    first, second = (torch.load(folder / "model.pt", weights_only=True) for folder in (one, two))
    logs = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (one, two)]
    same = dict.fromkeys(["seconds", *MEASURED], 0)
    rows = [[json.loads(line) | same for line in lines] for lines in logs]
    same_end = (one / "result.json").read_text() == (two / "result.json").read_text()
    return same_end and rows[0] == rows[1] and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_group_that_is_signalled_ends_with_75_and_goes_on_to_the_bit(whole, tmp_path, number, monkeypatch):
    """With loader processes: the signal reaches them, too, and the step still needs their rows."""
    folder = tmp_path / "cut"
    with subprocess.Popen(
        [sys.executable, SCRIPT, "--output", folder, "--workers", "1"],
        cwd=launches.ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(launches.ROOT), "SIGNALLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "in step 3\n", process.stderr.read()
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    again = f"fsynth clip-finetune --resume {folder}"
    marker = json.loads((folder / "stopped").read_text())
    assert marker == {"step": 3, "steps": 12, "signal": number.name, "resume": again}
    assert f"fsynth: {number.name}: finishing the step, then a checkpoint; again ends at once\n" in said
    assert said.endswith(f"fsynth: stopped by {number.name} after step 3 of 12; go on from there: {again}\n")
    _resume(folder, monkeypatch, workers=1)
    assert not (folder / "stopped").exists() and _same(whole, folder)


@pytest.mark.parametrize("step", [1, 3, 12])
def test_a_run_stopped_in_any_step_goes_on_to_the_same_end(whole, tmp_path, monkeypatch, signalled, step):
    """Also in the first, in mid-epoch, and in the last, of which the mean loss of the epoch must be known."""
    signalled(step, signal.SIGTERM)
    with pytest.raises(stopping.Stopped) as caught:
        stopped_process.main(ClipFinetuneConfig(output=tmp_path / "cut"))
    assert caught.value.code == 75 and caught.value.what == f"stopped by SIGTERM after step {step} of 12"
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == [f"step-{step:08d}.pt"]
    _resume(tmp_path / "cut", monkeypatch)
    assert _same(whole, tmp_path / "cut")


def test_a_second_signal_ends_at_once_as_one_did_before(tmp_path, signalled, monkeypatch):
    signalled(3, signal.SIGTERM, signal.SIGTERM)
    with pytest.raises(stopping.Stopped):  # both within a second: timeout(1) signals a process and its group
        stopped_process.main(ClipFinetuneConfig(output=tmp_path / "echo"))
    monkeypatch.setattr(stopping, "_ECHO", -1.0)
    with pytest.raises(_Astray):
        stopped_process.main(ClipFinetuneConfig(output=tmp_path / "cut"))
    assert not (tmp_path / "cut" / "stopped").exists()


def test_outside_the_steps_a_signal_does_what_it_did():
    listener = stopping.Listener()
    listener.open()
    listener.close()
    with pytest.raises(_Astray):
        signal.raise_signal(signal.SIGINT)
    assert not listener.heard


def test_notebooks_and_threads_keep_their_interrupt(monkeypatch):
    listener = stopping.Listener()
    thread = threading.Thread(target=listener.open)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is _astray
    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(object)}))
    listener.open()
    assert signal.getsignal(signal.SIGINT) is _astray
    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(str)}))
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)  # imported, but nobody's shell
    listener.open()
    assert signal.getsignal(signal.SIGINT) == listener._note
    listener.close()


def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_step(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNALLED", "1")
    monkeypatch.setenv("SIGNAL_ITSELF", "1")
    said = launches.torchrun(2, SCRIPT, "--output", tmp_path / "cut", fails=True)
    assert "stopped by SIGTERM after step 3 of 12" in said and "exitcode  : 75" in said, said
    marker = json.loads((tmp_path / "cut" / "stopped").read_text())
    assert (marker["step"], marker["signal"]) == (3, "SIGTERM")
    _resume(
        tmp_path / "cut", monkeypatch
    )  # in one process: its share of a step is another, its steps are not
    assert json.loads((tmp_path / "cut" / "result.json").read_text())["steps"] == 12


def test_nothing_is_left_of_a_demo_that_is_stopped(tmp_path):
    (tmp_path / "demo").mkdir()
    with pytest.raises(stopping.Stopped) as caught, demo._whole(Claim(tmp_path / "demo", ())):
        raise stopping.stopped(signal.SIGTERM, tmp_path / "demo", "sd-train", 3, 12)
    assert caught.value.__notes__ == [f"nothing is left of {tmp_path / 'demo'}"]
