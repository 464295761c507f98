"""An engine that goes wrong as it is told, in a process that imports nothing else."""

import os
import signal
import time


class Doubling:
    module, about = "json", "a test"

    def __init__(self, wrong=None):
        if wrong == "build":
            raise ValueError("this file holds no model")
        self.wrong = wrong

    def decode(self, ids, most):
        if self.wrong == "raise":
            raise IndexError("token 9 is outside the vocabulary")
        if self.wrong == "crash":
            os.kill(os.getpid(), signal.SIGILL)
        if self.wrong == "hang":
            time.sleep(60)
        return [2 * token for token in ids][:most], 1, 0.25
