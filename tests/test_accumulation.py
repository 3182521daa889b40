import copy

import pytest
import torch

from fsynth.accumulation import Accumulation, learning_towers
from fsynth.contrastive import Features, contrastive_loss
from tests.contrastive_process import KINDS, Towers, backward, batches


def gradients(model):
    return [value.grad for value in model.parameters()]


def close(one, other):
    return all(
        left is right or torch.allclose(left, right, atol=2e-6)
        for left, right in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("micro_batch", [1, 4, 11])
def test_a_batch_in_parts_has_the_loss_and_gradients_of_the_whole(kind, micro_batch):
    whole = Towers()
    model = copy.deepcopy(whole)
    one = backward(whole, kind, batches())
    assert close(one, backward(model, kind, batches(micro_batch=micro_batch)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_pass_drops_what_the_first_dropped(kind):
    """Against one graph over all micro-batches, each with its own dropout."""
    model = Towers(dropout=0.5)
    loss, *found = backward(model, kind, batches(micro_batch=4))
    model.zero_grad()
    features, parts = [], list(batches(micro_batch=4))
    for number, part in enumerate(parts):
        torch.manual_seed(number)
        features.append(model(part["image"], part["tokens"]))
    pictures, sentences = (torch.cat([one[side] for one in features]) for side in (0, 1))
    weight, group = (torch.cat([part[name] for part in parts]) for name in ("weight", "group"))
    whole = contrastive_loss(
        kind, Features(pictures, sentences, features[0][2], weight, group, features[0][3])
    )
    whole.backward()
    assert torch.allclose(loss, whole) and close(found, gradients(model))


@pytest.mark.parametrize(("locked", "learns"), [("visual", (False, True)), ("text", (True, False))])
def test_a_tower_that_learns_nothing_is_passed_once(locked, learns):
    whole = Towers()
    whole.get_submodule(locked).requires_grad_(False)
    model, passes = copy.deepcopy(whole), []
    model.get_submodule(locked).register_forward_hook(lambda *_: passes.append(1))
    assert learning_towers(model) == learns
    one = backward(whole, "clip-multi", batches())
    assert close(one, backward(model, "clip-multi", batches(micro_batch=4)))
    assert len(passes) == 3


def test_nothing_of_a_step_is_left_for_the_next():
    model = Towers()
    accumulation = Accumulation(model, "clip")
    first, second = list(batches(micro_batch=6))
    accumulation.add(first)
    loss, parts = accumulation.finish(second)
    accumulation.add(first)
    again, more = accumulation.finish(second)
    assert torch.equal(loss, again) and len(parts) == len(more) == 2


def test_activations_of_the_first_pass_are_not_kept():
    model, kept = Towers(), []
    first, _ = list(batches(micro_batch=6))
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda value: value):
        Accumulation(model, "clip").add(first)
    assert kept == []


def test_a_sentence_of_several_rows_is_encoded_once():
    model, seen = Towers(), []
    model.text.register_forward_hook(lambda layer, given, found: seen.append(len(given[0])))
    backward(model, "clip", batches())
    assert seen == [8]
