"""The schema of a tracking database: made once and whole, never changed behind its owner's back."""

import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from servers.starters import PROCESSES, start_at_once

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.tracking.connect import connect

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_of_16_processes_that_meet_a_fresh_database_all_get_the_one_experiment_TK_04_G8(tmp_path, rounds):
    for number in range(rounds):
        got = start_at_once(f"sqlite:///{tmp_path / f'new{number}' / 'mlflow.db'}", 16)
        assert got == ["1"] * 16


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_makes_the_database_leaves_it_to_the_next_TK_04(tmp_path):
    killed = 0
    for number in range(12):
        uri = f"sqlite:///{tmp_path / f'new{number}' / 'mlflow.db'}"
        maker = PROCESSES.Process(target=connect, args=(uri,))
        maker.start()
        time.sleep(0.2 * number)
        maker.kill()
        maker.join()
        killed += maker.exitcode == -9
        assert start_at_once(uri, 2) == ["1", "1"]
        assert not list(tmp_path.rglob("*.part*"))
    assert killed >= 3


@pytest.mark.slow
def test_the_command_that_a_refusal_names_upgrades_an_older_database_TK_10(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    older = (
        "import sys; from mlflow.store.db.utils import *; from mlflow.store.db.utils import _get_alembic_config\n"
        "from alembic import command; engine = create_sqlalchemy_engine(sys.argv[1])\n"
        "InitialBase.metadata.create_all(engine); config = _get_alembic_config(sys.argv[1])\n"
        "config.attributes['connection'] = connection = engine.connect()\n"
        "command.upgrade(config, '451aebb31d03'); connection.commit()"
    )
    subprocess.run([sys.executable, "-c", older, uri], check=True, timeout=300, capture_output=True)
    with pytest.raises(Refusal) as refused:
        connect(uri)
    command = shlex.split(refused.value.faults[0].fix.split("`")[1])
    assert command[:3] == ["mlflow", "db", "upgrade"]
    subprocess.run([sys.executable, "-m", *command], check=True, timeout=300, capture_output=True)
    assert connect(uri)[1] == "1"


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
