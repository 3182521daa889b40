"""What this machine can do, with the fix beside each shortfall.

fsynth doctor
fsynth doctor --data FashionSynthesisBenchmark --password-file password.txt
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import fsynth
from fsynth import console, hub, machine
from fsynth.config import DoctorConfig
from fsynth.errors import FsynthError

PACKAGES = (
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "accelerate",
    "peft",
    "datasets",
    "open_clip_torch",
)
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``fix`` is empty where there is nothing to do."""

    subject: str
    state: Literal["ok", "note", "fail"]
    found: str
    fix: str = ""


@dataclass(frozen=True)
class DoctorResult:
    findings: tuple[Finding, ...]
    launch: str


def main(config: DoctorConfig) -> DoctorResult:
    """Look at this machine and print what was found; never fails for what it finds."""
    findings = tuple(_findings(config))
    launch = launch_line(_gpu_count())
    if console.is_main_process():
        _print(findings, launch)
    return DoctorResult(findings, launch)


def launch_line(gpus: int) -> str:
    """The command line that uses every device of a machine with that many GPUs."""
    if gpus > 1:
        return (
            f"accelerate launch --config_file accelerate_config.yaml --num_processes {gpus} "
            "fsynth sd-train ...   (plain `accelerate launch fsynth sd-train ...` finds them by itself, too)"
        )
    if gpus == 1:
        return "accelerate launch fsynth sd-train ...   (or just: fsynth sd-train ...)"
    return "fsynth sd-train ...   (two CPU processes: torchrun --nproc-per-node 2 -m fsynth sd-train ...)"


def _findings(config: DoctorConfig) -> Iterator[Finding]:
    yield _python()
    yield _packages()
    yield from _devices()
    yield _drawing()
    yield _disk()
    yield _hub()
    yield _password(config)
    yield _archive(config)


def _python() -> Finding:
    system = f"{platform.system()} {platform.machine()}"
    return Finding("python", "ok", f"{platform.python_version()} on {system}, fsynth {fsynth.__version__}")


def _packages() -> Finding:
    missing = [name for name in PACKAGES if _version(name) is None]
    if missing:
        return Finding("packages", "fail", f"missing: {', '.join(missing)}", "pip install -e .")
    return Finding("packages", "ok", ", ".join(f"{name} {_version(name)}" for name in PACKAGES))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _gpu_count() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _devices() -> Iterator[Finding]:
    import torch

    for index in range(_gpu_count()):
        device = torch.cuda.get_device_properties(index)
        yield Finding(f"gpu {index}", "ok", f"{device.name}, {device.total_memory / GIB:.0f} GiB")
    if _gpu_count():
        bf16 = torch.cuda.is_bf16_supported()
        yield Finding(
            "precision", "ok", "bf16 (--precision auto)" if bf16 else "no bf16; try --precision fp16"
        )
    elif torch.backends.mps.is_available():
        yield Finding("gpu", "ok", "Apple MPS")
    else:
        cores = machine.cores()
        fix = "fine for --model tiny; for Stable Diffusion use a machine with a CUDA GPU"
        yield Finding("gpu", "note", f"none; {cores} CPU cores, float32", fix)


def _drawing() -> Finding:
    try:
        importlib.import_module("skia")
    except ImportError as error:
        fix = "apt-get install libegl1 libgl1 (or your system's packages of these libraries)"
        return Finding("drawing", "fail", f"skia does not import: {error}", fix)
    return Finding("drawing", "ok", f"skia {_version('skia-python')}")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    state = "ok" if free > 20 else "note"
    fix = (
        ""
        if state == "ok"
        else "a full Stable Diffusion run writes about 5 GiB; name another place with --output"
    )
    return Finding("disk", state, f"{free:.0f} GiB free here", fix)


def _hub() -> Finding:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "true", "yes"):
        return Finding(
            "hub", "note", "HF_HUB_OFFLINE is set", "models must be local folders or already cached"
        )
    try:
        name = "{}:{}".format(*hub.place())
    except ValueError as error:
        return Finding("hub", "fail", f"HF_ENDPOINT: {error}", "set it to https://HOST, or unset it")
    if hub.behind_a_proxy():
        return Finding("hub", "ok", f"{name}, through a proxy; not tried")
    if not hub.reachable():
        fix = "pass local folders to --model, or --model tiny; copy a hub cache and set HF_HOME"
        return Finding("hub", "note", f"{name} cannot be reached", fix)
    return Finding("hub", "ok", f"{name} answers")


def _password(config: DoctorConfig) -> Finding:
    from fsynth.data import passwords

    origin = passwords.VARIABLE if config.password_file is None else "--password-file"
    try:
        if passwords.find_password(config.password_file, prompt=False) is not None:
            return Finding("password", "ok", f"from {origin}")
    except FsynthError as error:
        return Finding("password", "fail", str(error))
    fix = "for the real archive: export FSYNTH_ZIP_PASSWORD, or --password-file FILE, or type it when asked"
    return Finding("password", "note", "none set", fix)


def _archive(config: DoctorConfig) -> Finding:
    from fsynth.data import places, sources

    try:
        root = places.data_root(config.data)
        if root is None:
            fix = "point --data or FSYNTH_DATA at the FashionSynthesis folder"
            return Finding("data", "note", "no --data: commands run on drawn data", fix)
        source = sources.open_source(**config.source())
    except FsynthError as error:
        return Finding("data", "fail", str(error), "see `fsynth doctor --help` for the data options")
    return Finding("data", "ok", "\n".join((source.describe, *source.cleaned)))


def _print(findings: tuple[Finding, ...], launch: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    signs = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fail": "[red]fail[/]"}
    for finding in findings:
        text = escape(finding.found) + (f"\n[dim]-> {escape(finding.fix)}[/]" if finding.fix else "")
        table.add_row(signs[finding.state], finding.subject, text)
    out = Console(file=sys.stderr, highlight=False)
    out.print(table)
    out.print(f"\nTo train on this machine:\n  {launch}", soft_wrap=True, markup=False)
