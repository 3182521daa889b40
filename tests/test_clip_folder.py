"""What a saved model carries: whoever loads it, here or in open_clip, gets the same features to the bit."""

import json
import shutil
import time

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fsynth import clip_folder, clip_model
from fsynth.errors import ModelError
from tests import small_clip

SENTENCES = ["the lady wore a red sleeveless dress.", "a man in a blue long-sleeved hoodie, &amp; jeans.", ""]
TAG = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "interpolation": "bilinear", "resize_mode": "squash"}


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (90, 71, 3), dtype=np.uint8))


def features(network, preprocess, tokenizer):
    with torch.no_grad():
        pictures = network.encode_image(torch.stack([preprocess(picture(seed)) for seed in range(2)]))
        return torch.cat([pictures, network.encode_text(tokenizer(SENTENCES))])


def ours(model):
    return features(model.network, model.transform(), model.tokenizer)


def theirs(name, *weights):
    network, _, preprocess = open_clip.create_model_and_transforms(name, *weights)
    return features(network.eval(), preprocess, open_clip.get_tokenizer(name))


@pytest.fixture
def named(monkeypatch, tmp_path):
    """Makes an architecture known and weights for it; returns NAME:WEIGHTS_FILE."""

    def make(name="small-vit", **changes):
        architecture = {**small_clip.plain(**changes.pop("text", {})), **changes}
        small_clip.register(monkeypatch, name, architecture)
        return f"{name}:{small_clip.write_weights(tmp_path / f'{name}.safetensors', name)}"

    return make


def openai_style(monkeypatch, named):
    """Weights of a tag that was trained with quick GELU, of an architecture that has GELU."""
    _, _, file = named().partition(":")
    tags = {"old": {"file": file, "quick_gelu": True, **TAG}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "small-vit", tags)
    return "small-vit:old"


def siglip_style(monkeypatch, named, tmp_path):
    """A sigmoid model: logit bias, a text tower of its own class, sentences prepared otherwise."""
    return named(
        init_logit_bias=-10,
        custom_text=True,
        text={"no_causal_mask": True, "pool_type": "last", "tokenizer_kwargs": {"clean": "canonicalize"}},
    )


def with_files(monkeypatch, named, tmp_path):
    return str(small_clip.make(tmp_path / "files"))


KINDS = {
    "GELU": lambda patch, named, place: named(),
    "quick GELU by name": lambda patch, named, place: named("small-quickgelu", quick_gelu=True),
    "quick GELU by tag": lambda patch, named, place: openai_style(patch, named),
    "20 tokens": lambda patch, named, place: named(text={"context_length": 20}),
    "tokenizer files": with_files,
    "sigmoid": siglip_style,
}


@pytest.mark.parametrize("kind", KINDS)
def test_open_clip_reads_a_saved_folder_to_the_same_bits(kind, monkeypatch, named, tmp_path):
    model = clip_model.load(KINDS[kind](monkeypatch, named, tmp_path))
    folder = model.save(tmp_path / "run" / "model")
    expected = ours(model)
    monkeypatch.undo()  # the folder alone must do
    moved = shutil.move(folder, tmp_path / "siglip-elsewhere")  # a word that open_clip looks for in names
    assert torch.equal(expected, theirs(f"local-dir:{moved}"))
    again = clip_model.load(str(moved))
    assert torch.equal(expected, ours(again))
    assert json.dumps(again.preprocessing) == json.dumps(model.preprocessing)
    bias = getattr(again.network, "logit_bias", None)
    assert (bias is None) == (kind != "sigmoid")


def test_the_folder_says_what_open_clip_takes_for_granted(named, tmp_path):
    model = clip_model.load(named())
    folder = model.save(tmp_path / "model")
    config = json.loads((folder / clip_folder.CONFIG_FILE).read_text())
    assert config["model_cfg"]["quick_gelu"] is False
    assert config["model_cfg"]["text_cfg"]["context_length"] == 77
    assert set(config["preprocess_cfg"]) >= {"size", "mean", "std", "interpolation", "resize_mode"}
    with safe_open(folder / clip_folder.WEIGHTS_FILE, "pt") as file:
        assert json.loads(file.metadata()["open_clip_config"]) == config


