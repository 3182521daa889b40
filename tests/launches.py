"""Commands under torchrun, as a user starts them.

Not `fork`: a forked copy of a process whose torch has already computed on several threads waits for ever.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
TIMEOUT = 280  # seconds; two processes import the whole stack on what may be two busy cores


def torchrun(processes, *command, fails=False):
    """Run ``python COMMAND`` in several processes and return what they said; none outlives a failure or the
    time limit. The launcher must end well, or with code 1 where the command ``fails``."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", str(processes)]
    with subprocess.Popen(
        [*launcher, *map(str, command)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as launch:
        try:
            output, _ = launch.communicate(timeout=TIMEOUT)
        finally:
            if launch.poll() is None:
                _kill(launch.pid)
    assert launch.returncode == (1 if fails else 0), output[-3000:]
    return output


def _kill(launcher):
    """The workers too: they are in sessions of their own, so ending the launcher's group would leave them."""
    for process in [*psutil.Process(launcher).children(recursive=True), psutil.Process(launcher)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
