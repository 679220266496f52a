"""A file that is built to cost far more than it weighs is refused, and costs at most 5 s and 500 MB (IN-24, SC-14)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import bombs

SUPPORT = Path(bombs.__file__).parents[1]
SECONDS, MEGABYTES = 5, 500
BEFORE_ALLOCATION_MB = 200  # what IN-24 allows where a declared size or a ratio tells


@pytest.fixture(scope="module")
def costs(tmp_path_factory) -> dict[str, dict]:
    """Of every bomb, in a process of their own, by its words."""
    folder = str(tmp_path_factory.mktemp("bombs"))
    command = [sys.executable, "-W", "ignore", "-m", "fuzz.bombs", folder]
    done = subprocess.run(command, cwd=SUPPORT, capture_output=True, text=True, timeout=500, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return {cost["bomb"]: cost for cost in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("bomb", bombs.BOMBS, ids=lambda bomb: bomb.__name__.replace("_", " "))
def test_a_bomb_is_refused_within_bounds_IN_24_SC_14(costs, bomb):
    cost, expected = costs[bomb.__name__.replace("_", " ")], bombs.BOMBS[bomb]
    assert (expected in cost["ids"]) if expected else not cost["ids"]
    assert cost["seconds"] <= SECONDS
    assert cost["peak_mb"] <= (BEFORE_ALLOCATION_MB if expected == "IN-24" else MEGABYTES)
