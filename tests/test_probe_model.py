"""The probe network: what goes in and out, and that its file on disk is the network."""

import json

import pytest
import torch

from fsynth import probe_model
from fsynth.data.labels import LABELS
from fsynth.errors import ModelError


@pytest.fixture
def probe():
    torch.manual_seed(0)
    return probe_model.Probe().eval()


def test_logits_cover_the_labels_of_the_benchmark_in_their_order(probe):
    features, logits = probe(torch.rand(2, 3, 128, 128) * 2 - 1)
    assert features.shape == (2, 128)
    for name, classes in probe_model.HEADS.items():
        assert logits[name].shape == (2, len(classes))
        assert LABELS[name][: len(classes)] == classes
    assert "not stated" not in probe_model.HEADS["sleeve"]


def test_a_saved_probe_is_small_and_answers_as_before(probe, tmp_path):
    with torch.no_grad():  # running statistics that are not the defaults
        probe.train()(torch.randn(8, 3, 128, 128))
    probe.eval()
    probe_model.save_probe(probe, tmp_path, {"version": "7", "accuracy": {"gender": 0.5}})
    loaded, record = probe_model.load_probe(tmp_path)
    assert (tmp_path / "probe.safetensors").stat().st_size < 1.5e6
    assert record["version"] == "7" and record["name"] == "fsynth-probe"
    pictures = torch.rand(4, 3, 128, 128) * 2 - 1
    for before, after in zip(probe(pictures)[1].values(), loaded(pictures)[1].values(), strict=True):
        assert torch.allclose(before, after, atol=5e-3)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_changed_weights_are_refused(probe, tmp_path):
    probe_model.save_probe(probe, tmp_path, {"version": "0"})
    other = probe_model.Probe()
    from safetensors.torch import save_file

    save_file(other.state_dict(), tmp_path / "probe.safetensors")
    with pytest.raises(ModelError, match=r"probe\.safetensors has SHA-256"):
        probe_model.load_probe(tmp_path)


def test_a_probe_of_other_labels_is_refused(probe, tmp_path):
    probe_model.save_probe(probe, tmp_path, {"version": "0"})
    record = json.loads((tmp_path / "probe.json").read_text())
    record["heads"]["gender"] = ["cat", "dog"]
    (tmp_path / "probe.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match="other labels"):
        probe_model.load_probe(tmp_path)


def test_a_missing_probe_names_the_file_and_the_script(tmp_path):
    with pytest.raises(ModelError, match=r"probe\.json is missing; train it with scripts/train_assets\.py"):
        probe_model.load_probe(tmp_path)


def test_a_broken_record_is_one_line(tmp_path):
    probe_model.save_probe(probe_model.Probe(), tmp_path, {"version": "0"})
    (tmp_path / "probe.json").write_text("{")
    with pytest.raises(
        ModelError, match=r"probe\.json cannot be read \(it is not JSON: .*\); train it again"
    ):
        probe_model.load_probe(tmp_path)
