"""Errors that are part of the product.

`FsynthError` means "you can fix this": the command line prints its text as one line and exits with
code 1. Anything else that escapes a command is our bug and keeps its traceback.

    FsynthError
    ├── ConfigError      a recipe key, a flag's value, two settings that contradict each other
    ├── DataError        the archive, the annotation, the pictures
    │   └── PasswordError    missing or wrong archive password
    ├── ModelError       a model that cannot be found, read or used
    ├── OutputError      where results should go
    ├── ScoreError       a score that cannot be computed from what is there
    └── MissingPackage   an optional package; the text names the extra to install
"""

from __future__ import annotations

import importlib
from types import ModuleType


class FsynthError(Exception):
    """Shown to the user as one line: what is wrong, where it came from, what to do next."""


class ConfigError(FsynthError):
    """A recipe, a flag's value, or settings that contradict each other."""


class DataError(FsynthError):
    """The archive, its annotation or its pictures are not what they should be."""


class PasswordError(DataError):
    """The archive password is missing or wrong. Never holds the password."""


class ModelError(FsynthError):
    """A model cannot be found, read or used."""


class OutputError(FsynthError):
    """The place where results should go cannot be used."""


class ScoreError(FsynthError):
    """A score cannot be computed from what is there."""


class MissingPackage(FsynthError):
    """An optional package is not installed."""


def reason(error: BaseException) -> str:
    """Why a file could not be read, in a line: the first of the reader's own.

    Not torch's about pickles, which recommends the unsafe way of reading them.
    """
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "it is no file of plain tensors" if first.startswith("Weights only load failed") else first[:300]


def need(package: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Args:
        package: import name, e.g. ``bitsandbytes``.
        extra: the extra of this project that installs it, e.g. ``8bit``.
        purpose: what the user asked for, e.g. ``--optimizer adamw8bit``.

    Raises:
        MissingPackage: when the package is not installed or does not import.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingPackage(
            f"{purpose} needs the package {package}, which does not import ({error}); "
            f"install it with: pip install 'fsynth[{extra}]'"
        ) from None
