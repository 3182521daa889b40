"""The clock of a training run: resume bit for bit, accumulation, folders."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest
import torch
import yaml

from fsynth.checkpoints import weights_signature
from fsynth.errors import ConfigError, DataError, DivergedError, FsynthError, OutputError
from fsynth.progress import MEASURED
from fsynth.run import Run

RECIPE = {"lr": 0.05, "epochs": 3}


class Rows:
    """Eleven rows of a regression; the noise is keyed as a command's would be."""

    def __len__(self):
        return 11

    def __getitem__(self, pick):
        generator = torch.Generator().manual_seed(1000 * pick.epoch + pick.index)
        x = torch.randn(3, generator=generator)
        return {"x": x, "y": x.sum()}


def _train(
    folder=None,
    *,
    batch_size=4,
    micro_batch=None,
    stop_after=None,
    resume=None,
    recipe=RECIPE,
    workers=0,
    dropout=0.2,
):
    torch.manual_seed(7)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1))
    run = Run("toy-train", recipe, output=folder, seed=3, checkpoint_every=2, resume=resume)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    model, optimizer, schedule = run.prepare(model, optimizer, schedule)
    losses = []
    options = {"batch_size": batch_size, "epochs": 3, "micro_batch": micro_batch, "workers": workers}
    for batch in run.batches(Rows(), models=[model], **options):
        loss = ((model(batch["x"])[:, 0] - batch["y"]).square() * batch["weight"]).sum()
        run.descend(loss, model, optimizer, schedule)
        if run.ends_epoch:
            losses.append(run.epoch_loss())
            run.log(epoch=run.epoch + 1, epoch_loss=losses[-1])
        if run.step == stop_after and run.ends_step:
            break
    return run, model, losses


def _metrics(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    measured = {"seconds", *MEASURED}
    return [{key: value for key, value in row.items() if key not in measured} for row in rows]


@pytest.mark.parametrize("stop_after", [3, 5, 7])
def test_a_resumed_run_ends_with_the_same_weights_and_log(tmp_path, stop_after):
    _, whole, losses = _train(tmp_path / "whole")
    _train(tmp_path / "broken", stop_after=stop_after)
    _, resumed, later = _train(resume=tmp_path / "broken")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert losses[-len(later) :] == later
    assert _metrics(tmp_path / "whole") == _metrics(tmp_path / "broken")


def test_micro_batches_give_the_gradient_of_the_whole_batch(tmp_path):
    def last_loss(name, micro):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        run = Run("toy-train", {}, output=tmp_path / name)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model, optimizer = run.prepare(model, optimizer)
        for batch in run.batches(Rows(), batch_size=4, epochs=2, models=[model], micro_batch=micro):
            loss = ((model(batch["x"])[:, 0] - batch["y"]).square() * batch["weight"]).sum()
            run.descend(loss, model, optimizer)
        return model.weight, run.epoch_loss()

    (whole, whole_loss), (parts, parts_loss) = last_loss("a", None), last_loss("b", 1)
    assert torch.allclose(whole, parts, atol=1e-6)
    assert whole_loss == pytest.approx(parts_loss, rel=1e-5)


def test_parts_are_called_under_the_draws_of_their_micro_batch(tmp_path):
    model = torch.nn.Linear(1, 1)
    run = Run("toy-train", RECIPE, output=tmp_path / "run", seed=3)
    model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    weight, first, again, losses = model.weight.item(), [], [], []

    def part(number):
        again.append(torch.rand(()).item())
        return number * model.weight.sum()

    parts = [lambda: part(1), lambda: part(2), lambda: part(3)]
    for _ in run.batches(Rows(), batch_size=11, micro_batch=4, epochs=1, models=[model]):
        first.append(torch.rand(()).item())
        if run.ends_step:
            run.descend(torch.tensor(5.0), model, optimizer, clip=0, parts=parts)
            losses.append(run.epoch_loss())
    assert first == again and len(set(again)) == 3 and losses == [5.0]
    assert model.weight.item() == pytest.approx(weight - 6)


def test_the_epoch_loss_is_the_mean_over_the_rows_of_the_epoch(tmp_path):
    run = Run("toy-train", {}, output=tmp_path / "run")
    model = torch.nn.Linear(1, 1)
    model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=0.0))

    class Values:
        def __len__(self):
            return 5

        def __getitem__(self, pick):
            return {"value": torch.tensor(float(pick.index))}

    for batch in run.batches(Values(), batch_size=2, epochs=1, models=[model]):
        anchor = 0 * model(batch["value"][:, None]).sum()
        run.descend((batch["value"] * batch["weight"]).sum() + anchor, model, optimizer)
    assert run.epoch_loss() == pytest.approx((0 + 1 + 2 + 3 + 4) / 5)