def test_a_logit_bias_that_training_added_is_announced(named, tmp_path):
    model = clip_model.load(named())
    model.network.logit_bias = torch.nn.Parameter(torch.tensor(-7.5))
    folder = model.save(tmp_path / "model")
    assert open_clip.create_model(f"local-dir:{folder}").logit_bias.item() == -7.5


def test_the_record_says_where_a_model_came_from_over_several_trainings(monkeypatch, named, tmp_path):
    first = clip_model.load(openai_style(monkeypatch, named))
    small_clip.register(monkeypatch, "small-vit-quickgelu", small_clip.plain() | {"quick_gelu": True})
    once = clip_model.load(str(first.save(tmp_path / "one" / "model", training={"steps": 3})))
    twice = once.save(tmp_path / "two" / "model", training={"steps": 5})
    record = json.loads((twice / clip_folder.RECORD_FILE).read_text())
    assert record["base"] == "small-vit:old"
    assert record["model"] == "small-vit-quickgelu"  # which builds it, activation and all
    assert record["trainings"] == [{"steps": 3}, {"steps": 5}]
    assert set(record["libraries"]) == {"open_clip_torch", "torch"}


def test_a_base_is_named_without_its_place_on_this_machine(named, tmp_path):
    assert clip_model.load(named()).origin.base == "small-vit:small-vit.safetensors"
    bare = clip_model.load(named()).save(tmp_path / "bare")
    (bare / clip_folder.RECORD_FILE).unlink()
    assert clip_model.load(str(bare)).origin.base == "bare"
    assert clip_model.load(f"local-dir:{bare}").origin.base == "bare"
    assert clip_model.load("tiny").origin == clip_folder.Origin("tiny")


def test_weights_under_the_name_of_another_activation_keep_their_own(monkeypatch, named, tmp_path):
    """The trap that papers fell into: fine-tune a quick GELU model, load its weights as the plain one."""
    model = clip_model.load(openai_style(monkeypatch, named))
    weights = model.save(tmp_path / "model") / clip_folder.WEIGHTS_FILE
    assert not torch.allclose(theirs("small-vit", str(weights)), ours(model), atol=0.01)  # open_clip falls
    again = clip_model.load(f"small-vit:{weights}")
    assert torch.equal(ours(again), ours(model))
    assert "; quick GELU, as the file says, not GELU as small-vit;" in again.describe()
    once_more = clip_model.load(str(again.save(tmp_path / "again")))
    assert torch.equal(ours(once_more), ours(model)) and "quick GELU;" in once_more.describe()


def test_the_other_way_round_it_holds_too(named, tmp_path):
    weights = clip_model.load(named()).save(tmp_path / "model") / clip_folder.WEIGHTS_FILE
    named("small-quickgelu", quick_gelu=True)
    again = clip_model.load(f"small-quickgelu:{weights}")
    assert torch.equal(ours(again), ours(clip_model.load(str(weights.parent))))
    assert "; GELU, as the file says, not quick GELU as small-quickgelu;" in again.describe()


def test_a_config_beside_the_weights_counts_where_their_header_has_none(monkeypatch, named, tmp_path):
    model = clip_model.load(openai_style(monkeypatch, named))
    weights = model.save(tmp_path / "model") / clip_folder.WEIGHTS_FILE
    save_file(load_file(weights), weights)
    assert torch.equal(ours(clip_model.load(f"small-vit:{weights}")), ours(model))


def test_weights_alone_bring_everything_along(monkeypatch, named, tmp_path):
    model = clip_model.load(openai_style(monkeypatch, named))
    weights = model.save(tmp_path / "model") / clip_folder.WEIGHTS_FILE
    alone = shutil.copy(weights, tmp_path / "alone.safetensors")
    assert torch.equal(ours(clip_model.load(str(alone))), ours(model))


def test_what_is_not_there_is_one_line():
    with pytest.raises(ModelError, match=r"^model local-dir:nowhere: there is no folder nowhere$"):
        clip_folder.find("local-dir:nowhere")
    with pytest.raises(ModelError, match=r"unknown tag '~/none.pt', and no such file; write ViT-B-32:TAG"):
        clip_folder.find("ViT-B-32:~/none.pt")


