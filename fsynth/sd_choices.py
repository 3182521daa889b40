"""Values of a Stable Diffusion run that were not given, each said with its reason."""

from __future__ import annotations

from fsynth import optimizers, sd_buckets, sd_model
from fsynth.console import say
from fsynth.errors import ConfigError
from fsynth.order import choose_rows
from fsynth.sd_folder import Found
from fsynth.sd_rows import Pictures

WORTH_BUCKETS = 0.02
"""Share of the pixels that squares cut off, from which on pictures keep their shape."""

FULL_LR, LORA_LR = 1e-5, 1e-4


def describe_draw(wanted: int | None, rows: int, seed: int) -> str:
    """Which pictures train: ``wanted`` of the ``rows`` of the training split, None for all."""
    if wanted is None:
        return f"all {rows:,} rows of the training split"
    return f"{wanted:,} of the {rows:,} rows of the training split, drawn with --seed {seed}"


def say_safety_checker(found: Found, lora: bool) -> None:
    """Name the one that a model brings along, and what becomes of it."""
    if name := found.safety_checker:
        where = "stays with the base model" if lora else "is kept in the model as found"
        say(f"safety checker: {name} {where}; fsynth draws without it")


def batch_size(given: int, pictures: int) -> int:
    """No more than there are pictures."""
    if given > pictures:
        say(f"batch size: {pictures}, all pictures there are, instead of {given} (--batch-size)")
    return min(given, pictures)


def held_out_rows(rows: int, wanted: int) -> list[int]:
    """Positions of the held-out rows that are watched. No run's seed chooses them: validation losses compare
    between runs."""
    return choose_rows(rows, min(wanted, rows), seed=0)


def learning_rate(given: float | None, lora: bool, kind: optimizers.Kind) -> float:
    if given is not None:
        return given
    usual, what = (LORA_LR, "LoRA") if lora else (FULL_LR, "all weights")
    lr, why = optimizers.default_rate(kind, usual, what)
    say(f"learning rate: {lr:g}, the default {why} (--lr)")
    return lr


def text_learning_rate(given: float | None, lr: float, learns: bool, kind: optimizers.Kind) -> float | None:
    """Of the text encoder; None where it does not learn."""
    if given is not None or not learns:
        return given
    if kind == "prodigy":
        return lr  # which has one for all
    say(f"learning rate of the text encoder: {lr / 2:g}, half of the UNet's (--set text.lr)")
    return lr / 2


def resolution(given: int | None, found: Found, width: int, height: int) -> int:
    """The side in pixels to train at.

    Args:
        width, height: of the first picture.
    """
    native = sd_model.native_resolution(found)
    chosen = given or native
    reason = "" if given else "the model's own (--resolution), "
    say(f"resolution: {chosen} px, {reason}from pictures of {width}x{height}")
    if min(width, height) < chosen:
        say("note: enlarging the pictures adds no detail, only time; the model knows its own size best")
    elif chosen != native:
        say(f"note: the model was made for {native} px; expect it to need more steps at {chosen} px")
    return chosen


def check_step(step: int | None, found: Found) -> None:
    """Refuse sides of buckets that the model cannot take.

    Raises:
        ConfigError: with the nearest step that it can.
    """
    factor, _ = sd_model.sides(found)
    if step is not None and step % factor:
        nearest = max(factor, round(step / factor) * factor)
        raise ConfigError(
            f"buckets.step: {step} is not a multiple of {factor}; take {nearest}, or leave it out"
        )


def buckets(
    pictures: Pictures, found: Found, *, enabled: str, step: int | None, max_ratio: float
) -> list[sd_buckets.Size]:
    """The sizes to train at, said with what they cut off; empty: squares.

    Args:
        enabled: ``on``, ``off``, or ``auto``: where squares would cut off more than `WORTH_BUCKETS`.
        step, max_ratio: see `sd_buckets.sizes`; None is the usual step.
    """
    originals, resolution = pictures.originals, pictures.resolution
    square = [(resolution, resolution)] * len(originals)
    lost = sum(map(sd_buckets.cut_off, originals, square)) / len(originals)
    if enabled == "off" or (enabled == "auto" and lost <= WORTH_BUCKETS):
        if lost:
            say(sd_buckets.describe_crops(originals, square, pictures.names))
        return []
    factor, most = sd_model.sides(found)
    step = step or sd_buckets.usual_step(resolution, factor)
    sizes = [
        size for size in sd_buckets.sizes(resolution, step, max_ratio) if most is None or max(size) <= most
    ]
    targets = [sd_buckets.nearest(size, sizes) for size in originals]
    say(sd_buckets.count(targets))
    say(sd_buckets.describe_crops(originals, targets, pictures.names))
    return sizes
