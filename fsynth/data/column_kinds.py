"""Whether the columns that are to be pictures and sentences can be that, found out before a row is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fsynth.errors import ConfigError, DataError

_TEXTS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "binary_view")


def need_columns(there: Iterable[str], image: str, text: str, origin: str) -> None:
    """Refuse a source without the columns of pictures and sentences.

    Raises:
        ConfigError: naming the columns there are.
    """
    for flag, wanted in (("--image-column", image), ("--text-column", text)):
        if wanted not in there:
            columns = ", ".join(map(str, there)) or "none"
            raise ConfigError(f"{origin} has no column '{wanted}'; name one of these with {flag}: {columns}")


def need_kinds(features: Mapping[str, Any], image: str, text: str, origin: str) -> None:
    """Refuse columns that hold something else; see `need_columns`.

    Args:
        features: column -> what `datasets` says that it holds.

    Raises:
        ConfigError: naming the column and what it holds.
    """
    need_columns(features, image, text, origin)
    wanted = (("--image-column", image, "pictures", _pictures), ("--text-column", text, "sentences", _texts))
    for flag, column, what, fits in wanted:
        if not fits(features[column]):
            others = [name for name, feature in features.items() if fits(feature)]
            raise ConfigError(
                f"column '{column}' of {origin} holds {_named(features[column])}, no {what}; "
                f"name another with {flag} (could be: {', '.join(others) or 'none'})"
            )


def need_pictures(paths: Iterable[Any], column: str, origin: str) -> None:
    """Refuse texts in a column of pictures that name no file; addresses are not looked at.

    Raises:
        DataError: with the first.
    """
    for path in paths:
        if isinstance(path, str) and "://" not in path and not _is_file(path):
            raise DataError(
                f"column '{column}' of {origin} should name pictures, but {brief(path)} is no file; bring it "
                "there, or name another column with --image-column"
            )


def need_alike(
    first: Mapping[str, Any], other: Mapping[str, Any], columns: Iterable[str], where: tuple[str, str]
) -> None:
    """Refuse files that cannot become one table.

    Args:
        first: column -> what `datasets` says that it holds; the others' are made like these.
        columns: that matter.
        where: how messages name the first and the other.

    Raises:
        DataError: naming the first column that differs.
    """
    for column in columns:
        one, another = _sort(first.get(column)), _sort(other.get(column))
        if one != another and not (another == "null" and column in first):
            raise DataError(
                f"column '{column}' is {one} in {where[0]}, but {another} in {where[1]}; write both alike, "
                "or take one out"
            )


def brief(value: object) -> str:
    """A value for a message, about 60 characters of it at most."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def need_unicode(text: str, where: str) -> str:
    """A text that can be stored.

    Raises:
        DataError: half of a character in it, as ``"\\ud83d"`` in JSON is.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} holds half of a character, {text[error.start]!r} in {brief(text)}; write it as UTF-8"
        ) from None
    return text


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # of a sentence too long to be a path
        return False


def _pictures(feature: Any) -> bool:
    import datasets

    if isinstance(feature, datasets.Image):
        return True
    if isinstance(feature, Mapping):  # stored as Image stores them
        return bool({*feature} & {"bytes", "path"})
    return isinstance(feature, datasets.Value) and feature.dtype in (*_TEXTS, *_BYTES)


def _texts(feature: Any) -> bool:
    import datasets

    return isinstance(feature, datasets.ClassLabel) or (
        isinstance(feature, datasets.Value) and feature.dtype in _TEXTS
    )


def _sort(feature: Any) -> str:
    """What a column holds, the same for all that `datasets` makes one of."""
    import datasets

    if feature is None:
        return "missing"
    if isinstance(feature, datasets.Image):
        return "fields (bytes, path)"
    if isinstance(feature, datasets.ClassLabel):
        return f"numbers of {', '.join(feature.names)}"
    if isinstance(feature, Mapping):
        return f"fields ({', '.join(sorted(feature))})"
    name = _named(feature)
    families = {"string": _TEXTS, "binary": _BYTES}
    family = next((family for family, names in families.items() if name in names), name)
    return "whole numbers" if family.startswith(("int", "uint")) else family


def _named(feature: Any) -> str:
    import datasets

    if isinstance(feature, Mapping):
        return f"fields ({', '.join(feature)})"
    return feature.dtype if isinstance(feature, datasets.Value) else type(feature).__name__
