"""`femseg doctor`: what is right and what is to mend, without loading what takes seconds, and who was called up."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from femseg.cli import doctor
from femseg.cohorts.settings import MADE_HERE

CODE = """
import sys
sys.argv = ["femseg", "doctor", "--json"]
from femseg.cli.main import main
try:
    main()
finally:
    print(*sorted({"torch", "ray", "mlflow", "scipy"} & set(sys.modules)), file=sys.stderr)
"""


def run(folder: Path, **variables: str) -> tuple[int, dict, str]:
    """Exit code, the JSON, and what was printed besides."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "AWS_", "PYTHON", "LC_", "LANG"))
    }
    env = kept | {"XDG_CONFIG_HOME": str(folder / "nowhere")} | variables
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def project(folder: Path, *, remote: str = "", params: str = "cohort: {source: phantom}\n") -> Path:
    (folder / ".dvc").mkdir()
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "params.yaml").write_text(params)
    (folder / ".dvc/config").write_text(
        f"[core]\n    remote = lab\n['remote \"lab\"']\n    url = {remote}\n" if remote else ""
    )
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "First"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    return folder


def found(said: dict, what: str) -> dict:
    return next(one for one in said["checks"] if one["what"] == what)


def test_in_an_empty_folder_all_is_well_nothing_is_made_and_nothing_heavy_is_loaded(tmp_path):
    code, said, err = run(tmp_path)
    assert code == 0, err
    assert said["faults"] == []
    assert err.split() == []
    assert list(tmp_path.iterdir()) == []
    assert said["connections"] == []
    whats = {one["what"] for one in said["checks"]}
    assert whats >= {"packages", "extras", "torch", "ray", "temporary disk", "encoding", "DVC remote", "MLflow store"}


def test_a_store_is_asked_and_neither_torch_nor_ray_is_loaded_for_it(tmp_path):
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").touch()
    code, said, err = run(project(tmp_path))
    assert code == 0, err
    assert "answers" in found(said, "MLflow store")["found"]
    assert found(said, "registry")["ok"]
    assert {"torch", "ray"}.isdisjoint(err.split())
    assert said["connections"] == []


def test_a_torn_store_is_to_mend_TK_01(tmp_path):
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").write_bytes(b"no database" * 99)
    code, said, _ = run(project(tmp_path))
    assert code == 6
    assert [fault["id"] for fault in said["faults"]] == ["TK-01"]


def test_a_remote_folder_is_looked_at(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "lab").mkdir()
    _, said, _ = run(project(tmp_path / "lab", remote="../../store"))
    assert "may be read and written" in found(said, "DVC remote")["found"]


def test_a_remote_that_is_not_mounted_is_to_mend_ST_09(tmp_path):
    code, said, err = run(project(tmp_path, remote="../unmounted/store"))
    assert code == 6
    assert "error ST-09: DVC remote: lab: " in err
    assert "unmounted/store is not there" in err
    assert not found(said, "DVC remote")["ok"]


def test_a_server_is_called_up_and_the_call_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, said, _ = run(project(tmp_path, remote=f"http://ann:secret@127.0.0.1:{port}/dvc"))
        assert code == 0
    assert said["connections"] == [f"127.0.0.1:{port}"]
    assert f"127.0.0.1:{port} (1)" in found(said, "connections")["found"]
    assert "secret" not in json.dumps(said)


def test_a_server_that_is_away_is_to_mend_ST_09(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code, said, err = run(project(tmp_path, remote=f"ssh://127.0.0.1:{port}/dvc"))
    assert code == 6
    assert "does not answer" in err
    assert said["connections"] == [f"127.0.0.1:{port}"]


def test_an_encoding_without_other_languages_is_to_mend_CFG_02(tmp_path):
    code, said, err = run(tmp_path, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="POSIX")
    assert (code, found(said, "encoding")["ok"]) == (2, False), err
    assert "LANG=C.UTF-8" in err


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("cohort: {source: dicom, folder: gone}\n", "cohort.folder is gone"),
        ("cohort: [\n", "has no section `cohort`"),
        ("network: {}\n", "has no section `cohort`"),
    ],
)
def test_a_project_that_cannot_run_is_to_mend_CFG_01(params, words, tmp_path):
    code, said, err = run(project(tmp_path, params=params))
    assert code == 2
    assert [fault["id"] for fault in said["faults"]] == ["CFG-01"]
    assert words in err


def test_a_project_without_a_commit_is_to_mend_RG_04(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text("cohort: {source: phantom}\n")
    code, said, _ = run(tmp_path, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert code == 8
    assert [fault["id"] for fault in said["faults"]] == ["RG-04"]


def test_the_cohorts_that_are_made_here_are_those_of_the_settings():
    assert doctor._MADE_HERE == MADE_HERE
