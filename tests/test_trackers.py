"""Mirrors of metrics.jsonl: what they are told, what they are not, and that they cost a run nothing."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from fsynth import trackers
from fsynth.errors import ConfigError, MissingPackage
from fsynth.run import Run

RECIPE = {
    "lr": 1e-4,
    "data": "/secret/place",
    "password_file": "/secret/password.txt",
    "model": "/home/somebody/models/mine",
    "n_images": None,
    "validation": {"rows": 8, "keep": "best"},
    "score": ["is"],
    "tracking": {"to": "wandb", "project": "fsynth"},
}


class Told:
    """A tracker that keeps what it is told."""

    def __init__(self, name="wandb"):
        self.name, self.rows, self.settings, self.pictures, self.finished = name, [], None, {}, False

    def store_init_configuration(self, values):
        self.settings = values

    def log(self, values, step):
        self.rows.append((step, values))

    def log_images(self, values, step, **more):
        self.pictures |= values

    def finish(self):
        self.finished = True


@pytest.fixture
def told(monkeypatch):
    mirror = Told()
    monkeypatch.setattr(trackers, "_started", lambda *_: mirror)
    return mirror


def _train(folder, resume=False, stop_after=None):
    model = torch.nn.Linear(3, 1)
    places = {"resume": folder} if resume else {"output": folder}
    with Run("toy-train", RECIPE, mirrors=(("wandb",), "fsynth"), checkpoint_every=1, **places) as run:
        model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
        data = _Rows([{"x": torch.ones(3)}] * 8)
        for batch in run.batches(data, batch_size=4, epochs=1, models=[model]):
            run.descend((model(batch["x"])[:, 0] * batch["weight"]).sum(), model, optimizer)
            if run.step == stop_after:
                raise KeyboardInterrupt
        run.log(epoch=1, validation_loss=0.5, validation_losses=[0.4, 0.6], kind="text")
        run.finish({})
    return run


class _Rows(list):
    def __getitem__(self, pick):
        return list.__getitem__(self, pick.index)


def test_a_tracker_is_told_numbers_and_settings_but_no_places(told, tmp_path):
    _train(tmp_path / "run")
    assert told.settings == {"lr": 1e-4, "model": "mine", "validation.rows": 8, "validation.keep": "best"}
    steps = [values for step, values in told.rows if "loss" in values]
    assert [step for step, values in told.rows if "loss" in values] == [1, 2]
    assert {"loss", "seconds", "pictures_per_second"} <= steps[0].keys() and "step" not in steps[0]
    last = told.rows[-1][1]
    assert last["validation_loss"] == 0.5 and "validation_losses" not in last and "kind" not in last
    assert told.finished
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in logged if "loss" in row] == [row["loss"] for row in steps]


def test_a_resumed_run_is_the_same_run_there(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(trackers, "_started", lambda *given: seen.append(given) or Told())
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "run", stop_after=2)
    _train(tmp_path / "run", resume=True)
    (name, folder, project, identity, step), again = seen
    assert (name, folder, project, step) == ("wandb", tmp_path / "run", "fsynth", 0) and len(identity) == 32
    assert again == (name, folder, project, identity, 1)


def test_a_tracker_that_fails_is_told_no_more_and_costs_nothing(told, tmp_path, capsys, monkeypatch):
    def fail(values, step):
        raise OSError("no network")

    monkeypatch.setattr(told, "log", fail)
    run = _train(tmp_path / "run")
    assert (run.folder / "result.json").exists()
    said = capsys.readouterr().err
    assert said.count("note: wandb is told no more (no network); metrics.jsonl goes on") == 1


def test_a_tracker_that_does_not_start_leaves_no_run(monkeypatch, tmp_path):
    def fail(*_):
        raise RuntimeError("api_key not configured (no-tty)")

    monkeypatch.setattr(trackers, "_started", fail)
    with pytest.raises(ConfigError, match=r"tracking\.to: wandb does not start \(api_key not configured"):
        _train(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_names_and_packages_are_checked(monkeypatch):
    monkeypatch.setattr(trackers, "_installed", lambda package: package == "tensorboard")
    assert trackers.chosen("auto") == trackers.chosen("tensorboard, tensorboard") == ("tensorboard",)
    assert trackers.chosen("none") == ()
    with pytest.raises(ConfigError, match="no tracker 'tensorbord'; there are tensorboard, wandb, comet"):
        trackers.chosen("tensorbord")
    with pytest.raises(MissingPackage, match="comet needs the package comet-ml: pip install comet-ml"):
        trackers.chosen("tensorboard,comet")
    monkeypatch.setattr(trackers, "_installed", lambda package: False)
    assert trackers.chosen("auto") == ()


def test_tensorboard_shows_what_was_logged_and_drawn(tmp_path):
    """Read back by TensorBoard itself; a resumed run's first event takes back later steps."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pictures = [tmp_path / f"{number}.png" for number in (1, 2)]
    for number, file in enumerate(pictures):
        Image.fromarray(np.full((8 + 4 * number, 8, 3), 50 * number, np.uint8)).save(file)  # of two sizes
    mirror = trackers.Mirror(tmp_path, ("tensorboard",), "fsynth", RECIPE)
    for step in (1, 2, 3):
        mirror.log({"step": step, "seconds": 1.0, "loss": 1 / step, "validation_losses": [1.0]})
    mirror.show("before", pictures, 0)
    mirror.finish()
    again = trackers.Mirror(tmp_path, ("tensorboard",), "fsynth", RECIPE, 2)
    again.log({"step": 3, "loss": 0.25})
    again.finish()
    found = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    (shown,) = found.Images("before")  # side by side, the smaller one on white
    drawn = np.asarray(Image.open(io.BytesIO(shown.encoded_image_string)))
    assert drawn.shape == (12, 16, 3)
    assert drawn[:, 0].mean(1).tolist() == [255] * 2 + [0] * 8 + [255] * 2 and (drawn[:, 8:] == 50).all()
    assert not any(b"secret" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
