"""What tests of the compiled mode compile with."""

import shutil

import pytest

from ensemble_lab.tokens.reading.compiled import BACKEND

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
# Tracing alone on each change; nightly what people get, C++ that takes a minute to compile.
BACKENDS = ["eager", pytest.param(BACKEND, marks=[pytest.mark.nightly, needs_compiler])]
