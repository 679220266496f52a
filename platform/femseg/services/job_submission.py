"""A command as a job of a Ray cluster: its words as they come, a stop that leaves a checkpoint, its own exit code."""

import asyncio
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from femseg.errors import ExitCode, Fault, Refusal
from femseg.services.cluster_api import require_job_server

RUNTIME_ENV, IN_PROJECT = Path("ray-runtime-env.yaml"), Path("docker/in-project.sh")
_SECONDS_BETWEEN_LOOKS = 0.5


def _client() -> JobSubmissionClient:
    """Of the job server that RAY_API_SERVER_ADDRESS or RAY_ADDRESS names.

    Raises: Refusal CL-08 (exit 9) without the right token, CL-06 (exit 6) if no job server answers.
    """
    require_job_server()
    try:
        return JobSubmissionClient()
    except AuthenticationError as error:
        problem, code, fault_id = f"takes no requests of yours: {_words(error)}", ExitCode.SECURITY, "CL-08"
        fix = 'get the token\'s path from whoever runs the cluster; for your own: eval "$(femseg cluster up)"'
    except (ConnectionError, RuntimeError, ValueError) as error:
        problem, code, fault_id = f"no job server answers: {_words(error)}", ExitCode.SERVICE_DOWN, "CL-06"
        fix = 'start a cluster: eval "$(femseg cluster up)", or set RAY_API_SERVER_ADDRESS'
    raise Refusal(Fault(id=fault_id, file="cluster", problem=problem, fix=fix, exit_code=code))


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _runtime_env() -> dict[str, Any]:
    """What goes along: the code and settings of this folder. Raises: Refusal CFG-01 (exit 2) outside of a project."""
    if not RUNTIME_ENV.exists():
        problem, fix = f"there is no {RUNTIME_ENV} in {Path.cwd()}", "go to the project's folder"
        raise Refusal(Fault(id="CFG-01", file="submit", problem=problem, fix=fix, exit_code=ExitCode.USAGE))
    return {**yaml.safe_load(RUNTIME_ENV.read_text(encoding="utf-8")), "working_dir": "."}


async def _follow(client: JobSubmissionClient, job_id: str) -> JobDetails:
    """Print what a job says until it ends; SIGINT and SIGTERM stop the job, and its end is waited for."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, client.stop_job, job_id)
    try:
        async for words in client.tail_job_logs(job_id):
            print(words, end="", flush=True)
    except RuntimeError:
        pass  # the line to the head broke; whether the job lives on is asked for below
    while not (found := client.get_job_info(job_id)).status.is_terminal():
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    return found


def exit_code_of(found: JobDetails) -> int:
    """Its command's own exit code; 75 if it was stopped; 1 if it never came to run."""
    if found.status == JobStatus.STOPPED:
        return int(ExitCode.RESUMABLE)
    return found.driver_exit_code if found.driver_exit_code is not None else 1


def submitted(command: Sequence[str], *, folder: Path | None) -> int:
    """Run a command with the code of this folder as a job, and see it to its end; returns its exit code.

    Args:
        folder: data folder that the cluster's nodes share, in which to run; None is the upload's own folder.
    Raises: Refusal CFG-01, CL-06, CL-08.
    """
    runtime_env = _runtime_env()
    client = _client()
    words = ["sh", str(IN_PROJECT), str(folder.absolute()), *command] if folder else list(command)
    job_id = client.submit_job(entrypoint=shlex.join(words), runtime_env=runtime_env)
    print(f"job {job_id}; `ray job stop {job_id}` stops it", flush=True)
    found = asyncio.run(_follow(client, job_id))
    if found.status == JobStatus.FAILED and found.driver_exit_code is None:
        print(f"job {job_id} did not run: {found.message}", flush=True)
    return exit_code_of(found)
