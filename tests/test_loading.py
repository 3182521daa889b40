"""A killed worker is one line, wherever torch notices it."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from fsynth import loading
from fsynth.errors import DataError, UnreachableError


class Deadly:
    def __init__(self, by):
        self.by = by

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            os.kill(os.getpid(), self.by)
        return torch.zeros(1)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGBUS])
def test_a_killed_worker_is_one_line(by):
    loader = torch.utils.data.DataLoader(Deadly(by), batch_size=1, num_workers=1)
    with pytest.raises(DataError, match="a process that read") as caught, loading.clear_errors():
        list(loader)
    assert "it may have run out of memory: take fewer --workers; or a file" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first", [EOFError(), ConnectionResetError(104, "Connection reset by peer")])
def test_a_connection_that_breaks_before_torch_is_told_is_the_same(first, monkeypatch):
    def told(_):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    monkeypatch.setattr(loading.time, "sleep", told)
    with pytest.raises(DataError, match=r"ended .*is killed by signal: Killed"), loading.clear_errors():
        raise first


class Failing(Deadly):
    def __getitem__(self, index):
        try:
            raise OSError("below")
        except OSError:
            raise UnreachableError("cannot read a: b now; start again")  # noqa: B904


def test_an_error_of_ours_in_a_worker_is_as_it_was():
    loader = torch.utils.data.DataLoader(Failing(0), batch_size=1, num_workers=1)
    with pytest.raises(UnreachableError) as caught, loading.clear_errors():
        list(loader)
    assert str(caught.value) == "cannot read a: b now; start again"
    with pytest.raises(UnreachableError) as again, loading.clear_errors():
        raise caught.value  # nothing of a worker is in it any more
    assert again.value is caught.value


def test_other_errors_pass(monkeypatch):
    monkeypatch.setattr(loading, "_NOTICED", 0.1)
    killed = "DataLoader worker (pid 1) is killed by signal: Killed."
    for error in (RuntimeError("ours"), ValueError(killed), EOFError("ours")):
        assert loading.ended_worker(error) is None
        with pytest.raises(type(error)), loading.clear_errors():
            raise error
    assert loading.ended_worker(None) is None
