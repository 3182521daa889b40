import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from fsynth import clip_lora, clip_model, clip_recipe, clip_tiny, clip_towers, clip_tuning
from fsynth.config import ClipFinetuneOptimizer
from fsynth.errors import ConfigError, ModelError
from fsynth.short_text import ShortText
from tests import tower_kinds


def test_norms_biases_and_the_scale_do_not_decay():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
    network.logit_scale = torch.nn.Parameter(torch.tensor(1.0))
    decayed, kept = clip_tuning.make_optimizer(network, lr=1e-5, weight_decay=0.1).param_groups
    assert [value.shape for value in decayed["params"]] == [(3, 3)] and decayed["weight_decay"] == 0.1
    assert len(kept["params"]) == 4 and kept["weight_decay"] == 0
    assert decayed["betas"] == (0.9, 0.98) and decayed["eps"] == 1e-6


def test_the_rate_rises_then_falls_to_nothing_and_no_step_is_wasted():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = clip_tuning.make_schedule(optimizer, steps=20, warmup=4)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[4:]))
    assert 0 < rates[-1] < 0.02 and schedule.get_last_lr()[0] == pytest.approx(0)


def test_the_scale_is_held_at_one_hundred():
    network = SimpleNamespace(logit_scale=torch.nn.Parameter(torch.tensor(7.0)))
    clip_tuning.keep_scale(network, math.log(100))
    assert network.logit_scale.exp().item() == pytest.approx(100)


@pytest.mark.parametrize(("came_with", "largest"), [(14.3, 100), (117.9, 117.9)])
def test_a_model_that_came_with_a_larger_scale_keeps_it(came_with, largest):
    network = SimpleNamespace(logit_scale=torch.tensor(came_with).log())
    assert math.exp(clip_tuning.largest_scale(network)) == pytest.approx(largest)


def test_batch_norms_of_a_residual_tower_are_found(tmp_path):
    model = clip_tiny.create_tiny(tmp_path / "tiny", ["a red tee."] * 3)
    layers = clip_tuning.held_still(model.network)
    assert len(layers) > 10 and all(hasattr(layer, "running_mean") for layer in layers)


def test_the_recipe_by_default():
    settings = ClipFinetuneOptimizer()
    assert (settings.weight_decay, settings.warmup, settings.max_grad_norm) == (0.1, 0.05, 1.0)
    assert settings.layer_decay == 1 and clip_recipe.FOR_REAL["lr"] == 1e-5
    crop, *_ = clip_model.load("tiny").transform(train=True).transforms
    assert type(crop).__name__ == "RandomResizedCrop" and tuple(crop.scale) == (0.9, 1.0)


# --------------------------------------------------------------------------------------------------
# which weights learn


def learning(network):
    return {name for name, value in network.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("kind", tower_kinds.KINDS)
@pytest.mark.parametrize("tower", clip_towers.TOWERS)
def test_a_locked_tower_keeps_its_weights_and_no_memory_of_a_pass(kind, tower, tmp_path):
    network = tower_kinds.make(kind, tmp_path)
    places = clip_towers.places(network)
    clip_tuning.lock(network, tower)
    expected = {name for name, place in places.items() if place.tower != tower} | {"logit_scale"}
    assert learning(network) == expected
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda value: kept.append(value.shape), lambda value: value
    ):
        pictures, tokens = tower_kinds.inputs(network)
        features = network.encode_image(pictures) if tower == "image" else network.encode_text(tokens)
    assert not features.requires_grad and not kept


@pytest.mark.parametrize("kind", tower_kinds.KINDS)
@pytest.mark.parametrize("tower", clip_towers.TOWERS)
def test_the_last_blocks_of_a_locked_tower_learn_with_what_stands_above(kind, tower, tmp_path):
    network = tower_kinds.make(kind, tmp_path)
    places = clip_towers.places(network)
    clip_tuning.lock(network, tower, unlock=2)
    own = {name for name in learning(network) if name in places and places[name].tower == tower}
    assert {places[name].depth for name in own} == {0, 1, 2}
    frozen = {places[name].depth for name, place in places.items() if place.tower == tower} - {0, 1, 2}
    assert frozen == set(range(3, next(iter(frozen)) + len(frozen)))


