"""A look at every message in the source: no repr of what somebody gave, since `shown` writes it.

A repr writes numpy's types (``np.int64(7)``) and a megabyte as a megabyte.
"""

import ast
from pathlib import Path


def offences(path: Path) -> list[tuple[int, str]]:
    """Line and expression of every ``{…!r}`` that a module raises or warns of."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    said += [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _warns(node)]
    return sorted(
        {
            (part.lineno, ast.unparse(part.value))
            for message in said
            for part in ast.walk(message)
            if isinstance(part, ast.FormattedValue) and part.conversion == ord("r")
        }
    )


def _warns(call: ast.Call) -> bool:
    return getattr(call.func, "attr", getattr(call.func, "id", "")) in ("warn", "warning", "say")
