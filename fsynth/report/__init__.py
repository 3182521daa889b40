"""Reports: one self-contained HTML page of what commands left in a folder.

`build` finds the parts of a folder (`page`), asks each section for what it has to say (`sections`), and sets
the blocks that come back (`blocks`, blocks.html.j2).
"""

from __future__ import annotations

from fsynth.report.page import NAME, build

__all__ = ["NAME", "build"]
