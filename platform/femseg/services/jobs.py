"""Which Ray job this process is."""

import json
import os

from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR


def job_tags() -> dict[str, str]:
    """The tag `ray_job`: the submission id of `ray job submit`; none where a stage runs by itself.

    The job server hands the id to a job in this variable, also before Ray is started in it.
    """
    try:
        job = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))["metadata"]["job_submission_id"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {"ray_job": str(job)}
