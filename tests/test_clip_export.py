"""Exports, loaded by transformers alone: the same features as the model has in open_clip."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
import transformers
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

from fsynth import clip_export, clip_model
from fsynth.errors import ModelError
from tests import small_clip

SENTENCES = [
    "the lady wore a red sleeveless dress.",
    "A man's blue hoodie, 100 % cotton; café",
    "",
    "a tee " * 90,
]
OTHERWISE = {
    "mean": (0.4, 0.5, 0.6),
    "std": (0.2, 0.25, 0.3),
    "interpolation": "bilinear",
    "resize_mode": "squash",
}

MODELS = {
    "GELU": {},
    "quick GELU": {"quick_gelu": True},
    "20 tokens": {"text": {"context_length": 20}},
    "text tower of its own class": {"custom_text": True},
    "logit bias": {"init_logit_bias": -10},
    "other heads": {"text": {"heads": 4, "mlp_ratio": 3.0}},
}


def make(place, text=None, preprocessing=None, **changes):
    """A model with weights of its own."""
    with pytest.MonkeyPatch.context() as patch:
        small_clip.register(patch, "small-vit", {**small_clip.plain(**(text or {})), **changes})
        weights = small_clip.write_weights(place / "weights.safetensors", "small-vit")
        model = clip_model.load(f"small-vit:{weights}")
    model.network.visual.preprocess_cfg.update(preprocessing or {})
    return model


def export(place, half=False, **changes):
    model, folder = make(place, **changes), place / "export"
    folder.mkdir()
    clip_export.write_transformers(model, folder, half)
    return model, folder


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return export(tmp_path_factory.mktemp("usual"))


def pooled(output):
    """transformers 5 wraps projected features into an object, 4 returns them."""
    return output if torch.is_tensor(output) else output.pooler_output


def smooth(size, seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("kind", MODELS)
def test_transformers_has_the_same_features_and_similarities(kind, tmp_path):
    model, folder = export(tmp_path, **MODELS[kind])
    theirs, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    tokens = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="pt")
    pictures = torch.stack([model.transform()(smooth((90, 80), seed)) for seed in range(3)])
    mine = model.network
    with torch.no_grad():
        image, text = mine.encode_image(pictures), mine.encode_text(model.tokenizer(SENTENCES))
        cosines = torch.nn.functional.normalize(image) @ torch.nn.functional.normalize(text).T
        assert torch.allclose(pooled(theirs.get_image_features(pixel_values=pictures)), image, atol=1e-5)
        assert torch.allclose(pooled(theirs.get_text_features(**tokens)), text, atol=1e-5)
        logits = theirs(pixel_values=pictures, **tokens).logits_per_image
        assert torch.allclose(logits, mine.logit_scale.exp() * cosines, atol=1e-4)


def test_the_check_notices_another_activation(tmp_path):
    quick, folder = export(tmp_path, quick_gelu=True)
    assert clip_export.check(quick, folder) <= clip_export.TOLERANCE
    config = json.loads((folder / "config.json").read_text())
    for tower in ("text_config", "vision_config"):
        config[tower]["hidden_act"] = "gelu"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="other features when the export is loaded: they differ by up to 0"):
        clip_export.check(quick, folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="transformers cannot read what was written of small-vit"):
        clip_export.check(quick, folder)


@pytest.mark.parametrize("without", [("tokenizer.json",), ("vocab.json", "merges.txt")], ids=["slow", "fast"])
@pytest.mark.parametrize("reader", [CLIPTokenizer, AutoTokenizer])
def test_sentences_have_open_clips_tokens_from_either_form(usual, tmp_path, reader, without):
    model, folder = usual
    if without[0] == "vocab.json" and transformers.__version__ < "5" and reader is CLIPTokenizer:
        reader = transformers.CLIPTokenizerFast  # the other one is in Python there
    copy = shutil.copytree(
        folder, tmp_path / "copy", ignore=shutil.ignore_patterns(*without, "*.safetensors")
    )
    tokenizer = reader.from_pretrained(copy)
    for sentence in (*SENTENCES, "it's  the LADY'S\n dress: 3x, ¿größe? 日本 👗"):
        ids, expected = tokenizer(sentence, truncation=True).input_ids, model.tokenizer([sentence])[0]
        assert ids == expected[: len(ids)].tolist() and not expected[len(ids) :].any()


@pytest.mark.parametrize("preprocessing", [{}, OTHERWISE], ids=["CLIP's", "another"])
def test_pictures_are_prepared_alike(usual, tmp_path, preprocessing):
    model, _ = usual
    cfg = {**model.preprocessing, **preprocessing}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(clip_export.preprocessor(cfg)))
    picture = smooth((150, 150))
    theirs = CLIPImageProcessor.from_pretrained(tmp_path)(picture, return_tensors="pt").pixel_values[0]
    mine = image_transform_v2(PreprocessCfg(**cfg), is_train=False)(picture)
    grey_levels = (theirs - mine).abs() * torch.tensor(cfg["std"])[:, None, None] * 255
    assert theirs.shape == mine.shape and grey_levels.max() < 2.01


def test_the_folder_is_a_processor_too(usual):
    _, folder = usual
    both = CLIPProcessor.from_pretrained(folder)(
        text=SENTENCES[:1], images=smooth((9, 9)), return_tensors="pt"
    )
    assert both.pixel_values.shape == (1, 3, 64, 64) and both.input_ids[0, 0] == 49406
    assert json.loads((folder / "fsynth.json").read_text())["base"] == "small-vit:weights.safetensors"
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_half_precision_halves_the_weights(tmp_path):
    _, folder = export(tmp_path, half=True)
    weights = load_file(folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "float16"
    assert CLIPModel.from_pretrained(folder).num_parameters() == sum(map(torch.numel, weights.values()))


VISION = small_clip.plain()["vision_cfg"]
REFUSED = {
    "its picture tower is a ResNet": {"vision_cfg": {"layers": [1, 1, 1, 1], "image_size": 64}},
    "its text tower is roberta-base": {"text": {"hf_model_name": "roberta-base"}},
    "its picture tower is timm's vit_tiny_patch16_224": {
        "vision_cfg": {"timm_model_name": "vit_tiny_patch16_224", "image_size": 224}
    },
    "its picture tower is of another kind (no_ln_pre True)": {"vision_cfg": {**VISION, "no_ln_pre": True}},
    "its text tower is of another kind (no_causal_mask True)": {"text": {"no_causal_mask": True}},
    "its vocabulary is not CLIP's": {"text": {"vocab_size": 49500}},
    "its sentences are cleaned otherwise (canonicalize)": {
        "text": {"tokenizer_kwargs": {"clean": "canonicalize"}}
    },
    "its pictures are padded to a square": {"preprocessing": {"resize_mode": "longest"}},
    "its pictures or patches are not square (image_size [64, 32])": {
        "vision_cfg": {**VISION, "image_size": [64, 32]}
    },
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_transformers_cannot_hold_is_refused_with_the_reason(reason):
    changes = dict(REFUSED[reason])
    architecture = {**small_clip.plain(**changes.pop("text", {})), **changes}
    cfg = {"resize_mode": "shortest", **changes.pop("preprocessing", {})}
    network = SimpleNamespace(visual=SimpleNamespace(preprocess_cfg=cfg))
    model = clip_model.ClipModel(network, None, architecture, "the model")
    assert clip_export.obstacle(model) == reason
    with pytest.raises(ModelError) as caught:
        clip_export.refuse(model)
    assert str(caught.value) == (
        f"model the model cannot become a CLIPModel of transformers: {reason}; --format open_clip writes "
        "it as it is"
    )


@pytest.mark.parametrize("name", ["ViT-B-32-quickgelu", "ViT-L-14-336"])
def test_the_well_known_architectures_can_be_exported(name):
    """Without their weights: every weight has a place, of the shape that transformers makes for it."""
    network = open_clip.create_model(name, load_weights=False, device="meta")
    model = clip_model.ClipModel(network, None, open_clip.get_model_config(name), name)
    assert clip_export.obstacle(model) is None
    given = {key: value.shape for key, value in clip_export.renamed(network.state_dict()).items()}
    network.logit_scale = torch.nn.Parameter(torch.ones(()))
    with torch.device("meta"):
        theirs = CLIPModel(CLIPConfig(**clip_export.config_of(model)))
    state = {key: value.shape for key, value in theirs.state_dict().items() if "position_ids" not in key}
    assert state == given


def test_a_weight_without_a_place_is_an_error():
    with pytest.raises(ModelError, match=r"weight visual.ln_extra.weight has no place"):
        clip_export.renamed({"visual.ln_extra.weight": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"ls_1.gamma has no place"):
        clip_export.renamed({"visual.transformer.resblocks.0.ls_1.gamma": torch.zeros(1)})
