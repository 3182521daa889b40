import dataclasses
import json
import math

import open_clip
import pytest
import torch
import yaml
from safetensors.torch import load_file

from fsynth import cli, clip_model, report
from fsynth.commands import clip_eval, clip_finetune
from fsynth.config import ClipEvalConfig, ClipFinetuneConfig, ClipFinetuneMemory, ClipFinetuneOptimizer
from fsynth.data import sources, synthetic
from fsynth.errors import ConfigError, FsynthError, OutputError
from tests import launches, small_clip


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return synthetic.make_archive(tmp_path_factory.mktemp("data") / "drawn", rows=40, workers=0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_clip.make(tmp_path_factory.mktemp("models") / "small")


def config(archive, small, output, **more):
    settings = {
        "data": archive,
        "password_file": archive / "password.txt",
        "model": str(small),
        "output": output,
        "epochs": 2,
        "batch_size": 8,
        "lr": 1e-3,
        "precision": "no",
    }
    return ClipFinetuneConfig(**{**settings, **more})


def weights(run):
    return load_file(run / "model" / clip_model.WEIGHTS_FILE)


@pytest.fixture(scope="module")
def done(archive, small, tmp_path_factory):
    return clip_finetune.main(config(archive, small, tmp_path_factory.mktemp("runs") / "one"))


def test_a_run_writes_a_model_scores_and_a_log(done, archive):
    assert done.folder.name == "one" and not done.synthetic
    assert done.pairs == 30 and done.steps == 8 and done.n_samples == 10
    record = json.loads((done.folder / "scores.json").read_text())
    assert record["models"]["before"]["scores"] == done.before
    assert record["models"]["after"]["scores"] == done.after
    assert record["n_samples"] == 10 and record["seed"] == 0 and len(record["rows_sha256"]) == 64
    assert record["bounds"]["pair"]["text_to_image"]["chance@5"] == pytest.approx(0.5)
    told = record["zero_shot"]
    assert set(told["models"]) == {"before", "after"} and "elsewhere" not in told
    assert told["tasks"]["category"]["pictures"] + told["tasks"]["category"]["left_out"] == 10
    assert {(one["baseline"], one["model"]) for one in told["comparisons"]} == {("before", "after")}
    result = json.loads((done.folder / "result.json").read_text())
    assert result["after"] == done.after and result["seconds"] > 0
    lines = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "epoch" in line] == [1, 2]
    assert yaml.safe_load((done.folder / "run.yaml").read_text())["lr"] == 1e-3


def test_a_run_shows_what_it_finds_on_the_rows_that_are_scored(done, archive):
    cases = json.loads((done.folder / "retrieval" / "cases.json").read_text())
    assert cases["models"] == ["before", "after"] and cases["n_pictures"] == 10 and cases["drawn"]
    test = sources.open_source(archive, archive / "password.txt").test
    sentences = dict(zip(test["row"], test["text"], strict=True))
    shown = [one for case in cases["text_to_image"] for one in case["answers"]] + cases["image_to_text"]
    assert shown and all(sentences[one["row"]] == one["text"] for one in shown)
    assert (done.folder / "retrieval.png").is_file() and (done.folder / "similarities.png").is_file()
    assert "What it finds" in report.build(done.folder).read_text(encoding="utf-8")


def test_clip_eval_gives_the_numbers_of_the_run(done, archive, small, tmp_path):
    settings = {"data": archive, "password_file": archive / "password.txt"}
    models = (str(small), str(done.folder))
    judged = clip_eval.main(ClipEvalConfig(**settings, model=models, output=tmp_path / "eval"))
    assert list(judged.scores.values()) == [done.before, done.after]
    assert judged.comparisons[0].recall_at_1 == done.comparison.recall_at_1
    assert (judged.comparisons[0].low, judged.comparisons[0].high) == (
        done.comparison.low,
        done.comparison.high,
    )


