"""A run knows the Ray job that it is part of."""

import json

import pytest

from femseg.services.cluster.submit import job_tags

VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def test_a_job_is_named_by_its_submission_id(monkeypatch):
    monkeypatch.setenv(VARIABLE, json.dumps({"runtime_env": {}, "metadata": {"job_submission_id": "raysubmit_7"}}))
    assert job_tags() == {"ray_job": "raysubmit_7"}


@pytest.mark.parametrize("value", [None, "", "{}", '{"metadata": null}', "torn {"])
def test_a_stage_by_itself_is_no_job(monkeypatch, value):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert job_tags() == {}
