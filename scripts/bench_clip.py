"""How fast is clip-finetune's loop, beside open_clip's own on the same model, pictures, batch and machine?

    python scripts/bench_clip.py [--model small|ViT-B-32|...] [--size 128] [--batch 64,256]
        [--sentences short,full] [--precision no,bf16] [--micro-batch N] [--workers N] [--rounds 5]
        [--steps 8] [--json FILE]

open_clip's side is ``open_clip_train.train.train_one_epoch`` itself, with its loss, optimizer grouping and
scheduler; its data module needs packages that open_clip does not install, so a loader over the same files
does as its CsvDataset does. Ours is the command itself. Both open, crop and tokenize the same JPEGs of
256 px, clip gradients to 1 and start from the same random weights. Rounds alternate, who begins as well, so
that a busy machine slows both; each round gives one ratio, and the median counts. The first step of a round
is not timed. Short sentences are as FashionSynthesis' are (ours leaves out the padding that all share), full
ones fill CLIP's context. Exits with 1 where three quarters of the rounds are slower than open_clip's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_post_hook

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fsynth import clip_model  # noqa: E402
from fsynth.clip_model import ClipModel  # noqa: E402
from fsynth.commands import clip_finetune  # noqa: E402
from fsynth.config import ClipFinetuneBatches, ClipFinetuneConfig, ClipFinetuneMemory  # noqa: E402
from fsynth.errors import FsynthError  # noqa: E402

PICTURE = 256
HELD_OUT = 4
THEIR_PRECISION = {"no": "fp32", "bf16": "amp_bf16", "fp16": "amp"}
TOWER = {"width": 256, "layers": 4}


@dataclass(frozen=True)
class Case:
    """What both loops do."""

    model: str
    sentences: str
    precision: str
    batch: int
    micro_batch: int | None
    workers: int
    steps: int

    def text(self) -> str:
        parts = f" in parts of {self.micro_batch}" if self.micro_batch else ""
        return f"{self.model}, {self.sentences} sentences, {self.precision}, batch {self.batch}{parts}"


@dataclass(frozen=True)
class Speed:
    """Pairs a second of the clock, and of this process' CPU time; GPU memory at the peak, in GiB."""

    wall: float
    cpu: float
    memory: float


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    logging.getLogger().setLevel(logging.WARNING)
    print(machine_and_versions())
    found, slower = [], False
    with tempfile.TemporaryDirectory() as place:
        model = make_model(options.model, options.size).save(Path(place) / "random")
        fixed = options.micro_batch, options.workers, options.steps
        for choice in itertools.product(options.sentences, options.precision, options.batch):
            case = Case(options.model, *choice, *fixed)
            rounds = measure(case, model, Path(tempfile.mkdtemp(dir=place)), options.rounds)
            found.append({"case": asdict(case), "rounds": rounds})
            slower |= show(case, rounds)
    if options.json:
        options.json.write_text(json.dumps(found, default=asdict, indent=2) + "\n", encoding="utf-8")
    return int(slower)


def machine_and_versions() -> str:
    versions = (f"{name} {metadata.version(name)}" for name in ("torch", "open_clip_torch", "accelerate"))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {gpu}; {', '.join(versions)}"


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default="small", help="a name of open_clip, or small: ViT, 4 layers of 256"
    )
    parser.add_argument("--size", type=int, default=128, help="pixels of small")
    parser.add_argument("--sentences", type=_words, default=["short", "full"], help="of 20 or of 77 tokens")
    parser.add_argument("--batch", type=_numbers, default=[64])
    parser.add_argument("--precision", type=_words, default=["no"])
    parser.add_argument("--micro-batch", type=int, help="accumulate features (open_clip: --accum-freq)")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of a round, the first is not timed")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    return parser.parse_args(arguments)


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def show(case: Case, rounds: list[dict[str, Speed]]) -> bool:
    """Print a case; whether we are slower."""
    ways = ["wall"] if torch.cuda.is_available() else ["wall", "cpu"]
    print(f"{case.text()}, {len(rounds)} rounds of {case.steps - 1} steps")
    for way in ways:
        theirs, ours = ([getattr(one[side], way) for one in rounds] for side in ("open_clip", "fsynth"))
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        print(
            f"  pairs a second of {way} time: open_clip {median(theirs):.1f}, fsynth {median(ours):.1f}; "
            f"ratio {median(ratios):.3f} ({low:.3f} to {high:.3f})"
        )
    if torch.cuda.is_available():
        peaks = (max(one[side].memory for one in rounds) for side in ("open_clip", "fsynth"))
        print("  GPU memory at the peak: open_clip {:.2f} GiB, fsynth {:.2f} GiB".format(*peaks))
    return high < 1


