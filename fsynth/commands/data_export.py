"""`fsynth data-export`: pictures, sentences and labels as files that other tools read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsynth
from fsynth import console
from fsynth.config import DataExportConfig, RowSettings
from fsynth.console import counted, say
from fsynth.data import (
    addresses,
    cleaning,
    drawn_archive,
    export_folder,
    export_rows,
    fashion_synthesis,
    hdf5_pictures,
    kinds,
    layout,
    picture_files,
    places,
    sources,
    splits,
    terms,
)
from fsynth.data.export_folder import PICTURES, Export
from fsynth.data.export_formats import FORMATS
from fsynth.data.labels import LABELS
from fsynth.errors import ConfigError, DataError, OutputError

if TYPE_CHECKING:
    import datasets

    from fsynth.data.sources import Source

MEGABYTE = 10**6
NAMES = (splits.TRAIN, splits.VALIDATION, splits.TEST)
ROOM = 4096  # bytes that a row takes beside its picture, at most: headers, sentence, rounding to blocks


@dataclass(frozen=True)
class DataExportResult:
    """``rows``: split -> rows (of hdf5: ``all`` -> rows); ``bytes``: of the pictures, or of the HDF5."""

    folder: Path
    format: str
    rows: dict[str, int]
    bytes: int
    fingerprint: str | None


@dataclass(frozen=True)
class _Job:
    """What is to be written.

    Attributes:
        plan: what makes it this export and no other.
        facts: what the record says beside.
        what: in words.
        size: about how many bytes of pictures.
        room: bytes that it takes on the disk.
        use: what can be done with it.
        write: writes all; returns what to move where, and what was counted.
    """

    plan: dict[str, Any]
    facts: dict[str, Any]
    what: str
    size: int
    room: int
    use: str
    write: Callable[[Export], tuple[dict[Path, str], dict[str, Any]]]


def main(config: DataExportConfig) -> DataExportResult:
    """Say what will be written, ask, write; an export that is whole already is not written again.

    Raises:
        ConfigError: nobody agreed; settings that contradict each other.
        DataError: data that cannot be read, a picture that is none, names that lead out of their folder.
        OutputError: a folder with something else in it, a place that cannot be written or is too small.
        PasswordError: a password is needed and missing or wrong.
    """
    _refuse_settings(config)
    job = _hdf5_job(config) if config.format == "hdf5" else _rows_job(config)
    output = config.output
    record = export_folder.look(output, job.plan)
    if record is not None:
        say(f"{output} holds this export already, whole")
        return _result(output, record)
    export_folder.need_room(output, job.room)
    _state(job, output)
    _confirm(config.yes)
    with export_folder.begun(output, job.plan) as export:
        moves, counts = job.write(export)
        record = {**job.plan, **counts, **job.facts, "made_by": f"fsynth {fsynth.__version__}"}
        export.finish(moves, record)
    count = counted(sum(record["rows"].values()), "picture")
    say(f"{count}, {_megabytes(record['bytes'])}; {job.use}")
    return _result(output, record)


def _result(folder: Path, record: Mapping[str, Any]) -> DataExportResult:
    return DataExportResult(
        folder, record["format"], record["rows"], record["bytes"], record.get("fingerprint")
    )


def _refuse_settings(config: DataExportConfig) -> None:
    unknown = [name for name in config.split if name not in NAMES]
    if unknown:
        raise ConfigError(f"--split {unknown[0]}: expected one of {', '.join(NAMES)}")
    if config.format == "hdf5":
        _refuse_choices(config)
    export_folder.refuse_files(config.output)


def _refuse_choices(config: DataExportConfig) -> None:
    """Stop at settings that choose rows or pictures, where one file is unpacked as it is."""
    places_alone = ("data", "password_file", "memory_limit")  # settings of any source that choose none
    chosen = [field for field in dataclasses.fields(RowSettings) if field.name not in places_alone]
    chosen += [field for field in dataclasses.fields(config) if field.name == "split"]
    given = [field.name for field in chosen if getattr(config, field.name) != field.default]
    if given:
        flag = given[0].replace("_", "-")
        raise ConfigError(f"--format hdf5 unpacks a file that holds all rows; leave --{flag} out")


def _state(job: _Job, output: Path) -> None:
    say(f"data-export writes {job.what}, about {_megabytes(job.size)}, to {output}")
    say(f"nothing is encrypted there: whoever can read the folder sees the pictures; {job.facts['terms']}")


def _confirm(yes: bool) -> None:
    """Ask, where there is somebody to ask.

    Raises:
        ConfigError: nobody is there, or the answer is no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError("nothing is written before somebody agrees; add --yes")
    print("write them? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing is written: the answer was no")


def _rows_job(config: DataExportConfig) -> _Job:
    source = sources.open_source(**config.source())
    source.announce()
    source.need_pictures()
    _refuse_inside(config.output, source.root)
    parts = _parts(source, config.split)
    for part in parts.values():
        export_rows.refuse_unsafe_names(part.select_columns(["name"])[:]["name"])
    rows = {name: len(part) for name, part in parts.items()}
    size = export_rows.expected_bytes(list(parts.values()))
    numbers = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    return _Job(
        plan=_plan(config, source, parts),
        facts={
            "division": source.rows,
            "drawn": source.drawn,
            "terms": source.terms,
        },
        what=f"{counted(sum(rows.values()), 'picture')} ({numbers}) as {config.format}",
        size=size,
        room=size + ROOM * sum(rows.values()),
        use=_use(config, parts),
        write=lambda export: _write_rows(export, source, parts, config),
    )