def test_the_fine_tuned_folder_loads_in_open_clip(done):
    network = open_clip.create_model(f"local-dir:{done.folder / 'model'}", require_pretrained=True)
    assert torch.equal(network.logit_scale.detach(), weights(done.folder)["logit_scale"])


def test_the_model_says_what_it_learnt_and_from_what_but_no_place_of_this_machine(done):
    text = (done.folder / "model" / "fsynth.json").read_text()
    record = json.loads(text)
    (training,) = record["trainings"]
    assert record["base"] == "tiny"  # whose tokenizer it has
    assert training["pairs"] == done.pairs and training["steps"] == done.steps
    assert training["data"] == "FashionSynthesis" and training["loss"] == "clip-multi"
    assert training["rows"] == yaml.safe_load((done.folder / "run.yaml").read_text())["fingerprint"]
    assert "/" not in text


def test_the_loss_falls_on_the_pairs_it_saw(archive, small, tmp_path):
    run = clip_finetune.main(config(archive, small, tmp_path / "run", epochs=8, n_images=16, batch_size=16))
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [line["epoch_loss"] for line in lines if "epoch" in line]
    assert losses[-1] < losses[0] - 0.3
    assert run.loss == losses[-1]


def test_the_same_settings_give_the_same_weights(done, archive, small, tmp_path):
    again = clip_finetune.main(config(archive, small, tmp_path / "again"))
    for name, value in weights(again.folder).items():
        assert torch.equal(value, weights(done.folder)[name]), name


def test_two_processes_give_the_weights_of_one(done, archive, small, tmp_path):
    """Batches of 8, 8, 8 and 6 rows over two processes: the last one of 3 and 3; then 7 of 4 and 3."""
    settings = ["--epochs", 2, "--batch-size", 8, "--lr", 1e-3, "--precision", "no"]
    data = ["--data", archive, "--password-file", archive / "password.txt", "--model", small]
    launches.torchrun(2, "-m", "fsynth", "clip-finetune", *data, *settings, "--output", tmp_path / "two")
    assert json.loads((tmp_path / "two" / "result.json").read_text())["processes"] == 2
    for name, value in weights(tmp_path / "two").items():
        assert torch.allclose(value, weights(done.folder)[name], atol=2e-4), name