def measure(case: Case, model: Path, place: Path, rounds: int) -> list[dict[str, Speed]]:
    folder = write_pictures(place / "pictures", case)
    found = []
    for number in range(rounds):
        sides: list[tuple[str, Callable[[], Speed]]] = [
            ("open_clip", lambda: their_loop(case, model, folder)),
            ("fsynth", lambda at=number: our_loop(case, model, folder, place / f"run-{at}")),
        ]
        found.append({name: loop() for name, loop in (sides if number % 2 else reversed(sides))})
        shutil.rmtree(place / f"run-{number}")
    return found


# --------------------------------------------------------------------------------------------------
# what both begin with


def make_model(name: str, size: int) -> ClipModel:
    """Random weights; ``small`` has towers of 4 layers, 256 wide, patches of 16 px, and CLIP's tokens."""
    import open_clip

    torch.manual_seed(0)
    if name != "small":
        network, architecture = open_clip.create_model(name), open_clip.get_model_config(name)
        return ClipModel(network, open_clip.get_tokenizer(name), architecture, name)
    vision = {"image_size": size, "patch_size": 16, "head_width": 64, **TOWER}
    architecture = {"embed_dim": 256, "vision_cfg": vision, "text_cfg": {"heads": 4, **TOWER}}
    network = open_clip.CLIP(**architecture)
    network.visual.preprocess_cfg = asdict(open_clip.transform.PreprocessCfg(size=size))
    return ClipModel(network, open_clip.get_tokenizer("ViT-B-32"), architecture, name)


