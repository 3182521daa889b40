"""`fsynth data-check`: what a data set holds, what is wrong with it, and what to do about it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fsynth import console
from fsynth.config import DataCheckConfig
from fsynth.console import counted, say
from fsynth.data import addresses, checks, fashion_synthesis, inspection, kinds, places, sources
from fsynth.data.checks import Finding
from fsynth.data.places import Place
from fsynth.data.scan import Reading
from fsynth.errors import ConfigError, DataError


@dataclass(frozen=True)
class DataCheckResult:
    """``findings``: the worst first; ``passed``: checks that found nothing; ``failure``: empty, or the line
    that the command ends with."""

    data: str
    verdict: str
    failure: str
    findings: tuple[Finding, ...]
    passed: tuple[str, ...]


def main(config: DataCheckConfig) -> DataCheckResult:
    """Check the data and print what was found; faults do not raise, they stand in the result.

    Raises:
        ConfigError: a column that is not there, a division that the rows do not allow.
    """
    place = places.locate(config.data, config.password_file)
    root = addresses.shown(place.root)
    say(f"data: {root}{place.note}")
    report = _inspect(place, config)
    findings = checks.worst_first(report.findings)
    result = DataCheckResult(
        root, checks.verdict(findings), _failure(root, findings), findings, report.passed
    )
    if console.is_main_process():
        _print(result)
    return result


def _inspect(place: Place, config: DataCheckConfig) -> inspection.Report:
    reading = Reading(inspection.SAMPLE if config.quick else None, config.workers)
    try:
        where = kinds.find_benchmark(place.root)
        if where is None:
            source = sources.open_source(**config.source())
            return inspection.inspect_source(source, reading)
    except DataError as error:
        return inspection.Report([checks.fault("layout", error)], ["layout"])
    if config.split_by != "official" or config.val_fraction:
        raise ConfigError(
            "--split-by and --val-fraction divide the rows anew; data-check looks at the split that"
            " FashionSynthesis itself brings: leave both out"
        )
    limit = int(config.memory_limit * fashion_synthesis.GIB)
    return inspection.inspect(where, config.image_source, limit, place.ask, reading)


def _failure(root: str, findings: tuple[Finding, ...]) -> str:
    errors = [finding for finding in findings if finding.level == "error"]
    if not errors:
        return ""
    first = errors[0]
    line = f"{counted(len(errors), 'fault')} in {root}; first: {first.text}"
    return f"{line}; {first.advice}" if first.advice else line


def _print(result: DataCheckResult) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    colors = dict(zip(checks.LEVELS, ("red", "yellow", "dim"), strict=True))
    for finding in result.findings:
        lines = [escape(finding.text)]
        lines += [f"[dim]   {escape(example)}[/]" for example in finding.examples]
        lines += [f"[dim]-> {escape(finding.advice)}[/]"] if finding.advice else []
        color = colors[finding.level]
        table.add_row(f"[{color}]{finding.level}[/]", finding.check, "\n".join(lines))
    out = Console(file=sys.stderr, highlight=False)
    out.print(table)
    if result.passed:
        out.print(f"no faults: {', '.join(result.passed)}", markup=False)
    out.print(f"\nverdict: {result.verdict}", markup=False)
