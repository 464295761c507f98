"""Other programs, run to their end, and what the processes of a test run make once."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# For kernels of environments that uv installs, which it does not compile: the first one keeps what
# it compiled, whatever the caller's environment says. Else each kernel takes 3 to 5 s for it.
COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": ""}


def run(*command, cwd, env=None):
    """Run to the end; stderr is the failure message. Returns stdout."""
    command = list(map(str, command))
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def once(place, make):
    """The folder `place` as `make(place)` fills it, by whichever process comes first.

    The others wait. Where making it failed, the next one tries again.
    """
    from filelock import FileLock  # here, for not every machine that runs some tests has it

    with FileLock(f"{place}.lock"):
        if not (place / ".made").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            make(place)
            (place / ".made").touch()
    return place
