"""Turn raw request logs into `data/traces/` and `data/curves/`: a parquet file and its entry each.

    python -m recipes.traces --raw DIR

`about_traces.toml` has the words of the entries; row counts and checksums come from the tables
themselves. A second run writes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recipes.sources import table

DATA = Path(__file__).resolve().parents[1] / "data"


def azure(raw: Path, file: str) -> pa.Table:
    """An hour of Azure's requests; times count from the first one."""
    rows = table(raw, f"azure_llm_trace/{file}.csv.gz", parse_dates=["TIMESTAMP"])
    since = rows["TIMESTAMP"] - rows["TIMESTAMP"].iloc[0]
    return requests(since / pd.Timedelta(1, "s"), rows["ContextTokens"], rows["GeneratedTokens"])


def mooncake(raw: Path) -> pa.Table:
    """An hour of Mooncake's requests, with the blocks of 512 tokens that their prompts share."""
    rows = table(raw, "mooncake_trace/conversation.csv.gz")
    found = requests(rows["timestamp_ms"] / 1000, rows["input_tokens"], rows["output_tokens"])
    blocks = [np.array(ids.split(), np.int32) for ids in rows["prefix_block_ids"]]
    return found.append_column("prefix_blocks", pa.array(blocks, pa.list_(pa.int32())))


def requests(arrival_s, prompt_tokens, output_tokens) -> pa.Table:
    """One row a request, in the order of arrival."""
    if (np.diff(arrival_s) < 0).any():
        raise ValueError("the requests are not in the order of their arrival")
    columns = {
        "arrival_s": np.round(np.asarray(arrival_s, float), 6),
        "prompt_tokens": np.asarray(prompt_tokens, np.int32),
        "output_tokens": np.asarray(output_tokens, np.int32),
    }
    return pa.table(columns)


def vllm_h100(raw: Path) -> pa.Table:
    """Load curves of vLLM on one H100: a row a configuration and offered rate."""
    rows = table(raw, "vllm_h100_load/curves.csv")
    rows["configuration"] = rows["configuration"].str.removeprefix("vllm+").replace("vllm", "plain")
    return pa.Table.from_pandas(rows, preserve_index=False)


BUILDERS = {  # folder, and what makes the table
    "azure-code": ("traces", partial(azure, file="code")),
    "azure-conversation": ("traces", partial(azure, file="conv")),
    "mooncake-conversation": ("traces", mooncake),
    "vllm-h100": ("curves", vllm_h100),
}


def write(found: pa.Table, path: Path) -> None:
    """Whole numbers that grow by small steps take few bytes as their differences."""
    whole = [name for name in found.column_names if pa.types.is_integer(found[name].type)]
    encoding = dict.fromkeys(whole, "DELTA_BINARY_PACKED")
    if "prefix_blocks" in found.column_names:
        encoding["prefix_blocks.list.element"] = "DELTA_BINARY_PACKED"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found, path, compression="zstd", use_dictionary=False, column_encoding=encoding)


def build(raw: Path, out: Path = DATA) -> dict:
    """Write every table and its entry; return the entries by name."""
    if not raw.is_dir():
        raise FileNotFoundError(f"no raw folder {str(raw)!r}; pass --raw DIR")
    about = tomllib.loads((DATA / "about_traces.toml").read_text(encoding="utf-8"))
    made = {name: make(raw) for name, (_, make) in BUILDERS.items()}  # all can be read: now write
    entries = {}
    for name, found in made.items():
        if list(about[name]["columns"]) != found.column_names:
            raise ValueError(f"about_traces.toml names other columns of {name} than the table has")
        path = out / BUILDERS[name][0] / f"{name}.parquet"
        write(found, path)
        content = path.read_bytes()
        entries[name] = {
            "name": name,
            "rows": len(found),
            **about[name],
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        text = json.dumps(entries[name], indent=1, ensure_ascii=False) + "\n"
        path.with_suffix(".json").write_text(text, encoding="utf-8")
    return entries


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="the folder of raw recordings")
    try:
        for name, entry in build(parser.parse_args().raw).items():
            print(f"{name}: {entry['rows']:,} rows, {entry['bytes']:,} bytes")
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
