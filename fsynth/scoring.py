"""Scores of a folder of pictures, written beside them as scores.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsynth import features, samples, scores
from fsynth.errors import ConfigError
from fsynth.outputs import write_json

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
    kind: str, drawn: bool, inception_weights: Path | None, device: str
) -> features.Extractor:
    """The network that judges pictures: ``probe``, ``inception``, or ``auto``: the probe for ``drawn`` ones.

    Weights that are given by hand are meant to be used: with them, ``auto`` is Inception.

    Raises:
        ModelError: when its weights are missing or wrong.
    """
    if kind == "auto":
        kind = "probe" if drawn and inception_weights is None else "inception"
    return features.probe(device=device) if kind == "probe" else features.inception(inception_weights, device)


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
    judge = f"{by['name']} ({by['version']}, {by['logits']}, weights {by['sha256'][:8]})"
    found = []
    for name in (name for name in METRICS if name in record):
        found.append(f"{METRICS[name]} {record[name]['text']} by {judge}")
        found += [f"  {record[name]['note']}"] if record[name]["note"] else []
    return found
