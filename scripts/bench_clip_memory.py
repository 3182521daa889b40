"""How much memory does CLIP fine-tuning take, and how many pairs a second, by precision and batch?

    python scripts/bench_clip_memory.py [--models ViT-B-32,ViT-B-16] [--precisions no,bf16] [--batches 8,32]
        [--steps 4] [--data FOLDER --password-file FILE] [--set memory.checkpointing=true ...]

Each combination is `fsynth clip-finetune` itself, in a process of its own: from a local file of random
weights of the true size, over retrieval before, training, saving, loading again and retrieval after. Without
--data on pictures drawn for it. Memory is the peak of the whole process, and of what torch held on the GPU
where there is one. The first step, which also warms up, does not count. Seconds of CPU are those of all
threads: other jobs on the machine move them less than the pairs a second.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

HEAD = "| model | precision | batch | pairs/s | CPU a pair | process, peak | GPU, peak |\n" + "|---" * 7 + "|"
SAMPLES = 16
"""Pairs that are retrieved among: enough to go the whole way."""


def main() -> int:
    options = _options()
    if options.one is not None:
        print(json.dumps(measure(json.loads(options.one))))
        return 0
    with tempfile.TemporaryDirectory() as place:
        settings = _data(options, Path(place))
        print(_machine())
        print(HEAD)
        for model in options.models.split(","):
            weights = write_weights(model, Path(place) / f"{model}.safetensors")
            for precision in options.precisions.split(","):
                for batch in map(int, options.batches.split(",")):
                    found = _apart(
                        {
                            **settings,
                            "model": f"{model}:{weights}",
                            "precision": precision,
                            "batch_size": batch,
                            "n_images": batch * options.steps,
                            "output": str(Path(place) / f"{model}-{precision}-{batch}"),
                        },
                        options.set,
                    )
                    print(f"| {model} | {precision} | {batch} | {found} |", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="ViT-B-32,ViT-B-16")
    parser.add_argument("--precisions", default="no,bf16")
    parser.add_argument("--batches", default="8,32")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--data")
    parser.add_argument("--password-file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def _data(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    if options.data:
        return {"data": options.data, "password_file": options.password_file}
    from fsynth.data import synthetic

    largest = max(map(int, options.batches.split(",")))
    archive = synthetic.make_archive(
        place / "drawn", rows=largest * options.steps + SAMPLES, held_out=SAMPLES
    )
    return {"data": str(archive), "password_file": str(archive / "password.txt")}


def write_weights(model: str, file: Path) -> Path:
    """Random weights of an architecture that open_clip knows, as a file of nothing but weights."""
    import open_clip
    from safetensors.torch import save_file

    network = open_clip.create_model(model, load_weights=False)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file)
    return file


def _apart(settings: dict[str, Any], sets: list[str]) -> str:
    """The last cells of a row: what a process of its own measured, or why there is nothing."""
    one = json.dumps({"settings": settings, "sets": sets})
    ended = subprocess.run([sys.executable, __file__, "--one", one], capture_output=True, text=True)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        return f"{last[:120]} | | | "
    found = json.loads(ended.stdout.splitlines()[-1])
    gpu = f"{found['gpu_gib']:.2f} GiB" if found["gpu_gib"] is not None else "no GPU"
    speed = f"{found['pairs_per_second']:.2f} | {found['cpu_seconds']:.2f} s"
    return f"{speed} | {found['process_gib']:.2f} GiB | {gpu}"


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One run, in this process; memory in GiB."""
    import torch

    from fsynth import settings
    from fsynth.commands import clip_finetune
    from fsynth.config import ClipFinetuneConfig

    marks = _marked_steps()
    fixed = {"epochs": 1, "n_samples": SAMPLES, "val_fraction": 0.0}
    config = settings.load(ClipFinetuneConfig, {**fixed, **job["settings"]}, job["sets"])
    clip_finetune.main(config)
    wall, cpu = (
        statistics.median(end - start for start, end in itertools.pairwise(times))
        for times in zip(*marks, strict=True)
    )
    gpu = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
    return {
        "pairs_per_second": config.batch_size / wall,
        "cpu_seconds": cpu / config.batch_size,
        "process_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "gpu_gib": gpu,
    }


def _marked_steps() -> list[tuple[float, float]]:
    """Filled with (wall, CPU) seconds at the end of every step that is logged: of few steps, every one."""
    from fsynth.run import Run

    marks, log = [], Run.log

    def marking(run: Run, **values: Any) -> None:
        if "loss" in values:
            marks.append((time.perf_counter(), time.process_time()))
        log(run, **values)

    Run.log = marking
    return marks


def _machine() -> str:
    import torch

    names = ("torch", "open_clip_torch", "accelerate")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {gpu}; {versions}\n"


if __name__ == "__main__":
    sys.exit(main())
