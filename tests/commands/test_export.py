import json

import pytest
import torch
from transformers import CLIPModel

from fsynth import cli, clip_export, clip_model
from fsynth.commands import export
from fsynth.config import ExportConfig
from fsynth.errors import ModelError, OutputError
from tests import small_clip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a small model that transformers can hold, of quick GELU and with a logit bias."""
    place = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        small_clip.register(patch, "small", {**small_clip.plain(), "quick_gelu": True, "init_logit_bias": -9})
        small_clip.write_weights(place / "weights.safetensors", "small")
        clip_model.load(f"small:{place / 'weights.safetensors'}").save(place / "model", training={"steps": 1})
    return place


def test_a_run_becomes_a_clipmodel_and_says_how_to_load_it(run, tmp_path, capsys):
    result = export.main(ExportConfig(model=str(run), output=tmp_path / "out"))
    assert result.folder == tmp_path / "out" and 0 < result.difference <= clip_export.TOLERANCE
    assert CLIPModel.from_pretrained(result.folder).config.text_config.hidden_act == "quick_gelu"
    assert json.loads((result.folder / "fsynth.json").read_text())["trainings"] == [{"steps": 1}]
    said = capsys.readouterr().err
    assert "the logit bias (-9.0" in said and ") is left out, CLIPModel has none" in said
    assert f"checked: features differ by {result.difference:.1g} at most, loaded by transformers" in said
    assert f'load it: CLIPModel.from_pretrained("{tmp_path / "out"}")' in said


def test_open_clips_format_takes_any_model_also_in_half_precision(tmp_path, capsys):
    arguments = ["export", "--model", "tiny", "--format", "open_clip", "--half", "--json"]
    assert cli.run([*arguments, "--output", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["difference"] == 0 and "checked: features are the same, loaded by open_clip" in err
    assert (tmp_path / "out" / clip_model.WEIGHTS_FILE).stat().st_size < 4_500_000
    assert clip_model.load(str(tmp_path / "out")).origin.base == "tiny"


def test_what_is_rounded_is_compared_rounded(run, tmp_path):
    result = export.main(ExportConfig(model=str(run), output=tmp_path / "out", half=True))
    assert result.difference <= clip_export.TOLERANCE
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 4_000_000


def test_an_architecture_that_does_not_fit_is_refused_before_a_word(tmp_path, capsys):
    assert cli.run(["export", "--model", "tiny", "--output", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        "fsynth: model tiny cannot become a CLIPModel of transformers: its picture tower is a ResNet; "
        "--format open_clip writes it as it is\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_export_with_other_features_leaves_nothing(run, tmp_path, monkeypatch):
    renamed = clip_export.renamed

    def swapped(state):
        weights = renamed(state)
        layer = "text_model.encoder.layers.1.self_attn"
        weights[f"{layer}.q_proj.bias"] = weights[f"{layer}.q_proj.bias"] + torch.linspace(0, 1, 32)
        return weights

    monkeypatch.setattr(clip_export, "renamed", swapped)
    with pytest.raises(ModelError, match="gives other features when the export is loaded") as caught:
        export.main(ExportConfig(model=str(run), output=tmp_path / "out"))
    assert caught.value.__notes__ == [f"nothing is left of {tmp_path / 'out'}"]
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_is_refused_before_the_model_is_read(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(OutputError, match="is not empty"):
        export.main(ExportConfig(model="no-such-model", output=tmp_path))
