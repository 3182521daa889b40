"""Draws many pictures in several processes, in order.

The workers are started as plain subprocesses, not by `multiprocessing`: its spawned and forkserver children
first import the caller's main module, which would run an unguarded script or a notebook's launcher again,
and forking a process that holds torch is not safe. A worker reads its task on standard input and writes
pickled results to standard output; a full pipe makes it wait.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fsynth import machine
from fsynth.data.figure import GarmentLabels, Scene, pose
from fsynth.errors import FsynthError, OutputError
from fsynth.keyed import seed_of

JPEG_QUALITY = 92
HDF5_SIDE = 128
BLOCK = 32  # pictures that a worker hands over together
_START = "import sys; sys.path[:0] = [{root!r}]; from fsynth.data import drawing_workers as w; w.serve()"


@dataclass(frozen=True)
class Task:
    """What to draw; picture k is a function of (seed, k, labels[k], look, size) alone.

    With ``pixels``, pictures bring what ``G2.h5`` holds of them, at `side`.
    """

    labels: Sequence[GarmentLabels]
    seed: int
    look: str
    size: int
    pixels: bool = False

    @property
    def side(self) -> int:
        """Of the pictures in ``G2.h5``: the benchmark's, however large those of the ZIP are."""
        return min(self.size, HDF5_SIDE)


@dataclass(frozen=True)
class Picture:
    """One drawn picture: JPEG bytes, garments in pixels, and on request RGB and segmentation.

    `garments` are plain values for JSON (see `describe`); `pixels` is uint8 (side, side, 3); `parts` is uint8
    (side, side) with the labels of `fsynth.data.segmentation`.
    """

    jpeg: bytes
    garments: list[dict[str, Any]]
    pixels: np.ndarray | None = None
    parts: np.ndarray | None = None


def draw_all(task: Task, workers: int | None = None) -> Iterator[Picture]:
    """Draw every picture of a task, in order.

    Args:
        workers: processes; None for one per core that this process may use, 0 to draw in this process.

    Raises:
        MissingPackage: skia does not import.
        OutputError: a worker was killed.
    """
    blocks = -(-len(task.labels) // BLOCK)
    workers = min(machine.cores() if workers is None else workers, blocks)
    if workers <= 1:
        yield from (draw_one(task, k) for k in range(len(task.labels)))
        return
    with contextlib.ExitStack() as stack:
        pool = [stack.enter_context(_started()) for _ in range(workers)]
        for first, worker in enumerate(
            pool
        ):  # a worker reads its task when it has imported all: start all first
            _feed(worker, (task, first, workers))
        for block in range(blocks):
            yield from _receive(pool[block % workers])


def draw_one(task: Task, index: int) -> Picture:
    """Draw picture `index` of a task."""
    from fsynth.data import drawing, segmentation

    rng = np.random.default_rng(seed_of("picture", task.seed, index))
    scene = pose(task.labels[index], rng, task.look)
    pixels = drawing.draw(scene, task.size)
    garments = describe(scene, task.size)
    if not task.pixels:
        return Picture(_jpeg(pixels), garments)
    parts = segmentation.segment(scene, task.side)
    return Picture(_jpeg(pixels), garments, _shrunk(pixels, task.side), parts)


def describe(scene: Scene, size: int) -> list[dict[str, Any]]:
    """The garments of a scene in pixels: category, kind, labelled or not, box x1 y1 x2 y2, flat polygons,
    landmarks (visibility, x, y)."""
    return [
        {
            "category": garment.category,
            "kind": garment.kind,
            "labels": None if garment.labels is None else vars(garment.labels),
            "box": _rounded(np.array(garment.box) * size),
            "polygons": [_rounded(_thinned(polygon * size).ravel()) for polygon in garment.polygons],
            "landmarks": _rounded(garment.landmarks * (1, size, size)),
        }
        for garment in scene.garments
    ]


def serve() -> None:
    """Run a worker: draw every n-th block of the task on standard input, write them to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard stops the parent, which ends its workers
    task, first, step = pickle.load(sys.stdin.buffer)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints, in C too, must not get between the pictures
    try:
        for start in range(first * BLOCK, len(task.labels), step * BLOCK):
            stop = min(start + BLOCK, len(task.labels))
            _send([draw_one(task, k) for k in range(start, stop)], out)
    except FsynthError as error:
        _send(error, out)
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more
    except Exception:
        _send(RuntimeError(f"drawing failed:\n{traceback.format_exc()}"), out)


def _send(value: Any, out: BinaryIO) -> None:
    pickle.dump(value, out, protocol=pickle.HIGHEST_PROTOCOL)
    out.flush()


@contextlib.contextmanager
def _started() -> Iterator[subprocess.Popen]:
    root = str(Path(__file__).resolve().parents[2])
    # one thread each: the processes share the cores already
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", _START.format(root=root)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        yield worker
    finally:
        worker.kill()
        worker.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # of a task that was never read
            worker.stdin.close()
        worker.wait()


def _feed(worker: subprocess.Popen, task: tuple[Task, int, int]) -> None:
    with contextlib.suppress(BrokenPipeError):  # a worker that died is noticed when it is asked
        pickle.dump(task, worker.stdin)
        worker.stdin.close()


def _receive(worker: subprocess.Popen) -> list[Picture]:
    try:
        block = pickle.load(worker.stdout)
    except (EOFError, pickle.UnpicklingError) as error:
        if not isinstance(error, EOFError):
            worker.kill()  # what it sent is no picture: it may live on, and wait for a reader
        raise OutputError(
            f"a drawing process ended early (exit code {worker.wait()}), most likely for want of memory; "
            "free some and run again"
        ) from None
    if isinstance(block, Exception):
        raise block
    return block


def _jpeg(pixels: np.ndarray) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return content.getvalue()


def _shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    if len(pixels) == side:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def _thinned(polygon: np.ndarray) -> np.ndarray:
    """Without the points that lie within a pixel of the one before."""
    step = np.hypot(*np.diff(polygon, axis=0).T)
    gone = np.concatenate([[0.0], np.cumsum(step)])
    _, first = np.unique(np.floor(gone), return_index=True)
    return polygon[first] if len(first) >= 3 else polygon


def _rounded(values: np.ndarray) -> list[Any]:
    return np.round(values, 1).tolist()
