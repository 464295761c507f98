"""The recorded hours of requests and the engine's load curves: figures known from their sources."""

import hashlib
import shutil

import numpy as np
import pytest

from ensemble_lab import catalogue
from ensemble_lab.catalogue import data_folder, load_curves, load_trace
from ensemble_lab.core.errors import UnknownName

ROWS = {"azure-code": 8819, "azure-conversation": 19366, "mooncake-conversation": 12031}


def folder_of(name):
    return data_folder() / ("traces" if name in ROWS else "curves")


@pytest.mark.parametrize("name", [*ROWS, "vllm-h100"])
def test_the_entry_agrees_with_its_table(name):
    table = load_trace(name) if name in ROWS else load_curves(name)
    entry, content = table.attrs, (folder_of(name) / f"{name}.parquet").read_bytes()
    assert entry["name"] == name and entry["rows"] == len(table) == ROWS.get(name, 42)
    assert list(entry["columns"]) == list(table)
    assert entry["bytes"] == len(content) < 300_000
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["source"].startswith("https://github.com/") and entry["licence"]
    assert entry["recorded"] and entry["attribution"]
    assert "commit" in entry or any("commit" in caveat for caveat in entry["caveats"])
    assert all(caveat.endswith(".") for caveat in entry["caveats"])


def test_each_folder_has_what_its_loader_knows():
    assert {path.stem for path in (data_folder() / "traces").iterdir()} == set(ROWS)
    assert {path.stem for path in (data_folder() / "curves").iterdir()} == {"vllm-h100"}


@pytest.mark.parametrize("name", ROWS)
def test_requests_are_in_order_and_begin_at_zero(name):
    trace = load_trace(name)
    assert trace.notna().all(axis=None)
    assert trace.arrival_s.iloc[0] == 0 and (np.diff(trace.arrival_s) >= 0).all()
    assert 3400 < trace.arrival_s.iloc[-1] < 3600
    assert (trace[["prompt_tokens", "output_tokens"]] >= 1).all(axis=None)


def test_mooncakes_blocks_hold_512_tokens_and_follow_one_text():
    trace, before = load_trace("mooncake-conversation"), {}
    for tokens, ids in zip(trace.prompt_tokens, trace.prefix_blocks, strict=True):
        assert len(ids) == -(-tokens // 512)
        for last, block in zip([-1, *ids[:-1]], ids, strict=True):
            assert before.setdefault(block, last) == last  # equal ids: all before is equal too
    assert len(before) == 182_790


def test_mooncakes_arrivals_are_stamped_every_three_seconds():
    gaps = np.diff(load_trace("mooncake-conversation").arrival_s)
    assert set(np.round(gaps).tolist()) == {0.0, 3.0} and (gaps == 0).mean() > 0.9


def test_the_engines_curves_are_those_that_were_published():
    curves = load_curves().set_index(["configuration", "stage"])
    assert set(curves.groupby("configuration").size()) == {7} and (curves.failed == 0).all()
    alone = curves.xs(0, level="stage").latency_mean_s
    assert alone[["eagle", "plain"]].tolist() == [0.71345, 0.48048]
    assert (curves.served == np.floor(curves.requested_rate * 60)).mean() > 0.9


@pytest.fixture
def copied(tmp_path, monkeypatch):
    for folder in ("traces", "curves"):
        shutil.copytree(data_folder() / folder, tmp_path / folder)
    monkeypatch.setattr(catalogue, "data_folder", lambda: tmp_path)
    return tmp_path


def test_damaged_and_missing_files_are_named(copied):
    path = copied / "traces" / "azure-code.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"azure-code\.parquet' is damaged.*reinstall"):
        load_trace("azure-code")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"azure-code.*reinstall"):
        load_trace("azure-code")


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UnknownName, match="azure-conversation"):
        load_trace("azure-conversatoin")
    with pytest.raises(UnknownName, match="vllm-h100"):
        load_curves("vllm-a100")
