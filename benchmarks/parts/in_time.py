"""Records measured in a process of their own, each within its time; what fails costs itself only.

A failed record ends its process: a GPU that met an error once answers nothing more in it.
"""

import time
import traceback
from multiprocessing import get_context

from benchmarks.parts.on_gpu import has_gpu
from benchmarks.parts.run import load
from ensemble_lab.reports.request import RequestError
from ensemble_lab.tokens.reading import compiled

NO_TIME = "no time was left for it"


def measured(script, limits, quick, seconds):
    """Records of the script at a path one by one, or for each that failed its name and error.

    `limits` are the seconds that each named record may take, `seconds` those of all together.
    """
    until, left = time.monotonic() + seconds, list(limits)
    while left:
        pipe, end = get_context("spawn").Pipe(duplex=False)
        process = get_context("spawn").Process(target=work, args=(script, left, quick, end))
        process.start()
        end.close()
        try:
            sound = True
            while left and sound:
                name, begun = left.pop(0), time.monotonic()
                found = heard(pipe, name, min(limits[name], until - begun))
                sound = "error" not in found
                yield found | {"wall_seconds": time.monotonic() - begun}
        finally:
            process.kill()
            process.join()


def heard(pipe, name, seconds):
    """What a record became, waited for no longer than so many seconds."""
    if seconds <= 0:
        return {"name": name, "error": NO_TIME}
    if not pipe.poll(seconds):
        return {"name": name, "error": f"not done after {seconds:.0f} s"}
    try:
        return pipe.recv()
    except EOFError:
        return {"name": name, "error": "its process died"}


def work(script, names, quick, pipe):
    """Measure the records of a script in turn, up to the first that fails, and send each."""
    if quick and not has_gpu():
        compiled.BACKEND = "eager"  # whether it runs; a CPU's compiler takes minutes
    records = load(script)
    for name in names:
        try:
            found = records[name](quick)
        except RequestError as missing:
            found = {"name": name, "skipped": str(missing)}
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__)[-4:])
            found = {"name": name, "error": f"{type(error).__name__}: {error}", "where": where}
        pipe.send(found)
        if "error" in found:
            return
