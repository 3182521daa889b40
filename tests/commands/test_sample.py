"""`fsynth sample`, whole, on a random pipeline in place of a real one."""

import json
import types

import numpy as np
import pytest
import torch
from PIL import Image

from fsynth import cli, features, probe_model, sampling, sd_folder, sd_model
from fsynth.commands import sample as sample_command

PROMPTS = "# women\nthe lady wore a red dress.\n\nthe man is wearing a blue zebra tee.\n"


@pytest.fixture(scope="module")
def configs(random_pipeline, tmp_path_factory):
    """What a pipeline folder says of its parts, without their weights."""
    folder = tmp_path_factory.mktemp("pipeline")
    for part in ("unet", "vae"):
        getattr(random_pipeline, part).save_config(folder / part)
    random_pipeline.save_config(folder)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, random_pipeline, configs):
    """A folder with prompts.txt to work in; models are the random pipeline, the probe is a random one."""
    loads = []

    def load_pipeline(found, *, dtype, device):
        loads.append((found.name, dtype, device))
        return random_pipeline

    def find(model):
        return sd_folder.find(model) if model == "nonsense" else sd_folder.Found(model, configs)

    torch.manual_seed(0)
    folder = probe_model.save_probe(probe_model.Probe(), tmp_path / "probe", {"version": "0"})
    judge = features.probe(folder)
    monkeypatch.setattr(features, "probe", lambda device: judge)
    monkeypatch.setattr(sd_model, "load_pipeline", load_pipeline)
    others = {name: getattr(sd_folder, name) for name in ("Found", "LORA_WEIGHTS", "TINY")}
    monkeypatch.setattr(sample_command, "sd_folder", types.SimpleNamespace(find=find, **others))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text(PROMPTS)
    return types.SimpleNamespace(path=tmp_path, loads=loads)


def sample(*more):
    return cli.run(["sample", "--prompts", "prompts.txt", "--steps", "2", *more])


def records(folder):
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_the_whole_way_without_a_run_uses_the_tiny_pipeline_and_says_so_first(place, capsys):
    assert sample("--score", "is", "--images-per-prompt", "2") == 0
    out, talk = capsys.readouterr()
    assert talk.splitlines()[0].startswith("model: the shipped tiny pipeline")
    assert place.loads == [("tiny", torch.float32, "cpu")]
    folder = place.path / out.strip()
    assert folder.parent.name == "runs" and folder.name.startswith("sample-")
    rows = records(folder)
    assert [row["seed"] for row in rows] == [0, 1, 0, 1]
    for row in rows:
        with Image.open(folder / row["file_name"]) as picture:
            assert picture.size == (32, 32) and picture.text["prompt"] == row["text"]
    assert Image.open(folder / "contact_sheet.png").width > 224
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["extractor"]["name"] == "fsynth-probe" and scores["is"]["is_score"] is False
    assert "not a score [N 4, 1 split" in talk and "no safety checker" in talk
    assert "warning: words the model does not know: zebra" in talk
    shared = json.loads((folder / "sampling.json").read_text())
    assert shared["drawn"] and shared["resolution"] == 32 and shared["safety_checker"] == "off"


def test_the_newest_run_is_taken_with_its_resolution(place, capsys):
    run = place.path / "runs" / "sd-train-1"
    (run / "model").mkdir(parents=True)
    (run / "model" / "model_index.json").write_text("{}")
    (run / "run.yaml").write_text("resolution: 48\nmodel: tiny\n")
    (run / "result.json").write_text(json.dumps({"model": "tiny", "drawn": True}))
    assert sample("--output", "out") == 0
    talk = capsys.readouterr().err
    assert talk.startswith("model: runs/sd-train-1, the newest finished sd-train run")
    assert place.loads[0][0] == "runs/sd-train-1"
    assert Image.open("out/00000.png").size == (48, 48)
    assert not (place.path / "out" / "scores.json").exists()


def test_the_same_prompt_and_seed_give_the_same_picture_alone(place):
    assert sample("--output", "both", "--seed", "4", "--batch-size", "2") == 0
    (place.path / "prompts.txt").write_text("the man is wearing a blue zebra tee.\n")
    assert sample("--output", "one", "--seed", "4") == 0
    both, one = (np.asarray(Image.open(name)).astype(int) for name in ("both/00001.png", "one/00000.png"))
    assert np.abs(both - one).max() <= 1


