"""Workers as plain processes, joined by gloo: the same run, however many there are."""

import subprocess
import sys
from pathlib import Path

import pytest
import sphere_run
import torch

SCRIPT = Path(sphere_run.__file__)


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What each run leaves, by its folder's name and the rank."""
    folder = tmp_path_factory.mktemp("spheres")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    return {
        (path.parent.name, int(path.stem.rpartition("-")[2])): torch.load(path, weights_only=True)
        for path in folder.glob("*/left-*.pt")
    }


@pytest.mark.parametrize("run", ["of-2", "of-3", "of-4", "fewer-and-fewer"])
def test_tr_12_any_number_of_workers_trains_as_one_does_also_when_it_changes_on_the_way(left, run):
    alone, shared = left["of-1", 0], left[run, 0]
    for name, weight in alone["network"].items():
        torch.testing.assert_close(shared["network"][name], weight, rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.tensor(shared["losses"]), torch.tensor(alone["losses"]), rtol=0, atol=1e-5)
    assert len(alone["losses"]) == 6
    assert abs(shared["validation"][-1] - alone["validation"][-1]) < 1e-3


def test_all_workers_of_a_run_end_with_the_same_bits(left):
    first, *others = [left["of-4", rank] for rank in range(4)]
    for other in others:
        assert all(torch.equal(first["network"][name], weight) for name, weight in other["network"].items())
        assert other["validation"] == first["validation"]
