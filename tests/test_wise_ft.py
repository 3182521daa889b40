"""Blends of weights: the ends to the bit, the middle by hand, what cannot be blended, which one is taken."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fsynth import plots, score_table, wise_ft
from fsynth.errors import ConfigError, ModelError
from fsynth.wise_ft import Blend


class Small(nn.Module):
    """All kinds of state: weights, a logit scale, running statistics, a counter, half precision."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.norm.running_mean.normal_()
        self.norm.num_batches_tracked.fill_(seed)
        self.rough = nn.Parameter(torch.randn(7).half())
        self.logit_scale = nn.Parameter(torch.tensor(1.0 + seed))


def ends():
    return wise_ft.copied(Small(1)), wise_ft.copied(Small(2))


# --------------------------------------------------------------------------------------------------
# which blends


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("0,0.5,1", (0, 0.5, 1)),
        ("0,0.1,...,1", (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)),
        ("0, 0.25, …, 1", (0, 0.25, 0.5, 0.75, 1)),
        ("1,0,0.50,0.5", (0, 0.5, 1)),
        ("0,0.5,0.6,...,0.9,1", (0, 0.5, 0.6, 0.7, 0.8, 0.9, 1)),
    ],
)
def test_lists_and_equal_steps(text, shares):
    assert wise_ft.parse(text) == shares


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0,0.3,...,1", "no steps of 0.3 lead from 0.3 to 1"),
        ("0,0,...,1", "no steps of 0 lead from 0 to 1"),
        ("0.5,0.4,...,1", "no steps of -0.1 lead from 0.4 to 1"),
        ("0,...,1", "... stands between two shares and the last one"),
        ("0,0.1,...", "... stands between two shares and the last one"),
        ("0,half,1", "'half' is no number"),
        ("0,,1", "'' is no number"),
        ("0,1.5", "1.5 is not between 0 (the weights before) and 1 (after)"),
        ("0,nan", "nan is not between 0 (the weights before) and 1 (after)"),
        ("0.5", "two blends at least are to be compared"),
        ("0,0.001,...,1", "more than 101 blends, each of which is a whole evaluation"),
    ],
)
def test_what_is_no_list_of_shares_is_one_line(text, why):
    with pytest.raises(ConfigError) as caught:
        wise_ft.parse(text)
    assert str(caught.value) == f"--wise-ft {text}: {why}; write 0,0.1,...,1 or a list"


@given(st.integers(2, 100))
def test_equal_steps_are_the_exact_decimals(steps):
    if 100 % steps:
        return
    found = wise_ft.parse(f"0,{1 / steps:g},...,1")
    assert found == tuple(round(place / steps, 6) for place in range(steps + 1))
    assert all(b > a for a, b in pairwise(found))


def test_without_validation_rows_there_is_nothing_to_choose_on():
    wise_ft.need_rows(1)
    with pytest.raises(ConfigError, match=r"never on test rows, and there are none; set some aside"):
        wise_ft.need_rows(0)


# --------------------------------------------------------------------------------------------------
# weights


def test_the_ends_are_the_states_themselves(tmp_path):
    before, after = ends()
    network = Small(2)
    mapped = wise_ft.on_disk(network, tmp_path / "after.pt")
    for share, expected in ((0, before), (1, after), (0, before)):
        wise_ft.blend(network, before, mapped, share)
        counters = {"norm.num_batches_tracked": after["norm.num_batches_tracked"]}
        for name, value in network.state_dict().items():
            assert torch.equal(value, counters.get(name, expected[name])), name
    (tmp_path / "after.pt").unlink()  # as the run does, while they are still mapped
    wise_ft.blend(network, before, mapped, 1)
    assert torch.equal(network.layer.weight.detach(), after["layer.weight"])


def test_the_middle_is_between_for_all_that_are_numbers():
    before, after = ends()
    network = Small(3)
    wise_ft.blend(network, before, after, 0.25)
    for name, value in network.state_dict().items():
        expected = 0.75 * before[name].double() + 0.25 * after[name].double()
        if value.is_floating_point():
            assert torch.allclose(value.double(), expected, atol=1e-3 if name == "rough" else 1e-6), name
            assert value.dtype == before[name].dtype
        else:
            assert torch.equal(value, after[name])
    assert wise_ft.running_statistics(network) == 1