def test_an_adapter_trained_on_drawings_brings_their_judge_and_size(place, monkeypatch, random_pipeline):
    run = place.path / "lora-run"
    (run / "model").mkdir(parents=True)
    (run / "model" / "pytorch_lora_weights.safetensors").write_text("")
    (run / "run.yaml").write_text("resolution: 40\nmodel: some/model\n")
    (run / "result.json").write_text(json.dumps({"model": "some/model", "drawn": True}))
    put_on = []
    monkeypatch.setattr(random_pipeline, "load_lora_weights", lambda path, weight_name: put_on.append(path))
    assert sample("--model", "some/model", "--lora", "lora-run", "--score", "is", "--output", "out") == 0
    assert [str(path) for path in put_on] == ["lora-run/model"]
    assert Image.open("out/00000.png").size == (40, 40)
    assert json.loads((place.path / "out" / "scores.json").read_text())["extractor"]["name"] == "fsynth-probe"


def test_an_adapter_on_an_adapter_is_refused(place, capsys, monkeypatch):
    """diffusers would use the second alone, and the records would name both."""
    (place.path / "more").mkdir()
    (place.path / "more" / "pytorch_lora_weights.safetensors").write_text("")
    lora = sd_folder.Found("its/base", place.path, lora=place.path)
    monkeypatch.setattr(sample_command.sd_folder, "find", lambda model: lora)
    assert sample("--model", "first", "--lora", "more", "--output", "out") == 1
    says = "fsynth: --lora more: first is LoRA weights already; give --model its/base\n"
    assert capsys.readouterr().err == says and not (place.path / "out").exists()


def test_json_carries_paths_and_scores(place, capsys):
    assert sample("--json", "--score", "is", "--output", "out") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["folder"] == "out" and result["pictures"] == 2
    assert result["scores"]["is"]["pictures"] == 2 and result["contact_sheet"].endswith("contact_sheet.png")


@pytest.mark.parametrize(
    ("flags", "prompts", "says"),
    [
        ((), "# nothing\n", "prompts.txt holds no prompt"),
        (("--score", "fid"), PROMPTS, "--score fid: no such score; there are: is"),
        (("--resolution", "30"), PROMPTS, "--resolution 30 is not a multiple of 4"),
        (("--output", "full"), PROMPTS, "full is not empty"),
        (("--lora", "full"), PROMPTS, "--lora full: no pytorch_lora_weights.safetensors there"),
        (
            ("--score", "is", "--inception-weights", "w.pth"),
            PROMPTS,
            "--inception-weights w.pth does not exist",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(place, capsys, flags, prompts, says):
    (place.path / "prompts.txt").write_text(prompts)
    (place.path / "full").mkdir()
    (place.path / "full" / "file").write_text("x")
    flags = flags if "--output" in flags else (*flags, "--output", "out")
    assert sample(*flags) == 1
    talk = capsys.readouterr().err.splitlines()
    assert talk[-1].startswith("fsynth: ") and says in talk[-1]
    left = sorted(path.name for path in place.path.iterdir())
    assert left == ["full", "probe", "prompts.txt"]
    assert not place.loads


@pytest.fixture
def no_inception(place, monkeypatch):
    """Neither Inception's weights in torch hub's folder, nor a network."""

    def offline(*_, **__):
        raise OSError("offline")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(place.path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)


def test_missing_judges_weights_are_told_before_any_picture_is_made(place, no_inception, capsys, monkeypatch):
    monkeypatch.setattr(sampling, "generate", lambda *_, **__: pytest.fail("a picture was made"))
    assert sample("--score", "is", "--model", "some/model", "--output", "out") == 1
    assert "weights-inception-2015-12-05-6726825d.pth" in capsys.readouterr().err
    assert not (place.path / "out").exists()


def test_an_unknown_model_is_told_before_its_judge_is_fetched(place, no_inception, capsys, monkeypatch):
    assert sample("--score", "is", "--model", "nonsense", "--output", "out") == 1
    talk = capsys.readouterr().err
    assert talk.startswith("fsynth: unknown model 'nonsense'") and talk.count("\n") == 1
    assert not (place.path / "out").exists()


def test_prompts_are_required(capsys):
    assert cli.run(["sample", "--seed", "1"]) == 1
    assert "--prompts is missing" in capsys.readouterr().err
