"""Single-file checkpoints: told by their names, turned into folders once, the same model."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from fsynth import sd_folder, sd_model, sd_original, sd_published, sd_single_file
from fsynth.errors import ModelError
from scripts import make_random_pipeline

FAMILIES = ("sd15", "sd21", "sdxl")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module", autouse=True)
def small():
    """The published configurations, sixteen times as narrow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_random_pipeline, "SMALLER", 16)
        for name, family in sd_published.FAMILIES.items():
            parts = {
                part: make_random_pipeline.shrunk(config)
                for part, config in family.items()
                if part in sd_published.NETWORKS
            }
            patch.setitem(sd_published.FAMILIES, name, {**family, **parts})
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory, small):
    """Of each family a folder and the same weights in one file."""
    root, found = tmp_path_factory.mktemp("files"), {}
    for name in FAMILIES:
        (root / name).mkdir()
        make_random_pipeline.write(name, root / name, torch.float16)
        pipeline = sd_model.load_pipeline(root / name, dtype=torch.float32, device="cpu")
        file = root / f"{name}.safetensors"
        weights = {key: value.half() for key, value in sd_original.checkpoint(pipeline).items()}
        save_file(weights, file, metadata={"modelspec.resolution": "512x512"})
        found[name] = (root / name, file)
    return found


def _weights(folder, part):
    (file,) = (folder / part).glob("*.safetensors")
    return load_file(file)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_becomes_the_folder_that_it_was_made_of(files, name, capsys):
    folder, file = files[name]
    found = sd_folder.find(file)
    assert found.name == str(file.resolve()) and found.kind == sd_published.FAMILIES[name]["_class_name"]
    assert f"{sd_single_file.TITLES[name]}; making a pipeline folder of it" in capsys.readouterr().err
    for part in (part for part in sd_published.NETWORKS if (folder / part).is_dir()):
        mine, theirs = _weights(found.pipeline, part), _weights(folder, part)
        assert mine.keys() == theirs.keys(), part
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), part
    words = [(place / "tokenizer" / "vocab.json").read_bytes() for place in (found.pipeline, folder)]
    assert words[0] == words[1]
    one, other = (
        sd_model.load_pipeline(place, dtype=torch.float32, device="cpu") for place in (found, folder)
    )
    assert torch.equal(sd_model.probe_output(one.unet), sd_model.probe_output(other.unet))
    assert sd_folder.find(file) == found and capsys.readouterr().err == ""  # once


def test_another_file_of_the_same_name_is_read_anew(files, tmp_path):
    file = shutil.copy(files["sd15"][1], tmp_path / "model.safetensors")
    first = sd_folder.find(file).pipeline
    weights = load_file(file)
    weights[f"{sd_single_file.UNET}out.2.bias"] += 1
    save_file(weights, file)
    second = sd_folder.find(file).pipeline
    assert first != second
    difference = _weights(second, "unet")["conv_out.bias"] - _weights(first, "unet")["conv_out.bias"]
    assert torch.equal(difference, torch.ones(4, dtype=torch.float16))


def _scheduler(file, **more):
    family = sd_single_file.settings_of(file, sd_single_file.read_header(file)._replace(**more), "sd21")
    return family["scheduler"][1], family["unet"]["sample_size"]


def test_what_a_file_says_of_itself_counts(files, capsys):
    file = files["sd21"][1]
    shapes = sd_single_file.read_header(file).shapes
    silent, side = _scheduler(file, entries={})
    assert (silent["prediction_type"], side) == ("v_prediction", 96)
    assert "does not say what it predicts; taken for v" in capsys.readouterr().err
    entries = {"modelspec.prediction_type": "epsilon", "modelspec.resolution": "512x512"}
    base, side = _scheduler(file, entries=entries)
    assert (base["prediction_type"], side) == ("epsilon", 64)
    marked, _ = _scheduler(file, entries={}, shapes={**shapes, "v_pred": [0], "ztsnr": [0]})
    assert marked["prediction_type"] == "v_prediction" and marked["rescale_betas_zero_snr"]
    assert marked["timestep_spacing"] == "trailing" and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"first_stage_model.": None}, "holds no autoencoder; name a pipeline folder or a checkpoint"),
        ({"cond_stage_model.": None}, "holds no text encoder"),
        ({"": None}, "holds no UNet and no autoencoder and no text encoder"),
        ({"input_blocks.0.0": 9}, "takes 9 channels: an inpainting or depth model"),
        ({"lora_unet_down.lora_down.weight": 1}, "holds adapters, not a model"),
        ({"model.diffusion_model.joint_blocks.0.x": 1}, "is a Stable Diffusion 3: single files of it"),
        ({"conditioner.embedders.0.model.x": 1}, "is a refiner"),
    ],
)
def test_other_files_are_refused_by_name(files, tmp_path, cache, changes, says):
    weights = load_file(files["sd15"][1])
    for place, value in changes.items():
        if value is None:
            weights = {key: kept for key, kept in weights.items() if not key.startswith(place)}
        elif value == 9:
            weights["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(20, 9, 3, 3)
        else:
            weights[place] = torch.zeros(1)
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=says) as error:
        sd_folder.find(tmp_path / "other.safetensors")
    assert "\n" not in str(error.value) and not cache.exists()


def test_broken_files_leave_nothing_in_the_cache(files, tmp_path, cache):
    weights = load_file(files["sd15"][1])
    del weights["model.diffusion_model.out.2.weight"]
    for name, content in (("short", b"123"), ("cut", files["sd15"][1].read_bytes()[:200_000])):
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    save_file(weights, tmp_path / "missing.safetensors")
    for name in ("short", "cut", "missing"):
        with pytest.raises(ModelError, match=rf"{name}\.safetensors does not load") as error:
            sd_folder.find(tmp_path / f"{name}.safetensors")
        assert "\n" not in str(error.value)
    assert not [path for path in cache.rglob("*") if path.suffix != ".lock" and path.name != "models"]
