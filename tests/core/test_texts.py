"""The recorded texts: what their entry says, and a damaged or missing file is refused."""

import hashlib
import json
import shutil

import pytest

from ensemble_lab import catalogue
from ensemble_lab.catalogue import data_folder, load_texts
from ensemble_lab.core.errors import UnknownName

NAME = "smollm2-tasks"


def test_the_entry_agrees_with_the_texts():
    texts, path = load_texts(), data_folder() / "texts" / f"{NAME}.parquet"
    entry, content = texts.attrs, path.read_bytes()
    assert entry["name"] == NAME and entry["rows"] == len(texts) == 1024
    assert entry["bytes"] == len(content) < 300_000
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["source"] and entry["recorded"] and entry["attribution"]
    assert entry["settings"]["seed"] == 0 and "CPU" in entry["device"]
    assert all(caveat.endswith(".") for caveat in entry["caveats"])


def test_texts_are_as_they_were_written():
    texts = load_texts()
    assert texts.notna().all(axis=None) and texts.ended.dtype == bool
    assert not texts.task.str.contains("\n").any()
    assert (texts.task == texts.task.str.strip()).all()
    assert not texts.ended[texts.task == ""].any()
    assert texts.task.nunique() < len(texts)  # nothing was filtered
    assert 0.8 < texts.ended.mean() < 0.95


@pytest.fixture
def copied(tmp_path, monkeypatch):
    shutil.copytree(data_folder() / "texts", tmp_path / "texts")
    monkeypatch.setattr(catalogue, "data_folder", lambda: tmp_path)
    return tmp_path / "texts"


def test_one_changed_byte_is_noticed(copied):
    path = copied / f"{NAME}.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"smollm2-tasks\.parquet' is damaged.*reinstall"):
        load_texts()


def test_missing_texts_are_named(copied):
    (copied / f"{NAME}.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"smollm2-tasks.*reinstall"):
        load_texts()
    with pytest.raises(UnknownName, match="smollm2-tasks"):
        load_texts("smollm2-task")


def test_the_entry_is_what_the_recipe_writes():
    pytest.importorskip("transformers")
    from recipes.write_texts import NAME as written
    from recipes.write_texts import about

    content = (data_folder() / "texts" / f"{NAME}.parquet").read_bytes()
    entry = json.loads((data_folder() / "texts" / f"{NAME}.json").read_text())
    again = about(1024, content)
    assert written == NAME and again.keys() == entry.keys()
    varies = {"recorded", "device", "versions"}
    assert all(again[key] == entry[key] for key in entry.keys() - varies)
