"""Fine-tune Stable Diffusion on 20, 100, 1,000 ... pictures; compare what each run changed on held-out rows.

python scripts/sd_sweep.py --output runs/sweep -- --data DATA --password-file FILE
python scripts/sd_sweep.py --output runs/small --sizes 20,100 --recipe none -- --epochs 2      (drawn data)

What follows ``--`` goes to every `fsynth sd-train`. A run that is there and whole is not made again, one that
is not is taken up from its newest checkpoint. The table also goes to OUTPUT/sweep.md.

A published sweep chose by the loss of the last batch, which depends on the timesteps that were drawn for it:
within one run, one batch's is several times another's. It stands here beside the validation loss: the same
rows, noise and timesteps for every run, with what chance makes of the change.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsynth import cli, outputs

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "sd-train" / "reference-sweep.yaml"
HEAD = (
    "| pictures | steps | each seen | last batches' losses | validation loss | change (95 %) | verdict |",
    "|---|---|---|---|---|---|---|",
)
LAST = 5
"""Losses of single steps that are shown: enough to see how far they are apart."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument(
        "--sizes", default="20,100,1000", help="numbers of pictures (the reference: 20,100,1000)"
    )
    parser.add_argument("--recipe", default=str(RECIPE), help="settings of all runs; none for the defaults")
    parser.add_argument("more", nargs="*", help="flags of fsynth sd-train, after --")
    given = parser.parse_args(arguments)
    recipe = [] if given.recipe == "none" else ["--recipe", given.recipe]
    folders = []
    for size in given.sizes.split(","):
        folder = given.output / size
        if code := _run(folder, [*recipe, *given.more, "--n-images", size]):
            return code
        folders.append(folder)
    table = "\n".join([*HEAD, *map(row_of, folders)]) + "\n"
    outputs.write_text(given.output / "sweep.md", table)
    print(table, end="")
    return 0


def _run(folder: Path, flags: Sequence[str]) -> int:
    if (folder / "result.json").exists():
        return 0
    if any((folder / "checkpoints").glob("step-*.pt")):
        return cli.run(["sd-train", "--resume", str(folder)])
    return cli.run(["sd-train", *flags, "--output", str(folder)])


def row_of(folder: Path) -> str:
    """A finished run as a line of the table."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [f"{line['loss']:.4f}" for line in lines if "loss" in line][-LAST:]
    epochs = max(line.get("epoch", 0) for line in lines)
    cells = [f"{result['images']:,}", f"{result['steps']:,}", f"{epochs} times", " ".join(steps)]
    return f"| {' | '.join([*cells, *_validation(result['validation'])])} |"


def _validation(found: dict[str, Any] | None) -> tuple[str, str, str]:
    if found is None:
        return ("not measured", "not measured", "not measured")
    before = found["before"]
    change, low, high = (
        f"{100 * share / before:+.2f}" for share in (found["after"] - before, found["low"], found["high"])
    )
    losses = f"{before:.5f} → {found['after']:.5f}"
    return losses, f"{change} % ({low} to {high} %)", f"{found['verdict']}, {found['rows']} rows"


if __name__ == "__main__":
    raise SystemExit(main())