def test_unlocking_blocks_of_a_vision_transformer_is_what_open_clip_does(tmp_path):
    ours, theirs = (tower_kinds.make("vit", tmp_path / name) for name in ("ours", "theirs"))
    clip_tuning.lock(ours, "image", unlock=2)
    theirs.lock_image_tower(unlocked_groups=3)  # the projection is a group of its own there
    assert learning(ours) == learning(theirs)
    clip_tuning.lock(ours, "text", unlock=1)
    theirs.lock_text_tower(unlocked_layers=2)
    assert learning(ours) == learning(theirs)


def test_what_was_frozen_in_the_model_stays_frozen(tmp_path):
    network = tower_kinds.make("vit", tmp_path)
    network.visual.proj.requires_grad_(False)
    clip_tuning.lock(network, "image", unlock=3)
    assert not network.visual.proj.requires_grad


def test_locks_that_make_no_sense_are_refused(tmp_path):
    network = tower_kinds.make("vit", tmp_path)
    with pytest.raises(ConfigError, match=r"tuning\.unlock=4: the image tower has 3 blocks"):
        clip_tuning.lock(network, "image", unlock=4)
    with pytest.raises(ConfigError, match=r"tuning\.unlock=2 needs tuning\.lock=image or text"):
        clip_tuning.lock(network, "none", unlock=2)


def test_a_wholly_locked_tower_stays_in_evaluation_mode(tmp_path):
    """BERT has dropout: locked, it must answer alike in training."""
    network = tower_kinds.make("hf", tmp_path)
    assert clip_tuning.held_still(network) == []
    clip_tuning.lock(network, "text")
    _, tokens = tower_kinds.inputs(network)
    in_use = network.eval().encode_text(tokens)
    network.train()
    assert not torch.allclose(network.encode_text(tokens), in_use, atol=1e-3)
    for part in clip_tuning.held_still(network):
        part.eval()
    assert torch.equal(network.encode_text(tokens), in_use) and network.visual.training


def test_the_text_tower_of_a_plain_clip_is_found_in_parts(tmp_path):
    network = tower_kinds.make("vit", tmp_path)
    clip_tuning.lock(network, "text")
    assert clip_tuning.held_still(network) == [network.transformer, network.token_embedding, network.ln_final]


def test_what_learns_is_said_tower_by_tower(tmp_path):
    network = tower_kinds.make("vit", tmp_path)
    clip_tuning.lock(network, "image", unlock=1)
    clip_tuning.freeze_scale(network)
    assert clip_tuning.describe(network) == (
        "trained: 54,272 of 104,513 parameters (image tower 13,280 of 63,520, text tower all 40,992; the "
        "logit scale stays)"
    )


def test_a_frozen_scale_is_not_clamped():
    network = SimpleNamespace(logit_scale=torch.tensor(7.0))
    clip_tuning.keep_scale(network, math.log(100))
    assert network.logit_scale == 7


# --------------------------------------------------------------------------------------------------
# rates


@pytest.mark.parametrize("kind", tower_kinds.KINDS)
def test_what_does_not_decay_is_what_open_clip_spares(kind, tmp_path):
    network = tower_kinds.make(kind, tmp_path)
    optimizer = clip_tuning.make_optimizer(network, 1e-5, 0.1)
    decay = {
        id(value): group["weight_decay"] for group in optimizer.param_groups for value in group["params"]
    }
    for name, value in network.named_parameters():
        spared = value.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name
        assert decay[id(value)] == (0 if spared else 0.1), name


@pytest.mark.parametrize("kind", tower_kinds.KINDS)
def test_rates_fall_from_level_to_level(kind, tmp_path):
    network = tower_kinds.make(kind, tmp_path)
    optimizer = clip_tuning.make_optimizer(network, 1e-3, 0.1, layer_decay=0.5)
    rates = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    places = clip_towers.places(network)
    for name, value in network.named_parameters():
        depth = places[name].depth if name in places else 0
        assert rates[id(value)] == pytest.approx(1e-3 * 0.5**depth), name
    assert rates[id(network.logit_scale)] == optimizer.param_groups[0]["lr"] == 1e-3


def test_the_rates_of_adapters_are_those_of_their_blocks(tmp_path):
    network = tower_kinds.make("timm", tmp_path)
    clip_lora.add(network, clip_lora.plan(network, 2), 0)
    optimizer = clip_tuning.make_optimizer(network, 1e-3, 0.0, layer_decay=0.5)
    rates = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    first = network.visual.trunk.blocks[0].attn.qkv.lora_B["default"].weight
    assert rates[id(first)] == pytest.approx(1e-3 * 0.5 ** len(network.visual.trunk.blocks))


