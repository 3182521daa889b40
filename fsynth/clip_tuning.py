"""How a CLIP network learns: which weights, at which rate, what is held still, and what memory it takes.

Everything here is a function of names and levels (`fsynth.clip_towers`), so that it holds
for all kinds of towers that open_clip builds.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

from fsynth import clip_towers, compiling, optimizers
from fsynth.clip_towers import TOWERS, Tower
from fsynth.console import counted
from fsynth.errors import ConfigError, ModelError

LARGEST_LOGIT_SCALE = math.log(100)
MOST_WARMUP = 0.2
"""Share of the steps. With more, a run hardly trains at its rate: open_clip's own default of 10,000 steps is
all of a fine-tuning."""

_SPARED = ("bn", "ln", "bias", "logit_scale")
"""Names that open_clip excludes from weight decay, beside all that has less than 2 dimensions."""

Locked = Literal["none", "image", "text"]


# --------------------------------------------------------------------------------------------------
# which weights learn


def lock(network: nn.Module, tower: Locked, unlock: int = 0) -> None:
    """Hold the weights of a tower (LiT, Zhai et al. 2022), but for its last ``unlock`` blocks and, with them,
    what stands above: final norms, pool, projection.

    open_clip's own ``lock_image_tower(N + 1)`` does the same to its vision transformers; its other towers
    count groups differently, or cannot be locked in part.

    Raises:
        ConfigError: more blocks than the tower has; blocks of no locked tower.
    """
    if tower == "none":
        if unlock:
            raise ConfigError(f"tuning.unlock={unlock} needs tuning.lock=image or text; nothing is locked")
        return
    places = clip_towers.places(network)
    blocks = next(place.blocks for place in places.values() if place.tower == tower)
    if unlock > blocks:
        raise ConfigError(f"tuning.unlock={unlock}: the {tower} tower has {counted(blocks, 'block')}")
    for name, value in network.named_parameters():
        place = places.get(name)
        if place is not None and place.tower == tower and (not unlock or place.depth > unlock):
            value.requires_grad_(False)


def freeze_scale(network: nn.Module) -> None:
    """Keep the logit scale as it is."""
    network.logit_scale.requires_grad_(False)


def describe(network: nn.Module) -> str:
    """How many parameters learn, of how many, tower by tower, in one line."""
    learning, there = {"image": 0, "text": 0, "": 0}, {"image": 0, "text": 0, "": 0}
    for name, value in network.named_parameters():
        tower = _tower_of(name)
        there[tower] += value.numel()
        learning[tower] += value.numel() * value.requires_grad
    towers = [f"{tower} tower {_share(learning[tower], there[tower])}" for tower in TOWERS]
    scale = "learns" if network.logit_scale.requires_grad else "stays"
    return (
        f"trained: {_share(sum(learning.values()), sum(there.values()))} parameters ({', '.join(towers)}; "
        f"the logit scale {scale})"
    )


def _share(learning: int, there: int) -> str:
    if not learning:
        return f"none of {_short(there)}"
    return f"all {_short(there)}" if learning == there else f"{_short(learning)} of {_short(there)}"


def _short(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"


def _tower_of(name: str) -> str:
    if name.startswith("logit_"):
        return ""
    return "image" if name.startswith("visual.") else "text"


def held_still(network: nn.Module) -> list[nn.Module]:
    """Modules to keep in evaluation mode while the rest trains: batch norms and wholly locked towers.

    Batch statistics would depend on the number of processes and on padding, and fine-tuning on few pictures
    spoils them. A locked tower answers as it does in use, without dropout.
    """
    still = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    for tower in TOWERS:
        own = [value for name, value in network.named_parameters() if _tower_of(name) == tower]
        if not any(value.requires_grad for value in own):
            still += _modules(network, tower)
    return still


def _modules(network: nn.Module, tower: Tower) -> list[nn.Module]:
    """A tower's outermost modules; the text tower of a plain CLIP is spread over the network."""
    return [part for name, part in network.named_children() if _tower_of(f"{name}.") == tower]


# --------------------------------------------------------------------------------------------------
# optimizer and schedule


