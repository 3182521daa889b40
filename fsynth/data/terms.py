"""Under whose terms pictures are, in a sentence that goes along with whatever is made of them."""

from __future__ import annotations

from pathlib import Path

from fsynth.data import export_record

DRAWN = "the drawings are CC0"
DEEPFASHION = "of DeepFashion's, copies too are for non-commercial research only and not to be passed on"
OTHER = "the terms that the pictures came with hold for the copies"


def of(drawn: bool, what: str, root: Path | str) -> str:
    """The terms of pictures; those of an export, under the terms of what was exported.

    Args:
        what: the kind of source (`sources.Source`).
        root: where they are.
    """
    if drawn:
        return DRAWN
    ours = what.startswith(("FashionSynthesis", "DeepFashion"))
    return export_record.terms(root) or (DEEPFASHION if ours else OTHER)


def of_model(learnt: str) -> str:
    """What the terms of its pictures mean for a model.

    Args:
        learnt: by `of`.
    """
    if learnt == DRAWN:
        return "it learnt from drawings, which are CC0"
    if "DeepFashion" in learnt:
        return "it learnt from DeepFashion's pictures, which are for non-commercial research only"
    return "it learnt from pictures whose own terms hold"
