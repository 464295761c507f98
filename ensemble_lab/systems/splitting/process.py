"""A stage as a process of this machine: started, told its port, ended with the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path

from ensemble_lab.core.errors import excerpt
from ensemble_lab.systems.splitting.failures import StageFailed

START = 120.0  # seconds until a stage must have said its port: an import of torch on a busy machine
PACKAGE = Path(__file__).parents[3]


class StageProcess:
    """One stage's process; it starts at once and is ready when `address` returns.

    Parameters
    ----------
    file : path
        What `write_layers` wrote.
    threads : int
        Threads of its arithmetic.
    port : int
        On loopback; 0 for a free one.
    remove : bool
        Whether it removes the file and its folder if it outlives this process.
    """

    def __init__(self, file: Path, threads: int = 1, port: int = 0, remove: bool = False):
        self._log = tempfile.TemporaryFile()
        # Threads that wait for work would turn in circles and slow the stage that has some. So they
        # sleep, except between two operations of one step: GNU's threads turn some microseconds.
        quiet = {
            "OMP_WAIT_POLICY": "PASSIVE",
            "GOMP_SPINCOUNT": "20000",
            "OMP_NUM_THREADS": str(threads),
        }
        known = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self.process = subprocess.Popen(
            [
                # -P: a random.py in the working directory is not the standard library's.
                *(sys.executable, "-P", "-m", "ensemble_lab.systems.splitting.stage", str(file)),
                *("--port", str(port), "--threads", str(threads)),
                *(["--remove"] if remove else []),
            ],
            stdin=subprocess.PIPE,  # which is closed with this process, however that ends
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **quiet, "PYTHONPATH": known},
            start_new_session=True,  # Ctrl-C is for the client
        )
        self._address: str | None = None
        self._finish = weakref.finalize(self, _end, self.process)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def address(self) -> str:
        """Where it listens; waits until it does.

        Raises
        ------
        StageFailed
            It ended, or did not start in time; with what it said.
        """
        if self._address is None:
            late = threading.Timer(START, self.process.kill)
            late.start()
            told = _told(self.process.stdout)
            late.cancel()
            if "port" not in told:
                self.kill()
                raise StageFailed(f"a stage did not start: {told.get('error') or self._said()}")
            self._address = f"tcp://127.0.0.1:{told['port']}"
        return self._address

    def kill(self) -> None:
        """End it at once, as `kill -9` does, also where it has been stopped."""
        self._finish()

    def _said(self) -> str:
        """The last error that it wrote, in one line."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if "Error" in line] or lines
        return excerpt(errors[-1], 200) if errors else f"it ended with {self.process.returncode}"


def _told(lines: Iterable[bytes]) -> dict:
    """The first line that is the stage's; a sitecustomize of the user may print others before."""
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and told.keys() & {"port", "error"}:
            return told
    return {}


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
