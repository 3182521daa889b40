"""How fast is sd-train, beside diffusers' own example scripts on the same model, pictures, batch and machine?

    python scripts/bench_sd.py [--script train_text_to_image.py] [--lora-script train_text_to_image_lora.py]
        [--model FOLDER] [--size 128] [--batch 4] [--precision no|bf16] [--rounds 3] [--steps 8] [--warm-up 2]
        [--json FILE]

The scripts are those of the diffusers repository (examples/text_to_image, of the installed version); without
them fsynth runs alone. Each round of each side is a process of its own, sides in turn, so that a busy machine
slows both: fsynth with its caches, fsynth without, the script as it is. Steps are timed from the end of the
warm-up to the end of the last, by a hook on the optimizer that neither side knows of. Processor time is that
of all threads: other jobs move it less than the pictures a second. Without --model it is Stable Diffusion 1.5
an eighth as wide, random: at 128 px encoding costs 0.466 of a step's operations, at true size and 512 px
0.464.

Bars on a CPU: with caches 1.25 times the script's speed for all weights and 1.4 for LoRA, without at least
its own. Targets on an H200 with Stable Diffusion 1.5 at 512 px (--precision bf16 --steps 120 --warm-up 20):
130 pictures a second for all weights, stretch 165; LoRA of rank 16 180, stretch 230; 1.5 times the script's.
Exits with 1 where a bar of this machine is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RANK = 16
CACHES = ("captions", "latents")
PICTURES = 16
"""Different ones in a benchmark; epochs repeat them."""
BARS = {"full": 1.25, "lora": 1.4}
"""Of cached steps over the script's; uncached ones must reach 1."""
GPU_TARGETS = {"full": 130.0, "lora": 180.0}
TERAFLOPS = {"encode": 1.117, "text": 0.0133, "full": 2.407, "lora": 1.725}
"""Of Stable Diffusion 1.5 at 512 px, a picture: encoding, its sentence, forward and backward."""
SIDES = ("fsynth", "fsynth, nothing cached", "script")


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    if options.one is not None:
        print(json.dumps(_timed(json.loads(options.one))))
        return 0
    scripts = {"full": options.script, "lora": options.lora_script}
    print(_machine(), flush=True)
    with tempfile.TemporaryDirectory() as place:
        model = options.model or _matched(Path(place) / "model")
        data = write_pictures(Path(place) / "pictures", options.size)
        found = {}
        for method, script in scripts.items():
            case = _case(options, method, str(model), str(data), place)
            found[method] = measure(case, script, options.rounds)
            missed = show(method, case, found[method])
            found[method]["missed"] = missed
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return int(any(one["missed"] for one in found.values()))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--script", type=Path, help="diffusers' train_text_to_image.py")
    parser.add_argument("--lora-script", type=Path, help="diffusers' train_text_to_image_lora.py")
    parser.add_argument("--model", help="pipeline folder (default: a small one with SD 1.5's costs)")
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--precision", choices=("no", "fp16", "bf16"), default="no")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warm-up", type=int, default=2, help="steps that are not timed")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _case(options: argparse.Namespace, method: str, model: str, data: str, place: str) -> dict[str, Any]:
    """What all sides do."""
    names = ("size", "batch", "precision", "steps", "warm_up")
    return {
        "method": method,
        "model": model,
        "data": data,
        "place": place,
        **{name: getattr(options, name) for name in names},
    }


def _machine() -> str:
    import torch

    device = (
        torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores, no GPU"
    )
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "diffusers", "accelerate"))
    return f"{device}; {versions}"


# --------------------------------------------------------------------------------------------------
# what they begin with


def _matched(folder: Path) -> Path:
    from scripts import make_random_pipeline

    make_random_pipeline.main(["sd15", str(folder), "--scale", "small", "--dtype", "float32"])
    return folder