def make_optimizer(
    network: nn.Module, lr: float, weight_decay: float, layer_decay: float = 1.0
) -> torch.optim.AdamW:
    """AdamW with open_clip's betas and its rule of what does not decay: norms, biases, the logit scale.

    Args:
        layer_decay: a weight's rate is ``lr * layer_decay ** depth``, depth 0 being the logit scale,
            projections and final norms, 1 the last block, and so on down to the embeddings (as Bao et al.
            2022 fine-tune BEiT). The fastest group comes first.
    """
    places = clip_towers.places(network) if layer_decay != 1 else {}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, value in network.named_parameters():
        if value.requires_grad:
            rate = lr * layer_decay ** (places[name].depth if name in places else 0)
            decay = 0.0 if _is_spared(name, value) else weight_decay
            groups.setdefault((rate, decay), []).append(value)
    ordered = sorted(groups, reverse=True)
    parts = [{"params": groups[rate, decay], "lr": rate, "weight_decay": decay} for rate, decay in ordered]
    return torch.optim.AdamW(parts, lr=lr, betas=(0.9, 0.98), eps=1e-6)


def _is_spared(name: str, value: torch.Tensor) -> bool:
    return value.ndim < 2 or any(part in name for part in _SPARED)


def check(warmup: float, compiles: bool) -> None:
    """Refuse what cannot be, before anything is said.

    Args:
        warmup: share of the steps in which the rate rises.
        compiles: whether the network is to be compiled.

    Raises:
        ConfigError: a warm-up of `MOST_WARMUP` or more; no compiler that works.
    """
    if warmup >= MOST_WARMUP:
        raise ConfigError(
            f"optimizer.warmup={warmup:g}: the rate would rise for {warmup:.0%} of the steps, and the run "
            f"hardly train at it; take less than {MOST_WARMUP:g} (0.05 is usual)"
        )
    if compiles:
        compiling.check()


def describe_rates(optimizer: Any, steps: int, warmup: int) -> list[str]:
    """The rates and their schedule in lines, before the first step; a short run gets a warning."""
    rates = [group["lr"] for group in optimizer.param_groups]
    below = f" (the lowest weights {min(rates):.1e})" if min(rates) < max(rates) else ""
    lines = [
        f"learning rate: {max(rates):.1e}{below} after {counted(warmup, 'step')} of warm-up, "
        "then a cosine to 0"
    ]
    if warmup >= MOST_WARMUP * steps and warmup:
        lines.append(
            f"warning: {counted(warmup, 'step')} of warm-up in {steps} is {warmup / steps:.0%} of the run, "
            "which is too short to train well; more --epochs or a smaller --batch-size make more steps"
        )
    return lines


def make_schedule(optimizer: Any, steps: int, warmup: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear rise over ``warmup`` steps, then a cosine to 0 at ``steps``."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, optimizers.shape("cosine", steps, warmup))


def largest_scale(network: nn.Module) -> float:
    """Where a logit scale (a logarithm) that learns ends: at ln 100, as in CLIP; a model that came with more,
    as SigLIP's ln 118, gets no higher."""
    return max(LARGEST_LOGIT_SCALE, network.logit_scale.item())


def keep_scale(network: nn.Module, largest: float) -> None:
    """Hold a logit scale that learns between 0 and `largest_scale`, which was asked before training."""
    if network.logit_scale.requires_grad:
        with torch.no_grad():
            network.logit_scale.clamp_(0, largest)


# --------------------------------------------------------------------------------------------------
# time for memory, and memory for time


def compute_again(network: nn.Module) -> None:
    """Gradient checkpointing (Chen et al. 2016) in the towers that learn: activations within blocks are
    computed again in the backward pass instead of kept.

    Raises:
        ModelError: a tower that cannot.
    """
    for tower in TOWERS:
        own = (value for name, value in network.named_parameters() if _tower_of(name) == tower)
        if any(value.requires_grad for value in own) and not _checkpoint(network, tower):
            raise ModelError(
                f"memory.checkpointing: the {tower} tower ({clip_towers.kind(network, tower)}) cannot; leave "
                "it out, or give a smaller memory.micro_batch instead"
            )


def _checkpoint(network: nn.Module, tower: Tower) -> bool:
    module = clip_towers.module_of(network, tower)
    inside = getattr(module, "trunk", None) or getattr(module, "transformer", None)
    try:
        if hasattr(inside, "gradient_checkpointing_enable"):  # the other kind stops at frozen embeddings
            inside.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        elif hasattr(inside, "set_grad_checkpointing"):
            inside.set_grad_checkpointing(True)
        elif hasattr(inside, "grad_checkpointing"):
            inside.grad_checkpointing = True
        else:
            return False
    except (
        AssertionError,
        ValueError,
        NotImplementedError,
    ):  # how timm and transformers say that they cannot
        return False
    return True


# --------------------------------------------------------------------------------------------------
# memory for time


def compile_training(network: nn.Module) -> None:
    """Compile what happens when the network is called; its parts, through which pictures and sentences are
    encoded to be scored, stay as they are."""
    compiling.compile_calls(network)
