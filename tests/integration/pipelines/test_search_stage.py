"""What the stage `search` refuses before it starts anything."""

import json
import os
from pathlib import Path

import pytest
import yaml
from tiny_model import TINY_NETWORK
from tiny_store import write_tiny_store

from femseg.cohorts.case_lines import write_case_lines
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.lock import locked
from femseg.search.halving import SearchSettings
from femseg.search.record import begin, end
from femseg.settings import as_plain
from pipelines import search

MODES = ("raw", "gradient")
RUNS = Path("runs/search/search")


def write_params(**changes: object) -> SearchSettings:
    settings = SearchSettings(**({"trials_per_mode": 2, "rungs": (2, 4)} | changes))
    sections = {
        "input_modes": list(MODES),
        "arrays": {"shape_zyx": [16, 16, 16]},
        "network": as_plain(TINY_NETWORK),
        "optimisation": {"batch_size": 2},
        "search": as_plain(settings),
        "train": {},
        "storage": {},
    }
    Path("params.yaml").write_text(yaml.safe_dump(sections))
    return settings


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["search"])
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    write_tiny_store(tmp_path / "data/arrays")
    (tmp_path / "data/arrays/split.json").rename(tmp_path / "data/split.json")
    return tmp_path


def refused() -> str:
    with pytest.raises(Refusal) as stopped:
        search.main()
    assert stopped.value.exit_code == ExitCode.USAGE
    assert not Path("results").exists()
    assert not Path("mlruns").exists()
    return str(stopped.value)


def test_a_second_search_of_the_same_name_is_refused_whatever_its_settings_SE_07(project):
    write_params()
    with locked(RUNS):
        write_params(seed=1)
        said = refused()
    assert said.startswith("error SE-07")
    assert f"process {os.getpid()} on" in said


def test_changed_settings_are_refused_while_a_search_has_not_ended_SE_05(project):
    settings = write_params()
    begin(RUNS, search.space_of(settings, MODES, "find", RUNS), print)
    write_params(rungs=(2, 6), allow_failed=1)
    said = refused()
    assert said.startswith("error SE-05")
    assert "rungs: added 6; removed 4" in said
    assert "allow_failed" not in said


def test_changed_data_are_refused_while_a_search_has_not_ended_SE_05(project):
    settings = write_params()
    before = search.space_of(settings, MODES, "find", RUNS)
    folder = begin(RUNS, before, print)
    index = project / "data/arrays/gradient/index.json"
    changed = json.loads(index.read_text().replace("8.0", "9.0"))
    write_case_lines(index, {key: changed[key] for key in ("format", "kind", "recipe")}, changed["cases"])
    assert "inputs_gradient: " in refused()
    end(RUNS, before)
    assert begin(RUNS, search.space_of(settings, MODES, "find", RUNS), print) != folder
