"""`fsynth data-check`: what a data set holds, what is wrong with it, and what to do about it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsynth import console
from fsynth.config import DataCheckConfig
from fsynth.console import counted, say
from fsynth.data import addresses, checks, fashion_synthesis, inspection, kinds, places, sources
from fsynth.data.checks import Finding
from fsynth.data.places import Place
from fsynth.data.scan import Reading
from fsynth.errors import ConfigError, DataError, UnreachableError

if TYPE_CHECKING:
    from rich.console import Console

COLORS = dict(zip(checks.LEVELS, ("red", "yellow", "dim"), strict=True))
MARGIN = 9
"""Letters before a finding, which its level has."""


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
        DataError: trouble with reading that is none of the data's: the disk, the network, a killed process.
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
        source = sources.open_source(**config.source()) if where is None else None
    except UnreachableError:
        raise
    except DataError as error:
        return inspection.Report([checks.fault("layout", error)], ["layout"])
    if source is not None:
        return inspection.inspect_source(source, reading)
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

    out = Console(file=sys.stderr, highlight=False)
    for finding in result.findings:
        _print_finding(out, finding)
    if result.passed:
        out.print(f"no faults: {', '.join(result.passed)}", markup=False, soft_wrap=not out.is_terminal)
    out.print(f"\nverdict: {result.verdict}", markup=False, soft_wrap=not out.is_terminal)


def _print_finding(out: Console, finding: Finding) -> None:
    """Folded where a terminal ends, whole lines in a file; never cut, since names are what one looks for."""
    from rich.text import Text

    head = Text.assemble((f"{finding.check}: ", "bold"), finding.text)
    parts = [(0, head), *((3, Text(example, "dim")) for example in finding.examples)]
    parts += [(0, Text(f"-> {finding.advice}", "dim"))] if finding.advice else []
    margin = f"{finding.level:<{MARGIN}}"
    for indent, text in parts:
        room = max(1, out.width - MARGIN - indent)
        for line in text.wrap(out, room, overflow="fold") if out.is_terminal else [text]:
            line.rstrip()
            out.print(Text.assemble((margin, COLORS[finding.level]), " " * indent, line), soft_wrap=True)
            margin = " " * MARGIN
