"""Moments of pictures: the same wherever they are kept, found again, made again where something changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from fsynth import sd_model, sd_moments
from fsynth.data import sources
from fsynth.errors import ModelError, OutputError
from fsynth.launch import make_accelerator
from fsynth.sd_moments import Encoder
from fsynth.sd_rows import Pictures, View
from tests import small_sd
from tests.data import make_sources

SIZES = [(32, 32), (32, 32), (24, 40), (32, 32), (24, 40)]
BUCKETS = [(24, 40), (32, 32)]


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    folder = small_sd.make(tmp_path_factory.mktemp("model") / "tiny")
    return sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu").vae


@pytest.fixture
def encoder(vae):
    return Encoder(vae, make_accelerator("no"), batch_size=2, workers=0)


@pytest.fixture
def data(tmp_path):
    """Pictures to train on; the third sentence speaks of letters, so that picture is never mirrored."""
    rows, train = [], tmp_path / "data" / "train"
    for row, size in enumerate(SIZES):
        _paint(train / f"{row}.png", row, size)
        text = "a dress printed with letters" if row == 2 else "a red dress"
        rows.append({"file_name": f"{row}.png", "text": text})
    make_sources.jsonl(train, rows)
    _paint(tmp_path / "data/test/9.png", 9, (32, 32))
    make_sources.jsonl(tmp_path / "data/test", [{"file_name": "9.png", "text": "a dress"}])
    return tmp_path / "data"


def _paint(file, seed, size):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def _pictures(folder):
    dataset = sources.open_source(folder).train
    pictures = Pictures(dataset, range(len(dataset)), 32)
    pictures.fit(BUCKETS)
    return pictures


def _find(pictures, encoder, folder, where="disk", mirrored=False, again=True):
    views = sd_moments.views_of(pictures, mirrored)
    found = sd_moments.find(
        pictures, views, encoder, where=where, folder=folder, again=again, title="encoding"
    )
    return found, views


def _alone(pictures, vae, view):
    return sd_model.posterior_moments(vae, pictures[view][None])[0]


def test_views_are_all_pictures_and_mirrored_ones_where_the_sentence_allows_it(data):
    pictures = _pictures(data)
    assert sd_moments.views_of(pictures, mirrored=False) == [View(index) for index in range(5)]
    turned = sd_moments.views_of(pictures, mirrored=True)[5:]
    assert turned == [View(index, mirrored=True) for index in (0, 1, 3, 4)]
    assert torch.equal(pictures[View(4, True)], pictures[4].flip(2))


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_moments_are_those_of_each_picture_alone_to_the_bit(data, encoder, vae, tmp_path, where):
    pictures = _pictures(data)
    found, views = _find(pictures, encoder, tmp_path / "sd", where, mirrored=True)
    assert len(views) == 9
    for view in views:
        width, height = SIZES[view.index]
        assert found[view].shape == (8, height // 8, width // 8)
        assert torch.equal(found[view], _alone(pictures, vae, view))


def test_what_is_on_the_disk_is_not_encoded_again(data, encoder, tmp_path, monkeypatch, capsys):
    first, _ = _find(_pictures(data), encoder, tmp_path / "sd")
    assert first.made == 5
    said = capsys.readouterr().err
    assert f"latents: 0 are in {first.store.folder}, 5 are encoded now" in said
    assert "note: latents can be decoded back into the pictures; nobody but you" in said
    with monkeypatch.context() as patch:
        patch.setattr(sd_model, "posterior_moments", None)
        for where in ("disk", "auto"):  # auto takes what is there, also for one epoch
            again, _ = _find(_pictures(data), encoder, tmp_path / "sd", where, again=False)
            assert again.made == 0 and torch.equal(again[View(3)], first[View(3)])
    assert f"latents: 5 are in {first.store.folder}, none to encode" in capsys.readouterr().err
    more, _ = _find(_pictures(data), encoder, tmp_path / "sd", mirrored=True)
    assert more.made == 4


def test_only_a_changed_picture_or_size_is_encoded_again(data, encoder, vae, tmp_path):
    _find(_pictures(data), encoder, tmp_path / "sd")
    _paint(data / "train/1.png", 99, SIZES[1])
    pictures = _pictures(data)
    found, _ = _find(pictures, encoder, tmp_path / "sd")
    assert found.made == 1 and torch.equal(found[View(1)], _alone(pictures, vae, View(1)))
    pictures.fit([])  # squares: two pictures were not
    found, _ = _find(pictures, encoder, tmp_path / "sd")
    assert found.made == 2 and found[View(2)].shape == (8, 4, 4)


def test_a_broken_shard_costs_its_own_pictures(data, encoder, vae, tmp_path, monkeypatch, capsys):
    pictures = _pictures(data)
    first, _ = _find(pictures, encoder, tmp_path / "sd")  # a shard for each size
    broken = first.store.folder / first.store.where[first.names[View(2)]]
    broken.write_bytes(broken.read_bytes()[:-1] + b"x")
    found, views = _find(_pictures(data), encoder, tmp_path / "sd")
    assert (
        found.made == 2 and f"{broken} is broken; its 2 pictures are encoded again" in capsys.readouterr().err
    )
    assert all(torch.equal(found[view], _alone(pictures, vae, view)) for view in views)


def test_an_interrupted_command_keeps_its_whole_shards(data, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(sd_moments, "SHARD", 2 * encoder.size((32, 32)))
    encode, calls = sd_model.posterior_moments, []

    def stop(*given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sd_model, "posterior_moments", stop)
        _find(_pictures(data), encoder, tmp_path / "sd")
    (folder,) = (path for path in (tmp_path / "sd").iterdir() if path.is_dir())
    assert len(list(folder.glob("*.safetensors"))) == 2  # of three
    found, _ = _find(_pictures(data), encoder, tmp_path / "sd")
    assert found.made == 1


def test_latents_that_are_not_finite_are_named_and_not_kept(data, encoder, tmp_path, monkeypatch):
    encode = sd_model.posterior_moments

    def spoil(vae, pixels):
        moments = encode(vae, pixels)
        if pixels.shape[-1] == 24:
            moments[-1, 0, 0, 0] = float("nan")
        return moments

    monkeypatch.setattr(sd_model, "posterior_moments", spoil)
    for where in ("memory", "disk"):
        with pytest.raises(ModelError, match=r"makes no finite latents of (train/)?4\.png"):
            _find(_pictures(data), encoder, tmp_path / "sd", where)
    monkeypatch.undo()
    found, _ = _find(_pictures(data), encoder, tmp_path / "sd")
    assert all(found[View(index)].isfinite().all() for index in range(5))


def test_the_folder_depends_on_what_encodes_and_not_on_what_decodes(vae):
    key = sd_moments.key(vae)
    other = copy.deepcopy(vae)
    with torch.no_grad():
        next(other.decoder.parameters()).add_(1)
    assert sd_moments.key(other) == key
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1e-3)
    assert sd_moments.key(other) != key
    scaled = copy.deepcopy(vae)
    scaled.register_to_config(scaling_factor=0.5)
    assert sd_moments.key(scaled) != key


def test_auto_keeps_little_in_memory_much_on_the_disk_and_nothing_that_is_seen_once(
    data, encoder, tmp_path, monkeypatch
):
    pictures, folder = _pictures(data), tmp_path / "sd"
    assert _find(pictures, encoder, folder, "auto", again=False)[0] is None
    assert _find(pictures, encoder, folder, "none")[0] is None
    assert isinstance(_find(pictures, encoder, folder, "auto")[0], sd_moments.InMemory)
    assert not folder.exists()
    size = sd_moments.total_size(pictures, sd_moments.views_of(pictures, False), encoder)
    monkeypatch.setattr(sd_moments, "IN_MEMORY", size - 1)
    assert isinstance(_find(pictures, encoder, folder, "auto")[0], sd_moments.OnDisk)


def test_a_folder_that_cannot_be_is_refused_in_one_line(data, encoder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot create the folder of latents .*file/sd .*; name another"):
        _find(_pictures(data), encoder, tmp_path / "file" / "sd")
