"""Extractors: what a picture becomes, whatever file, size or batch it comes in; weights checked by hash."""

import numpy as np
import pytest
import torch
from PIL import Image

from fsynth import features, probe_model, weight_files
from fsynth.errors import DataError, ModelError
from fsynth.report.pictures import _generated


@pytest.fixture(scope="module")
def probe_folder(tmp_path_factory):
    torch.manual_seed(0)
    return probe_model.save_probe(
        probe_model.Probe().eval(), tmp_path_factory.mktemp("probe"), {"version": "1"}
    )


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for number, size in enumerate([128, 128, 64, 200, 128]):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Random weights in the layout of the real file."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    torch.manual_seed(0)
    state = {}

    def layout_only(self, state_dict):
        state.update(self.state_dict())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", layout_only)
        module.FeatureExtractorInceptionV3("x", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def accepted(inception_file, monkeypatch):
    monkeypatch.setattr(weight_files, "INCEPTION_SHA256", weight_files.sha256_of(inception_file))
    return inception_file


def test_the_probe_reads_files_of_any_size_in_order_and_in_any_batch(probe_folder, pictures):
    extractor = features.probe(probe_folder)
    found, logits = features.extract(extractor, pictures, batch_size=5)
    assert found.shape == (5, 128) and logits.shape == (5, 19)
    assert found.dtype == logits.dtype == np.float32
    for number, path in enumerate(pictures):
        alone = features.extract(extractor, [path], batch_size=1)
        assert np.allclose(alone[0][0], found[number], atol=1e-4)
        assert np.allclose(alone[1][0], logits[number], atol=1e-4)


def test_the_probe_sees_the_range_and_channels_it_was_trained_on(probe_folder):
    picture = torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8)
    network, _ = probe_model.load_probe(probe_folder)
    expected = network(picture.float() / 127.5 - 1)[1]["category"]
    assert torch.equal(features.probe(probe_folder).compute(picture)[1], expected)


def test_the_record_says_what_a_score_depends_on(probe_folder):
    record = features.probe(probe_folder).record()
    assert record["name"] == "fsynth-probe" and record["version"] == "1" and record["classes"] == 19
    assert record["sha256"] == weight_files.sha256_of(probe_folder / "probe.safetensors")
    assert "128 px" in record["preprocessing"]


def test_inception_gives_torch_fidelitys_own_numbers(accepted, pictures):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], str(accepted))
    extractor = features.inception(accepted)
    found, logits = features.extract(extractor, pictures[:2])
    expected = theirs(torch.from_numpy(np.stack([features.read_picture(path) for path in pictures[:2]])))
    assert np.array_equal(found, expected[0].numpy()) and np.array_equal(logits, expected[1].numpy())
    assert logits.shape == (2, 1008) and extractor.sha256 == weight_files.INCEPTION_SHA256


def test_weights_of_another_hash_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"anything")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read before the check"))
    with pytest.raises(ModelError, match=r"weights\.pth has SHA-256 .*, not 6726825d"):
        features.inception(path)


def test_weights_that_run_code_when_unpickled_do_not(tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle ran",))

    path = tmp_path / "weights.pth"
    torch.save({"fc.weight": Trap()}, path)
    monkeypatch.setattr(weight_files, "INCEPTION_SHA256", weight_files.sha256_of(path))
    with pytest.raises(ModelError, match="cannot be read as Inception weights"):
        features.inception(path)


def test_without_network_the_error_names_file_address_and_place(tmp_path, monkeypatch):
    import urllib.error

    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(ModelError) as caught:
        features.inception()
    text = str(caught.value)
    place = tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    assert str(place) in text and "toshas/torch-fidelity/releases" in text and "no route to host" in text
    assert "\n" not in text and "--inception-weights" in text


def test_the_cached_file_is_used_without_the_network(accepted, tmp_path, monkeypatch):
    place = tmp_path / "checkpoints" / weight_files.INCEPTION_FILE
    place.parent.mkdir()
    place.write_bytes(accepted.read_bytes())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("downloaded"))
    assert weight_files.inception_weights() == place


def test_a_weights_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"--inception-weights .*missing\.pth does not exist"):
        weight_files.inception_weights(tmp_path / "missing.pth")


def test_a_picture_too_large_to_decode_is_named(pictures, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for read in (features.read_picture, _generated):
        with pytest.raises(DataError, match=r"is not a whole picture \(Image size"):
            read(pictures[0])


def test_a_file_that_is_no_picture_is_named(tmp_path, pictures, probe_folder):
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures[0].read_bytes()[:2000])
    with pytest.raises(DataError, match=r"broken\.png is not a whole picture"):
        features.extract(features.probe(probe_folder), [pictures[0], broken])
    with pytest.raises(DataError, match="no pictures"):
        features.extract(features.probe(probe_folder), [])
