import json
import pickle
import time

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file

from fsynth import clip_model, clip_tiny
from fsynth.errors import ModelError

SENTENCES = ["the lady wore a red sleeveless dress.", "the man is wearing a blue long-sleeved hoodie."]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return clip_tiny.create_tiny(tmp_path_factory.mktemp("clip") / "fresh", SENTENCES * 3)


@pytest.fixture
def saved(fresh, tmp_path):
    return fresh.save(tmp_path / "model")


def picture(seed=0, size=(150, 128)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


def features(model):
    pictures = torch.stack([model.transform()(picture(seed)) for seed in range(3)])
    return clip_model.encode_pictures(model, [pictures]), clip_model.encode_sentences(model, SENTENCES)


def test_a_saved_folder_gives_the_same_features_here_and_in_open_clip(fresh, saved):
    again = clip_model.load(str(saved))
    for ours, theirs in zip(features(fresh), features(again), strict=True):
        assert torch.equal(ours, theirs)
    name = f"local-dir:{saved}"
    network, preprocess = open_clip.create_model_from_pretrained(name)
    tokens = open_clip.get_tokenizer(name)(SENTENCES)
    with torch.no_grad():
        sentences = network.eval().encode_text(tokens, normalize=True)
        pictures = network.encode_image(preprocess(picture(1))[None], normalize=True)
    assert torch.equal(sentences, features(fresh)[1])
    assert torch.allclose(pictures[0], features(fresh)[0][1], atol=1e-6)
    assert json.loads((saved / "tokenizer_config.json").read_text())["tokenizer_class"] == (
        "PreTrainedTokenizerFast"
    )


def test_others_may_read_the_weights_where_they_may_read_the_rest(saved):
    assert len({path.stat().st_mode for path in saved.iterdir()}) == 1


def test_features_have_unit_length_and_do_not_depend_on_the_batch(fresh):
    sentences = clip_model.encode_sentences(fresh, [*SENTENCES, "a coat."], batch_size=2)
    assert torch.allclose(sentences.norm(dim=1), torch.ones(3))
    assert torch.allclose(sentences[:2], clip_model.encode_sentences(fresh, SENTENCES), atol=1e-6)


def test_the_tiny_model_is_small_and_reads_any_text(fresh):
    assert sum(value.numel() for value in fresh.network.parameters()) * 2 < 4_500_000
    strange, empty = fresh.tokenizer(["a wseater, größe 日本"]), fresh.tokenizer([""])
    assert (strange[0] > 2).sum() > 10
    assert empty[0, :2].tolist() == [1, 2]
    assert fresh.tokenizer(["lady " * 99])[0, -1] == 2  # cut, but still ended


def test_half_precision_weights_load_as_single_precision(fresh, tmp_path):
    folder = fresh.save(tmp_path / "half", half=True)
    assert (folder / clip_model.WEIGHTS_FILE).stat().st_size < 4_500_000
    again = clip_model.load(str(folder))
    assert {value.dtype for value in again.network.parameters()} == {torch.float32}
    assert torch.allclose(features(fresh)[1], features(again)[1], atol=0.01)


def test_a_run_folder_and_a_weights_file_beside_its_config_load_too(saved, tmp_path):
    expected = features(clip_model.load(str(saved)))[1]
    other = saved / "epoch-3.safetensors"
    save_file(
        {name: value * 0 + 0.01 for name, value in load_file(saved / "open_clip_model.safetensors").items()},
        other,
    )
    assert torch.equal(features(clip_model.load(str(tmp_path)))[1], expected)  # tmp_path/model
    assert not torch.equal(features(clip_model.load(str(other)))[1], expected)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("ViT-B32:openai", "it knows ViT-B-32"),
        ("ViT-B-32", "random weights; write ViT-B-32:TAG with TAG one of openai"),
        ("ViT-B-32:laion2b_s34b", "laion2b_s34b_b79k"),
        ("no/such/folder", "no such file or folder"),
        ("coca_ViT-B-32:laion2b_s13b_b90k", "CoCa"),
    ],
)
def test_unknown_models_are_refused_in_one_line_with_what_to_write(model, says):
    with pytest.raises(ModelError) as caught:
        clip_model.load(model)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_fetched_say_at_once_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        clip_model.load(clip_model.DEFAULT)
    assert time.monotonic() - started < 3
    assert "hub cannot be reached" in str(caught.value)
    assert "hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert constants.HF_HUB_OFFLINE is False


def test_a_pickle_is_refused_without_advice_to_trust_it(tmp_path):
    (tmp_path / "weights.pt").write_bytes(pickle.dumps(pickle.dumps, protocol=2))
    with pytest.raises(ModelError) as caught:
        clip_model.load(f"ViT-B-32:{tmp_path / 'weights.pt'}")
    assert str(caught.value).endswith("weights.pt cannot be read: it is no file of plain tensors")


def test_broken_folders_are_refused(saved, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"no open_clip_config.json in"):
        clip_model.load(str(empty))
    weights = saved / clip_model.WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=f"model {saved} cannot be read: "):
        clip_model.load(str(saved))
    weights.unlink()
    with pytest.raises(ModelError, match="weights"):
        clip_model.load(str(saved))


def test_saving_leaves_nothing_half_written(fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fresh.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
