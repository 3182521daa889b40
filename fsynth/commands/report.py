"""`fsynth report`: one self-contained HTML page of what a command left in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fsynth import report
from fsynth.config import ReportConfig
from fsynth.console import say


@dataclass(frozen=True)
class ReportResult:
    folder: Path
    report: Path


def main(config: ReportConfig) -> ReportResult:
    """Write FOLDER/report.html, or ``--output``.

    Raises:
        DataError: a folder that holds nothing to report, or a broken file.
        OutputError: a file that cannot be written.
    """
    page = report.build(config.folder, config.title, pictures=config.pictures, output=config.output)
    say(f"report: {page} ({page.stat().st_size / 2**20:.1f} MiB, nothing loaded from elsewhere)")
    return ReportResult(config.folder, page)
