"""One MLflow store for all tests of the services."""

import pytest
from mlflow.tracking import MlflowClient

from femseg.services.tracking.connect import connect, start_run


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> tuple[MlflowClient, str]:
    folder = tmp_path_factory.mktemp("store")
    return connect(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def run_id(store) -> str:
    client, experiment_id = store
    return start_run(client, experiment_id, name="run", params={"train": {"seed": 1}})
