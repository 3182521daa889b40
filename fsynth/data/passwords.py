"""Where the archive's password comes from: a file, the environment, or a hidden prompt.

It is never an argument, never logged and never part of an object that is pickled or cached. A password that
has opened an archive is remembered for that archive alone, in an environment variable of its own: loader
workers inherit it, several archives may be open at once, and FSYNTH_ZIP_PASSWORD stays the user's.
"""

from __future__ import annotations

import codecs
import getpass
import hashlib
import os
import sys
import warnings
from pathlib import Path

from fsynth.errors import PasswordError

VARIABLE = "FSYNTH_ZIP_PASSWORD"
HOW_TO_GIVE = f"set {VARIABLE} or pass --password-file FILE"


def find_password(
    password_file: Path | None = None, archive: Path | None = None, *, prompt: bool = True
) -> bytes | None:
    """The password from `password_file`, else `current_password`, else typed by the user.

    Args:
        password_file: its first line is the password, without the line end (and a byte order mark).
        archive: the ZIP it is for.
        prompt: whether to ask when neither is given; it asks only in a single process on a terminal.

    Returns:
        the password, or None when there is none to be had.

    Raises:
        PasswordError: when the file cannot be read, or its first line is empty or holds a zero byte.
    """
    if password_file is not None:
        return _read(password_file)
    return current_password(archive) or (_ask() if prompt else None)


def remember_password(password: bytes, archive: Path) -> None:
    """Keep the password of one archive in this process' environment, which its workers inherit.

    Raises:
        PasswordError: for an empty password or one with a zero byte, which no environment can hold.
    """
    _check(password, f"the password of {archive}")
    os.environ[variable_of(archive)] = os.fsdecode(password)


def forget_password(archive: Path) -> None:
    """Undo `remember_password`."""
    os.environ.pop(variable_of(archive), None)


def current_password(archive: Path | None = None) -> bytes | None:
    """The password remembered for the archive, else FSYNTH_ZIP_PASSWORD; None when unset or empty."""
    return password_in(VARIABLE if archive is None else variable_of(archive))


def password_in(variable: str) -> bytes | None:
    """`current_password` of the archive that has this variable, whose name takes longer to find."""
    return os.fsencode(os.environ.get(variable) or os.environ.get(VARIABLE, "")) or None


def variable_of(archive: Path) -> str:
    """The environment variable that remembers an archive's password. Upper case: Windows knows no other."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(archive))).hexdigest()
    return f"{VARIABLE}_{digest[:16].upper()}"


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as lines:
            password = lines.readline().removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    except OSError as error:
        raise PasswordError(
            f"cannot read the password file {file} ({error.strerror}); give another --password-file, "
            f"or set {VARIABLE}"
        ) from None
    _check(password, f"the first line of the password file {file}")
    return password


def _check(password: bytes, what: str) -> None:
    if not password:
        raise PasswordError(f"{what} is empty; write the archive's password there, without quotes")
    if b"\0" in password:
        raise PasswordError(f"{what} holds a zero byte; write it as plain text (UTF-8, not UTF-16)")


def _ask() -> bytes | None:
    """A prompt that does not echo; None where nobody is there to type, or nothing was typed."""
    if os.environ.get("WORLD_SIZE", "1") != "1" or sys.stdin is None or not sys.stdin.isatty():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would echo: rather not ask
            return os.fsencode(getpass.getpass("Archive password (not shown): ")) or None
    except (EOFError, getpass.GetPassWarning):
        return None
