"""Without the gateway's packages its names say which to install; the others work."""

import subprocess
import sys

CODE = """
import sys
for name in ("fastapi", "aiohttp"):
    sys.modules[name] = None
import ensemble_lab as lab
assert lab.simulate and lab.FCFS(1)
try:
    lab.Member(print)
except ModuleNotFoundError as error:
    print(error)
"""


def test_what_is_missing_is_named_with_the_command():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Member needs aiohttp" in done.stdout and "ensemble-lab[serve]" in done.stdout
