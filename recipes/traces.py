"""Turn raw logs into `data/traces/`, `curves/` and `solutions/`: a parquet file and its entry each.

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


def codegen(raw: Path) -> pa.Table:
    """Solutions that CodeGen wrote and the tests that they pass: a row a problem, bits as bytes."""
    folder = "humaneval_codet/"
    solutions = table(raw, folder + "solutions.csv.gz")
    tests = table(raw, folder + "tests.csv.gz", dtype={"passes": str})
    whole = solutions.groupby("problem").solution.apply(list)
    if not all(numbers == list(range(len(whole.iloc[0]))) for numbers in whole):
        raise ValueError("the problems do not have the same solutions, each once and in order")
    n = len(whole.iloc[0])
    rows = {name: [] for name in ("problem", "correct", "text", "times", "true", "passes")}
    for problem, its in solutions.groupby("problem"):
        asked = tests[tests.problem == problem]
        bits = [[int(bit) for bit in format(int(one, 16), f"0{n}b")] for one in asked.passes]
        rows["problem"].append(problem)
        rows["correct"].append(np.packbits(its.correct.to_numpy(bool)).tobytes())
        rows["text"].append(its.text_code.to_numpy(np.int32))
        rows["times"].append(asked.times_generated.to_numpy(np.int32))
        rows["true"].append(np.packbits(asked.reference_passes.to_numpy(bool)).tobytes())
        # Solution by solution: equal ones then have equal bytes, which compress well.
        rows["passes"].append(np.packbits(np.array(bits, bool).reshape(-1, n).T).tobytes())
    whole = pa.list_(pa.int32())
    kinds = {"problem": pa.int32(), "text": whole, "times": whole}
    return pa.table({name: pa.array(v, kinds.get(name, pa.binary())) for name, v in rows.items()})


BUILDERS = {  # folder, and what makes the table
    "azure-code": ("traces", partial(azure, file="code")),
    "azure-conversation": ("traces", partial(azure, file="conv")),
    "mooncake-conversation": ("traces", mooncake),
    "vllm-h100": ("curves", vllm_h100),
    "humaneval-codegen-16b": ("solutions", codegen),
}


def write(found: pa.Table, path: Path) -> None:
    """Whole numbers that grow by small steps take few bytes as their differences."""
    whole = [name for name in found.column_names if pa.types.is_integer(found[name].type)]
    encoding = dict.fromkeys(whole, "DELTA_BINARY_PACKED")
    lists = [name for name in found.column_names if pa.types.is_list(found[name].type)]
    encoding |= {f"{name}.list.element": "DELTA_BINARY_PACKED" for name in lists}
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