def test_what_training_did_not_touch_is_the_same_in_every_blend():
    before, after = ends()
    after = {**after, "layer.weight": before["layer.weight"]}
    network = Small(3)
    for share in (0.1, 0.3, 0.7):
        wise_ft.blend(network, before, after, share)
        assert torch.equal(network.layer.weight.detach(), before["layer.weight"])


def test_the_logit_scale_is_blended():
    before, after = ends()
    network = Small(3)
    wise_ft.blend(network, before, after, 0.5)
    assert network.logit_scale.item() == 2.5


def test_states_of_two_architectures_are_refused():
    before, after = ends()
    network = Small(2)
    adapted = {**after, "layer.lora_A": torch.zeros(1)}
    with pytest.raises(ModelError, match=r"^--wise-ft: only the weights after .* have layer\.lora_A$"):
        wise_ft.blend(network, before, adapted, 0.5)
    with pytest.raises(ModelError, match=r"only the weights before fine-tuning have layer\.bias and 1 more"):
        wise_ft.check_alike(before, {k: v for k, v in after.items() if k not in ("layer.bias", "rough")})
    with pytest.raises(ModelError, match=r"rough has the shape \(7,\) before fine-tuning and \(8,\) after"):
        wise_ft.blend(network, before, {**after, "rough": torch.zeros(8)}, 0.5)
    assert torch.equal(network.rough.detach(), after["rough"])  # untouched


def test_a_copy_does_not_follow_the_network():
    network = Small(1)
    kept = wise_ft.copied(network)
    with torch.no_grad():
        network.layer.weight.zero_()
    assert kept["layer.weight"].abs().sum() > 0


# --------------------------------------------------------------------------------------------------
# the choice


def blend_of(share, recall, retention=0.5):
    return Blend(share, recall, recall / 2, retention, {"Fashion-MNIST": retention, "color": 0.25})


def test_the_best_recall_is_taken_and_of_equals_the_nearest_to_before():
    assert wise_ft.choose([blend_of(0, 0.3), blend_of(0.5, 0.6), blend_of(1, 0.5)]).share == 0.5
    assert wise_ft.choose([blend_of(1, 0.6), blend_of(0.25, 0.6), blend_of(0.5, 0.6)]).share == 0.25


def test_a_sweep_judges_each_blend_as_it_is():
    before, after = ends()
    network, seen = Small(2), []

    def judge(share):
        seen.append(network.logit_scale.item())
        return blend_of(share, share)

    found = wise_ft.sweep(network, before, after, (0, 0.5, 1), judge)
    assert [one.share for one in found] == [0, 0.5, 1] and seen == [2.0, 2.5, 3.0]


def test_the_table_marks_what_was_taken_and_the_record_names_it():
    found = [blend_of(0, 0.3, 0.8), blend_of(0.5, 0.6, 0.7), blend_of(1, 0.5, 0.2)]
    lines = score_table.blends(found, "Fashion-MNIST").splitlines()
    assert [line[0] for line in lines] == [" ", " ", "*", " "]
    assert lines[0].split() == ["a", "recall@1", "mean", "group", "recall", "Fashion-MNIST", "color"]
    assert lines[2].split() == ["*", "0.5", "30.0", "%", "60.0", "%", "70.0", "%", "25.0", "%"]
    record = wise_ft.record(found, 9, "Fashion-MNIST")
    assert record["chosen"] == 0.5 and record["blends"][2]["retention"] == 0.2
    nothing = [Blend(0, 0.5, 0.5, None, {}), Blend(1, 0.4, 0.4, None, {})]
    assert "50.0 %" in score_table.blends(nothing, "labels, mean")


def test_the_plot_names_every_blend():
    points = [(0.0, 0.8, 0.3), (0.5, 0.7, 0.6), (1.0, 0.2, 0.5)]
    (axes,) = plots.trade_off(points, 0.5, 0.1, "kept", "found").axes
    said = [text.get_text() for text in axes.texts]
    assert said == ["chance", "0", "a = 0.5, taken", "1"]
    assert axes.lines[1].get_xdata().tolist() == [80, 70, 20]