def _use(config: DataExportConfig, parts: Mapping[str, datasets.Dataset]) -> str:
    use = f"use it with --data {config.output}"
    if config.format == "imagefolder" and splits.TRAIN in parts and len(parts) > 1:
        train = config.output / splits.TRAIN  # such as diffusers' scripts with --train_data_dir
        use += f"; tools that train on every picture below a folder must be given {train}"
    return use


def _parts(source: Source, wanted: tuple[str, ...]) -> dict[str, datasets.Dataset]:
    there = {splits.TRAIN: source.train, splits.VALIDATION: source.validation, splits.TEST: source.test}
    parts = {name: part for name, part in there.items() if part is not None and len(part)}
    missing = [name for name in wanted if name not in parts]
    if missing:
        there_are = ", ".join(parts)
        raise DataError(
            f"{addresses.shown(source.root)} has no rows for --split {missing[0]}; there are {there_are}"
        )
    return {name: part for name, part in parts.items() if name in (wanted or parts)}


def _plan(config: DataExportConfig, source: Source, parts: Mapping[str, datasets.Dataset]) -> dict[str, Any]:
    """Whatever the bytes of the export depend on."""
    plan: dict[str, Any] = {
        "format": config.format,
        "source": addresses.shown(source.setting),
        "kind": source.what,
        "image_column": config.image_column,
        "fingerprint": source.fingerprint,
        "rows": {name: len(part) for name, part in parts.items()},
        "content": _digest(parts.values()),
        PICTURES: export_rows.state_of(parts.values()),
    }
    if config.format != "imagefolder":
        plan["shard_size"] = config.shard_size
    return plan


def _digest(parts: Iterable[datasets.Dataset]) -> str:
    """12 hex digits that change with any sentence, label, name or number of a row."""
    digest = hashlib.sha256()
    for part in parts:
        columns = part.select_columns(["text", *LABELS, "name", "row"])[:]
        digest.update(json.dumps(columns).encode())
    return digest.hexdigest()[:12]


def _write_rows(
    export: Export, source: Source, parts: Mapping[str, datasets.Dataset], config: DataExportConfig
) -> tuple[dict[Path, str], dict[str, Any]]:
    from tqdm import tqdm

    kind, limit = FORMATS[config.format], config.shard_size * MEGABYTE
    there = {name: export.written(name).rows for name in parts}
    total, done = sum(map(len, parts.values())), sum(there.values())
    if done:
        say(f"going on after {counted(done, 'picture')} that an earlier run has written")
    quiet = not console.is_main_process()
    with tqdm(total=total, initial=done, desc="writing pictures", unit="", disable=quiet) as bar:
        for name, part in parts.items():
            samples = export_rows.read(part, there[name], config.workers)
            for _ in export.write(name, samples, kind, limit):
                bar.update()
    size = sum(export.written(name).bytes for name in parts)
    source.record_dropped(export.folder)
    dropped = {export.folder / cleaning.FILE: cleaning.FILE} if source.cleaned else {}
    return export.moves(parts, kind) | dropped, {"bytes": size}


def _refuse_inside(output: Path, root: Path | str) -> None:
    if isinstance(root, Path) and root.is_dir() and output.resolve().is_relative_to(root.resolve()):
        raise OutputError(
            f"--output {output} lies in the data folder {root} and would be read as part of the data; name "
            "a folder outside"
        )


def _hdf5_job(config: DataExportConfig) -> _Job:
    place = places.locate(config.data, config.password_file)
    where = kinds.find_benchmark(place.root)
    if where is None or where.hdf5_zip is None:
        raise DataError(
            f"no {layout.HDF5_ZIP} under {place.root}, which --format hdf5 unpacks; take another format"
        )
    zipped = picture_files.open_archive(where.hdf5_zip)
    fashion_synthesis.unlock(zipped, place.ask)
    member = hdf5_pictures.member_of(zipped, zipped.path)
    size = zipped.size(member)

    def write(export: Export) -> tuple[dict[Path, str], dict[str, Any]]:
        pieces = hdf5_pictures.shown(zipped.chunks(member), size, zipped.path.name)
        file = export.write_file(layout.HDF5, pieces)
        return {file: layout.HDF5}, {"rows": {"all": hdf5_pictures.HDF5Pictures(file).rows}, "bytes": size}

    plan = {"format": "hdf5", "source": str(zipped.path.resolve()), "member": member, "bytes": size}
    plan[PICTURES] = picture_files.file_state(zipped.path)
    facts = {"terms": terms.of(drawn_archive.holds_drawings(where), "FashionSynthesis", place.root)}
    use = f"with {config.output} anywhere under {place.root}, it is read instead of {layout.HDF5_ZIP}"
    return _Job(plan, facts, f"{layout.HDF5} out of {zipped.path}", size, size, use, write)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e7 else f"{size / 1e6:,.0f} MB"
