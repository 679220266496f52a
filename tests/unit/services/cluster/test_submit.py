"""How a job's end becomes an exit code."""

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from femseg.errors import Refusal
from femseg.services.cluster.submit import exit_code_of, submitted


@pytest.mark.parametrize(
    ("status", "own", "code"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 4, 4),
        (JobStatus.FAILED, 75, 75),
        (JobStatus.STOPPED, None, 75),
        (JobStatus.FAILED, None, 1),
    ],
    ids=["done", "integrity", "resumable", "stopped", "never ran"],
)
def test_a_job_ends_as_its_command_did(status, own, code):
    found = JobDetails(type=JobType.SUBMISSION, status=status, entrypoint="true", driver_exit_code=own)
    assert exit_code_of(found) == code


def test_outside_of_a_project_nothing_is_uploaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match="CFG-01: submit: there is no ray-runtime-env"):
        submitted(["true"], folder=None)