def test_a_decay_of_layers_is_scheduled_and_said():
    network = torch.nn.Linear(2, 2)
    groups = [{"params": [network.weight], "lr": 1e-5}, {"params": [network.bias], "lr": 3.2e-7}]
    optimizer = torch.optim.AdamW(groups)
    assert clip_tuning.describe_rates(optimizer, 100, 5) == [
        "learning rate: 1.0e-05 (the lowest weights 3.2e-07) after 5 steps of warm-up, then a cosine to 0"
    ]
    schedule = clip_tuning.make_schedule(optimizer, 100, 5)
    assert schedule.get_last_lr() == pytest.approx([1e-5 / 6, 3.2e-7 / 6])


def test_a_short_run_that_only_warms_up_is_warned_of():
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-5)
    _, warning = clip_tuning.describe_rates(optimizer, steps=4, warmup=1)
    assert warning.startswith("warning: 1 step of warm-up in 4 is 25% of the run")
    assert len(clip_tuning.describe_rates(optimizer, steps=20, warmup=1)) == 1


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_warm_up_of_a_fifth_of_the_run_is_refused(share):
    with pytest.raises(ConfigError, match=rf"optimizer\.warmup={share}: .* take less than 0\.2"):
        clip_tuning.check(share, compiles=False)


# --------------------------------------------------------------------------------------------------
# memory


@pytest.mark.parametrize("kind", ["vit", "timm", "hf"])
@pytest.mark.parametrize("adapters", [False, True])
def test_computing_again_takes_less_memory_and_gives_the_same_gradients(kind, adapters, tmp_path):
    """Also below frozen embeddings, where the older kind of checkpointing finds no gradient."""
    gradients, sizes = [], []
    for again in (False, True):
        network = tower_kinds.make(kind, tmp_path)
        if adapters:
            clip_lora.add(network, clip_lora.plan(network, 2), 0)
        if again:
            clip_tuning.compute_again(network)
        kept = []
        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda value, kept=kept: kept.append(value.numel()) or value, lambda value: value
        ):
            pictures, sentences = tower_kinds.features(network.train())
        (pictures * sentences).sum().backward()
        sizes.append(sum(kept))
        gradients.append([value.grad for value in network.parameters() if value.grad is not None])
    assert sizes[1] < 0.6 * sizes[0]
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))


def test_a_tower_that_cannot_compute_again_is_refused_unless_it_is_locked(tmp_path):
    network = tower_kinds.make("resnet", tmp_path)
    with pytest.raises(ModelError, match=r"memory\.checkpointing: the image tower \(ModifiedResNet\) cannot"):
        clip_tuning.compute_again(network)
    clip_tuning.lock(network, "image")
    clip_tuning.compute_again(network)
    assert network.text.transformer.grad_checkpointing


def test_compiling_changes_neither_names_nor_gradients(tmp_path, monkeypatch):
    """Traced with adapters and cut sentences, not translated to C++, which takes minutes."""
    torch_compile, traced = torch.compile, []

    def trace(function, **more):
        traced.append(function)
        return torch_compile(function, backend="eager", **more)

    monkeypatch.setattr(torch, "compile", trace)
    gradients = []
    for compiles in (False, True):
        network = tower_kinds.make("vit", tmp_path)
        clip_lora.add(network, clip_lora.plan(network, 2), 0)
        names = set(network.state_dict())
        if compiles:
            clip_tuning.compile_training(network)
        pictures, tokens = tower_kinds.inputs(network)
        found = ShortText(network.train())(pictures, tokens[:, :6])
        (found[0] * found[1]).sum().backward()
        assert set(network.state_dict()) == names
        gradients.append({name: value.grad for name, value in network.named_parameters()})
    plain, compiled = (
        {name: value for name, value in some.items() if value is not None} for some in gradients
    )
    assert len(traced) == 1 and set(plain) == set(compiled)
    assert all(torch.allclose(value, compiled[name], atol=1e-6) for name, value in plain.items())


def test_a_machine_that_cannot_compile_is_told_before_anything_begins(monkeypatch):
    def broken(function):
        raise RuntimeError("no C++ compiler was found\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        ConfigError, match=r"memory\.compile: this machine cannot \(no C\+\+ compiler was found\)"
    ):
        clip_tuning.check(0.05, compiles=True)
