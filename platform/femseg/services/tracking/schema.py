"""The schema of a tracking database: made once and whole, and never that of another MLflow."""

import fcntl
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.store import db_migrations
from sqlalchemy import create_engine, inspect, text

from femseg.errors import Refusal
from femseg.files.durable import written_durably
from femseg.services.tracking.address import SQLITE


def require_schema(uri: str) -> None:
    """See to it that a database has this MLflow's schema; a fresh SQLite file is made by one process, others wait.

    Raises: Refusal TK-10 (exit 2) if another MLflow made the schema; SQLAlchemyError or OSError if it cannot be read.
    """
    if uri.startswith(SQLITE):
        database = Path(uri.removeprefix(SQLITE))
        database.parent.mkdir(parents=True, exist_ok=True)
        with (database.parent / f".{database.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not database.exists() or not database.stat().st_size:
                _make(database)
    _refuse_other_schema(uri)


def artifact_root(uri: str) -> str | None:
    """Where runs of a SQLite store keep artefacts: beside the database. A server has its own place."""
    return (Path(uri.removeprefix(SQLITE)).parent / "artifacts").as_uri() if uri.startswith(SQLITE) else None


def _make(database: Path) -> None:
    """Under another name first: a process that is killed meanwhile leaves no half-made schema."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # a second of loading that servers do not need

    with written_durably(database) as temporary:
        store = SqlAlchemyStore(f"{SQLITE}{temporary}", str(artifact_root(f"{SQLITE}{database}")))
        store.engine.dispose()


def _refuse_other_schema(uri: str) -> None:
    """MLflow itself would change an older schema at once, without a backup."""
    found, ours = _revision(uri), ScriptDirectory(str(Path(db_migrations.__file__).parent))
    expected = ours.get_current_head()
    if found in (None, expected):
        return
    try:
        older = ours.get_revision(found) is not None
    except CommandError:  # no revision of this MLflow: a later one made it
        older = False
    name = f"database of {uri.removeprefix(SQLITE)}" if uri.startswith(SQLITE) else "tracking database"
    if older:
        backup = _backup(uri, str(found))
        fix = f"{backup}, then run `mlflow db upgrade {uri if uri.startswith(SQLITE) else 'DATABASE_URI'}`"
    else:
        fix = "install the MLflow that made it (`pip install --upgrade mlflow`), or set MLFLOW_TRACKING_URI to another"
    raise Refusal.of(
        "TK-10",
        name,
        f"its schema is {found}, {'older' if older else 'newer'} than MLflow {mlflow.__version__}'s {expected}",
        fix,
    )


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
    if not uri.startswith(SQLITE):
        return "back the database up (`pg_dump`)"
    database = Path(uri.removeprefix(SQLITE))
    copy = database.with_name(f"{database.name}.{revision}.backup")
    if not copy.exists():
        with (
            written_durably(copy) as temporary,
            closing(sqlite3.connect(database)) as source,
            closing(sqlite3.connect(temporary)) as target,
        ):
            source.backup(target)
    return f"the backup is {copy}"