def test_a_broken_header_is_refused_by_name(named, tmp_path):
    named()
    for text in ("{", "[]"):
        save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors", metadata={"open_clip_config": text})
        for name in (f"small-vit:{tmp_path / 'b.safetensors'}", str(tmp_path / "b.safetensors")):
            with pytest.raises(ModelError, match=r"b\.safetensors: the configuration in its header"):
                clip_model.load(name)


def test_a_weights_file_may_lie_in_the_home_folder(named, tmp_path, monkeypatch):
    name = named().partition(":")[0]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert clip_folder.find(f"{name}:~/{name}.safetensors").file == tmp_path / f"{name}.safetensors"


def test_weights_under_the_name_of_another_architecture_are_refused(named, tmp_path):
    """open_clip would stretch the position embeddings of 20 tokens to 77 without a word."""
    weights = (
        clip_model.load(named(text={"context_length": 20})).save(tmp_path / "m")
        / "open_clip_model.safetensors"
    )
    named()
    with pytest.raises(ModelError) as caught:
        clip_model.load(f"small-vit:{weights}")
    assert str(caught.value) == (
        f"model small-vit:{weights}: the file is of another architecture than small-vit "
        f"(text_cfg.context_length is 20, not 77); name the file alone: --model {weights}"
    )
    assert clip_model.load(str(weights)).tokenizer(["a"]).shape == (1, 20)


def test_weights_that_say_nothing_are_loaded_by_the_name(named):
    model = clip_model.load(named("small-quickgelu", quick_gelu=True))
    assert "; quick GELU; pictures 64 px" in model.describe()
    assert "QuickGELU" in repr(model.network)


def test_a_tag_trained_with_quick_gelu_gets_it(monkeypatch):
    asked = {}

    def create(name, **given):
        asked.update(given)
        raise RuntimeError("enough")

    monkeypatch.setattr(open_clip, "create_model", create)
    with pytest.raises(ModelError):
        clip_model.load("ViT-B-32:openai")
    assert asked["force_quick_gelu"] is True and asked["require_pretrained"] is True


def test_paths_are_made_absolute_and_names_are_kept(monkeypatch, tmp_path):
    (tmp_path / "weights.pt").touch()
    monkeypatch.chdir(tmp_path)
    assert clip_folder.absolute("ViT-B-32:weights.pt") == f"ViT-B-32:{tmp_path / 'weights.pt'}"
    assert clip_folder.absolute("weights.pt") == str(tmp_path / "weights.pt")
    (tmp_path / "model").mkdir()
    assert clip_folder.absolute("model") == str(tmp_path / "model")
    assert clip_folder.absolute("local-dir:model") == f"local-dir:{tmp_path / 'model'}"
    for name in ("tiny", "ViT-B-32:openai", "hf-hub:org/name"):
        assert clip_folder.absolute(name) == name


def test_a_broken_record_is_refused_by_name(named, tmp_path):
    folder = clip_model.load(named()).save(tmp_path / "model")
    (folder / clip_folder.RECORD_FILE).write_text("[]")
    with pytest.raises(ModelError, match=r"fsynth.json cannot be read \(it holds a list"):
        clip_model.load(str(folder))


def test_a_text_tower_whose_layout_is_on_the_hub_says_so_at_once_without_a_network(monkeypatch, saved_tower):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"text tower organisation/text-tower cannot be fetched \(We couldn"):
        clip_model.load(str(saved_tower))
    assert time.monotonic() - started < 5


@pytest.fixture
def saved_tower(tmp_path):
    """A folder of a model with a text tower of transformers, whose weights would be there."""
    architecture = small_clip.plain(
        hf_model_name="organisation/text-tower", hf_tokenizer_name="organisation/x"
    )
    (tmp_path / clip_folder.CONFIG_FILE).write_text(json.dumps({"model_cfg": architecture}))
    save_file({"logit_scale": torch.zeros(())}, tmp_path / clip_folder.WEIGHTS_FILE)
    return tmp_path
