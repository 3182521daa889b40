"""`fsynth data-report`: what a data set is made of, as one HTML page, plots and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsynth import data_plots, outputs, report
from fsynth.config import DataReportConfig
from fsynth.console import say
from fsynth.data import (
    addresses,
    fashion_synthesis,
    inspection,
    kinds,
    overview,
    places,
    sources,
    summary,
)
from fsynth.data.mean_picture import MeanPictures
from fsynth.data.overview import Rows
from fsynth.data.scan import Reading
from fsynth.data.sources import Source
from fsynth.report import showcase

QUICK = 1000
"""Pictures that ``--quick`` reads."""
LEAD = "What the rows say, what comes together, how the sentences are built, and what the pictures show."
NONE_SHOWN: dict[str, Any] = {"shown": {"examples": [], "duplicates": []}, "means": []}


@dataclass(frozen=True)
class DataReportResult:
    """``numbers``: report.json; ``thumbnails``: pictures of the data that the folder and its page hold."""

    folder: Path
    report: Path
    numbers: Path
    rows: int
    thumbnails: int
    verdict: str


def main(config: DataReportConfig) -> DataReportResult:
    """Write report.html, report.json, plots, thumbnails and mean pictures into a new folder.

    Raises:
        DataError: data that cannot be opened; `fsynth data-check` says what is wrong with them.
        ConfigError: a column that is not there, a division that the rows do not allow.
        OutputError: a place that cannot be written.
    """
    outputs.choose_folder(config.output, "data-report")  # a folder in use should not cost the reading first
    source = sources.open_source(**config.source())
    source.announce()
    rows = overview.rows_of(source)
    categories = (category for (category,) in rows.labels["category"])
    means = MeanPictures(dict(zip(rows.number, categories, strict=True)))
    inspected = _inspect(config, source, means)
    numbers = summary.summarize(source, rows, inspected)
    with outputs.whole_folder(config.output, "data-report") as (staging, final):
        numbers |= _write_pictures(staging, source, rows, inspected, means) if config.pictures else NONE_SHOWN
        data_plots.write(staging, numbers)
        outputs.write_json(staging / summary.NAME, numbers)
        report.build(staging, _title(source), lead=LEAD, pictures=config.pictures, where=final)
    page = final / report.NAME
    say(f"{numbers['verdict']}; report: {page} ({page.stat().st_size / 2**20:.1f} MiB)")
    shown = len(showcase.rows_of(numbers["shown"]))
    return DataReportResult(final, page, final / summary.NAME, len(rows), shown, numbers["verdict"])


def _inspect(config: DataReportConfig, source: Source, means: MeanPictures) -> inspection.Report:
    """What `fsynth data-check` finds; the one pass over the pictures."""
    reading = Reading(QUICK if config.quick else None, config.workers, means if config.pictures else None)
    place = places.locate(config.data, config.password_file)
    where = kinds.find_benchmark(place.root)
    if where is None or config.split_by != "official" or config.val_fraction:
        return inspection.inspect_source(source, reading)
    limit = int(config.memory_limit * fashion_synthesis.GIB)
    return inspection.inspect(where, config.image_source, limit, place.ask, reading)


def _write_pictures(
    folder: Path, source: Source, rows: Rows, inspected: inspection.Report, means: MeanPictures
) -> dict[str, Any]:
    """Thumbnails and mean pictures, and the record of them."""
    if inspected.scanned is None:
        return NONE_SHOWN
    shown = showcase.choose(rows, summary.readable(inspected.scanned), inspected.groups)
    showcase.write_thumbnails(folder, source, showcase.rows_of(shown))
    return {"shown": shown, "means": showcase.write_means(folder, means)}


def _title(source: Source) -> str:
    if source.synthetic:
        return "Drawn data"
    shown = addresses.shown(source.root)
    return addresses.path_of(shown if addresses.is_far(shown) else str(Path(shown).resolve())).name
