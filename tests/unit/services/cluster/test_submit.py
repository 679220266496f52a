"""How a job's end becomes an exit code, and what is refused before anything is submitted."""

from importlib import metadata

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from femseg.errors import Refusal
from femseg.services.cluster.submit import exit_code_of, missing_requirements, require_job_server, submitted


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


def test_ray_without_its_job_server_is_named_with_the_command_that_installs_it_CL_06(tmp_path, monkeypatch):
    about = tmp_path / "halfray-2.60.0.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(
        "Metadata-Version: 2.1\nName: halfray\nVersion: 2.60.0\nProvides-Extra: default\nRequires-Dist: numpy\n"
        'Requires-Dist: no-such-server>=3; extra == "default"\nRequires-Dist: numpy; extra == "default"\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert metadata.version("halfray") == "2.60.0"
    with pytest.raises(Refusal, match=r"CL-06: halfray: .*no-such-server.*halfray\[default\]==2\.60\.0") as refused:
        require_job_server("halfray")
    assert refused.value.exit_code == 6


def test_ray_here_has_its_job_server():
    assert missing_requirements("ray", "default") == []
