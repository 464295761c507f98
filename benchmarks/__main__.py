"""Measure one benchmark against its peers: ``python -m benchmarks NAME --json FILE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.parts.run import main as measure
from ensemble_lab.core.errors import UnknownName
from ensemble_lab.reports.request import RequestError, plain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when all records were measured, 1 when something was refused."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="which benchmark, for example: answers")
    parser.add_argument("--only", metavar="RECORD", help="one record alone")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    parser.add_argument("--json", required=True, metavar="FILE", help="where the records go")
    parser.add_argument(
        "--prompts", metavar="FILE", help="your own prompts, as JSON lines (benchmark speculative)"
    )
    chosen = parser.parse_args(arguments)
    try:
        return measure(chosen.name, chosen.only, chosen.quick, chosen.json, chosen.prompts)
    except (UnknownName, RequestError, OSError) as error:
        print(f"benchmarks: {plain(str(error))}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
