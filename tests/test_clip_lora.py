"""Adapters in every kind of tower: they are called, they learn, they merge, and peft reads them."""

import copy

import pytest
import torch
from torch import nn

from fsynth import clip_lora, clip_tuning
from fsynth.errors import ConfigError, ModelError
from tests import tower_kinds

TARGETS = {
    "vit": {"attn", "c_fc", "c_proj"},
    "resnet": {"conv1", "conv2", "conv3", "0", "attn", "c_fc", "c_proj"},
    "timm": {"qkv", "proj", "fc1", "fc2", "attn", "c_fc", "c_proj"},
    "hf": {"query", "key", "value", "dense", "attn", "c_fc", "c_proj"},
}


def adapted(kind, folder, seed=3, **more):
    network = tower_kinds.make(kind, folder)
    return network, clip_lora.add(network, clip_lora.plan(network, 2, **more), seed)


def disturb(network):
    """Give the halves that are 0 at first some values, as training does."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "lora_B" in name and value.requires_grad:
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))


@torch.no_grad()
def features(network):
    return torch.cat(tower_kinds.features(network.eval()))


@pytest.mark.parametrize("kind", tower_kinds.KINDS)
def test_adapters_sit_in_blocks_learn_and_merge(kind, tmp_path):
    plain = tower_kinds.make(kind, tmp_path)
    network, model = adapted(kind, tmp_path)
    assert {name.rpartition(".")[2] for name in clip_lora.plan(plain, 2).names} == TARGETS[kind]
    assert torch.equal(features(network), features(plain))
    reached = clip_lora.watch(network)
    pictures, sentences = tower_kinds.features(network.train())
    (pictures * sentences).sum().backward()
    reached.check()
    learning = {name for name, value in network.named_parameters() if value.requires_grad}
    assert {name for name in learning if "lora" not in name} == {"logit_scale"}
    disturb(network)
    unmerged = features(network)
    assert (unmerged - features(plain)).abs().max() > 1e-3
    clip_lora.merge(model)
    assert torch.allclose(features(network), unmerged, atol=1e-5)
    assert set(network.state_dict()) == set(plain.state_dict())


def test_attention_adapters_change_answers_and_get_gradients_with_and_without_the_fast_path(tmp_path):
    """torch's attention reads its weights directly, in evaluation mode by a fast path of its own."""
    network, _ = adapted("vit", tmp_path)
    before = features(network)
    for name, value in network.named_parameters():
        if ".attn.lora_B" in name:
            nn.init.normal_(value, std=0.1)
    assert (features(network) - before).abs().max() > 1e-3
    in_training = torch.cat(tower_kinds.features(network.train()))
    assert torch.allclose(in_training, features(network), atol=1e-5)
    in_training.square().mul(torch.arange(16)).sum().backward()
    learning = {name: value for name, value in network.named_parameters() if value.requires_grad}
    parts = [value for name, value in learning.items() if ".attn." in name]
    assert len(parts) == 2 * 6  # both halves in six blocks
    assert all(value.grad.abs().max() > 0 for value in parts)


def test_a_pass_leaves_the_frozen_weights_as_they_are_to_the_bit(tmp_path):
    network, _ = adapted("vit", tmp_path)
    disturb(network)
    frozen = {name: value for name, value in network.named_parameters() if not value.requires_grad}
    before = {name: value.clone() for name, value in frozen.items()}
    for _ in range(3):
        torch.cat(tower_kinds.features(network.train())).sum().backward()
    assert all(network.get_parameter(name) is value for name, value in frozen.items())
    assert all(torch.equal(value, before[name]) for name, value in frozen.items())


def test_peft_itself_reads_what_is_written_and_gives_the_same_features(tmp_path):
    from peft import PeftModel

    network, model = adapted("vit", tmp_path)
    disturb(network)
    folder = clip_lora.save(model, tmp_path / "adapter", "ViT:here")
    plain = tower_kinds.make("vit", tmp_path)
    again = PeftModel.from_pretrained(plain, str(folder)).merge_and_unload()
    assert torch.allclose(features(again), features(network), atol=1e-5)
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert not list(tmp_path.glob(".adapter*"))


