"""Errors that are part of the product.

`FsynthError` means "you can fix this": the command line prints its text as one line and exits with
code 1. Anything else that escapes a command is our bug and keeps its traceback.

    FsynthError
    ├── ConfigError      a recipe key, a flag's value, two settings that contradict each other
    ├── DataError        the archive, the annotation, the pictures
    │   ├── PasswordError    missing or wrong archive password
    │   └── UnreachableError a file, here or elsewhere, that cannot be read now
    ├── ModelError       a model that cannot be found, read or used
    ├── OutputError      where results should go
    ├── ScoreError       a score that cannot be computed from what is there
    ├── DivergedError    a loss that is not a number
    └── MissingPackage   a package, or a system library that it needs; the text says how to install it
"""

from __future__ import annotations

import errno
import importlib.util
import os

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""What the system says of a path that names no file: a fault of the data, today and tomorrow."""


class FsynthError(Exception):
    """Shown to the user as one line: what is wrong, where it came from, what to do next."""


class ConfigError(FsynthError):
    """A recipe, a flag's value, or settings that contradict each other."""


class DataError(FsynthError):
    """The archive, its annotation or its pictures are not what they should be."""


class PasswordError(DataError):
    """The archive password is missing or wrong. Never holds the password."""


class UnreachableError(DataError):
    """A file cannot be read now: the disk, the network or the rights. Says nothing of the pictures in it."""


class ModelError(FsynthError):
    """A model cannot be found, read or used."""


class OutputError(FsynthError):
    """The place where results should go cannot be used."""


class ScoreError(FsynthError):
    """A score cannot be computed from what is there."""


class DivergedError(FsynthError):
    """A loss is not a number. To go on from a checkpoint with the same settings would lead there again."""


class MissingPackage(FsynthError):
    """A package, or a system library that it needs, is not there."""


def need(package: str, what: str) -> None:
    """Refuse what needs a package that is not installed.

    Args:
        what: the setting, for the message.

    Raises:
        MissingPackage: with how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingPackage(f"{what} needs {package}, which is not installed: pip install {package}")


def not_now(what: object, error: OSError, number: int | None = None) -> UnreachableError | None:
    """What to raise where a file could not be read, as opposed to decoded; None where its content is at
    fault, or the file is not there.

    Args:
        what: the file, or a part of it, for the message.
        number: the system's number of the fault, where a library keeps it elsewhere than in the error.
    """
    number = error.errno if number is None else number
    if not number or number in _NOT_THERE:
        return None
    return UnreachableError(
        f"cannot read {what} now ({os.strerror(number)}), which says nothing of what is in it; start again "
        "when it can be read"
    )


def reason(error: BaseException) -> str:
    """Why a file could not be read, in a line: the first of the reader's own.

    Not torch's about pickles, which recommends the unsafe way of reading them.
    """
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "it is no file of plain tensors" if first.startswith("Weights only load failed") else first[:300]