def test_a_run_on_drawn_data_resumes_on_them_with_the_same_weights(
    done, archive, small, tmp_path, monkeypatch
):
    settings = dataclasses.replace(
        config(archive, small, tmp_path / "cut", checkpoint_every=3), data=None, password_file=None
    )
    monkeypatch.delenv("FSYNTH_DATA", raising=False)
    monkeypatch.setattr(synthetic, "cached_archive", lambda: archive)
    original = clip_finetune.clip_tuning.keep_scale
    steps = []

    def stop_in_the_middle(*given):
        original(*given)
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(clip_finetune.clip_tuning, "keep_scale", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        clip_finetune.main(settings)
    monkeypatch.setattr(clip_finetune.clip_tuning, "keep_scale", original)
    monkeypatch.setenv("FSYNTH_DATA", str(tmp_path / "nowhere"))  # the recipe, not the day, says which data
    (tmp_path / "cut" / "model").mkdir()  # as left by a run that was stopped during its last evaluation
    (tmp_path / "cut" / "model" / clip_model.WEIGHTS_FILE).write_text("old")
    assert yaml.safe_load((tmp_path / "cut" / "run.yaml").read_text())["data"] == "drawn"
    assert cli.run(["clip-finetune", "--resume", str(tmp_path / "cut")]) == 0
    resumed = json.loads((tmp_path / "cut" / "result.json").read_text())
    assert resumed["before"] == done.before and resumed["after"] == done.after
    for name, value in weights(tmp_path / "cut").items():
        assert torch.equal(value, weights(done.folder)[name]), name


def test_micro_batches_change_nothing_but_the_memory(done, archive, small, tmp_path):
    memory = ClipFinetuneMemory(micro_batch=3)
    run = clip_finetune.main(config(archive, small, tmp_path / "run", memory=memory))
    assert run.steps == done.steps and run.loss == pytest.approx(done.loss, abs=1e-5)
    for name, value in weights(run.folder).items():
        assert torch.allclose(value, weights(done.folder)[name], atol=2e-4), name


def test_a_softmax_model_learns_by_a_sigmoid_from_a_bias_that_fits_it(archive, small, tmp_path, capsys):
    run = clip_finetune.main(config(archive, small, tmp_path / "run", loss="siglip-multi", epochs=8))
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [line["epoch_loss"] for line in lines if "epoch" in line]
    assert losses[0] < 8 * math.log(2)  # below a coin for each of a row's pairs
    assert losses[-1] < losses[0] - 0.3
    bias = open_clip.create_model(f"local-dir:{run.folder / 'model'}", require_pretrained=True).logit_bias
    assert torch.equal(bias.detach(), weights(run.folder)["logit_bias"])
    assert "logit bias: " in capsys.readouterr().err


def test_weights_that_did_not_change_are_an_error(archive, small, tmp_path):
    with pytest.raises(FsynthError, match="did not change"):
        clip_finetune.main(config(archive, small, tmp_path / "run", lr=1e-60, epochs=1))
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_batch_larger_than_the_data_is_cut_and_said(archive, small, tmp_path, capsys):
    run = clip_finetune.main(config(archive, small, tmp_path / "run", batch_size=999, epochs=1))
    assert run.steps == 1
    said = capsys.readouterr().err
    assert "batch size: 30, all pairs there are, instead of 999 (--batch-size)" in said
    assert "--n-samples 5,000 is more than the 10 held-out rows" in said
    assert "ceiling" in said and "chance" in said
    assert "10 rows" in said.split("mean group recall")[1]


def test_wrong_settings_leave_nothing_behind_and_are_all_that_is_said(archive, small, tmp_path, capsys):
    with pytest.raises(ConfigError, match="more than the 30 rows of the training split"):
        clip_finetune.main(config(archive, small, tmp_path / "run", n_images=31))
    with pytest.raises(FsynthError, match="no such file or folder"):
        clip_finetune.main(config(archive, "no-such-model", tmp_path / "run"))
    assert not (tmp_path / "run").exists() and capsys.readouterr().err == ""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        clip_finetune.main(config(archive, small, tmp_path / "full"))


def test_what_is_not_given_is_derived_and_said(archive, small, tmp_path, capsys):
    more = {"lr": None, "epochs": None, "batch_size": None, "n_images": 8}
    run = clip_finetune.main(config(archive, small, tmp_path / "run", **more))
    said = capsys.readouterr().err
    assert "learning rate: 1.0e-05, the default for pretrained models (--lr)\n" in said
    assert "batch size: 8, so that an epoch of few pairs has 8 batches (--batch-size)\n" in said
    assert "epochs: 30, so that a run on few pairs has 100 steps, or 30 epochs (--epochs)\n" in said
    assert run.steps == 30 and yaml.safe_load((run.folder / "run.yaml").read_text())["epochs"] == 30


def test_ten_rows_are_too_few_for_a_verdict_on_a_random_model(done):
    record = json.loads((done.folder / "scores.json").read_text())["comparisons"]
    assert record == [done.comparison.record()]
    found = done.comparison
    assert (found.baseline, found.model, found.rows) == ("before", "after", 10)
    assert found.low <= found.difference <= found.high
    assert found.verdict == "unclear"


def test_warm_up_longer_than_a_fifth_of_the_run_is_refused(archive, small, tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"optimizer\.warmup=0\.6"):
        clip_finetune.main(config(archive, small, tmp_path, optimizer=ClipFinetuneOptimizer(warmup=0.6)))
    assert ClipFinetuneOptimizer().warmup == 0.05 and capsys.readouterr().err == ""
