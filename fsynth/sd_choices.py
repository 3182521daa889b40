"""Values of a Stable Diffusion run that were not given, each said with its reason."""

from __future__ import annotations

from fsynth import sd_model
from fsynth.console import say
from fsynth.sd_folder import Found

FULL_LR, LORA_LR = 1e-5, 1e-4


def describe_draw(wanted: int | None, rows: int, seed: int) -> str:
    """Which pictures train: ``wanted`` of the ``rows`` of the training split, None for all."""
    if wanted is None:
        return f"all {rows:,} rows of the training split"
    return f"{wanted:,} of the {rows:,} rows of the training split, drawn with --seed {seed}"


def batch_size(given: int, pictures: int) -> int:
    """No more than there are pictures."""
    if given > pictures:
        say(f"batch size: {pictures}, all pictures there are, instead of {given} (--batch-size)")
    return min(given, pictures)


def learning_rate(given: float | None, lora: bool) -> float:
    if given is not None:
        return given
    lr = LORA_LR if lora else FULL_LR
    say(f"learning rate: {lr:g}, the default for {'LoRA' if lora else 'all weights'} (--lr)")
    return lr


def resolution(given: int | None, found: Found, width: int, height: int) -> int:
    """The side in pixels to train at.

    Args:
        width, height: of the first picture.
    """
    native = sd_model.native_resolution(found)
    chosen = given or native
    reason = "" if given else "the model's own (--resolution), "
    say(f"resolution: {chosen} px, {reason}from pictures of {width}x{height}")
    if width != height:
        say(
            "note: pictures are not square: shorter side resized, centre cropped, "
            f"{1 - min(width, height) / max(width, height):.0%} of the first picture is cut off"
        )
    if min(width, height) < chosen:
        say("note: enlarging the pictures adds no detail, only time; the model knows its own size best")
    elif chosen != native:
        say(f"note: the model was made for {native} px; expect it to need more steps at {chosen} px")
    return chosen