def write_pictures(folder: Path, case: Case) -> Path:
    """An image folder of soft noise, about 10 kB each, every one with a sentence of its own."""
    more = " and a pair of blue shoes" * (1 if case.sentences == "short" else 20)
    for split, length in (("train", case.batch * case.steps), ("test", HELD_OUT)):
        (folder / split).mkdir(parents=True)
        draw, lines = np.random.default_rng(length), []
        for row in range(length):
            noise = Image.fromarray(draw.integers(0, 255, (32, 32, 3), dtype=np.uint8))
            picture = noise.resize((PICTURE, PICTURE), Image.Resampling.BICUBIC)
            picture.save(folder / split / f"{row:06d}.jpg")
            text = f"the lady is wearing a long-sleeved dress of pattern {row}{more}"
            lines.append(json.dumps({"file_name": f"{row:06d}.jpg", "text": text}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@contextlib.contextmanager
def timed(case: Case) -> Iterator[Callable[[], Speed]]:
    """Clocks from the end of the first optimizer step to that of the last, whoever makes them."""
    cuda, marks, steps = torch.cuda.is_available(), [], []

    def after_step(*_: Any) -> None:
        steps.append(1)
        if len(steps) in (1, case.steps):
            if cuda:
                torch.cuda.synchronize()
            marks.append((time.perf_counter(), time.process_time()))

    if cuda:
        torch.cuda.reset_peak_memory_stats()
    hook = register_optimizer_step_post_hook(after_step)
    try:
        yield lambda: _speed(case, marks, torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0)
    finally:
        hook.remove()


def _speed(case: Case, marks: list[tuple[float, float]], memory: float) -> Speed:
    first, last = marks
    pairs = case.batch * (case.steps - 1)
    return Speed(pairs / (last[0] - first[0]), pairs / (last[1] - first[1]), memory)


# --------------------------------------------------------------------------------------------------
# the two loops


class Files(torch.utils.data.Dataset):
    """What open_clip_train.data.CsvDataset does."""

    def __init__(self, folder: Path, model: ClipModel) -> None:
        lines = (folder / "train/metadata.jsonl").read_text(encoding="utf-8").splitlines()
        self.rows = [json.loads(line) for line in lines]
        self.folder, self.transforms, self.tokenize = folder / "train", model.transform(True), model.tokenizer

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        row = self.rows[index]
        images = self.transforms(Image.open(self.folder / row["file_name"]))
        return images, self.tokenize([row["text"]])[0]


def their_loop(case: Case, folder_of_model: Path, folder: Path) -> Speed:
    from open_clip import ClipLoss
    from open_clip_train.scheduler import cosine_lr
    from open_clip_train.train import train_one_epoch

    model = clip_model.load(str(folder_of_model))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = model.network.to(device)
    network.output_dict = True
    parts = case.batch // (case.micro_batch or case.batch)
    data = _their_data(case, model, folder, parts, device)
    optimizer = _their_optimizer(network)
    args = SimpleNamespace(
        device=device, precision=THEIR_PRECISION[case.precision], accum_freq=parts, distill=False,
        skip_scheduler=False, horovod=False, grad_clip_norm=1.0, log_every_n_steps=100, rank=0, local_rank=0,
        log_local=False, world_size=1, batch_size=case.batch // parts, wandb=False,
    )  # fmt: skip
    scaler = torch.amp.GradScaler(device.type) if case.precision == "fp16" else None
    schedule = cosine_lr(optimizer, 1e-4, 1, case.steps)
    with timed(case) as speed:
        loss = ClipLoss(cache_labels=True)
        train_one_epoch(network, data, loss, 0, optimizer, scaler, schedule, None, args)
        return speed()


def _their_data(case: Case, model: ClipModel, folder: Path, parts: int, device: torch.device) -> Any:
    loader = torch.utils.data.DataLoader(
        Files(folder, model),
        batch_size=case.batch // parts,
        shuffle=True,
        num_workers=case.workers,
        pin_memory=device.type == "cuda",
        drop_last=True,
    )
    loader.num_samples, loader.num_batches = case.batch * case.steps, len(loader)
    return {"train": SimpleNamespace(dataloader=loader, set_epoch=lambda epoch: None)}


def _their_optimizer(network: torch.nn.Module) -> torch.optim.AdamW:
    """As open_clip_train.main makes it."""
    named = list(network.named_parameters())
    spared = {
        name
        for name, value in named
        if value.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
    }
    groups = [
        {"params": [value for name, value in named if name in spared], "weight_decay": 0.0},
        {"params": [value for name, value in named if name not in spared], "weight_decay": 0.1},
    ]
    return torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.98), eps=1e-6)


def our_loop(case: Case, model: Path, folder: Path, output: Path) -> Speed:
    """The command itself; retrieval before and after lies outside the clocks."""
    config = ClipFinetuneConfig(
        data=folder, model=str(model), output=output, n_samples=HELD_OUT, loss="clip", epochs=1, lr=1e-4,
        batch_size=case.batch, precision=case.precision, workers=case.workers, val_fraction=0.0,
        batches=ClipFinetuneBatches(twins=0), memory=ClipFinetuneMemory(micro_batch=case.micro_batch),
    )  # fmt: skip
    with timed(case) as speed, contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            clip_finetune.main(config)
        except FsynthError:
            print(said.getvalue())
            raise
        return speed()


if __name__ == "__main__":
    sys.exit(main())
