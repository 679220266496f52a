"""The schema of a tracking database: made once and whole, and never that of another MLflow."""

import fcntl
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import mlflow
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.store import db_migrations
from sqlalchemy import create_engine, inspect, text

from femseg.errors import Refusal
from femseg.files.durable import refuse_if_unwritable, written_durably
from femseg.services.tracking.address import local_database, local_uri
from femseg.services.tracking.local_store import artifact_root, settle_here

_MIGRATIONS = Path(db_migrations.__file__).parent


def require_schema(uri: str) -> None:
    """See to it that a database has this MLflow's schema; a fresh SQLite file is made by one process, others wait.

    Raises: Refusal TK-10 (exit 2) if another MLflow made the schema; SQLAlchemyError or OSError if it cannot be read.
    """
    if database := local_database(uri):
        with _one_at_a_time(database):
            if not database.exists() or not database.stat().st_size:
                _make(database)
            _refuse_other_schema(uri)
            settle_here(database)
        return
    _refuse_other_schema(uri)


@contextmanager
def _one_at_a_time(database: Path) -> Iterator[None]:
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = (database.parent / f".{database.name}.lock").open("w")
    except OSError as error:
        refuse_if_unwritable(database, error)
        raise
    with lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(database: Path) -> None:
    """Under another name first: a process that is killed meanwhile leaves no half-made schema."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # a second of loading that servers do not need

    with written_durably(database) as temporary:
        store = SqlAlchemyStore(local_uri(temporary), artifact_root(database))
        store.engine.dispose()


def _refuse_other_schema(uri: str) -> None:
    """MLflow itself would change an older schema at once, without a backup."""
    found = _revision(uri)
    if found in (None, _head()):
        return
    ours = ScriptDirectory(str(_MIGRATIONS))
    expected = ours.get_current_head()
    if found == expected:
        return
    try:
        older = ours.get_revision(found) is not None
    except CommandError:  # no revision of this MLflow: a later one made it
        older = False
    database = local_database(uri)
    name = f"database of {database}" if database else "tracking database"
    if older:
        backup = _backup(uri, str(found))
        fix = f"{backup}, then run `mlflow db upgrade {uri if database else 'DATABASE_URI'}`"
    else:
        fix = "install the MLflow that made it (`pip install --upgrade mlflow`), or set MLFLOW_TRACKING_URI to another"
    raise Refusal.of(
        "TK-10",
        name,
        f"its schema is {found}, {'older' if older else 'newer'} than MLflow {mlflow.__version__}'s {expected}",
        fix,
    )


def _head() -> str | None:
    """The revision that no other builds on, read from the migrations as text: running them all takes half a second."""
    texts = [file.read_text(encoding="utf-8") for file in (_MIGRATIONS / "versions").glob("*.py")]
    heads = {name for text in texts for name in re.findall(r'^revision = "(\w+)"', text, re.MULTILINE)}
    heads -= {name for text in texts for name in re.findall(r'^down_revision = "(\w+)"', text, re.MULTILINE)}
    return heads.pop() if len(heads) == 1 else None


def _revision(uri: str) -> str | None:
    """The schema's revision; None in a database that has none yet."""
    engine = create_engine(uri)
    try:
        if not inspect(engine).has_table("alembic_version"):
            return None
        with engine.connect() as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    finally:
        engine.dispose()


def _backup(uri: str, revision: str) -> str:
    """Copy a SQLite database beside itself, once; says so, or that it is the user's to do."""
    database = local_database(uri)
    if database is None:
        return "back the database up (`pg_dump`)"
    copy = database.with_name(f"{database.name}.{revision}.backup")
    if not copy.exists():
        with (
            written_durably(copy) as temporary,
            closing(sqlite3.connect(database)) as source,
            closing(sqlite3.connect(temporary)) as target,
        ):
            source.backup(target)
    return f"the backup is {copy}"
