"""Which epoch's weights a diffusion run keeps, on made-up losses."""

from __future__ import annotations

import json

import pytest
import torch

from fsynth.errors import OutputError
from fsynth.sd_validation import Validation

ROWS = [0.40, 0.50, 0.45, 0.60, 0.55, 0.42, 0.47, 0.52]


class Losses:
    """Gives one list of losses after the other; the weight of the model says which epoch it is."""

    def __init__(self, *shifts):
        uneven = [1 + place % 2 / 9 for place in range(len(ROWS))]
        self.given = [[a + shift * b for a, b in zip(ROWS, uneven, strict=True)] for shift in shifts]

    def __len__(self):
        return len(ROWS)

    def losses(self, accelerator):
        return self.given.pop(0)


def _epochs(tmp_path, *shifts, upto=None, **settings):
    """A run whose losses lie by so much above `ROWS`; its weights are the numbers of its epochs."""
    model = torch.nn.Linear(1, 1)
    settings = {"set_aside": True, "keep": "best", "patience": 0} | settings
    validation = Validation(Losses(*shifts), [model], tmp_path, **settings)
    for epoch in range(len(shifts))[:upto]:
        torch.nn.init.constant_(model.weight, epoch)
        found = validation.see(epoch, None)
        with open(tmp_path / "metrics.jsonl", "a") as log:
            log.write(json.dumps({"step": epoch, "epoch": epoch, **found}) + "\n")
    return validation, model


@pytest.mark.parametrize(
    ("shifts", "kept", "says"),
    [
        ((0.0, -0.1, -0.2), 2, "of epoch 2, the last, of the lowest validation loss"),
        ((0.0, -0.2, -0.1), 1, "of epoch 1, of the lowest validation loss; the last epoch's is"),
        (
            (0.0, 0.2, 0.1),
            0,
            "before the first step, of the lowest validation loss; the last epoch's is 21.60 % higher",
        ),
    ],
)
def test_an_earlier_epoch_is_kept_where_the_last_is_worse(tmp_path, shifts, kept, says, capsys):
    validation, model = _epochs(tmp_path, *shifts)
    assert validation.settle() == kept and model.weight.item() == kept
    said = capsys.readouterr().err
    assert f"kept: the weights {says}" in said and ("fine-tuning did harm" in said) == (kept == 0)
    assert validation.comparison(kept).after == pytest.approx(sum(validation.losses[kept]) / 8)
    validation.remove()
    assert not (tmp_path / "checkpoints").exists()


def test_an_epoch_that_is_best_by_chance_is_not_kept(tmp_path, capsys):
    validation, model = _epochs(tmp_path, 0.1, 0.0, 0.0)
    validation.losses[2] = [row + (0.01 if place % 2 else -0.009) for place, row in enumerate(ROWS)]
    assert validation.best == 1
    assert validation.settle() == 2 and model.weight.item() == 2
    said = capsys.readouterr().err
    assert "the last; the rows show no difference from those of epoch 1, of the lowest loss" in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"set_aside": False},
            "no rows are set aside to choose by, and test rows never choose; --val-fraction",
        ),
        ({"keep": "last"}, ""),
    ],
)
def test_where_nobody_chooses_the_last_weights_stay(tmp_path, settings, says, capsys):
    validation, model = _epochs(tmp_path, 0.0, 0.1, 0.2, **settings)
    assert validation.settle() is None and model.weight.item() == 2
    assert validation.comparison(None).verdict == "worse"
    assert says in capsys.readouterr().err and not (tmp_path / "checkpoints").exists()


def test_too_few_rows_choose_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Losses, "__len__", lambda self: 5)
    assert _epochs(tmp_path, 0.0, 0.1)[0].settle() is None
    assert "5 rows cannot tell epochs apart, 6 can" in capsys.readouterr().err


def test_patience_ends_after_epochs_without_a_lower_loss(tmp_path):
    shifts = (0.0, -0.1, 0.1, -0.05, -0.2)
    ended = [_epochs(tmp_path, *shifts, upto=upto, patience=2)[0].exhausted for upto in range(6)]
    assert ended == [False, False, False, False, True, False]
    assert not _epochs(tmp_path, 0.0, 0.1, 0.2, 0.3)[0].exhausted


def test_a_resumed_run_knows_its_epochs_and_the_weights_it_kept(tmp_path):
    shifts = (0.0, -0.2, -0.1)
    _epochs(tmp_path, *shifts, upto=2)
    log = tmp_path / "metrics.jsonl"
    log.write_text(
        log.read_text().splitlines()[0] + "\n"
    )  # epoch 1 is after the checkpoint, its weights are kept
    model = torch.nn.Linear(1, 1)
    again = Validation(Losses(*shifts[1:]), [model], tmp_path, set_aside=True, keep="best", patience=0)
    again.go_on()
    assert sorted(again.losses) == [0, 1] and again.best == 1
    for epoch in (1, 2):
        torch.nn.init.constant_(model.weight, epoch)
        again.see(epoch, None)
    assert again.settle() == 1 and model.weight.item() == 1


def test_kept_weights_that_are_gone_end_a_resumed_run(tmp_path):
    validation, _ = _epochs(tmp_path, 0.0, 0.1)
    validation.remove()
    with pytest.raises(OutputError, match=r"best-epoch\.pt cannot be read .*; start a new run"):
        validation.go_on()


def test_nothing_is_kept_of_a_run_that_does_not_validate(tmp_path):
    validation = Validation(None, [], tmp_path, set_aside=False, keep="best", patience=0)
    assert validation.see(0, None) == {} and validation.settle() is None and not validation.exhausted
    assert validation.comparison(None) is None
