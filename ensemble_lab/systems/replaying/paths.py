"""Files that a caller names by paths and patterns."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from ensemble_lab.core.errors import nearest, several, shown


def paths(files) -> list[Path]:
    """Files by path or pattern, each once; those of a pattern in the order of their names.

    Raises
    ------
    FileNotFoundError
        A path that is no file, or a pattern that no file matches.
    ValueError
        A folder, an address, a file twice, no file at all.
    """
    given = [files] if isinstance(files, str | Path) else several(files, "files")
    found: list[Path] = []
    for one in given:
        if not isinstance(one, str | Path):
            raise ValueError(
                f"files holds {shown(one)}; give paths, or a pattern: 'part-*.parquet'"
            )
        if "://" in str(one):
            raise ValueError(
                f"{shown(str(one))} is an address; download the files and give their paths"
            )
        found += _matching(str(one)) if str(one) else []
    if not found:
        raise ValueError("files names no file; give a path, or a pattern such as 'part-*.parquet'")
    seen: dict[Path, Path] = {}
    for path in found:
        if path.resolve() in seen:
            raise ValueError(f"{named(path)} is there twice; name each file once")
        seen[path.resolve()] = path
    return found


def _matching(name: str) -> list[Path]:
    path = Path(name)
    if os.path.isfile(name):  # its name may have brackets
        return [path]
    if os.path.isdir(name):
        fix = shown(str(path / "*.parquet"), 120)
        raise ValueError(f"{named(path)} is a folder; give a pattern for its files: {fix}")
    # Other tools leave `_SUCCESS` and hidden files beside partitions.
    found = [
        Path(one)
        for one in sorted(glob.glob(name, recursive=True))
        if os.path.isfile(one) and (one.endswith(".parquet") or Path(one).name[0] != "_")
    ]
    if not found:
        beside = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        what = "matches" if glob.has_magic(name) else "is at"
        raise FileNotFoundError(f"no file {what} {named(path)}{nearest(path.name, beside)}")
    return found


def named(path: Path, most: int = 100) -> str:
    """A path in a message: its end says which file it is."""
    text = str(path)
    return shown(text if len(text) < most else "…" + text[2 - most :], most + 4)
