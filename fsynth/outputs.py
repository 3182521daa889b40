"""Output folders and files: complete or absent."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsynth.errors import OutputError

RUNS = Path("runs")
_WAITING = 8  # files that are flushed to the disk at the same time
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EPERM}


def choose_folder(output: Path | None, command: str) -> Path:
    """The folder a command will write: the given one, or a new ``runs/<command>-<date>-<n>``.

    Creates nothing; `claim_folder` does.

    Raises:
        OutputError: when the given path is a file or a folder that is not empty.
    """
    if output is None:
        return _new_name(f"{command}-{datetime.date.today():%Y%m%d}")
    try:
        inside = next(output.iterdir(), None)
    except FileNotFoundError:
        return output
    except NotADirectoryError:
        raise OutputError(f"--output {output} is a file or under one; name a new or empty folder") from None
    except OSError as error:
        raise OutputError(f"--output {output}: {error.strerror}; name a new or empty folder") from None
    if inside is not None:
        raise OutputError(
            f"--output {output} is not empty; name a new or empty folder, or leave --output out"
        )
    return output


def _new_name(stem: str) -> Path:
    number = 1
    while (RUNS / f"{stem}-{number}").exists():
        number += 1
    return RUNS / f"{stem}-{number}"


@dataclass(frozen=True)
class Claim:
    """The folder of a command, created for it. ``made``: what was not there before, the innermost first."""

    folder: Path
    made: tuple[Path, ...]

    def take_back(self) -> None:
        """For a command that failed: all in the folder goes, and the folders that were made."""
        for inside in self.folder.iterdir() if self.folder.is_dir() else ():
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
            else:
                inside.unlink(missing_ok=True)
        self.remove_made()

    def remove_made(self) -> None:
        """Remove the folders that were made and are empty."""
        for folder in self.made:
            with contextlib.suppress(OSError):  # somebody else uses it by now
                folder.rmdir()


def claim_folder(output: Path | None, command: str) -> Claim:
    """`choose_folder`, and create it; a default name is one that no other process has taken meanwhile.

    Raises:
        OutputError: as `choose_folder`, or when the place cannot be written.
    """
    while True:
        folder = choose_folder(output, command)
        made = tuple(place for place in (folder, *folder.parents) if not place.exists())
        make_folder(folder.parent)
        try:
            folder.mkdir(exist_ok=output is not None)
            return Claim(folder, made)
        except OSError as error:
            if output is None and isinstance(error, FileExistsError):
                continue
            raise OutputError(f"cannot create {folder}: {error.strerror}; choose another --output") from None


@contextlib.contextmanager
def whole_folder(output: Path | None, command: str) -> Iterator[tuple[Path, Path]]:
    """For commands that write a folder in one go: yields (staging, final).

    The final folder is filled when the block ends. Write into ``staging``, say ``final``. On any error
    nothing is left, neither these two nor folders made on the way to them.

    Raises:
        OutputError: as `claim_folder`; or another process filled the folder meanwhile.
    """
    claim = claim_folder(output, command)  # empty, it keeps other processes from choosing the same name
    final = claim.folder
    staging = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        make_folder(staging)
        yield staging, final
        _replace_empty(final, staging)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        error.add_note(f"nothing is left of {final}")
        claim.remove_made()
        raise


def _replace_empty(final: Path, staging: Path) -> None:
    try:
        put_in_place(staging, final)
    except OSError as error:
        raise OutputError(f"cannot write {final}: {error.strerror}; choose another --output") from None


def make_folder(folder: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        OutputError: when the place cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create {folder}: {error.strerror}; choose another --output") from None
    return folder


def cache_folder() -> Path:
    """`$FSYNTH_CACHE`, else `fsynth` in the user's cache folder."""
    given = os.environ.get("FSYNTH_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "fsynth"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/fsynth"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fsynth"


def recipe_of(run: Path) -> Path:
    """The run.yaml of a run folder that ``--resume`` names.

    Raises:
        OutputError: when there is none.
    """
    recipe = run / "run.yaml"
    if not recipe.is_file():
        raise OutputError(f"--resume {run}: no run.yaml there; name a run folder")
    return recipe


def write_problem(error: BaseException) -> str | None:
    """What to say of an error, or of the one it came from, if it is a place that cannot be written: disk or
    quota full, read-only, not permitted. Else None: a file that may not be read is none."""
    found: BaseException | None = error
    full = os.strerror(errno.ENOSPC)
    while found is not None:
        place = isinstance(found, OSError) and (found.filename2 or found.filename)
        if isinstance(found, OSError) and (found.errno in UNWRITABLE or _may_not_write(found.errno, place)):
            return f"{place}: {os.strerror(found.errno)}" if place else os.strerror(found.errno)
        if full in str(found):  # writers in other languages keep no errno
            return full
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return None


def _may_not_write(number: int | None, place: Any) -> bool:
    """Whether access was denied to a writer: readers get as far as this place."""
    if number != errno.EACCES or not place:
        return False
    place = Path(os.fsdecode(place))
    return os.access(place, os.R_OK) if place.exists() else os.access(place.parent, os.X_OK)


def open_to_readers(folder: Path) -> None:
    """Give every file the permissions of any new file here: safetensors lets the owner alone read its own."""
    example = folder / ".mode"
    example.touch()
    usual = example.stat().st_mode & 0o777
    example.unlink()
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(usual)


def put_in_place(beside: Path, final: Path) -> None:
    """Give a finished file or folder its name. All of it is on the disk before the name is: a machine that
    goes down leaves it complete or absent.

    Args:
        beside: in the same folder as ``final``.
        final: a file there is replaced; a folder there must be empty.

    Raises:
        OSError: the disk is full, or ``final`` cannot be replaced.
    """
    make_durable(beside)
    beside.replace(final)
    _flush(final.parent)


def make_durable(place: Path) -> None:
    """Wait until a file, or a folder with all in it, is on the disk.

    Many files are waited for together: one after the other, a thousand take seconds.
    """
    inside = sorted(place.rglob("*"), reverse=True)
    if inside:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_WAITING) as threads:
            list(threads.map(_flush, (path for path in inside if not path.is_dir())))
    for folder in (path for path in inside if path.is_dir()):  # what a folder lists before the folder
        _flush(folder)
    _flush(place)


def _flush(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not place.is_dir():  # some network file systems cannot flush folders
            raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole: beside, flushed to the disk, then renamed."""
    write_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """`write_text` of anything: ``write`` is given the name beside."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(beside)
        put_in_place(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """`write_text` of readable JSON; paths become strings. NaN is refused: JSON has no such number."""
    write_text(path, json.dumps(value, indent=2, default=str, allow_nan=False, ensure_ascii=False) + "\n")