def test_where_adapters_start_is_a_function_of_the_seed(tmp_path):
    one, same, other = (adapted("vit", tmp_path, seed=seed)[0].state_dict() for seed in (3, 3, 4))
    drawn = [name for name in one if "lora_A" in name]
    assert drawn and all(torch.equal(one[name], same[name]) for name in drawn)
    assert not any(torch.equal(one[name], other[name]) for name in drawn)


@pytest.mark.parametrize("tower", ["image", "text"])
def test_one_tower_alone_can_be_adapted(tower, tmp_path):
    network, _ = adapted("vit", tmp_path, towers=tower)
    parts = [name for name, _ in network.named_parameters() if "lora_" in name]
    assert parts and {name.startswith("visual.") for name in parts} == {tower == "image"}


def test_dora_leaves_attention_out_says_so_and_merges(tmp_path):
    network = tower_kinds.make("vit", tmp_path)
    plan = clip_lora.plan(network, 2, dora=True, dropout=0.1)
    assert {name.rpartition(".")[2] for name in plan.names} == {"c_fc", "c_proj"}
    assert plan.notes == (
        "lora.dora: on all but attention layers of torch, for which peft has none; those stay",
    )
    model = clip_lora.add(network, plan, 0)
    disturb(network)
    unmerged = features(network)
    clip_lora.merge(model)
    assert torch.allclose(features(network), unmerged, atol=1e-5)


def test_dropout_that_attention_does_not_have_is_said(tmp_path):
    (note,) = clip_lora.plan(tower_kinds.make("vit", tmp_path), 2, dropout=0.1).notes
    assert note.startswith("lora.dropout: on all but attention layers of torch")


def test_the_strength_is_alpha_over_the_rank(tmp_path):
    changes = []
    for alpha in (None, 2, 4):
        network, model = adapted("vit", tmp_path, alpha=alpha)
        weight = network.transformer.resblocks[0].mlp.c_fc.base_layer.weight.detach().clone()
        disturb(network)
        clip_lora.merge(model)
        changes.append(network.transformer.resblocks[0].mlp.c_fc.weight.detach() - weight)
    assert torch.allclose(changes[0], changes[1]) and torch.allclose(2 * changes[1], changes[2], atol=1e-6)


def test_an_adapter_that_is_never_called_is_an_error_that_names_it(tmp_path):
    network, _ = adapted("vit", tmp_path)
    block = network.transformer.resblocks[1]
    silent = copy.deepcopy(block.mlp.c_fc.get_base_layer())
    block.mlp.c_fc.forward = silent.forward
    reached = clip_lora.watch(network)
    torch.cat(tower_kinds.features(network.train())).sum().backward()
    with pytest.raises(ModelError, match=r"1 adapter .*transformer\.resblocks\.1\.mlp\.c_fc"):
        reached.check()
    reached.check()  # the first step alone decides


def test_an_adapter_whose_answer_is_thrown_away_is_an_error(tmp_path):
    network, _ = adapted("vit", tmp_path)
    block = network.transformer.resblocks[1]
    adapted_c_fc = block.mlp.c_fc.forward
    block.mlp.c_fc.forward = lambda given: 0 * adapted_c_fc(given)
    reached = clip_lora.watch(network)
    torch.cat(tower_kinds.features(network.train())).sum().backward()
    with pytest.raises(ModelError, match=r"2 adapters .*transformer\.resblocks\.1\.mlp\.c_fc"):
        reached.check()


def test_what_cannot_be_adapted_is_refused(tmp_path):
    network = tower_kinds.make("vit", tmp_path)
    with pytest.raises(ConfigError, match=r"lora\.alpha: 0 switches the adapters off"):
        clip_lora.plan(network, 2, alpha=0)
    network.visual.transformer.resblocks = nn.ModuleList([nn.LayerNorm(32)])
    with pytest.raises(ModelError, match=r"the image tower \(VisionTransformer\) has no place for adapters"):
        clip_lora.plan(network, 2)


def test_the_logit_scale_learns_beside_adapters_unless_it_is_frozen(tmp_path):
    network = tower_kinds.make("vit", tmp_path)
    clip_tuning.freeze_scale(network)
    clip_lora.add(network, clip_lora.plan(network, 2), 0)
    assert not network.logit_scale.requires_grad
