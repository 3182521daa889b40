"""Opens the benchmark's files stage by stage and goes on past a fault, to find the others as well.

`fashion_synthesis.open_layout` stops at the first one, as everything but a check should. Both stand on the
same functions, so what passes here opens there.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fsynth.data import (
    annotation,
    checks,
    clip_tokens,
    duplicates,
    fashion_synthesis,
    layout,
    picture_files,
    scan,
)
from fsynth.data.archive import remember_password
from fsynth.data.checks import Finding
from fsynth.data.hdf5_pictures import HDF5Pictures
from fsynth.data.scan import Reading
from fsynth.data.sides import TEST, TRAIN, VALIDATION
from fsynth.data.zip_members import leaves_folder
from fsynth.errors import DataError, PasswordError, UnreachableError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from numpy.typing import NDArray

    from fsynth.data.archive import Archive
    from fsynth.data.fashion_synthesis import Ask
    from fsynth.data.layout import Layout
    from fsynth.data.sources import Source

SAMPLE = 64
"""Pictures that a quick check reads."""
INFLATED, LARGE = 200, 2**24
"""A member this many times its packed size, and at least this many bytes, is a decompression bomb."""
ENCRYPTIONS = {"none": "not encrypted", "zipcrypto": "with ZipCrypto", "aes": "with AES"}


@dataclass
class Report:
    """Findings so far, the checks that were run, and what was read of the pictures (`scan.scan`,
    `duplicates.groups`)."""

    findings: list[Finding] = field(default_factory=list)
    run: list[str] = field(default_factory=list)
    scanned: pa.Table | None = None
    groups: dict[str, list[list[int]]] = field(default_factory=dict)

    def add(self, *checked: str, found: Iterable[Finding] = ()) -> None:
        self.run += [name for name in checked if name not in self.run]
        self.findings += found

    @contextlib.contextmanager
    def stage(self, check: str) -> Iterator[None]:
        """An error of ours becomes a finding, and ends this stage only; one of the disk or network passes."""
        self.add(check)
        try:
            yield
        except UnreachableError:
            raise  # the data are not at fault
        except PasswordError as error:
            self.run.remove(check)  # nothing is known of it
            self.findings.append(checks.fault("password", error))
        except DataError as error:
            self.findings.append(checks.fault(check, error))

    @property
    def passed(self) -> tuple[str, ...]:
        """Checks without a finding."""
        return tuple(name for name in self.run if name not in {finding.check for finding in self.findings})


@dataclass
class _Rows:
    """What could be read of the annotation and the split; empty where it could not."""

    text: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    codes: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    train: list[int] = field(default_factory=list)
    test: list[int] = field(default_factory=list)
    validation: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Pictures:
    """Rows that have a picture, in order, and the paths of these."""

    rows: list[int]
    paths: list[str]

    def at(self, rows: Sequence[int]) -> datasets.Dataset:
        paths = dict(zip(self.rows, self.paths, strict=True))
        return scan.pictures(rows, [paths[row] for row in rows])


def inspect(
    where: Layout,
    image_source: str | None,
    memory_limit: int,
    ask: Ask,
    reading: Reading = scan.ALL,
) -> Report:
    """Check the files of a benchmark folder.

    Args:
        where: the files.
        image_source: ``zip`` or ``hdf5`` to look at the pictures of one source only.
        memory_limit: largest HDF5 in bytes that is unpacked from ``G2.zip`` into memory.
        ask: finds passwords.
        reading: how the pictures are read.
    """
    report = Report()
    _describe(where, report)
    with report.stage("layout"):
        fashion_synthesis.refuse_absent(where, image_source)
    plain = _opened(where, report) if where.hdf5 and image_source != "zip" else None
    rows = _read_annotation(where.annotation, plain, report)
    if where.splits is not None:
        _read_splits(where.splits, rows, report)
    _check_rows(rows, report)
    if rows.name:  # elsewhere several sentences may be of one picture
        report.add("names", found=checks.repeated_names(rows.name))
    zipped, closed = (None, []) if image_source == "hdf5" else _read_zips(where, rows.name, ask, report)
    if plain is None and where.hdf5_zip and image_source != "zip" and not (reading.most and zipped):
        plain = _unpacked(where, len(rows.text), memory_limit, ask, bool(zipped), report)
    hdf5 = _hdf5_pictures(plain, len(rows.name)) if plain else None
    if plain and not zipped:
        report.add(found=checks.read_instead(plain.file, closed))
    if chosen := zipped or hdf5:
        _check_pictures(chosen, hdf5 if zipped else None, rows, reading, report)
    return report


def inspect_source(source: Source, reading: Reading = scan.ALL) -> Report:
    """Check opened data of any other kind: sentences, names, pictures, and how they are divided."""
    import datasets

    report = Report()
    report.add("layout", found=[Finding("note", "layout", 1, source.describe.removeprefix("data: "))])
    parts = [part for part in (source.train, source.validation, source.test) if part]
    columns = {name: [value for part in parts for value in part[name][:]] for name in ("row", "text", "name")}
    order = np.argsort(columns["row"])
    text, name = ([columns[column][place] for place in order] for column in ("text", "name"))
    rows = _Rows(text, name, train=source.train["row"][:], test=source.test["row"][:])
    rows.validation = source.validation["row"][:] if source.validation else []
    _check_rows(rows, report)
    if source.has_pictures:
        whole = datasets.concatenate_datasets([part.select_columns(["image", "row"]) for part in parts])
        chosen = reading.some(order.tolist())
        scanned = scan.scan(whole.select(chosen), reading.workers, seen=reading.seen)
        _check_scanned(scanned, len(whole), rows, report)
    return report


def _describe(where: Layout, report: Report) -> None:
    files = [where.annotation, where.splits, where.hdf5, where.hdf5_zip, *where.image_zips]
    found = [str(file.relative_to(where.root)) for file in files if file is not None]
    report.add(
        "layout", found=[Finding("note", "layout", len(found), "; ".join([", ".join(found), *where.notes]))]
    )
    if not (where.hdf5 or where.hdf5_zip or where.image_zips):
        text = f"no pictures under {where.root}: sentences and labels only"
        advice = f"put {', '.join(layout.IMAGE_ZIPS)}, {layout.HDF5} or {layout.HDF5_ZIP} anywhere under it"
        report.add(found=[Finding("warning", "pictures", 0, text, advice)])


def _opened(where: Layout, report: Report) -> HDF5Pictures | None:
    with report.stage("hdf5"):
        pictures = HDF5Pictures(where.hdf5)
        pictures.counts()
        return pictures
    return None


def _read_annotation(path: Path, plain: HDF5Pictures | None, report: Report) -> _Rows:
    rows = _Rows()
    with report.stage("annotation"):
        counts = annotation.variable_counts(path)
        with report.stage("counts"):
            annotation.check_counts(path, counts, plain.counts() if plain else {})
        content = annotation.variables(path)
        with report.stage("annotation"):
            rows.text = annotation.strings(path, annotation.TEXT, content)
        with report.stage("annotation"):
            rows.name = annotation.strings(path, annotation.NAMES, content)
        for column in annotation.CODES:
            with report.stage("codes"):
                rows.codes[column] = annotation.codes(path, column, content)
    if not rows.name:
        report.add(found=[Finding("error", "annotation", 0, f"{path} names no rows", "download it again")])
    return rows


def _read_splits(path: Path, rows: _Rows, report: Report) -> None:
    count = len(rows.name)
    with report.stage("split"):
        numbers = annotation.split_numbers(path)
        if count:
            faults = annotation.split_faults(path, numbers, count)
            report.add(found=[checks.fault("split", error) for error in faults])
        train, test = (numbers[name] for name in annotation.SPLITS)
        rows.train, rows.test = (
            (np.unique(part[(part >= 1) & (part <= count)]) - 1).tolist() for part in (train, test)
        )
        text = f"{count:,} rows, {len(train):,} for training, {len(test):,} held out"
        report.add(found=[Finding("note", "rows", count, text)])


def _check_rows(rows: _Rows, report: Report) -> None:
    if rows.codes and rows.text:
        found = checks.sentences_against_codes(rows.text, rows.codes, rows.name)
        report.add("caption-code", found=found)
    if "category" in rows.codes:
        found = checks.folders_against_categories(rows.name, rows.codes["category"])
        report.add("name-category", found=found)
    if rows.text:
        report.add("captions", found=checks.long_sentences(rows.text, rows.name, clip_tokens.counts))
    if rows.train and rows.test:
        report.add("garments", found=checks.shared_garments(rows.name, rows.train, rows.test))


def _read_zips(
    where: Layout, names: list[str], ask: Ask, report: Report
) -> tuple[_Pictures | None, list[Path]]:
    """The pictures of the ZIP that holds most of them, and ZIPs that did not open; every ZIP is checked."""
    best: tuple[Archive, dict[int, str]] | None = None
    closed = list(where.image_zips)
    for file in where.image_zips:
        with report.stage("archive"):
            zipped = picture_files.open_archive(file)
            _check_archive(zipped, report)
            members = enumerate(fashion_synthesis.match(names, zipped.names))
            there = {row: member for row, member in members if member is not None}
            _check_members(zipped, names, there, bool(where.hdf5 or where.hdf5_zip), report)
            opens = _opens(zipped, ask, report)
            if opens or not there:
                closed.remove(file)
            if opens and there and (best is None or len(there) > len(best[1])):
                best = zipped, there
    if best is None:
        report.run = [check for check in report.run if check != "members" or not closed]
        return None, closed
    zipped, there = best
    return _Pictures(list(there), picture_files.zip_paths(zipped.path, list(there.values()))), closed


def _check_archive(zipped: Archive, report: Report) -> None:
    """How its members are encrypted, and what should not be in it."""
    kinds = Counter(zipped.encryption(name) for name in zipped.names)
    text = (
        ", ".join(f"{count:,} members {ENCRYPTIONS[kind]}" for kind, count in kinds.items()) or "no members"
    )
    report.add(
        "encryption",
        found=[Finding("note", "encryption", sum(kinds.values()), f"{zipped.path.name}: {text}")],
    )
    unsafe = [name for name in zipped.names if leaves_folder(name)]
    bombs = [name for name in zipped.names if _is_bomb(zipped, name)]
    report.add("zip-slip", "decompression-bombs", "repeated-members")
    for check, wrong, what in (
        ("zip-slip", unsafe, "members would leave the folder they are unpacked into"),
        ("decompression-bombs", bombs, "members inflate to sizes that no picture has"),
        ("repeated-members", zipped.repeated, "names stand in it more than once: which picture is meant?"),
    ):
        if wrong:
            text = f"{len(wrong):,} {what} ({zipped.path.name})"
            advice = "do not unpack this archive; get it from its own publisher"
            report.add(found=[Finding("error", check, len(wrong), text, advice, tuple(wrong[: checks.SOME]))])


def _is_bomb(zipped: Archive, name: str) -> bool:
    size = zipped.size(name)
    inflated = size >= LARGE and size > INFLATED * zipped.packed_size(name)
    return inflated or size > picture_files.LARGEST


def _check_members(
    zipped: Archive, names: list[str], there: dict[int, str], other_source: bool, report: Report
) -> None:
    file, members = zipped.path, zipped.names
    report.add("members")
    surplus = len(members) - len(set(there.values()))
    if there and surplus:
        text = f"{file.name}: {surplus:,} members are no row's picture"
        report.add(found=[Finding("note", "members", surplus, text)])
    missing = [name for row, name in enumerate(names) if row not in there]
    if not missing:
        return
    foreign = not there and other_source
    report.add(
        found=[
            Finding(
                "warning" if foreign else "error",
                "members",
                len(missing),
                f"{file} lacks {len(missing):,} of {len(names):,} pictures",
                "it belongs to another benchmark and is not read" if foreign else "download it again",
                tuple(missing[: checks.SOME]),
            )
        ]
    )


def _opens(zipped: Archive, ask: Ask, report: Report) -> bool:
    """Whether its members can be read at all; damaged ones are found later, each by itself."""
    password = None

    def remembered(file: Path) -> bytes | None:
        nonlocal password
        password = ask(file)
        return password

    with report.stage("probe"):
        try:
            fashion_synthesis.unlock(zipped, remembered)
        except PasswordError:
            raise
        except DataError as error:  # the password opens some members
            report.add(found=[checks.fault("probe", error)])
            if password is not None:
                remember_password(password, zipped.path)
            return True
        if zipped.encrypted:
            text = f"{zipped.path.name}: the password opens members from its start, middle and end"
            report.add(found=[Finding("note", "probe", 3, text)])
        return True
    return False


def _unpacked(
    where: Layout, rows: int, memory_limit: int, ask: Ask, for_comparison: bool, report: Report
) -> HDF5Pictures | None:
    """``G2.zip`` in memory; where the ZIP of pictures is there to read, it is not missed."""
    try:
        pictures = fashion_synthesis.unpacked(where.hdf5_zip, memory_limit, ask)
        with report.stage("counts"):
            annotation.check_counts(where.annotation, {annotation.TEXT: rows}, pictures.counts())
        return pictures
    except UnreachableError:
        raise
    except DataError as error:
        found = checks.fault("password" if isinstance(error, PasswordError) else "hdf5", error)
        level = "warning" if for_comparison else "error"
        report.add("hdf5", found=[dataclasses.replace(found, level=level)])
    return None


def _hdf5_pictures(pictures: HDF5Pictures, rows: int) -> _Pictures:
    """Of as many rows as both files have."""
    count = min([rows, *pictures.counts().values()])
    return _Pictures(list(range(count)), picture_files.hdf5_paths(pictures, count))


def _check_pictures(
    source: _Pictures, twins: _Pictures | None, rows: _Rows, reading: Reading, report: Report
) -> None:
    """Read the pictures once; those of the HDF5, too, are compared with the ZIP's on the way."""
    chosen = reading.some(source.rows)
    others = sorted(set(chosen) & set(twins.rows)) if twins else []
    compared = twins.at(others) if twins and others else None
    scanned = scan.scan(source.at(chosen), reading.workers, compared, reading.seen)
    _check_scanned(scanned, len(source.rows), rows, report)
    if others:
        report.add("sources", found=checks.sources_differ(scanned, rows.name))


def _check_scanned(scanned: pa.Table, there: int, rows: _Rows, report: Report) -> None:
    """What was read of the pictures that are there; duplicates only where that is all."""
    report.scanned = scanned
    report.add("unreadable", found=checks.unreadable(scanned, rows.name))
    report.add("sizes", found=checks.sizes(scanned))
    report.add("blank", found=checks.blank(scanned, rows.name))
    if scanned.num_rows < there:
        text = f"{scanned.num_rows:,} of {there:,} pictures were read"
        advice = "leave --quick out to read all and to find duplicates"
        report.add(found=[Finding("note", "sample", scanned.num_rows, text, advice)])
        return
    report.add("exact-duplicates", "near-duplicates", "exact-duplicates-across-splits")
    report.add("near-duplicates-across-splits")
    report.groups = duplicates.groups(scanned)
    readable = scanned.num_rows - scanned["sha256"].null_count
    sides = {TRAIN: rows.train, VALIDATION: rows.validation, TEST: rows.test}
    report.add(found=checks.repeated_pictures(report.groups, readable, rows.name, sides))
