"""Which epoch is kept, by recalls that are made up."""

import json
from types import SimpleNamespace

import pytest
import torch

from fsynth import clip_validation, retrieval
from fsynth.clip_validation import Validation
from fsynth.ema import Ema
from fsynth.errors import OutputError


@pytest.fixture
def recalls(monkeypatch):
    """The recalls that the next evaluations find."""
    values = []

    def evaluate(gallery, model, workers, title):
        ways = {way: {f"recall@{k}": values[0] for k in retrieval.AT} for way in retrieval.DIRECTIONS}
        values.pop(0)
        return SimpleNamespace(scores={"group": ways})

    monkeypatch.setattr(clip_validation, "evaluate", evaluate)
    return values


def make(run, keep="best", rows=100, ema=False):
    network = torch.nn.Linear(2, 1, bias=False)
    model, gallery = SimpleNamespace(network=network), SimpleNamespace(rows=range(rows))
    mean = Ema(network, 0.5) if ema else None
    return Validation.of(gallery, model, mean, run, keep, workers=0)


def train(validation, run, first=1, epochs=3):
    """Epoch after epoch gives the weights its number."""
    for epoch in range(first, epochs + 1):
        validation.model.network.weight.data.fill_(epoch)
        if validation.ema:
            validation.ema.update()
        with (run / "metrics.jsonl").open("a") as log:
            log.write(json.dumps({"epoch": epoch, **validation.after_epoch(epoch)}) + "\n")


def weight(validation):
    return validation.model.network.weight.detach()


def test_the_best_epoch_is_brought_back_and_its_file_removed(recalls, tmp_path, capsys):
    recalls += [0.2, 0.3, 0.6, 0.5]
    validation = make(tmp_path)
    assert validation.begin()["validation_recall"] == pytest.approx(0.2)
    validation.keep_start()
    train(validation, tmp_path)
    assert (weight(validation) == 3).all()
    validation.settle()
    assert (weight(validation) == 2).all()
    assert capsys.readouterr().err == "kept: the weights of epoch 2, of the best validation recall, 60.0%\n"
    validation.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_of_equal_epochs_the_first_is_kept(recalls, tmp_path):
    recalls += [0.1, 0.4, 0.4, 0.4]
    validation = make(tmp_path)
    validation.begin()
    train(validation, tmp_path)
    validation.settle()
    assert (weight(validation) == 1).all()


def test_the_running_mean_comes_back_with_the_weights(recalls, tmp_path):
    recalls += [0.1, 0.3, 0.6, 0.5]
    validation = make(tmp_path, ema=True)
    validation.begin()
    train(validation, tmp_path, epochs=2)
    with validation.ema.applied():
        expected = weight(validation).clone()
    train(validation, tmp_path, first=3)
    validation.settle()
    assert (weight(validation) == 2).all()
    validation.ema.put_in_place()
    assert torch.equal(weight(validation), expected)


@pytest.mark.parametrize(("keep", "expected"), [("best", 2), ("last", 4)])
def test_a_resumed_run_knows_the_epochs_before(recalls, tmp_path, capsys, keep, expected):
    recalls += [0.5, 0.3, 0.6]
    validation = make(tmp_path, keep)
    validation.begin()
    train(validation, tmp_path, epochs=2)
    recalls += [0.5, 0.4, 0.2]
    resumed = make(tmp_path, keep)
    resumed.begin()
    resumed.go_on(tmp_path)
    train(resumed, tmp_path, first=3, epochs=4)
    resumed.settle()
    assert (weight(resumed) == expected).all()
    assert "no epoch" not in capsys.readouterr().err  # the second was above the start, before the resume


@pytest.mark.parametrize(
    ("keep", "expected", "line"),
    [
        ("best", 7, ["kept: the weights before the first step, of the best validation recall, 50.0%"]),
        ("best epoch", 2, ["kept: the weights of epoch 2, of the best validation recall, 50.0%"]),
        ("last", 3, []),
    ],
)
def test_a_run_that_never_gets_above_its_start_is_told(recalls, tmp_path, capsys, keep, expected, line):
    recalls += [0.5, 0.3, 0.5, 0.2]
    validation = make(tmp_path, keep)
    validation.model.network.weight.data.fill_(7)
    validation.begin()
    validation.keep_start()
    train(validation, tmp_path)
    validation.settle()
    assert (weight(validation) == expected).all()
    assert capsys.readouterr().err.splitlines() == [
        *line,
        "note: no epoch's validation recall is above that of the start, 50.0%; try a lower --lr or more data",
    ]


def test_a_resumed_run_goes_back_to_its_start(recalls, tmp_path):
    recalls += [0.5, 0.3]
    validation = make(tmp_path)
    validation.model.network.weight.data.fill_(7)
    validation.begin()
    validation.keep_start()
    train(validation, tmp_path, epochs=1)
    recalls += [0.5, 0.4]
    resumed = make(tmp_path)
    resumed.begin()
    resumed.go_on(tmp_path)
    train(resumed, tmp_path, first=2, epochs=2)
    resumed.settle()
    assert resumed.epoch == 0 and (weight(resumed) == 7).all()


def test_too_few_rows_choose_no_epoch(recalls, tmp_path, capsys):
    recalls += [0.1, 0.9, 0.2, 0.3]
    validation = make(tmp_path, rows=99)
    assert "99 rows cannot tell the best epoch (100 can)" in capsys.readouterr().err
    validation.begin()
    train(validation, tmp_path)
    validation.settle()
    assert (weight(validation) == 3).all() and not (tmp_path / "checkpoints").exists()


def test_a_broken_file_of_the_best_epoch_is_named(recalls, tmp_path):
    recalls += [0.1]
    validation = make(tmp_path)
    validation.begin()
    validation.keep_start()
    (tmp_path / "checkpoints" / "best-epoch.pt").write_text("cut off")
    with pytest.raises(OutputError, match=r"best-epoch\.pt cannot be read .*start a new run"):
        validation.go_on(tmp_path)


def test_the_headline_is_the_mean_over_k_and_directions():
    ways = {"text_to_image": (0.1, 0.2, 0.3), "image_to_text": (0.4, 0.5, 0.9)}
    scores = {
        way: {f"recall@{k}": value for k, value in zip(retrieval.AT, some, strict=True)}
        for way, some in ways.items()
    }
    assert clip_validation.mean_group_recall({"group": scores}) == pytest.approx(0.4)