def write_pictures(folder: Path, size: int) -> Path:
    """An image folder of soft noise, every picture with a sentence of its own."""
    import numpy as np
    from PIL import Image

    for split, count in (("train", PICTURES), ("test", 2)):
        (folder / split).mkdir(parents=True)
        draw, lines = np.random.default_rng(count), []
        for row in range(count):
            noise = Image.fromarray(draw.integers(0, 255, (32, 32, 3), dtype=np.uint8))
            picture = noise.resize((size, size), Image.Resampling.BICUBIC)
            picture.save(folder / split / f"{row:03d}.jpg")
            text = f"the lady is wearing a long-sleeved dress of pattern {row}"
            lines.append(json.dumps({"file_name": f"{row:03d}.jpg", "text": text}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


# --------------------------------------------------------------------------------------------------
# both sides, in processes of their own


def measure(case: dict[str, Any], script: Path | None, rounds: int) -> dict[str, Any]:
    """Rounds by side; each is pictures a second, processor seconds a picture and the peak of memory."""
    sides = SIDES if script else SIDES[:2]
    found: dict[str, Any] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 else reversed(sides):
            found[side].append(_apart({**case, "side": side, "script": str(script), "round": number}))
    return found


def _apart(job: dict[str, Any]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--one", json.dumps(job)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        raise SystemExit(f"bench_sd: {job['side']} ({job['method']}) failed: {last}")
    return json.loads(ended.stdout.splitlines()[-1])


def _timed(job: dict[str, Any]) -> dict[str, float]:
    """Run one side in this process, and clock its optimizer's steps."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    clocks: list[tuple[float, float]] = []

    def tick(*_: Any) -> None:
        if torch.cuda.is_available() and len(clocks) in (job["warm_up"] - 1, job["steps"] - 1):
            torch.cuda.synchronize()
        clocks.append((time.perf_counter(), time.process_time()))

    register_optimizer_step_post_hook(tick)
    (_their_run if job["side"] == "script" else _our_run)(job)
    first, last = clocks[job["warm_up"] - 1], clocks[job["steps"] - 1]
    pictures = (job["steps"] - job["warm_up"]) * job["batch"]
    gpu = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return {
        "rate": pictures / (last[0] - first[0]),
        "cpu": (last[1] - first[1]) / pictures,
        "peak_gib": gpu or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def _our_run(job: dict[str, Any]) -> None:
    from fsynth import settings
    from fsynth.commands import sd_train
    from fsynth.config import SDTrainConfig

    cached = job["side"] == SIDES[0]
    values = {
        "data": job["data"],
        "model": job["model"],
        "resolution": job["size"],
        "batch_size": job["batch"],
        "epochs": -(-job["steps"] * job["batch"] // PICTURES),
        "precision": job["precision"],
        "lr": 1e-5,
        "lora_rank": RANK if job["method"] == "lora" else None,
        "output": str(Path(job["place"]) / f"ours-{job['method']}-{job['round']}-{cached}"),
        "validation": {"rows": 0, "pictures": 0},
        "objective": {"caption_dropout": 0.0},  # the script has none
        "cache": {"captions": "auto", "latents": "memory"}
        if cached
        else {"captions": "none", "latents": "none"},
    }
    sd_train.main(settings.load(SDTrainConfig, values))


def _their_run(job: dict[str, Any]) -> None:
    output = Path(job["place"]) / f"theirs-{job['method']}-{job['round']}"
    arguments = {
        "pretrained_model_name_or_path": job["model"],
        "train_data_dir": Path(job["data"]) / "train",
        "resolution": job["size"],
        "train_batch_size": job["batch"],
        "max_train_steps": job["steps"],
        "learning_rate": 1e-5,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "mixed_precision": job["precision"],
        "cache_dir": output / "cache",
        "output_dir": output,
        "seed": 0,
    } | ({"rank": RANK} if job["method"] == "lora" else {})
    sys.argv = [job["script"], *(f"--{name}={value}" for name, value in arguments.items())]
    sys.stdout = sys.stderr  # the last line of the output is ours
    try:
        runpy.run_path(job["script"], run_name="__main__")
    finally:
        sys.stdout = sys.__stdout__


# --------------------------------------------------------------------------------------------------
# what is said of them


def show(method: str, case: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Print a method's numbers; returns the bars that were missed."""
    import torch

    print(
        f"{method}: {case['size']} px, batch {case['batch']}, precision {case['precision']}, "
        f"{len(found[SIDES[0]])} rounds of {case['steps'] - case['warm_up']} steps"
    )
    for side, rounds in found.items():
        rate, cpu, peak = (median(one[name] for one in rounds) for name in ("rate", "cpu", "peak_gib"))
        print(f"  {side}: {rate:.2f} pictures/s, {cpu:.2f} s of processor a picture, peak {peak:.2f} GiB")
    print(f"  bound of what skipping encoder and text allows, at equal efficiency: {bound(method):.2f}")
    missed = list(_missed_here(method, found)) if "script" in found else []
    if torch.cuda.is_available():
        rate, target = median(one["rate"] for one in found[SIDES[0]]), GPU_TARGETS[method]
        print(f"  target on an H200 at 512 px with SD 1.5: {target:.0f} pictures/s; here {rate:.1f}")
    else:
        print("  on a GPU: not measured")
    return missed


def bound(method: str) -> float:
    """How many times faster a step without encoding and text is at most."""
    step = TERAFLOPS[method]
    return (step + TERAFLOPS["encode"] + TERAFLOPS["text"]) / step


def _missed_here(method: str, found: dict[str, Any]) -> list[str]:
    missed = []
    for side, bar in ((SIDES[0], BARS[method]), (SIDES[1], 1.0)):
        rates = _ratios(found[side], found["script"], "rate")
        cpus = [1 / ratio for ratio in _ratios(found[side], found["script"], "cpu")]
        print(
            f"  {side} over script: {median(rates):.2f} in time ({min(rates):.2f} to {max(rates):.2f}), "
            f"{median(cpus):.2f} in processor time; bar {bar:g}"
        )
        if median(rates) < bar:
            missed.append(side)
    return missed


def _ratios(ours: list[dict[str, float]], theirs: list[dict[str, float]], name: str) -> list[float]:
    return [one[name] / other[name] for one, other in zip(ours, theirs, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
