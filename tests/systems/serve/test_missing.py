"""Without the gateway's packages its names say which to install; the others work."""

import subprocess
import sys

CODE = """
import sys
for name in ("fastapi", "aiohttp"):
    sys.modules[name] = None
import ensemble_lab as lab
assert lab.simulate and lab.FCFS(1)
for name in ("Member", "Upstream", "Agreement", "Verifier", "app", "read_settings"):
    try:
        getattr(lab.systems, name)(print, print)
    except ModuleNotFoundError as error:
        print(error)
"""


def test_what_is_missing_is_named_with_the_command():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("Member", "Upstream", "Agreement", "Verifier", "app", "read_settings"):
        assert f"{name} needs aiohttp" in done.stdout
    assert done.stdout.count("ensemble-lab[serve]") == 6
