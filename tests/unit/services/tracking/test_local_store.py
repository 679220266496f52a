"""A local store belongs to the folder it lies in, whatever that is called, and whoever copied it there."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file
from femseg.services.tracking.address import local_uri, tracking_uri
from femseg.services.tracking.connect import connect, start_run
from femseg.services.tracking.local_store import may_be_written

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself

HOLD = """
import sys
from femseg.services.tracking.connect import connect, start_run
client, experiment = connect(sys.argv[1])
run_id = start_run(client, experiment, name="run", params={})
client.log_text(run_id, "first", "told.txt")
print(run_id, flush=True)
sys.stdin.readline()
"""
ANOTHER_MOUNT = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def made(folder: Path) -> str:
    """A store with a run that has an artefact; returns the run's id."""
    client, experiment_id = connect(local_uri(folder / "mlflow.db"))
    run_id = start_run(client, experiment_id, name="run", params={})
    client.log_text(run_id, "first", "told.txt")
    return run_id


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of_file(path) for path in folder.rglob("*.txt")}


def told(folder: Path, run_id: str, *, to_read: bool = False) -> str:
    """The artefact as the store in a folder gives it."""
    client, _ = connect(local_uri(folder / "mlflow.db"), to_read=to_read)
    return Path(client.download_artifacts(run_id, "told.txt")).read_text()


@pytest.mark.parametrize("name", ["moved", "two words", "Größe", "50%20 #1?"])
def test_a_store_that_was_moved_finds_its_artefacts_and_writes_beside_itself(tmp_path, name):
    run_id = made(tmp_path / "first/mlruns")
    (tmp_path / "first").rename(tmp_path / name)  # the parent of the store, as people rename projects
    here = tmp_path / name / "mlruns"
    assert told(here, run_id) == "first"
    client, experiment_id = connect(local_uri(here / "mlflow.db"))
    client.log_text(start_run(client, experiment_id, name="later", params={}), "second", "told.txt")
    assert sorted(files(here).values()) == sorted(files(tmp_path).values())
    assert len(files(here)) == 2


def test_what_is_done_in_a_copy_never_reaches_the_original(tmp_path):
    run_id = made(tmp_path / "original")
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    before = files(tmp_path / "original"), sha256_of_file(tmp_path / "original/mlflow.db")
    work = (  # in a process of its own: MLflow remembers where a run's artefacts are
        "import sys\n"
        "from femseg.services.tracking.connect import connect, start_run\n"
        "client, experiment = connect(sys.argv[1])\n"
        "client.log_text(sys.argv[2], 'changed', 'told.txt')\n"
        "client.log_text(start_run(client, experiment, name='later', params={}), 'later', 'told.txt')\n"
    )
    subprocess.run([sys.executable, "-c", work, local_uri(tmp_path / "copy/mlflow.db"), run_id], check=True)
    assert (files(tmp_path / "original"), sha256_of_file(tmp_path / "original/mlflow.db")) == before
    assert len(files(tmp_path / "copy")) == 2
    assert (tmp_path / f"copy/artifacts/{run_id}/artifacts/told.txt").read_text() == "changed"


def test_what_a_copy_has_left_in_the_original_is_brought_along(tmp_path):
    """Trainings in a copy wrote into the original, until a store belonged to its folder."""
    run_id = made(tmp_path / "original")
    (tmp_path / "copy").mkdir()
    shutil.copy2(tmp_path / "original/mlflow.db", tmp_path / "copy")
    assert told(tmp_path / "copy", run_id) == "first"
    assert files(tmp_path / "copy") == files(tmp_path / "original")


def test_a_store_reached_by_a_link_keeps_its_addresses(tmp_path):
    made(tmp_path / "first")
    (tmp_path / "link").symlink_to(tmp_path / "first")
    before = sqlite3.connect(tmp_path / "first/mlflow.db").execute("SELECT artifact_uri FROM runs").fetchall()
    connect(local_uri(tmp_path / "link/mlflow.db"))
    assert sqlite3.connect(tmp_path / "first/mlflow.db").execute("SELECT artifact_uri FROM runs").fetchall() == before


