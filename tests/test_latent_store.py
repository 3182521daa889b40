"""Shards of latents: whole or absent, compared with their index, found again after an interruption."""

from __future__ import annotations

import json
import pickle
import stat

import pytest
import torch

from fsynth import latent_store
from fsynth.errors import OutputError
from fsynth.latent_store import Store

ABOUT = {"version": 1}


def tensors(*names):
    return {name: torch.full((2, 3, 4), float(number)) for number, name in enumerate(names, start=1)}


def opened(folder, *names):
    """A store as a command opens it."""
    store = Store(folder)
    store.create(ABOUT)
    store.settle(names)
    return store


@pytest.fixture
def folder(tmp_path):
    """Two whole shards."""
    store = opened(tmp_path / "sd" / "key")
    store.write(store.next_number(), tensors("a", "b"))
    store.write(store.next_number(), tensors("c"))
    store.settle("abc")
    return store.folder


def test_what_was_written_is_read_by_anyone_who_opens_the_folder(folder):
    store = opened(folder, "a")
    assert store.where == {"a": "00000.safetensors", "b": "00000.safetensors", "c": "00001.safetensors"}
    copy = pickle.loads(pickle.dumps(store))  # as a loader worker gets it
    for one in (store, copy):
        assert torch.equal(one.read("b"), tensors("a", "b")["b"]) and one.read("c").shape == (2, 3, 4)
    assert json.loads((folder / "index.json").read_text())["about"] == ABOUT


def test_the_folder_is_private_and_says_what_it_is(folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    text = (folder / "README.txt").read_text()
    assert "decodes them back into the pictures" in text and "may be removed" in text


def test_shards_of_an_interrupted_command_are_taken_in(folder, capsys):
    Store(folder).write(2, tensors("d"))
    assert opened(folder, "a").where["d"] == "00002.safetensors" and capsys.readouterr().err == ""
    (folder / "index.json").write_text("{")
    again = opened(folder, "a")
    assert set(again.where) == set("abcd") and again.next_number() == 3
    assert set(json.loads((folder / "index.json").read_text())["shards"]) == {
        f"0000{number}.safetensors" for number in range(3)
    }


@pytest.mark.parametrize("fault", ["one byte", "cut short", "gone"])
def test_a_broken_shard_is_said_and_made_again_and_others_stay(folder, fault, capsys):
    path = folder / "00000.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if fault == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(content) if fault == "one byte" else content[:-9])
    assert set(opened(folder, "a").where) == {"c"} and not path.exists()
    assert f"note: {path} is broken; its 2 pictures are encoded again" in capsys.readouterr().err
    assert set(opened(folder, "a").where) == {"c"} and capsys.readouterr().err == ""


def test_a_shard_that_nobody_asks_for_is_not_read(folder, monkeypatch):
    read = []
    checksum = latent_store._checksum
    monkeypatch.setattr(latent_store, "_checksum", lambda path: read.append(path.name) or checksum(path))
    assert set(opened(folder, "c").where) == set("abc") and read == ["00001.safetensors"]


def test_a_file_that_is_no_shard_is_removed(folder, capsys):
    (folder / "00007.safetensors").write_bytes(b"no shard")
    assert set(opened(folder, "a").where) == set("abc")
    assert "00007.safetensors is broken" in capsys.readouterr().err


def test_a_failed_write_leaves_nothing(folder, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        Store(folder).write(5, tensors("e"))
    assert not list(folder.glob("*00005*"))


def test_too_small_a_disk_is_said_before_anything_is_written(folder):
    with pytest.raises(
        OutputError, match=r"latents need 953674\.32 GiB in .*key, where .* GiB are free; set"
    ):
        Store(folder).need_room(1024 * 10**12)


def test_a_shard_that_goes_while_it_is_read_is_one_line(folder):
    store = opened(folder, "a")
    (folder / "00000.safetensors").unlink()
    with pytest.raises(
        OutputError, match=r"00000\.safetensors cannot be read .* was whole before; start again"
    ):
        store.read("a")
