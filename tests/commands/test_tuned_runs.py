"""Runs of clip-finetune in which a part learns, with a running mean, validation and the best epoch kept."""

import json
import re

import pytest
import torch
import yaml
from safetensors.torch import load_file

from fsynth import cli, clip_folder, clip_student, clip_validation, progress
from fsynth.commands import clip_finetune
from fsynth.config import (
    ClipFinetuneConfig,
    ClipFinetuneLora,
    ClipFinetuneMemory,
    ClipFinetuneOptimizer,
    ClipFinetuneTuning,
    ClipFinetuneValidation,
)
from fsynth.data import synthetic
from fsynth.errors import FsynthError
from tests import launches, small_clip

EVERYTHING = {
    "lora_rank": 2,
    "lora": ClipFinetuneLora(dropout=0.1),
    "tuning": ClipFinetuneTuning(ema=0.9),
    "optimizer": ClipFinetuneOptimizer(layer_decay=0.7),
    "memory": ClipFinetuneMemory(checkpointing=True, micro_batch=4),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return synthetic.make_archive(tmp_path_factory.mktemp("data") / "drawn", rows=48, workers=0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_clip.make(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(autouse=True)
def few_rows_can_tell(monkeypatch):
    monkeypatch.setattr(clip_validation, "LEAST_ROWS", 4)


def config(archive, small, output, **more):
    settings = {
        "data": archive,
        "password_file": archive / "password.txt",
        "model": str(small),
        "output": output,
        "epochs": 3,
        "batch_size": 8,
        "lr": 1e-2,
        "precision": "no",
        "val_fraction": 0.3,
        "n_images": 20,
        "pictures": False,
    }
    return ClipFinetuneConfig(**{**settings, **more})


def weights(run):
    return load_file(run / "model" / clip_folder.WEIGHTS_FILE)


def log(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def everything(archive, small, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_validation, "LEAST_ROWS", 4)
        return clip_finetune.main(
            config(archive, small, tmp_path_factory.mktemp("runs") / "all", **EVERYTHING)
        )


def test_each_epoch_and_the_start_are_validated_and_logged(everything):
    epochs = [line for line in log(everything.folder) if "epoch" in line]
    assert [line["epoch"] for line in epochs] == [0, 1, 2, 3]
    for line in epochs:
        assert {"validation_recall", "validation_text_to_image", "validation_image_to_text"} <= set(line)
        assert 0 <= line["validation_recall"] <= 1
    assert not (everything.folder / "checkpoints").exists()


def test_a_run_with_adapters_leaves_a_plain_model_and_the_adapters(everything, small):
    import open_clip
    from peft import PeftModel

    before, after = load_file(small / clip_folder.WEIGHTS_FILE), weights(everything.folder)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert set(before) == set(after)
    assert {name.split(".", name.count(".") - 1)[-1] for name in changed - {"logit_scale"}} <= {
        "attn.in_proj_weight",
        "c_fc.weight",
        "c_proj.weight",
    }
    plain = open_clip.create_model(f"local-dir:{small}", require_pretrained=True)
    adapted = PeftModel.from_pretrained(plain, str(everything.folder / "adapter")).merge_and_unload()
    tuned = open_clip.create_model(f"local-dir:{everything.folder / 'model'}", require_pretrained=True)
    pictures = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(
            adapted.eval().encode_image(pictures), tuned.eval().encode_image(pictures), atol=1e-5
        )
    settings = json.loads((everything.folder / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(small) and settings["r"] == 2


def test_a_run_with_everything_on_resumes_in_mid_epoch_with_the_same_bits(
    everything, archive, small, tmp_path, monkeypatch
):
    """3 steps an epoch; a checkpoint after 2, 4, 6 and 8; stopped in step 5 and, again, in step 8."""
    settings = config(archive, small, tmp_path / "cut", checkpoint_every=2, **EVERYTHING)
    original = clip_student.Student.after_step

    def stop_after(number):
        steps = []

        def after_step(self):
            original(self)
            steps.append(1)
            if len(steps) == number:
                raise KeyboardInterrupt

        monkeypatch.setattr(clip_student.Student, "after_step", after_step)

    stop_after(5)
    with pytest.raises(KeyboardInterrupt):
        clip_finetune.main(settings)
    assert (tmp_path / "cut" / "checkpoints" / "best-epoch.pt").exists()
    stop_after(4)
    assert cli.run(["clip-finetune", "--resume", str(tmp_path / "cut")]) != 0
    monkeypatch.setattr(clip_student.Student, "after_step", original)
    assert cli.run(["clip-finetune", "--resume", str(tmp_path / "cut")]) == 0
    for name in ("model/open_clip_model.safetensors", "adapter/adapter_model.safetensors"):
        one, other = load_file(tmp_path / "cut" / name), load_file(everything.folder / name)
        assert set(one) == set(other)
        assert all(torch.equal(value, other[key]) for key, value in one.items())
    once, resumed = log(everything.folder), log(tmp_path / "cut")
    assert [_learnt(line) for line in resumed] == [_learnt(line) for line in once]
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == [
        path.name for path in (tmp_path / "cut" / "checkpoints").glob("step-*.pt")
    ]


def test_two_processes_with_everything_on_give_the_weights_of_one(archive, small, tmp_path, monkeypatch):
    """Adapters without dropout, which every process draws for its own rows; batches of 8, 8 and 4."""
    monkeypatch.setattr(clip_validation, "LEAST_ROWS", 100)  # as in the other processes
    more = {**EVERYTHING, "lora": ClipFinetuneLora(), "loss": "siglip-multi", "epochs": 2, "lr": 1e-3}
    one = clip_finetune.main(config(archive, small, tmp_path / "one", **more))
    recipe = yaml.safe_load((one.folder / "run.yaml").read_text())
    del recipe["fingerprint"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    given = ["--recipe", tmp_path / "recipe.yaml", "--output", tmp_path / "two"]
    launches.torchrun(2, "-m", "fsynth", "clip-finetune", *given)
    assert json.loads((tmp_path / "two" / "result.json").read_text())["processes"] == 2
    learnt = load_file(one.folder / "adapter/adapter_model.safetensors")
    for name, value in load_file(tmp_path / "two" / "adapter/adapter_model.safetensors").items():
        assert torch.allclose(value, learnt[name], atol=2e-4), name
    assert any(value.abs().max() > 1e-3 for name, value in learnt.items() if "lora_B" in name)


def _learnt(line):
    """A line of the log without what the machine was doing."""
    return {name: value for name, value in line.items() if name not in ("seconds", *progress.MEASURED)}


@pytest.mark.parametrize(("keep", "expected"), [("best", 2), ("last", 3)])
def test_the_weights_of_the_best_epoch_or_the_last_are_saved(
    keep, expected, archive, small, tmp_path, monkeypatch, capsys
):
    made_up, seen = iter([0.2, 0.3, 0.6, 0.4]), []
    original = clip_student.Student.after_epoch

    def after_epoch(self, epoch):
        seen.append(self.network.visual.proj.detach().clone())
        return original(self, epoch)

    monkeypatch.setattr(clip_validation, "mean_group_recall", lambda scores: next(made_up))
    monkeypatch.setattr(clip_student.Student, "after_epoch", after_epoch)
    validation = ClipFinetuneValidation(keep=keep)
    run = clip_finetune.main(config(archive, small, tmp_path / "run", validation=validation))
    found = [torch.equal(weights(run.folder)["visual.proj"], value) for value in seen]
    assert found == [epoch == expected for epoch in (1, 2, 3)]
    line = "kept: the weights of epoch 2, of the best validation recall, 60.0%"
    assert (line in capsys.readouterr().err) == (keep == "best")
    assert run.epoch == (2 if keep == "best" else None)


def test_a_run_that_does_harm_ends_as_it_came(archive, small, tmp_path, monkeypatch, capsys):
    """With a running mean and adapters, whose first weights come back with it."""
    made_up = iter([0.5, 0.3, 0.5, 0.4])
    monkeypatch.setattr(clip_validation, "mean_group_recall", lambda scores: next(made_up))
    run = clip_finetune.main(config(archive, small, tmp_path / "run", **EVERYTHING))
    before = load_file(small / clip_folder.WEIGHTS_FILE)
    assert all(torch.allclose(value, before[name], atol=1e-6) for name, value in weights(run.folder).items())
    assert run.epoch == 0 and run.before == run.after and run.comparison.verdict == "unclear"
    assert json.loads((run.folder / "model" / "fsynth.json").read_text())["trainings"][-1]["epoch"] == 0
    assert "kept: the weights before the first step" in capsys.readouterr().err


def test_a_run_stopped_after_its_model_was_written_still_has_the_best_epoch(
    archive, small, tmp_path, monkeypatch
):
    """4 steps an epoch, a checkpoint after 11: the best epoch, the first, is not trained again."""
    made_up = iter([0.2, 0.6, 0.3, 0.4, 0.2, 0.4])
    monkeypatch.setattr(clip_validation, "mean_group_recall", lambda scores: next(made_up))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_finetune.retrieval_pictures, "write", lambda *given, **more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            clip_finetune.main(config(archive, small, tmp_path / "cut", checkpoint_every=8))
    written = weights(tmp_path / "cut")
    assert cli.run(["clip-finetune", "--resume", str(tmp_path / "cut")]) == 0
    again = weights(tmp_path / "cut")
    assert all(torch.equal(again[name], value) for name, value in written.items())
    assert not (tmp_path / "cut" / "checkpoints" / "best-epoch.pt").exists()


def test_a_best_epoch_that_is_gone_ends_a_resumed_run(archive, small, tmp_path, monkeypatch, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_finetune, "_save", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            clip_finetune.main(config(archive, small, tmp_path / "cut", checkpoint_every=8))
    (tmp_path / "cut" / "checkpoints" / "best-epoch.pt").unlink()
    capsys.readouterr()
    assert cli.run(["clip-finetune", "--resume", str(tmp_path / "cut")]) == 1
    assert re.search(r"best-epoch\.pt cannot be read .*; start a new run", capsys.readouterr().err)


def test_without_rows_to_validate_the_last_epoch_is_saved(archive, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(clip_validation, "LEAST_ROWS", 100)
    run = clip_finetune.main(config(archive, small, tmp_path / "few", epochs=1))
    said = capsys.readouterr().err
    assert "rows cannot tell the best epoch (100 can), so the last one's weights are kept; --val-f" in said
    assert any("validation_recall" in row for row in log(run.folder))


@pytest.mark.parametrize(
    ("more", "told"),
    [({"val_fraction": None}, True), ({"validation": ClipFinetuneValidation(rows=0)}, False)],
)
def test_nobody_validates_without_rows(more, told, archive, small, tmp_path, capsys):
    run = clip_finetune.main(config(archive, small, tmp_path / "none", epochs=1, **more))
    assert not any("validation_recall" in row for row in log(run.folder)) and run.epoch is None
    assert ("validation: no rows, so the last epoch's weights are kept" in capsys.readouterr().err) == told


@pytest.mark.parametrize("lock", ["image", "text"])
def test_a_locked_tower_leaves_a_run_as_it_came(lock, archive, small, tmp_path):
    tuning, last = ClipFinetuneTuning(lock=lock, freeze_scale=True), ClipFinetuneValidation(keep="last")
    settings = config(archive, small, tmp_path / "run", epochs=1, tuning=tuning, validation=last)
    run = clip_finetune.main(settings)
    before = load_file(small / clip_folder.WEIGHTS_FILE)
    changed = {name for name, value in weights(run.folder).items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("visual.") == (lock == "text") for name in changed)


def test_the_running_mean_is_what_is_saved_and_the_weights_are_scored_beside(
    archive, small, tmp_path, monkeypatch, capsys
):
    seen = {}
    original = clip_student.Student.settle

    def settle(self, run, judge_raw):
        def judge():
            seen["raw"] = self.network.visual.proj.detach().clone()
            judge_raw()

        original(self, run, judge)
        seen["mean"] = self.ema.state_dict()["means"]["visual.proj"]

    monkeypatch.setattr(clip_student.Student, "settle", settle)
    tuning, last = ClipFinetuneTuning(ema=0.5), ClipFinetuneValidation(keep="last")
    settings = config(archive, small, tmp_path / "run", epochs=2, tuning=tuning, validation=last)
    run = clip_finetune.main(settings)
    saved = weights(run.folder)["visual.proj"]
    assert torch.equal(saved, seen["mean"]) and not torch.allclose(saved, seen["raw"], atol=1e-4)
    scores = json.loads((run.folder / "scores.json").read_text())["models"]
    assert list(scores) == ["before", "without mean", "after"]
    assert re.search(r"before +without mean +after", capsys.readouterr().err)


def test_contradictions_are_refused_before_anything_is_said(archive, small, tmp_path, capsys):
    refused = {
        r"tuning\.unlock=1 needs tuning\.lock": {"tuning": ClipFinetuneTuning(unlock=1)},
        r"tuning\.unlock=9: the text tower has 3 blocks": {
            "tuning": ClipFinetuneTuning(lock="text", unlock=9)
        },
        r"lora\.dora: True belongs to adapters; give --lora-rank": {"lora": ClipFinetuneLora(dora=True)},
        r"lora\.towers: text belongs to adapters": {"lora": ClipFinetuneLora(towers="text")},
        r"tuning\.lock=image: --lora-rank would adapt that tower; set lora\.towers=text": {
            "lora_rank": 2,
            "tuning": ClipFinetuneTuning(lock="image"),
        },
        r"tuning\.unlock=1: with --lora-rank adapters alone learn": {
            "lora_rank": 2,
            "lora": ClipFinetuneLora(towers="text"),
            "tuning": ClipFinetuneTuning(lock="image", unlock=1),
        },
        r"lora\.alpha: 0 switches the adapters off": {"lora_rank": 2, "lora": ClipFinetuneLora(alpha=0)},
        r"memory\.checkpointing: the image tower \(ModifiedResNet\) cannot": {
            "model": "tiny",
            "memory": ClipFinetuneMemory(checkpointing=True),
        },
    }
    for message, settings in refused.items():
        with pytest.raises(FsynthError, match=message):
            clip_finetune.main(config(archive, small, tmp_path / "run", **settings))
    assert capsys.readouterr().err == "" and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_compiled_run_saves_weights_under_their_own_names(archive, small, tmp_path, monkeypatch):
    """Traced, not translated to C++, which takes minutes."""
    compiled = []

    def trace(function, **more):
        compiled.append(function)
        return torch_compile(function, backend="aot_eager", **more)

    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", trace)
    plain = clip_finetune.main(config(archive, small, tmp_path / "plain", epochs=1))
    assert not compiled
    memory = ClipFinetuneMemory(compile=True)
    run = clip_finetune.main(config(archive, small, tmp_path / "compiled", memory=memory, epochs=1))
    assert len(compiled) == 2  # the trial and the network
    before, after = weights(plain.folder), weights(run.folder)
    assert set(before) == set(after)
    assert all(torch.allclose(value, after[name], atol=1e-3) for name, value in before.items())
