"""Optimizers by name: what they need, what checkpoints must hold, how rates run over the steps."""

from __future__ import annotations

import io

import pytest
import torch

from fsynth import optimizers
from fsynth.errors import ConfigError, MissingPackage

KINDS = tuple(optimizers.BYTES_A_WEIGHT)
SHAPES = ((96, 64), (64,), (8, 4, 3, 3))


def begin(kind, schedule="constant", warmup=2):
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    groups = [{"params": weights[:2], "lr": 1e-2}, {"params": weights[2:], "lr": 1e-2}]
    optimizer = optimizers.make(kind, groups, lr=1e-2, weight_decay=0.01, warmup=warmup)
    return weights, optimizer, optimizers.make_schedule(optimizer, schedule, 12, warmup)


def step(weights, optimizer, schedule, number):
    generator = torch.Generator().manual_seed(number)
    for value in weights:
        value.grad = torch.randn(value.shape, generator=generator) + value.detach()
    optimizer.step()
    schedule.step()


@pytest.fixture(params=KINDS)
def kind(request):
    if request.param in optimizers._PACKAGES:
        pytest.importorskip(optimizers._PACKAGES[request.param])
    return request.param


def test_a_checkpoint_has_all_it_takes_to_go_on_to_the_bit(kind):
    weights, optimizer, schedule = begin(kind, "cosine" if kind != "schedule-free" else "constant")
    start = [value.detach().clone() for value in weights]
    for number in range(4):
        step(weights, optimizer, schedule, number)
    kept = io.BytesIO()
    state = [value.detach().clone() for value in weights], optimizer.state_dict(), schedule.state_dict()
    torch.save(state, kept)
    kept.seek(0)
    again, fresh, fresh_schedule = begin(kind, "cosine" if kind != "schedule-free" else "constant")
    values, *states = torch.load(kept, weights_only=True)
    with torch.no_grad():
        for value, before in zip(again, values, strict=True):
            value.copy_(before)
    fresh.load_state_dict(states[0])
    fresh_schedule.load_state_dict(states[1])
    for number in range(4, 8):
        step(weights, optimizer, schedule, number)
        step(again, fresh, fresh_schedule, number)
    assert all(torch.equal(one, two) for one, two in zip(weights, again, strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(weights, start, strict=True))
    assert schedule.get_last_lr() == fresh_schedule.get_last_lr()


def test_a_look_at_the_average_leaves_the_weights_as_they_were(kind):
    weights, optimizer, schedule = begin(kind)
    for number in range(5):
        step(weights, optimizer, schedule, number)
    before = [value.detach().clone() for value in weights]
    with optimizers.averaged(optimizer):
        seen = [value.detach().clone() for value in weights]
    assert all(torch.equal(one, two) for one, two in zip(weights, before, strict=True))
    assert (kind == "schedule-free") == any(
        not torch.equal(one, two) for one, two in zip(seen, before, strict=True)
    )
    step(weights, optimizer, schedule, 5)  # and it goes on
    optimizers.hand_out(optimizer)


def test_eight_bit_states_are_eight_bit():
    pytest.importorskip("bitsandbytes")
    weights, optimizer, schedule = begin("adamw-8bit")
    step(weights, optimizer, schedule, 0)
    assert optimizer.state[weights[0]]["state1"].dtype == torch.uint8
    assert optimizer.state[weights[1]]["state1"].dtype == torch.float32  # small ones are not worth it


def test_adafactor_moves_adapters_that_start_at_zero():
    """By default its steps are relative to the weights."""
    zero = torch.nn.Parameter(torch.zeros(16, 16))
    optimizer = optimizers.make("adafactor", [{"params": [zero]}], lr=1e-2, weight_decay=0.0)
    zero.grad = torch.ones_like(zero)
    optimizer.step()
    torch.testing.assert_close(zero.detach(), torch.full((16, 16), -1e-2))


@pytest.mark.parametrize(("kind", "end"), [("constant", 1.0), ("cosine", 0.0), ("linear", 0.0)])
@pytest.mark.parametrize("warmup", [0, 3])
def test_rates_rise_then_follow_their_schedule_to_its_end(kind, end, warmup):
    factor = optimizers.shape(kind, 40, warmup)
    rates = [factor(step) for step in range(41)]
    assert rates[:warmup] == pytest.approx([(step + 1) / (warmup + 1) for step in range(warmup)])
    assert rates[warmup] == 1.0 and rates[40] == pytest.approx(end, abs=1e-12)
    assert all(one >= two for one, two in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    middle = {"constant": 1.0, "cosine": 0.5, "linear": 0.5}[kind]
    assert optimizers.shape(kind, 40, 0)(20) == pytest.approx(middle)


def test_the_rate_that_is_logged_is_the_one_of_the_step():
    pytest.importorskip("prodigyopt")
    pytest.importorskip("schedulefree")
    for kind in ("prodigy", "schedule-free"):
        weights, optimizer, schedule = begin(kind, warmup=4)
        logged = []
        for number in range(6):
            step(weights, optimizer, schedule, number)
            logged.append(schedule.get_last_lr()[0])
        if kind == "prodigy":
            assert logged[-1] == pytest.approx(1e-2 * optimizer.param_groups[0]["d"])
        else:
            assert logged == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])


def test_what_cannot_be_is_one_line(monkeypatch):
    with pytest.raises(ConfigError, match=r"optimizer\.schedule=cosine: schedule-free averages its steps"):
        pytest.importorskip("schedulefree")
        optimizers.check("schedule-free", "cosine")
    with pytest.raises(ConfigError, match=r"text\.lr: Prodigy finds one rate for all"):
        pytest.importorskip("prodigyopt")
        optimizers.check("prodigy", "constant", [1.0, 0.5])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackage) as error:
        optimizers.check("adamw-8bit", "constant")
    says = "optimizer.kind=adamw-8bit needs bitsandbytes, which is not installed: pip install bitsandbytes"
    assert str(error.value) == says
