"""The folder of an export: written part by part, gone on with after an interruption, whole or not there.

OUTPUT/.unfinished/plan.json           what is written, and from what: written first
OUTPUT/.unfinished/train/00000 ...     parts, each written beside and renamed
OUTPUT/.unfinished/train-00000.json    what a part holds: the part is there when this is
OUTPUT/export.json                     written last, when all parts have been moved into OUTPUT
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsynth import outputs
from fsynth.data.export_formats import METADATA, Part, write_metadata
from fsynth.data.export_record import RECORD, UNFINISHED, read
from fsynth.data.export_rows import Sample
from fsynth.errors import OutputError

PLAN = "plan.json"
PICTURES = "pictures"
"""In a plan: the state of the pictures' files."""
LOCK = "lock"


def refuse_files(output: Path) -> None:
    """Stop at a folder that holds files and is no export, whole or begun.

    Raises:
        OutputError: naming it.
    """
    if read(output) is None and not (output / UNFINISHED).is_dir():
        outputs.choose_folder(output, "data-export")


def look(output: Path, plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of the export when the folder holds it whole, None when it is to be begun or gone on with.

    Raises:
        OutputError: the folder holds an export of another plan, or not all that its record promises.
    """
    unfinished = output / UNFINISHED
    if (record := read(output)) is not None:
        _refuse_other(record, plan, f"{output} holds an export", f"remove {output}")
        _refuse_gaps(output, record.get("files", {}))
        return record
    if (unfinished / PLAN).is_file():
        begun = json.loads((unfinished / PLAN).read_text(encoding="utf-8"))
        _refuse_other(begun, plan, f"{output} holds an unfinished export", f"remove {output}")
    return None


def need_room(output: Path, size: int) -> None:
    """Stop before the disk is full.

    Args:
        size: bytes of the whole export; what an interrupted one has written counts.

    Raises:
        OutputError: with what is free and what is needed.
    """
    size -= sum(file.stat().st_size for file in (output / UNFINISHED).rglob("*") if file.is_file())
    place = next(folder for folder in (output, *output.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < size:
        raise OutputError(
            f"--output {output} has {free / 1e6:,.0f} MB free, the export needs about {size / 1e6:,.0f} MB; "
            "free some room or name another folder"
        )


@dataclass
class Written:
    """Parts of a split that are there: how many, their rows and bytes of pictures, lines of its table."""

    parts: int = 0
    rows: int = 0
    bytes: int = 0
    lines: list[str] = field(default_factory=list)

    def add(self, record: Mapping[str, Any]) -> None:
        self.parts += 1
        self.rows += record["rows"]
        self.bytes += record["bytes"]
        self.lines += record["lines"]


@dataclass(frozen=True)
class Export:
    """An export that is being written (`begun`)."""

    output: Path

    @property
    def folder(self) -> Path:
        return self.output / UNFINISHED

    def written(self, split: str) -> Written:
        """What is there of a split, from this run or an earlier one."""
        done = Written()
        while (record := self._record(split, done.parts)).is_file():
            done.add(json.loads(record.read_text(encoding="utf-8")))
        return done

    def write(self, split: str, samples: Iterable[Sample], kind: type[Part], limit: int) -> Iterator[Sample]:
        """Write the rows that come after those that are there; yields each.

        Args:
            kind: how a part is written.
            limit: most bytes of pictures in a part.
        """
        number, making = self.written(split).parts, None
        for sample in samples:
            if making is not None and not making.part.has_room(sample):
                making.keep(self._record(split, number))
                number, making = number + 1, None
            making = making or _Making(self.folder, kind, kind.name(split, number), limit)
            making.add(sample)
            yield sample
        if making is not None:
            making.keep(self._record(split, number))

    def write_file(self, name: str, pieces: Iterable[bytes]) -> Path:
        """Write a file of many pieces; returns its place until `finish`."""
        beside = _free_place(self.folder / name)
        with beside.open("wb") as file:
            file.writelines(pieces)
        return beside

    def moves(self, splits: Iterable[str], kind: type[Part]) -> dict[Path, str]:
        """`finish`'s of all parts of some splits; one with a table is a folder and gets its table now."""
        found: dict[Path, str] = {}
        for split in splits:
            done = self.written(split)
            if done.lines:
                found[self.folder / split] = split
                if (self.folder / split).is_dir():
                    write_metadata(self.folder / split, done.lines)
            else:
                for number in range(done.parts):
                    found[self.folder / kind.name(split, number)] = kind.name(split, number, done.parts)
        return found

    def finish(self, moves: Mapping[Path, str], record: Mapping[str, Any]) -> None:
        """Move what was written into the export and say that it is whole.

        Args:
            moves: file or folder -> name in the export; an interrupted `finish` has moved some already.
        """
        for place, name in moves.items():
            if place.exists():
                outputs.put_in_place(place, self.output / name)
            elif not (self.output / name).exists():
                raise OutputError(f"{self.output / name} is gone; remove {self.output} and run again")
        sizes = {name: _size(self.output / name) for name in moves.values()}
        outputs.write_json(self.output / RECORD, {**record, "files": sizes})
        shutil.rmtree(self.folder)

    def _record(self, split: str, number: int) -> Path:
        return self.folder / f"{split}-{number:05d}.json"


@contextlib.contextmanager
def begun(output: Path, plan: Mapping[str, Any]) -> Iterator[Export]:
    """Begin an export, or go on with one that `look` has looked at. After an error it can be gone on with;
    where no part was complete, nothing is left.

    Raises:
        OutputError: the place cannot be written, or another process is writing there.
    """
    made = tuple(place for place in (output, *output.parents) if not place.exists())
    export = Export(output)
    outputs.make_folder(export.folder)
    with _alone(export):
        try:
            outputs.write_json(export.folder / PLAN, plan)
            yield export
        except BaseException as error:
            if any(export.folder.glob("*-*.json")):
                error.add_note(f"{output} is unfinished: the same command again goes on with it")
            else:
                shutil.rmtree(export.folder, ignore_errors=True)
                outputs.Claim(output, made).remove_made()
                error.add_note(f"nothing is left of {output}")
            raise


class _Making:
    """A part that is being written, beside its place."""

    def __init__(self, folder: Path, kind: type[Part], name: str, limit: int) -> None:
        self.place = folder / name
        self.beside = _free_place(self.place)
        self.part = kind(self.beside, name, limit)
        self.rows = self.bytes = 0

    def add(self, sample: Sample) -> None:
        self.part.add(sample)
        self.rows += 1
        self.bytes += len(sample.content)

    def keep(self, record: Path) -> None:
        """Give the part its name, then say that it is there."""
        self.part.close()
        outputs.put_in_place(self.beside, self.place)
        outputs.write_json(record, {"rows": self.rows, "bytes": self.bytes, "lines": self.part.lines})


def _free_place(place: Path) -> Path:
    """Where a part is written until it is complete; what a killed process left of it is removed."""
    beside = place.with_name(f".{place.name}.part")
    place.parent.mkdir(exist_ok=True)
    for remains in (beside, place):
        if remains.is_dir():
            shutil.rmtree(remains)
        remains.unlink(missing_ok=True)
    return beside


@contextlib.contextmanager
def _alone(export: Export) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(export.folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(f"another process is writing {export.output}; wait for it, or end it") from None
    try:
        yield
    finally:
        lock.release()


def _size(place: Path) -> int | None:
    """Bytes of a file; None of a folder."""
    return place.stat().st_size if place.is_file() else None


def _refuse_gaps(output: Path, files: Mapping[str, int | None]) -> None:
    """Stop at an export that has lost some of what it was finished with."""
    for name, size in files.items():
        gone = next(_gone(output / name), None) if size is None else None
        if gone is not None or _size(output / name) != size:
            what = f"{gone or output / name} is gone or cut off"
            raise OutputError(f"{output} was a whole export, but {what}; remove {output} and run again")


def _gone(folder: Path) -> Iterator[Path]:
    """Pictures of a split that its table lists and that are not there, or the table."""
    if not (folder / METADATA).is_file():
        yield folder / METADATA
        return
    with (folder / METADATA).open(encoding="utf-8", newline="\n") as lines:
        files = (folder / json.loads(line)["file_name"] for line in lines)
        yield from (file for file in files if not file.is_file())


def _refuse_other(there: Mapping[str, Any], plan: Mapping[str, Any], what: str, instead: str) -> None:
    for key, wanted in plan.items():
        if there.get(key) != wanted and key == PICTURES:
            raise OutputError(
                f"{what} of these pictures as they were; files of the source have changed since: "
                f"{instead}, or name another --output"
            )
        if there.get(key) != wanted:
            raise OutputError(
                f"{what} of other settings ({key}: {there.get(key)}; now {wanted}); give the same again, "
                f"{instead}, or name another --output"
            )
