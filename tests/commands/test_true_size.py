"""From a local file of weights all the way: train, evaluate, save, load again in open_clip, export.

The same with the true sizes is marked slow: it takes minutes and 5 GB of memory.
"""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from fsynth import clip_export, clip_model
from fsynth.commands import clip_finetune, export
from fsynth.config import ClipFinetuneConfig, ExportConfig
from fsynth.data import synthetic
from tests import small_clip

PHOTOS = Path(__file__).resolve().parents[3] / "shared/data/clothing-photos-300"


def go_all_the_way(data, model, output):
    result = clip_finetune.main(
        ClipFinetuneConfig(
            data=data,
            password_file=data / "password.txt",
            model=model,
            output=output / "run",
            n_images=16,
            batch_size=8,
            epochs=1,
            n_samples=8,
            precision="no",
        )
    )
    assert result.steps == 2
    trained = load_file(output / "run" / "model" / clip_model.WEIGHTS_FILE)
    assert any(
        not torch.equal(value, trained[name]) for name, value in load_file(model.partition(":")[2]).items()
    )
    network = open_clip.create_model(f"local-dir:{output / 'run' / 'model'}")
    assert torch.equal(network.state_dict()["logit_scale"], trained["logit_scale"])
    exported = export.main(ExportConfig(model=str(output / "run"), output=output / "export"))
    assert exported.difference <= clip_export.TOLERANCE
    return json.loads((output / "run" / "model" / "fsynth.json").read_text())


def test_a_weights_file_under_a_name_trains_and_is_exported(tmp_path, monkeypatch):
    data = synthetic.make_archive(tmp_path / "drawn", rows=30, held_out=8, workers=0)
    small_clip.register(monkeypatch, "small-quickgelu", {**small_clip.plain(), "quick_gelu": True})
    weights = small_clip.write_weights(tmp_path / "old.safetensors", "small-quickgelu")
    record = go_all_the_way(data, f"small-quickgelu:{weights}", tmp_path)
    assert record["model"] == "small-quickgelu" and record["base"] == "small-quickgelu:old.safetensors"
    config = json.loads((tmp_path / "export" / "config.json").read_text())
    assert config["vision_config"]["hidden_act"] == "quick_gelu"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs the real photos")
@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-16"])
def test_true_size_models_train_on_real_photos_and_are_exported(name, tmp_path):
    weights = small_clip.write_weights(tmp_path / "random.safetensors", name)
    assert go_all_the_way(PHOTOS, f"{name}:{weights}", tmp_path)["model"] == name
