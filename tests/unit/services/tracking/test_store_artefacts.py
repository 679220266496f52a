"""Artefacts that the store has whole, or not at all."""

import resource

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.tracking.runs import run_with_true_status
from femseg.services.tracking.store import artefacts_taken

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

MIB = 2**20


@pytest.fixture
def files(tmp_path):
    """A small file, and one that the disk has no room for."""
    small, large = tmp_path / "small.csv", tmp_path / "large.bin"
    small.write_bytes(b"1")
    large.write_bytes(bytes(16 * MIB))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MIB, before[1]))
    yield small, large
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_fails_the_run_and_lists_no_part_of_an_artefact_TK_08(store, run_id, files):
    client, _ = store
    small, large = files
    with pytest.raises(Refusal) as refused, run_with_true_status(client, run_id):
        client.log_artifact(run_id, str(small), "report")
        with artefacts_taken(client, "the report"):
            client.log_artifact(run_id, str(large), "report")
    (fault,) = refused.value.faults
    assert (fault.id, fault.exit_code) == ("TK-08", ExitCode.RESOURCE)
    assert "did not take the report: File too large" in fault.problem
    assert client.get_run(run_id).info.status == "FAILED"
    assert [file.path for file in client.list_artifacts(run_id, "report")] == ["report/small.csv"]


def test_a_store_that_is_away_is_no_full_disk_TK_01():
    client = MlflowClient("http://127.0.0.1:9")
    with pytest.raises(Refusal) as refused, artefacts_taken(client, "the report"):
        raise MlflowException("connection refused")
    assert refused.value.faults[0].id == "TK-01"
