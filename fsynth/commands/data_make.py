"""`fsynth data-make`: a drawn archive in the benchmark's formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fsynth import outputs
from fsynth.config import DataMakeConfig
from fsynth.console import say
from fsynth.data import archive, drawn_archive, synthetic
from fsynth.data.drawing_workers import Task
from fsynth.errors import ConfigError


@dataclass(frozen=True)
class DataMakeResult:
    """``train`` and ``test`` count rows; ``bytes`` is the archive's size on disk."""

    folder: Path
    rows: int
    train: int
    test: int
    bytes: int


def main(config: DataMakeConfig) -> DataMakeResult:
    """Draw the archive into a new or empty folder.

    Raises:
        ConfigError: settings that contradict each other.
        DataError: an annotation that cannot be drawn, or too few rows.
        OutputError: a folder that is not empty or cannot be written.
        PasswordError: a password file that cannot be read.
    """
    if config.annotations is not None and config.held_out is not None:
        raise ConfigError("--held-out does not go with --annotations, whose ind.mat decides; leave one out")
    password = _password(config.password_file)
    outputs.choose_folder(config.output, "data-make")  # a folder in use should not cost the listing first
    listed = synthetic.list_rows(
        config.rows, config.seed, config.annotations, config.held_out, config.balance
    )
    labels = [row.labels for row in listed.rows]
    task = Task(labels, config.seed, config.look, config.size, pixels=config.hdf5)
    room = drawn_archive.scratch(len(labels), task.side) / 2**20
    say(
        f"drawing {len(labels):,} pictures of {config.size} px; "
        f"captions: {config.annotations or 'the grammar'}"
        + (f"; G2.h5 takes {room:,.1f} MiB more while it is made" if config.hdf5 else "")
    )
    final = synthetic.draw_rows(config.output, listed, task, password, config.annotations, config.workers)
    size = sum(file.stat().st_size for file in final.rglob("*") if file.is_file())
    say(f"{size / 2**20:,.1f} MiB; use it with --data {final} --password-file {final / 'password.txt'}")
    return DataMakeResult(final, len(listed.rows), len(listed.train), len(listed.test), size)


def _password(file: Path | None) -> bytes:
    """Not that of the environment: it belongs to the real archive."""
    found = archive.find_password(file, prompt=False) if file is not None else None
    return found or synthetic.PASSWORD.encode()
