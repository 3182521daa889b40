"""What `fsynth data-check` prints: every name whole, in a file and in a narrow terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fsynth.commands import data_check
from fsynth.commands.data_check import DataCheckResult
from fsynth.data.checks import Finding

NAME = "img/Floral_Satin_Mock-Neck_Romper/img_00000012.jpg"
ADVICE = "leave it" + " all" * 30
FINDING = Finding(
    "error",
    "exact-duplicates-across-splits",
    1,
    "2 pictures are [red]",
    ADVICE,
    (f"row 1 {NAME}",),
)


def test_a_file_gets_whole_lines(capsys):
    passed = tuple(f"check-{number}" for number in range(30))
    data_check._print(DataCheckResult("data", "not fit", "", (FINDING,), passed))
    assert capsys.readouterr().err.splitlines() == [
        "error    exact-duplicates-across-splits: 2 pictures are [red]",
        f"            row 1 {NAME}",
        f"         -> {ADVICE}",
        f"no faults: {', '.join(passed)}",
        "",
        "verdict: not fit",
    ]


@pytest.mark.parametrize("width", [30, 80])
def test_a_terminal_folds_names_and_cuts_none(width):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, color_system=None, width=width)
    data_check._print_finding(terminal, FINDING)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width and all(line.startswith(" " * 9) for line in lines[1:])
    assert NAME in "".join(line.strip() for line in lines) and "\u2026" not in out.getvalue()
