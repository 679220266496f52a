"""The schema of a tracking database: made once and whole, never changed behind its owner's back."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from femseg.errors import ExitCode, Refusal
from femseg.services.tracking import connect

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def test_processes_that_meet_a_fresh_database_all_get_the_one_experiment_TK_04(tmp_path):
    code = "from femseg.services.tracking import connect; print(connect()[1])"
    env = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert len({out for out, _ in said}) == 1


@pytest.fixture
def database(store, tmp_path):
    """A copy of a store with a run in it."""
    copy = tmp_path / "mlflow.db"
    shutil.copyfile(store[0].tracking_uri.removeprefix("sqlite:///"), copy)
    return copy


def ask(database, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement).fetchall()


def test_an_older_schema_is_refused_with_the_upgrade_command_and_a_backup_is_made_TK_10(database):
    ask(database, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    ask(database, "DROP TABLE model_versions")  # MLflow would upgrade such a database at once, without a word
    before = database.read_bytes()
    with pytest.raises(Refusal) as refused:
        connect(f"sqlite:///{database}")
    (fault,) = refused.value.faults
    backup = database.with_name("mlflow.db.451aebb31d03.backup")
    assert (fault.id, fault.exit_code) == ("TK-10", ExitCode.USAGE)
    assert "older" in fault.problem
    assert fault.fix == f"the backup is {backup}, then run `mlflow db upgrade sqlite:///{database}`"
    assert database.read_bytes() == before
    assert ask(backup, "SELECT * FROM experiments") == ask(database, "SELECT * FROM experiments")


def test_the_backup_of_an_older_schema_is_made_once_TK_10(database):
    ask(database, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    backup = database.with_name("mlflow.db.451aebb31d03.backup")
    inodes = set()
    for _ in range(2):
        with pytest.raises(Refusal):
            connect(f"sqlite:///{database}")
        inodes.add(backup.stat().st_ino)
    assert len(inodes) == 1


def test_a_newer_schema_is_refused_TK_10(database):
    ask(database, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(Refusal) as refused:
        connect(f"sqlite:///{database}")
    (fault,) = refused.value.faults
    assert (fault.id, fault.exit_code) == ("TK-10", ExitCode.USAGE)
    assert "newer" in fault.problem
    assert "pip install --upgrade mlflow" in fault.fix
    assert not list(database.parent.glob("*.backup"))
