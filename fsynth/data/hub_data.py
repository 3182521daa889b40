"""A data set of the Hugging Face hub, by name: ``org/name``."""

from __future__ import annotations

import re

from fsynth import hub
from fsynth.data.rows import SPLIT_WORDS, Opened, from_columns
from fsynth.errors import DataError, reason

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_name(text: str) -> bool:
    """Whether a text could be ``org/name``."""
    return _NAME.fullmatch(text) is not None


def open_name(name: str, image_column: str | None, text_column: str | None) -> Opened:
    """Fetch a data set, or take it from the cache of `datasets`.

    Raises:
        ConfigError: a column that is not there.
        DataError: it cannot be had; it has no split called train, validation or test.
    """
    import datasets

    try:
        with hub.without_waiting():
            found = datasets.load_dataset(name)
    except Exception as error:  # of the network, the hub and each of its formats
        raise DataError(
            f"there is no folder {name}, and the hub's data set of that name cannot be had "
            f"({reason(error)}); check the name, or fetch it where there is a network and copy its cache"
        ) from None
    words = {word: split for split, names in SPLIT_WORDS.items() for word in names}
    parts = {words[split]: part for split, part in found.items() if split in words}
    if not parts:
        raise DataError(f"{name} has the splits {', '.join(found)}, none of train, validation and test")
    ordered = {split: parts[split] for split in SPLIT_WORDS if split in parts}
    return from_columns(ordered, "hub data set", image_column, text_column, name)
