"""What is written is whole or not there, and no link leads the writing elsewhere."""

import os

import pytest

from ensemble_lab.core.whole import write_whole


def test_text_of_all_kinds_arrives(tmp_path):
    write_whole(tmp_path / "a", "ä 模型\r\n\udc80")
    assert (tmp_path / "a").read_bytes() == "ä 模型\r\n\\udc80".encode()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_what_stops_the_writing_leaves_the_old_file(error, tmp_path, monkeypatch):
    write_whole(tmp_path / "a", "old")

    def stop(*_):
        raise error

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(error):
        write_whole(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_links_are_replaced_and_folders_are_not(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    write_whole(tmp_path / "a", "new")
    assert (tmp_path / "precious").read_text() == "kept" and not (tmp_path / "a").is_symlink()
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "b", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "precious"]


def test_the_longest_name_and_the_rights_of_new_files(tmp_path):
    path = write_whole(tmp_path / ("x" * 255), "x")
    (tmp_path / "usual").write_text("x")
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
