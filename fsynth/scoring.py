"""Scores of a folder of pictures, written beside them as scores.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsynth import console, features, samples, scores
from fsynth.errors import ConfigError
from fsynth.outputs import write_json
from fsynth.sd_folder import TINY

METRICS = {"is": "Inception Score"}


def check_metrics(metrics: Sequence[str], flag: str) -> None:
    """Refuse a score that does not exist.

    Raises:
        ConfigError: naming those that do.
    """
    if unknown := [name for name in metrics if name not in METRICS]:
        known = ", ".join(f"{name} ({text})" for name, text in METRICS.items())
        raise ConfigError(f"{flag} {unknown[0]}: no such score; there are: {known}")


def choose_extractor(
    kind: str, drawn: bool, base: str | None, inception_weights: Path | None, device: str
) -> features.Extractor:
    """The network that judges pictures, and a line that says why it does.

    Args:
        kind: ``probe``, ``inception``, or ``auto``: the probe for pictures of a ``drawn`` model, else
            Inception. Weights that are given by hand are meant to be used: with them, auto is Inception.
        drawn: the model goes back to the tiny one or learnt from drawn data (`lineage.Lineage`).
        base: the model at the end of its lineage, where it is known.

    Raises:
        ModelError: when its weights are missing or wrong.
    """
    chosen, why = _judge(kind, drawn, base, inception_weights)
    extractor = (
        features.probe(device=device) if chosen == "probe" else features.inception(inception_weights, device)
    )
    what = "our small network for drawn garments" if chosen == "probe" else "torch-fidelity's Inception"
    console.say(f"judge: {extractor.name}, {what}: {why}")
    return extractor


def _judge(kind: str, drawn: bool, base: str | None, weights: Path | None) -> tuple[str, str]:
    if kind != "auto":
        return kind, f"--extractor {kind}"
    if weights is not None:
        return "inception", "--inception-weights"
    if not drawn:
        return "inception", "the pictures count as photographs (--extractor probe for drawings)"
    if base == TINY:
        return (
            "probe",
            "the model goes back to the shipped tiny one, no real model (or --extractor inception)",
        )
    return "probe", "the model learnt from drawn data (or --extractor inception)"


def score_folder(
    folder: Path,
    metrics: Sequence[str],
    extractor: features.Extractor,
    *,
    splits: int = scores.SPLITS,
    seed: int = scores.SEED,
    batch_size: int = 32,
) -> dict[str, Any]:
    """Score the pictures of a folder and write scores.json into it.

    Returns:
        The record: ``pictures``, ``extractor``, ``versions`` and, by metric, its numbers and ``text``.

    Raises:
        DataError: when a picture is missing or broken.
    """
    pictures = samples.pictures_in(folder)
    _, logits = features.extract(extractor, pictures, batch_size)
    record: dict[str, Any] = {
        "pictures": len(pictures),
        "extractor": extractor.record(),
        "versions": samples.versions("numpy", "torch", "torch-fidelity", "pillow"),
    }
    if "is" in metrics:
        score = scores.inception_score(logits, splits, seed)
        record["is"] = {**score.record(), "text": score.text()}
    write_json(folder / samples.SCORES, record)
    return record


def lines(record: dict[str, Any]) -> list[str]:
    """The record for people: a line a score, and a line of warning below it; none of an empty record."""
    if not record:
        return []
    by = record["extractor"]
    judge = f"{by['name']} (version {by['version']}, {by['logits']}, weights {by['sha256'][:8]})"
    found = []
    for name in (name for name in METRICS if name in record):
        found.append(f"{METRICS[name]} {record[name]['text']} by {judge}")
        found += [f"  {record[name]['note']}"] if record[name]["note"] else []
    return found
