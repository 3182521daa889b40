import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip import ClipLoss
from open_clip.loss import SigLipLoss

from fsynth.contrastive import Features, contrastive_loss, loss_and_gradients
from tests import contrastive_process, launches
from tests.contrastive_process import KINDS

few = settings(max_examples=30, deadline=None)
rows_and_groups = st.lists(st.integers(0, 5), min_size=2, max_size=24)


def features_of(group, seed=0, repeated=False, weight=None, dtype=torch.float64):
    """Features of random leaves, and the leaves; with ``repeated`` all sentences of a group have the same
    features, as one sentence has from a text tower without dropout."""
    generator = torch.Generator().manual_seed(seed)
    rows = len(group)
    group = torch.tensor(list(group)).unique(return_inverse=True)[1]
    pictures, captions = torch.randn(2, rows, 8, generator=generator, dtype=dtype)
    pictures.requires_grad_(), captions.requires_grad_()
    sentences = captions[group] if repeated else captions
    unit = torch.nn.functional.normalize
    scale = torch.tensor(14.3, dtype=dtype, requires_grad=True)
    bias = torch.tensor(-4.0, dtype=dtype, requires_grad=True)
    weight = torch.full((rows,), 1 / rows, dtype=dtype) if weight is None else weight
    features = Features(unit(pictures, dim=1), unit(sentences, dim=1), scale, weight, group, bias)
    return features, [pictures, captions, scale, bias]


def value_and_gradients(kind, *args, **more):
    features, leaves = features_of(*args, **more)
    loss = contrastive_loss(kind, features)
    return [loss.detach(), *gradients(loss, leaves)]


def gradients(loss, leaves):
    return torch.autograd.grad(loss, leaves, retain_graph=True)


def same(one, other):
    return all(torch.allclose(left, right, atol=1e-12) for left, right in zip(one, other, strict=True))


@few
@given(rows_and_groups, st.integers(0, 9))
def test_several_right_answers_change_nothing_where_a_group_is_one_sentence(group, seed):
    one = value_and_gradients("clip", group, seed, repeated=True)
    assert same(one, value_and_gradients("clip-multi", group, seed, repeated=True))


@few
@given(st.integers(2, 24), st.integers(0, 9))
def test_several_right_answers_change_nothing_where_every_sentence_is_its_own(rows, seed):
    one, other = (value_and_gradients(kind, range(rows), seed) for kind in ("clip", "clip-multi"))
    assert same(one, other)


@few
@given(rows_and_groups, st.integers(0, 9))
def test_the_softmax_equals_cross_entropy_against_shared_targets(group, seed):
    features, _ = features_of(group, seed)
    logits = features.scale * features.pictures @ features.sentences.T
    alike = (features.group[:, None] == features.group[None, :]).double()
    targets = alike / alike.sum(1, keepdim=True)
    ways = [torch.nn.functional.cross_entropy(side, targets) for side in (logits, logits.T)]
    assert torch.allclose(contrastive_loss("clip-multi", features), sum(ways) / 2, atol=1e-12)


@few
@given(rows_and_groups, st.integers(0, 9))
def test_the_softmax_equals_open_clips_whatever_the_groups(group, seed):
    features, leaves = features_of(group, seed)
    theirs = ClipLoss()(features.pictures, features.sentences, features.scale)
    ours = contrastive_loss("clip", features)
    assert torch.allclose(ours, theirs, atol=1e-12)
    assert same(gradients(ours, leaves[:3]), gradients(theirs, leaves[:3]))


@few
@given(st.integers(2, 24), st.integers(0, 9))
def test_the_sigmoid_equals_open_clips_where_every_sentence_is_its_own(rows, seed):
    features, leaves = features_of(range(rows), seed)
    theirs = SigLipLoss()(features.pictures, features.sentences, features.scale, features.bias)
    ours = contrastive_loss("siglip-multi", features)
    assert torch.allclose(ours, theirs, atol=1e-12)
    assert same(gradients(ours, leaves), gradients(theirs, leaves))


