"""Fresh environments, far from the checkout: made, filled, tried and deleted."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.parts.in_kernels import peak_memory
from ensemble_lab.widgets.backends import HEADLESS

ROOT = Path(__file__).parents[2]
UV = [sys.executable, "-m", "uv"]
LONGEST = 900  # seconds of one command; what is slower hangs
TOLD = 600  # characters of an error that a record keeps
# Whose versions a record names.
NAMED = ["numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "plotly", "ipywidgets"]
NAMED += ["jupyterlab", "torch", "transformers"]
VERSIONS = f"""import json, platform
from importlib import metadata
found = {{"python": platform.python_version()}}
for name in {NAMED}:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))"""
# What the tests without PyTorch need beside the package.
TESTERS = ["pytest", "pytest-timeout", "hypothesis", "polars", "nbformat", "nbclient", "pyyaml"]
TESTERS += ["filelock", "packaging", "psutil"]


class Failed(Exception):
    """A command that ended with an error, or not at all; its last words."""


def clean(text):
    """An error's last words, without the folders and addresses of the machine it ran on."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"(https?|file)://\S+", "ADDRESS", text)
    return re.sub(r"(/[\w.+-]+){2,}/", ".../", text).strip()[-TOLD:]


def call(*command, cwd, env=None, prefix=(), ok=(0,)):
    """Run a command to its end and return what it printed.

    Raises
    ------
    Failed
        It ended with an error, or not within `LONGEST` seconds.
    """
    command = [str(word) for word in (*prefix, *command)]
    how = {"capture_output": True, "text": True, "errors": "replace", "timeout": LONGEST}
    try:
        done = subprocess.run(command, cwd=cwd, env=env, **how)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {LONGEST} s") from None
    if done.returncode not in ok:
        raise Failed(clean(done.stdout[-2000:] + "\n" + done.stderr[-2000:]))
    return done.stdout


def without_ours():
    """The environment of this process without what would lead a new Python to this one."""
    mine = ("PYTHON", "VIRTUAL_ENV", "JUPYTER", "ENSEMBLE_LAB")
    return {k: v for k, v in os.environ.items() if not k.startswith(mine)} | {HEADLESS: "1"}


def build_wheel(folder):
    """The wheel of this checkout, built once for all cases."""
    found = sorted(folder.glob("*.whl"))
    if not found:
        command = [sys.executable, "-m", "build", "--installer", "uv", "--wheel"]
        call(*command, "--outdir", folder, ROOT, cwd=folder, env=uv_settings())
        found = sorted(folder.glob("*.whl"))
    return found[-1]


def uv_settings():
    """The environment of this process for uv, with what pip is told by its settings."""
    from tests.packaging.test_resolve import uv_environment

    return uv_environment()


@dataclass
class Fresh:
    """An environment, and what was found in it.

    Parameters
    ----------
    folder : Path
        Its own, deleted with it.
    python : Path
    prefix : tuple of str
        What each command in it is started by, such as ``("unshare", "-n")``.
    """

    folder: Path
    python: Path
    prefix: tuple = ()

    def run(self, *words):
        """Run this Python with these words, in a folder that holds nothing of ours."""
        return call(self.python, *words, cwd=self.folder, env=without_ours(), prefix=self.prefix)

    def versions(self):
        return json.loads(self.run("-c", VERSIONS))

    def doctor(self):
        """What ``ensemble-lab doctor`` finds broken of what is needed, in all."""
        command = [self.python.with_name("ensemble-lab"), "doctor", "--json"]
        said = json.loads(
            call(*command, cwd=self.folder, env=without_ours(), prefix=self.prefix, ok=(0, 1))
        )
        return "all that is needed works" if said["healthy"] else "something needed is broken"

    def quickstart(self):
        """Run the README's first block."""
        block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        self.run("-c", block.group(1))
        return "ran"

    def notebook(self, path):
        """Run a notebook as ``jupyter execute`` does, alone in an empty folder."""
        with tempfile.TemporaryDirectory(dir=self.folder) as alone:
            shutil.copy(path, alone)
            start = perf_counter()
            with peak_memory() as peak:
                self.run("-m", "jupyter", "execute", "--timeout=300", Path(alone) / path.name)
            seconds = perf_counter() - start
        return {"seconds": round(seconds, 1), "peak_mb": round(peak["bytes"] / 1e6)}

    def tests(self, *folders):
        """Run the tests of some folders that need no PyTorch; counts by outcome."""
        copy = self.folder / "checkout"
        for name in ("tests", "notebooks", "data", "recipes", "benchmarks"):
            shutil.copytree(ROOT / name, copy / name)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, copy)
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
        words += ["-p", "tests.support.without_torch", *folders]
        settings = without_ours() | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
        del settings[HEADLESS]
        try:
            said = call(self.python, *words, cwd=copy, env=settings, prefix=self.prefix)
        except Failed as failed:
            said = str(failed)
        return outcomes(said)


def outcomes(said):
    """What pytest's last words say: counts by outcome, and the tests that did not pass."""
    counts = re.findall(r"(\d+) (passed|failed|skipped|error)", said.strip().rpartition("\n")[2])
    found = {word: int(number) for number, word in counts}
    if not {"passed", "failed"} & found.keys():
        return {"error": said[-TOLD:]}
    names = re.findall(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    return found | ({"not_passed": names} if names else {})


@contextmanager
def fresh(work, python, by):
    """A new environment of a Python such as "3.12", made by "pip" (venv) or "uv"."""
    folder = Path(tempfile.mkdtemp(dir=work))
    try:
        interpreter = of_version(python)
        command = [interpreter, "-m", "venv"] if by == "pip" else [*UV, "venv", "--quiet"]
        command += ["--python", interpreter] if by == "uv" else []
        call(*command, folder / "env", cwd=folder, env=without_ours())
        yield Fresh(folder, folder / "env/bin/python")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def of_version(python):
    """The interpreter of a version; a version manager's shim may exist and not run."""
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    is_it = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{python}')"
    for name in (f"python{python}", *map(str, sorted(managed.glob(f"{python}.*/bin/python3")))):
        found = shutil.which(name)
        if found and not subprocess.run([found, "-c", is_it], capture_output=True).returncode:
            return found
    raise Failed(f"no Python {python} on this machine")


def install(environment, by, *words):
    """Install by pip or by uv into an environment."""
    python, cwd = environment.python, environment.folder
    if by == "pip":
        call(python, "-m", "pip", "install", "--quiet", *words, cwd=cwd, env=without_ours())
    else:
        call(*UV, "pip", "install", "--quiet", "--python", python, *words, cwd=cwd,
             env=uv_settings())  # fmt: skip


def lowest(wheel_extras, python, folder):
    """A file of the lowest direct versions that pyproject.toml allows, for a Python."""
    found = folder / "lowest.txt"
    command = [*UV, "pip", "compile", "--quiet", "--resolution", "lowest-direct", "-o", found]
    command += [word for extra in wheel_extras for word in ("--extra", extra)]
    call(*command, "--python-version", python, ROOT / "pyproject.toml", cwd=folder,
         env=uv_settings())  # fmt: skip
    return found
