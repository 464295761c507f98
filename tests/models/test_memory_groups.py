"""Limits of memory of batch jobs and services, which stand in a group of the machine's own tree."""

import pytest

from ensemble_lab.doctor.machine import container_limit
from ensemble_lab.models.memory import _container_room, memory_groups

TWO = ("memory.max", "memory.current")
ONE = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def group(folder, names, most, used):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip((*names, "memory.stat"), (most, used, "inactive_file 50"), strict=True):
        (folder / name).write_text(f"{value}\n")


@pytest.fixture
def told(tmp_path):
    """A function that writes what the system says of the process's groups."""

    def write(*lines):
        file = tmp_path / "own"
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    return write


@pytest.mark.parametrize(
    ("names", "base", "line"),
    [(TWO, "", "0::/slurm/job_7/step"), (ONE, "memory", "4:cpu,memory:/slurm/job_7/step")],
)
def test_the_smallest_limit_of_the_group_and_those_above_counts(names, base, line, told, tmp_path):
    root = tmp_path / "groups"
    group(root / base / "slurm", names, 9000, 100)
    group(root / base / "slurm/job_7", names, 1000, 700)
    group(root / base / "slurm/job_7/step", names, "max" if names == TWO else 2**62, 500)
    group(root / base / "slurm/job_8", names, 10, 10)  # of somebody else
    own = told("3:cpuset:/elsewhere", line)
    assert container_limit(root, own) == 1000
    assert min(_container_room(root, own)) == 350


def test_a_container_counts_its_group_once(told, tmp_path):
    group(tmp_path / "groups", TWO, 1000, 700)
    assert list(_container_room(tmp_path / "groups", told("0::/"))) == [350]
    # What Docker says with version 1: a path of the machine, which the container does not see.
    outside = told("4:memory:/docker/0a1b", "0::/docker/0a1b")
    assert list(_container_room(tmp_path / "groups", outside)) == [350]


def test_without_groups_nothing_is_limited(tmp_path):
    root = tmp_path / "groups"
    assert memory_groups(root, tmp_path / "none") == [root, root / "memory"]
    assert container_limit(root, tmp_path / "none") is None


def test_a_group_outside_of_what_a_container_sees_is_left_out(told, tmp_path):
    assert memory_groups(tmp_path, told("0::/../other")) == [tmp_path, tmp_path / "memory"]
