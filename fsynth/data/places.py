"""Where data are: what ``--data`` and ``$FSYNTH_DATA`` name, and what finds the passwords there."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from fsynth.data import addresses, fashion_synthesis, passwords
from fsynth.errors import ConfigError

ENVIRONMENT = "FSYNTH_DATA"
DRAWN = Path("drawn")
"""As ``--data``: the drawn archive, also where ``$FSYNTH_DATA`` names another."""
PASSWORD_NAME = "password.txt"
"""Beside a drawn archive, whose password is no secret."""
REAL_THING = "point --data at a FashionSynthesis folder for the real thing"


@dataclass(frozen=True)
class Place:
    """Where data are, and what finds the passwords of their archives.

    ``root``: a path, or addresses as text (`addresses.read`);
    ``synthetic``: nothing was given, it is the drawn archive that stands in then; ``note`` says so.
    """

    root: Path | str
    ask: fashion_synthesis.Ask
    synthetic: bool

    @property
    def note(self) -> str:
        return f" (drawn; {REAL_THING})" if self.synthetic else ""


def locate(
    root: Path | str | None,
    password_file: Path | None = None,
    password: bytes | None = None,
    prompt: bool = True,
) -> Place:
    """What `sources.open_source` opens; the drawn archive is drawn now where it is not in the cache yet."""
    given = data_root(root)
    if given is not None:
        ask = functools.partial(_password_of, password, password_file, prompt)
        return Place(given, ask, synthetic=False)
    drawn = _drawn()
    return Place(drawn, functools.partial(_password_of, None, drawn / PASSWORD_NAME, prompt), synthetic=True)


def data_root(given: Path | str | None) -> Path | str | None:
    """What is given, else what ``$FSYNTH_DATA`` names: a path or addresses; None means the drawn archive.

    Raises:
        ConfigError: `DRAWN`, where there is a folder of that name; see `addresses.read`.
    """
    text = given or os.environ.get(ENVIRONMENT)
    root = addresses.read(text) if text else None
    if root != DRAWN:
        return root
    if DRAWN.is_dir():
        raise ConfigError(
            f"--data {DRAWN} names fsynth's own drawn data, but there is a folder {DRAWN} here, too; name it "
            f"by its full path ({DRAWN.resolve()}), or rename it"
        )
    return None


def _drawn() -> Path:
    from fsynth.data import synthetic

    return synthetic.cached_archive()


def _password_of(
    password: bytes | None, password_file: Path | None, prompt: bool, file: Path
) -> bytes | None:
    if password is not None:
        return password
    return passwords.find_password(password_file, file, prompt=prompt)
