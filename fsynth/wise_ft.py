"""Blends of a model before and after fine-tuning: theta = (1 - a) before + a after.

WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903): on the way from one to the other a model often gains nearly
all that fine-tuning taught before it loses what it could do besides. Every tensor of numbers is blended, also
the logit scale and the running statistics of batch-normalising layers;
counters come from after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fsynth.errors import ConfigError, ModelError

State = Mapping[str, Tensor]
FILE, PLOT = "wise_ft.json", "wise-ft.png"
_MOST = 101
"""Blends; each is a whole evaluation."""


def parse(text: str) -> tuple[float, ...]:
    """The shares of ``0,0.1,...,1`` (equal steps) or ``0,0.5,1``: sorted, each once.

    Raises:
        ConfigError: no numbers from 0 to 1, steps that do not meet the end, fewer than two.
    """
    words = [word.strip().replace("…", "...") for word in text.split(",")]
    shares = [share for place, word in enumerate(words) for share in _shares(words, place, word)]
    if len(set(shares)) < 2:
        raise _wrong(text, "two blends at least are to be compared")
    if len(set(shares)) > _MOST:
        raise _wrong(text, f"more than {_MOST} blends, each of which is a whole evaluation")
    return tuple(sorted({float(share) for share in shares}))


def _shares(words: Sequence[str], place: int, word: str) -> list[Decimal]:
    text = ",".join(words)
    if word != "...":
        return [_share(word, text)]
    if not 2 <= place < len(words) - 1:
        raise _wrong(text, "... stands between two shares and the last one")
    first, second, last = (_share(words[at], text) for at in (place - 2, place - 1, place + 1))
    steps = (last - second) / (second - first) if second > first else Decimal(0)
    if steps < 1 or steps != steps.to_integral_value():
        raise _wrong(text, f"no steps of {second - first} lead from {second} to {last}")
    return [second + step * (second - first) for step in range(1, min(int(steps), _MOST + 1))]


def _share(word: str, text: str) -> Decimal:
    try:
        share = Decimal(word)
    except InvalidOperation:
        raise _wrong(text, f"'{word}' is no number") from None
    if not share.is_finite() or not 0 <= share <= 1:
        raise _wrong(text, f"{word} is not between 0 (the weights before) and 1 (after)")
    return share


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(f"--wise-ft {text}: {why}; write 0,0.1,...,1 or a list")


def need_rows(rows: int) -> None:
    """Stop where there is nothing to choose a blend on.

    Args:
        rows: that validate.

    Raises:
        ConfigError: there are none.
    """
    if not rows:
        raise ConfigError(
            "--wise-ft chooses the blend on validation rows, never on test rows, and there are none; set "
            "some aside with --val-fraction 0.05, and leave --set validation.rows=0 out"
        )


# --------------------------------------------------------------------------------------------------
# weights


def copied(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network as a copy on the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}


def on_disk(network: nn.Module, file: Path) -> State:
    """The state of a network, written to a file and mapped from there: it takes no memory of its own."""
    torch.save({name: value.detach().cpu() for name, value in network.state_dict().items()}, file)
    return torch.load(file, map_location="cpu", weights_only=True, mmap=True)


def check_alike(before: State, after: State) -> None:
    """Refuse two states that are not of one architecture.

    Raises:
        ModelError: naming a tensor that only one has, or of another shape.
    """
    if alone := sorted(set(before) ^ set(after)):
        one = "before" if alone[0] in before else "after"
        many = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
        raise ModelError(f"--wise-ft: only the weights {one} fine-tuning have {alone[0]}{many}")
    for name, value in before.items():
        if value.shape != after[name].shape:
            raise ModelError(
                f"--wise-ft: {name} has the shape {tuple(value.shape)} before fine-tuning and "
                f"{tuple(after[name].shape)} after it"
            )


def blend(network: nn.Module, before: State, after: State, share: float) -> None:
    """Give a network (1 - share) before + share after, in place; 0 and 1 give these to the bit.

    Raises:
        ModelError: states that are not alike, or not the network's.
    """
    check_alike(before, after)
    own = network.state_dict()
    check_alike(before, own)
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(_blended(before[name], after[name], share))


def _blended(before: Tensor, after: Tensor, share: float) -> Tensor:
    if not after.is_floating_point() or share == 1:
        return after
    if share == 0:
        return before
    wide = torch.promote_types(before.dtype, torch.float32)
    return torch.lerp(before.to(wide), after.to(wide), share)


def running_statistics(network: nn.Module) -> int:
    """How many batch-normalising layers have statistics of their own."""
    kinds = nn.modules.batchnorm._BatchNorm
    return sum(isinstance(layer, kinds) and layer.track_running_stats for layer in network.modules())


# --------------------------------------------------------------------------------------------------
# the sweep


@dataclass(frozen=True)
class Blend:
    """What one blend is worth; all shares are in [0, 1].

    Attributes:
        share: of the weights after fine-tuning.
        recall: mean group recall of the validation rows, by which the blend is chosen.
        recall_at_1: group recall@1, the mean of both directions.
        retention: how much of what the model could tell before it still can; None where nothing was asked.
        told: accuracies by task, those that ``retention`` is of and others.
    """

    share: float
    recall: float
    recall_at_1: float
    retention: float | None
    told: Mapping[str, float]


def sweep(
    network: nn.Module,
    before: State,
    after: State,
    shares: Sequence[float],
    judge: Callable[[float], Blend],
) -> list[Blend]:
    """Judge a network as each blend in turn; it is left as the last one.

    Args:
        judge: what the network as it is now is worth, the blend of this share.
    """
    found = []
    for share in shares:
        blend(network, before, after, share)
        found.append(judge(share))
    return found


def choose(blends: Sequence[Blend]) -> Blend:
    """The one of the best validation recall; of equals the nearest to the model before."""
    return min(blends, key=lambda one: (-one.recall, one.share))


def record(blends: Sequence[Blend], rows: int, retention: str) -> dict[str, Any]:
    """The content of wise_ft.json.

    Args:
        rows: validation rows that chose.
        retention: what that number is of.
    """
    return {
        "rows": rows,
        "retention": retention,
        "chosen": choose(blends).share,
        "blends": [asdict(one) for one in blends],
    }