def test_the_gradient_is_clipped_to_the_global_norm(tmp_path):
    run = Run("toy-train", {}, output=tmp_path / "run")
    model = torch.nn.Linear(3, 1)
    before = [value.detach().clone() for value in model.parameters()]
    model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    for batch in run.batches(Rows(), batch_size=11, epochs=1, models=[model]):
        run.descend(1e6 * (model(batch["x"]).sum() * batch["weight"]).sum(), model, optimizer)
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, model.parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(1.0, rel=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    run = Run("toy-train", {}, output=tmp_path / "run")
    model = torch.nn.Linear(3, 1)
    model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(DivergedError, match="the loss is nan at step 1"):
        for batch in run.batches(Rows(), batch_size=11, epochs=1, models=[model]):
            run.descend((model(batch["x"])[:, 0] * batch["weight"]).sum() * float("nan"), model, optimizer)


def test_no_checkpoint_holds_weights_of_a_loss_that_is_not_finite(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "_log_due", lambda self: False)  # as between two looks of a long run
    run = Run("toy-train", {}, output=tmp_path / "run", checkpoint_every=1)
    model = torch.nn.Linear(3, 1)
    model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(DivergedError, match="the loss is nan at step 1"):
        for batch in run.batches(Rows(), batch_size=4, epochs=1, models=[model]):
            run.descend((model(batch["x"])[:, 0] * batch["weight"]).sum() * float("nan"), model, optimizer)
    assert not list((tmp_path / "run").rglob("*.pt"))


def test_a_norm_of_zero_clips_nothing(tmp_path):
    run = Run("toy-train", {}, output=tmp_path / "run")
    model = torch.nn.Linear(3, 1)
    before = model.bias.item()
    model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    for batch in run.batches(Rows(), batch_size=11, epochs=1, models=[model]):
        run.descend(50 * (model(batch["x"])[:, 0] * batch["weight"]).sum(), model, optimizer, clip=0)
    assert before - model.bias.item() == pytest.approx(50, rel=1e-4)


def test_a_log_whose_last_line_was_cut_off_is_taken_up(tmp_path):
    _train(tmp_path / "broken", stop_after=3)
    with open(tmp_path / "broken" / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')
    _train(resume=tmp_path / "broken")
    assert [row["step"] for row in _metrics(tmp_path / "broken") if "loss" in row] == list(range(1, 10))


def test_run_yaml_is_a_recipe_without_the_output(tmp_path):
    run = Run("toy-train", {"lr": 0.1, "output": "x", "resume": None}, output=tmp_path / "run")
    assert yaml.safe_load((run.folder / "run.yaml").read_text()) == {"lr": 0.1}


def test_an_output_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "old.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        Run("toy-train", {}, output=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]


def test_resuming_with_other_settings_names_the_difference(tmp_path):
    _train(tmp_path / "run", stop_after=3)
    with pytest.raises(ConfigError, match=r"settings differ \(lr: 0.05 -> 0.1\)"):
        _train(resume=tmp_path / "run", recipe={"lr": 0.1, "epochs": 3})


def test_resuming_nothing_says_what_is_missing(tmp_path):
    with pytest.raises(OutputError, match=r"no run\.yaml there"):
        Run("toy-train", {}, resume=tmp_path)


class _Stop(BaseException):
    pass


@pytest.mark.parametrize(
    ("every", "says"),
    [
        (2, "unfinished (step 5 of 9); go on from step 4: fsynth toy-train --resume {folder}"),
        (0, "unfinished (step 5 of 9) and has no checkpoint to go on from; --checkpoint-every N writes some"),
    ],
)
def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path, every, says):
    model = torch.nn.Linear(3, 1)
    folder = tmp_path / "run"
    with pytest.raises(_Stop) as caught, Run("toy-train", {}, output=folder, checkpoint_every=every) as run:
        wrapped, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
        for batch in run.batches(Rows(), batch_size=4, epochs=3, models=[wrapped]):
            if run.step == 5:
                raise _Stop
            run.descend(wrapped(batch["x"]).sum(), wrapped, optimizer)
    assert caught.value.__notes__ == [f"{folder} is {says.format(folder=folder)}"]


def test_a_run_that_is_stopped_before_its_first_step_leaves_nothing_and_says_nothing(tmp_path):
    with pytest.raises(_Stop) as caught, Run("toy-train", {}, output=tmp_path / "run"):
        raise _Stop
    assert not (tmp_path / "run").exists() and not hasattr(caught.value, "__notes__")


def test_only_the_two_newest_checkpoints_are_kept(tmp_path):
    run, _, _ = _train(tmp_path / "run")
    names = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
    assert names == ["step-00000006.pt", "step-00000008.pt"]


def test_loader_processes_change_nothing_though_training_began_on_several_threads(tmp_path, monkeypatch):
    """A fork has none of its parent's threads: it would wait for them for ever, used it more than one."""
    monkeypatch.setattr(Rows, "__getitem__", _on_all_threads(Rows.__getitem__))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    _, here, _ = _train(tmp_path / "here")
    _, there, _ = _train(tmp_path / "there", workers=1)
    torch.set_num_threads(threads)
    assert weights_signature(here) == weights_signature(there)


def _on_all_threads(read):
    def computing(self, pick):
        assert torch.randn(400_000).sort().values.square().exp().sum() > 0
        return read(self, pick)

    return computing


def test_a_launch_that_accelerate_does_not_see_is_refused(monkeypatch):
    from fsynth import launch

    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "7")
    with pytest.raises(ConfigError, match="ACCELERATE_GRADIENT_ACCUMULATION_STEPS=7"):
        launch.make_accelerator("no")


