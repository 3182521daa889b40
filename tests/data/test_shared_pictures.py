"""Slots of memory: what is not whole in them is not there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fsynth.data import shared_pictures
from fsynth.data.shared_pictures import SharedPictures
from fsynth.errors import DataError

CONTENTS = {f"fsynth-zip://a.zip!/{number}.jpg": bytes([number]) * (10 + number) for number in range(40)}
SIZES = {path: len(content) for path, content in CONTENTS.items()}
PATH = "fsynth-zip://a.zip!/7.jpg"


@pytest.fixture
def shared():
    return SharedPictures(SIZES)


def slot(shared, path):
    start = shared._words[shared._starts + shared._place(path)]
    return slice(start, start + SIZES[path])


def in_a_fork(do):
    """Run it in a process of its own; how that ended."""
    child = os.fork()
    if child == 0:
        do()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def test_what_was_put_is_there_and_nothing_else(shared):
    assert [shared.get(path) for path in CONTENTS] == [None] * len(CONTENTS)
    for number, (path, content) in enumerate(CONTENTS.items()):
        shared.put(path, content)
        assert shared.filled() == number + 1
    assert {path: shared.get(path) for path in CONTENTS} == CONTENTS
    assert shared.get("fsynth-zip://a.zip!/40.jpg") is None and len(shared) == 40


def test_what_has_no_slot_of_its_size_is_not_kept(shared):
    shared.put(PATH, CONTENTS[PATH] + b"x")
    shared.put("elsewhere", b"x")
    assert shared.filled() == 0 and shared.get(PATH) is None


def test_a_fork_fills_slots_for_all(shared):
    assert in_a_fork(lambda: shared.put(PATH, CONTENTS[PATH])) == 0
    assert shared.get(PATH) == CONTENTS[PATH]


def test_one_who_is_killed_while_writing_leaves_an_empty_slot(shared):
    def half():
        content = CONTENTS[PATH]
        place = slot(shared, PATH)
        shared._memory[place.start : place.start + 9] = content[:9]
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_fork(half) == signal.SIGKILL
    assert shared.get(PATH) is None
    shared.put(PATH, CONTENTS[PATH])
    assert shared.get(PATH) == CONTENTS[PATH]


@pytest.mark.parametrize("place", [0, 5, 16])
def test_a_damaged_slot_counts_as_empty_until_it_is_filled_again(shared, place):
    shared.put(PATH, CONTENTS[PATH])
    shared._memory[slot(shared, PATH).start + place] ^= 1
    assert shared.get(PATH) is None
    shared.put(PATH, CONTENTS[PATH])
    assert shared.get(PATH) == CONTENTS[PATH]


def test_paths_of_one_key_are_not_kept(monkeypatch):
    monkeypatch.setattr(shared_pictures, "_key", lambda path: {"a": 1, "b": 1}.get(path, 2))
    shared = SharedPictures({"a": 1, "b": 1, "c": 1})
    for path in "abc":
        shared.put(path, path.encode())
    assert [shared.get(path) for path in "abc"] == [None, None, b"c"]


def test_the_memory_is_found_by_its_address_and_has_no_name_on_a_disk(shared):
    shared.put(PATH, CONTENTS[PATH])
    other = SharedPictures(address=shared.address)
    assert other.get(PATH) == CONTENTS[PATH]
    other.put("fsynth-zip://a.zip!/0.jpg", bytes(10))
    assert shared.get("fsynth-zip://a.zip!/0.jpg") == bytes(10)
    assert str(Path(shared.address.partition("#")[0]).readlink()).startswith("/memfd:")


def test_an_address_that_is_dead_or_anothers_is_not_used(shared, monkeypatch):
    monkeypatch.setattr(shared_pictures, "_kept", {})
    dead = SharedPictures(SIZES).address
    other = f"{shared.address.partition('#')[0]}#fsynth-pictures-another"
    shared_pictures.join({dead: ["a"], other: ["b"], shared.address: ["c"]})
    assert [shared_pictures.of(start) is None for start in "abc"] == [True, True, False]
    with pytest.raises(DataError, match=r"no memory to share pictures in .*; leave --cache-images out"):
        SharedPictures(address=other)


def test_what_a_process_keeps_itself_stays_when_it_is_told_of_more(shared, monkeypatch):
    monkeypatch.setattr(shared_pictures, "_kept", {})
    own = shared_pictures.keep(SIZES, "!/")
    assert shared_pictures.addresses() == {own.address: ["fsynth-zip://a.zip"]}
    shared_pictures.join({shared.address: ["fsynth-zip://a.zip"]})
    assert shared_pictures.of("fsynth-zip://a.zip") is own
    shared_pictures.forget("fsynth-zip://a.zip")
    assert shared_pictures.of("fsynth-zip://a.zip") is None and shared_pictures.addresses() == {}


def test_memory_that_cannot_be_had_is_one_line(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "truncate", full)
    with pytest.raises(DataError, match=r"no memory to share pictures in \(No space left on device\)"):
        SharedPictures(SIZES)