@few
@given(rows_and_groups, st.integers(0, 9))
def test_the_sigmoid_calls_every_pair_of_a_group_right(group, seed):
    features, leaves = features_of(group, seed, repeated=True)
    logits = features.scale * features.pictures @ features.sentences.T + features.bias
    labels = 2 * (features.group[:, None] == features.group[None, :]).double() - 1
    by_hand = -torch.nn.functional.logsigmoid(labels * logits).sum() / len(group)
    ours = contrastive_loss("siglip-multi", features)
    assert torch.allclose(ours, by_hand, atol=1e-10)
    diagonal = SigLipLoss()(features.pictures, features.sentences, features.scale, features.bias)
    if len(set(group)) < len(group):
        ours, theirs = (gradients(loss, leaves)[0] for loss in (ours, diagonal))
        assert (ours - theirs).norm() > 0.1 * ours.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_weight_zero_neither_ask_nor_answer(kind):
    weight = torch.tensor([1, 1, 0, 1, 1, 0, 1], dtype=torch.float64) / 5
    kept = weight > 0
    features, leaves = features_of([0, 1, 0, 0, 2, 1, 2], weight=weight)
    loss = contrastive_loss(kind, features)
    some = [value[kept] for value in (features.pictures, features.sentences)]
    alone = Features(*some, features.scale, weight[kept], features.group[kept], features.bias)
    assert torch.allclose(loss, contrastive_loss(kind, alone), atol=1e-12)
    loss.backward()
    for side in leaves[:2]:
        assert side.grad[~kept].abs().max() == 0 and side.grad[kept].abs().sum(1).min() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 3, 11, 64])
def test_gradients_in_pieces_are_the_gradients(kind, rows):
    features, _ = features_of([0, 1, 0, 0, 2, 1, 2, 3, 3, 3, 4])
    whole = contrastive_loss(kind, features)
    wanted = [features.pictures, features.sentences, features.scale, features.bias]
    loss, found = loss_and_gradients(kind, features, rows)
    assert same([whole, *gradients(whole, wanted)], [loss, *found])


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_computed_in_single_precision_also_inside_autocast(kind):
    half, _ = features_of([0, 1, 0, 2, 3], dtype=torch.bfloat16)
    single, _ = features_of([0, 1, 0, 2, 3], dtype=torch.bfloat16)
    single = Features(
        *(value.float() for value in (single.pictures, single.sentences, single.scale, single.weight)),
        single.group,
        single.bias.float(),
    )
    expected = contrastive_loss(kind, single)
    with torch.autocast("cpu", torch.bfloat16):
        found = contrastive_loss(kind, half)
        in_pieces, pieces = loss_and_gradients(kind, half, 2)
    assert found.dtype == in_pieces.dtype == pieces[0].dtype == torch.float32
    assert torch.equal(found, expected) and torch.allclose(in_pieces, expected, atol=1e-5)


def test_a_softmax_does_not_move_a_bias():
    features, leaves = features_of([0, 1, 0, 2, 3])
    for kind in ("clip", "clip-multi"):
        assert gradients(contrastive_loss(kind, features), leaves)[3] == 0


def test_three_processes_have_the_loss_and_gradients_of_one(tmp_path):
    """11 rows over 3 processes, one of padding, at once and in micro-batches of 2."""
    contrastive_process.run(0, 1, tmp_path)
    launches.torchrun(3, contrastive_process.__file__, tmp_path)
    alone = torch.load(tmp_path / "1-0.pt")
    several = [torch.load(tmp_path / f"3-{rank}.pt") for rank in range(3)]
    for kind, micro_batch in alone:
        loss, *wanted = alone[kind, None]
        found = [one[kind, micro_batch] for one in several]
        assert torch.allclose(loss, sum(one[0] for one in found) / 3, atol=1e-6)
        for one in [*found, alone[kind, micro_batch]]:
            assert same_in_single(one[1:], wanted)


def same_in_single(one, other):
    return all(torch.allclose(left, right, atol=2e-6) for left, right in zip(one, other, strict=True))