def test_artefacts_that_lie_elsewhere_by_intent_stay_there(tmp_path):
    client, _ = connect(local_uri(tmp_path / "first/mlflow.db"))
    client.create_experiment("bucket", artifact_location="s3://bucket/artifacts")
    client.create_experiment("archive", artifact_location=(tmp_path / "archive/artifacts").as_uri())
    (tmp_path / "first").rename(tmp_path / "second")
    client, _ = connect(local_uri(tmp_path / "second/mlflow.db"))
    assert client.get_experiment_by_name("bucket").artifact_location == "s3://bucket/artifacts"
    assert client.get_experiment_by_name("archive").artifact_location == (tmp_path / "archive/artifacts").as_uri()


def test_a_store_in_use_under_another_path_is_left_as_it_is_and_can_be_read_TK_12(tmp_path):
    """As by two containers whose mounts have other names: addresses that are right for one are wrong for the other."""
    command = [sys.executable, "-c", HOLD, local_uri(tmp_path / "first/mlflow.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        run_id = user.stdout.readline().strip()
        (tmp_path / "first").rename(tmp_path / "second")  # what is open keeps its lock, under whatever name
        with pytest.raises(Refusal) as refused:
            connect(local_uri(tmp_path / "second/mlflow.db"))
        assert (refused.value.faults[0].id, refused.value.exit_code) == ("TK-12", ExitCode.USAGE)
        assert str(tmp_path / "first") in str(refused.value)
        assert told(tmp_path / "second", run_id, to_read=True) == "first"
        user.stdin.close()
    assert told(tmp_path / "second", run_id) == "first"


def test_a_store_that_may_not_be_written_is_read_where_it_lies(tmp_path):
    run_id = made(tmp_path / "first/mlruns")
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    shutil.rmtree(tmp_path / "first")
    code = (
        "from pathlib import Path\n"
        "from femseg.exits import command_exit\n"
        "from femseg.services.tracking.connect import connect\n"
        "client, _ = connect(to_read=True)\n"
        f"print(Path(client.download_artifacts('{run_id}', 'told.txt')).read_text())\n"
        "with command_exit():\n    connect()\n"
    )
    at = tmp_path / "copy"
    script = f'mount --bind "{at}" "{at}" && mount -o remount,bind,ro "{at}" && cd "{at}" && exec "$0" -c "$1"'
    if subprocess.run([*ANOTHER_MOUNT, script, "true", ""], capture_output=True, check=False).returncode:
        pytest.skip("no mounts of its own here")
    before = sha256_of_file(at / "mlruns/mlflow.db")
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [*ANOTHER_MOUNT, script, sys.executable, code], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "first\n", done.stderr
    assert done.returncode == ExitCode.RESOURCE
    assert "ST-06" in done.stderr
    assert sha256_of_file(at / "mlruns/mlflow.db") == before


def test_a_store_that_is_not_made_yet_may_be_written_where_its_folder_may(tmp_path):
    assert may_be_written(tmp_path / "not yet/mlruns/mlflow.db")


def test_a_project_is_found_from_below_and_from_a_temporary_workspace_of_dvc(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project, expected = tmp_path / "project", f"sqlite:///{tmp_path}/project/mlruns/mlflow.db"
    workspace = project / ".dvc/tmp/exps/tmpabc"
    workspace.mkdir(parents=True)
    (project / "docs").mkdir()
    for folder in (project, workspace):
        (folder / "dvc.yaml").touch()
    monkeypatch.setenv("DVC_ROOT", str(project))
    for place in (project, project / "docs", workspace):
        monkeypatch.chdir(place)
        assert tracking_uri() == expected
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # DVC_ROOT of a stage that starts work in another project
    assert tracking_uri() == f"sqlite:///{tmp_path}/other/mlruns/mlflow.db"
