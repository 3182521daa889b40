"""What ``--data`` says, as text: a path, or the addresses of files, near or far.

Addresses are written as WebDataset writes them: ``https://host/train-{00000..00009}.tar``, several of them
with ``::`` between, or one a line in a text file. Paths may be written so, too.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from fsynth.errors import ConfigError, DataError

LIST_SUFFIX = ".txt"
BETWEEN = "::"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://")
_MANGLED = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)")


def read(given: Path | str) -> Path | str:
    """A path as a `Path`, addresses as text: what `expand` takes.

    Raises:
        ConfigError: a name or password in an address, an address that went through `pathlib`.
    """
    text = str(given)
    if isinstance(given, Path) and (mangled := _MANGLED.match(text)):
        shortened = text.partition("?")[0]
        raise ConfigError(f"{shortened} lost a slash in Path(); give the address as text: {mangled[1]}://...")
    if not _is_pattern(text):
        return _at_home(text)
    parts = [part if is_far(part) else str(_at_home(part).absolute()) for part in text.split(BETWEEN)]
    for part in parts:
        _refuse_secrets(part)
    return BETWEEN.join(parts)


def is_far(text: str) -> bool:
    """Whether a text is the address of something that another machine, or another library, holds."""
    return _SCHEME.match(text) is not None


def expand(pattern: str) -> list[str]:
    """The addresses of a pattern, in its order.

    Raises:
        ConfigError: braces that do not match.
    """
    from braceexpand import UnbalancedBracesError, braceexpand

    try:
        return [address for part in pattern.split(BETWEEN) for address in braceexpand(part, escape=False)]
    except UnbalancedBracesError:
        raise ConfigError(
            f"the braces of {shown(pattern)} do not match; write train-{{00000..00009}}.tar"
        ) from None


def read_list(file: Path) -> list[str]:
    """The addresses in a text file, one a line; paths are read from its folder.

    Raises:
        ConfigError: braces that do not match, a name or password in an address.
        DataError: a file that cannot be read or names nothing.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file} ({error}); it should hold one address a line") from None
    named = [line if is_far(line) else str(file.parent.absolute() / line) for line in lines if line]
    if not named:
        raise DataError(f"{file} names no files; write one address or path a line")
    return [address for line in named for address in expand(str(read(line)))]


def shown(given: Path | str) -> str:
    """A path or addresses as messages show them: without a query, which may be a signature."""
    parts = str(given).split(BETWEEN)
    return BETWEEN.join(part.partition("?")[0] if is_far(part) else part for part in parts)


def path_of(address: str) -> PurePosixPath:
    """The path of an address, to tell what it names; of a path, that path."""
    if not is_far(address):
        return PurePosixPath(address)
    return PurePosixPath("/" + unquote(shown(address).partition("://")[2]))


def _is_pattern(text: str) -> bool:
    braces = "{" in text and "}" in text
    return is_far(text) or ((braces or BETWEEN in text) and not Path(text).exists())


def _at_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"nobody's home folder is known for --data {text}; write the path out") from None


def _refuse_secrets(address: str) -> None:
    scheme, _, rest = address.partition("://")
    owner, _, path = rest.partition("/")
    secret, _, host = owner.rpartition("@")  # a password may hold an @ or a question mark itself
    if is_far(address) and secret:
        raise ConfigError(
            f"{shown(f'{scheme}://...@{host}/{path}')} holds a name or password, which would end up in logs; "
            "take it out and put it into ~/.netrc, or what the storage's own package reads"
        )