def test_a_launch_of_which_accelerate_sees_less_is_refused(monkeypatch):
    import accelerate

    from fsynth import launch

    class Alone:
        num_processes, gradient_accumulation_steps = 1, 1

        def __init__(self, **settings):
            made.append(settings)

    made = []
    monkeypatch.setattr(accelerate, "Accelerator", Alone)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(FsynthError, match="2 processes were launched but accelerate sees 1; launch with"):
        launch.make_accelerator("no")
    assert made[0]["cpu"] is True
    assert made[0]["kwargs_handlers"][0].timeout.total_seconds() == 7200  # the others wait while one draws


def test_a_run_resumed_with_other_micro_batches_ends_within_float_tolerance(tmp_path):
    _, whole, _ = _train(tmp_path / "whole", dropout=0.0)
    _train(tmp_path / "broken", stop_after=5, dropout=0.0)
    _, resumed, _ = _train(resume=tmp_path / "broken", micro_batch=1, dropout=0.0)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_signature_of_weights_asks_no_device_for_float64(monkeypatch):
    def double(value):
        assert value.device.type == "cpu", "not every device has it"
        return value.to(torch.float64)

    monkeypatch.setattr(torch.Tensor, "double", double)
    elsewhere = torch.nn.Linear(3, 1, device="meta")
    with pytest.raises(NotImplementedError, match="no data"):  # it came as far as the way to the CPU
        weights_signature(elsewhere)


def test_a_checkpoint_leaves_autocast_on(tmp_path):
    run = Run("toy-train", {}, output=tmp_path / "run", precision="bf16", checkpoint_every=1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 1))
    model, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    inner = []
    model[0].register_forward_hook(lambda layer, given, made: inner.append(made.dtype))
    for batch in run.batches(Rows(), batch_size=4, epochs=1, models=[model]):
        run.descend((model(batch["x"])[:, 0] * batch["weight"]).sum(), model, optimizer)
    assert inner == [torch.bfloat16] * 3


def test_two_runs_of_one_process_may_differ_in_precision(tmp_path):
    assert Run("toy-train", {}, output=tmp_path / "a", precision="bf16").accelerator.mixed_precision == "bf16"
    assert Run("toy-train", {}, output=tmp_path / "b", precision="no").accelerator.mixed_precision == "no"


def test_a_killed_loader_worker_is_one_line_that_says_how_to_go_on(tmp_path, monkeypatch):
    def dying(self, pick):
        if pick.epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"x": torch.ones(3)}

    monkeypatch.setattr(Rows, "__getitem__", dying)
    model = torch.nn.Linear(3, 1)
    folder = tmp_path / "run"
    with pytest.raises(DataError) as caught, Run("toy-train", {}, output=folder, checkpoint_every=2) as run:
        wrapped, optimizer = run.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
        for batch in run.batches(Rows(), batch_size=4, epochs=3, models=[wrapped], workers=1):
            run.descend(wrapped(batch["x"]).sum(), wrapped, optimizer)
    said = r"a process that read pictures has ended \(DataLoader worker \(pid.*; .*take fewer --workers"
    assert re.match(said, str(caught.value)) and caught.value.__suppress_context__
    assert "--resume" in caught.value.__notes__[0]


def test_an_error_of_the_loop_that_is_no_workers_stays_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="our bug"), Run("toy-train", {}, output=tmp_path / "run"):
        raise RuntimeError("our bug in a DataLoader worker")
