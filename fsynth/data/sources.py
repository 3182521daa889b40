"""What ``--data`` may be: a folder with the benchmark's files, or nothing, which means the drawn archive."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth import console
from fsynth.data import archive, fashion_synthesis
from fsynth.errors import ConfigError, DataError

if TYPE_CHECKING:
    import datasets

ENVIRONMENT = "FSYNTH_DATA"
DRAWN = Path("drawn")
"""As ``--data``: the drawn archive, also where ``$FSYNTH_DATA`` names another."""
PASSWORD_NAME = "password.txt"
"""Beside a drawn archive, whose password is no secret."""


@dataclass(frozen=True)
class Source:
    """Opened data: the official splits (columns: see `fashion_synthesis`) and where they come from.

    ``synthetic``: nothing was given, it is the archive that stands in then. ``drawn``: the pictures are
    drawings, given or not. ``describe`` is the line a command prints first.
    """

    train: datasets.Dataset
    test: datasets.Dataset
    root: Path
    synthetic: bool
    drawn: bool
    has_pictures: bool
    describe: str

    @property
    def setting(self) -> Path:
        """What ``--data`` must say to open the same again, wherever and whatever ``$FSYNTH_DATA`` is then."""
        return DRAWN if self.synthetic else self.root.resolve()

    def need_pictures(self) -> None:
        """Stop a command that cannot work from sentences and labels alone.

        Raises:
            DataError: when there are no pictures.
        """
        if not self.has_pictures:
            raise DataError(
                f"{self.root} holds the annotation but no pictures; put img.zip, img_highres.zip, G2.h5 or "
                "G2.zip anywhere under it"
            )

    def need_rows(self, wanted: int | None) -> None:
        """Stop a command that is to draw more rows than the training split has; None takes all.

        Raises:
            ConfigError: with how many there are.
        """
        rows = len(self.train)
        if wanted is not None and wanted > rows:
            raise ConfigError(
                f"--n-images {wanted} is more than the {rows:,} rows of the training split; "
                f"take at most {rows}"
            )


def open_source(
    root: Path | None,
    password_file: Path | None = None,
    image_source: str | None = None,
    memory_limit: float = 4.0,
    password: bytes | None = None,
) -> Source:
    """Open what the ``--data``, ``--password-file``, ``--image-source`` and ``--memory-limit`` flags name.

    Args:
        root: folder above the benchmark's files; None for ``$FSYNTH_DATA``, else the drawn archive, which is
            drawn now where it is not in the cache yet; `DRAWN` for that one in any case.
        password_file: its first line is the password; else ``$FSYNTH_ZIP_PASSWORD``, else a hidden prompt.
        image_source: ``zip``, ``hdf5``, or None for the ZIP where there is one.
        memory_limit: largest HDF5 in GiB to unpack from ``G2.zip`` into memory.
        password: instead of all these. The process remembers, for each archive, the one that opens it.

    Raises:
        ConfigError: see `data_root`.
        DataError: files that are missing, broken or do not belong together.
        PasswordError: when a password is needed and missing or wrong.
    """
    from fsynth.data import drawn_archive

    given = data_root(root)
    folder = given or _drawn()
    if given is None:
        password, password_file = None, folder / PASSWORD_NAME
    ask = functools.partial(_password_of, password, password_file)
    where = fashion_synthesis.find(folder)
    opened = fashion_synthesis.open_layout(
        where, image_source, int(memory_limit * fashion_synthesis.GIB), ask
    )
    return Source(
        train=opened.splits["train"],
        test=opened.splits["test"],
        root=folder,
        synthetic=given is None,
        drawn=given is None or drawn_archive.is_drawn(where.annotation.parents[1]),
        has_pictures=opened.pictures is not None,
        describe=_describe(opened, folder, given is None),
    )


def load_dataset(
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    password: str | bytes | None = None,
    password_file: str | os.PathLike[str] | None = None,
    image_source: str | None = None,
    memory_limit: float = 4.0,
) -> datasets.DatasetDict | datasets.Dataset:
    """The FashionSynthesis benchmark (or the drawn look-alike) as a `datasets.DatasetDict`.

    Args:
        root: folder above the benchmark's files; None for ``$FSYNTH_DATA``, else drawn data; ``drawn`` for
            those in any case.
        split: ``train`` or ``test`` for one split instead of both.
        password: of the archive. This process' environment remembers it, where loader workers find it.
        password_file: its first line is the password; else ``$FSYNTH_ZIP_PASSWORD``, else a hidden prompt.
        image_source: ``zip``, ``hdf5``, or None for the ZIP where there is one.
        memory_limit: largest HDF5 in GiB to unpack from ``G2.zip`` into memory.

    Returns:
        both splits, or the one asked for. Columns: see `fsynth.data.fashion_synthesis`.

    Raises:
        ConfigError: see `data_root`.
        DataError: files that are missing, broken or do not belong together; an unknown split.
        PasswordError: when a password is needed and missing or wrong.
    """
    import datasets

    if split not in (None, "train", "test"):
        raise DataError(f"there is no split {split!r}; name 'train' or 'test', or leave split out for both")
    folder, file = (Path(given) if given is not None else None for given in (root, password_file))
    secret = password.encode() if isinstance(password, str) else password
    source = open_source(folder, file, image_source, memory_limit, secret)
    console.say(source.describe)
    both = datasets.DatasetDict(train=source.train, test=source.test)
    return both if split is None else both[split]


def data_root(given: Path | None) -> Path | None:
    """The folder given, else that of ``$FSYNTH_DATA``; None means the drawn archive.

    Raises:
        ConfigError: `DRAWN`, where there is a folder of that name.
    """
    value = os.environ.get(ENVIRONMENT)
    root = given or (Path(value) if value else None)
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


def _password_of(password: bytes | None, password_file: Path | None, file: Path) -> bytes | None:
    return archive.find_password(password_file, file) if password is None else password


def _describe(opened: fashion_synthesis.Benchmark, folder: Path, drawn: bool) -> str:
    train, test = (len(opened.splits[name]) for name in ("train", "test"))
    rows = f"{train + test:,} rows ({train:,} for training, {test:,} held out)"
    if drawn:
        return (
            f"data: synthetic archive, {rows} (point --data at a FashionSynthesis folder for the real thing)"
        )
    pictures = f"pictures from {opened.pictures}" if opened.pictures else "no pictures"
    return "; ".join([f"data: {folder}, {rows}, {pictures}", *opened.notes])
