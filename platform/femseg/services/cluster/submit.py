"""A command as a job of a Ray cluster: its words as they come, a stop that leaves a checkpoint, its own exit code."""

import asyncio
import json
import os
import shlex
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from femseg.errors import Refusal, words_of
from femseg.faults import ExitCode
from femseg.settings import read_whole

RUNTIME_ENV, IN_PROJECT = Path("ray-runtime-env.yaml"), Path("docker/in-project.sh")
_SECONDS_BETWEEN_LOOKS, _SECONDS_BETWEEN_QUESTIONS = 0.5, 2.0
_ANSWER_WITHIN_S, _SILENT_S = 10.0, 30.0


def missing_requirements(package: str, extra: str) -> list[str]:
    """Which packages of an extra are not installed here."""
    missing = []
    for requirement in map(Requirement, requires(package) or ()):
        if requirement.marker and requirement.marker.evaluate({"extra": extra}):
            try:
                version(requirement.name)
            except PackageNotFoundError:
                missing.append(requirement.name)
    return missing


def require_job_server(package: str = "ray", extra: str = "default") -> None:
    """Refuse (CL-06, exit 6) where Ray is installed without dashboard and job server."""
    if missing := missing_requirements(package, extra):
        problem = f"its job server needs packages that are not installed: {', '.join(sorted(missing))}"
        fix = f"pip install '{package}[{extra}]=={version(package)}'"
        raise Refusal.of("CL-06", package, problem, fix)


def _client() -> JobSubmissionClient:
    """Of the job server that RAY_API_SERVER_ADDRESS or RAY_ADDRESS names.

    Raises: Refusal CL-08 (exit 9) without the right token, CL-06 (exit 6) if no job server answers.
    """
    require_job_server()
    try:
        return JobSubmissionClient()
    except AuthenticationError as error:
        problem, fault_id = f"takes no requests of yours: {words_of(error)}", "CL-08"
        fix = "export RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH with the file of the cluster's token"
    except (ConnectionError, RuntimeError, ValueError) as error:
        problem, fault_id = f"no job server answers: {words_of(error)}", "CL-06"
        fix = "start a cluster by `ray start --head`, or export RAY_API_SERVER_ADDRESS of one that is up"
    raise Refusal.of(fault_id, "cluster", problem, fix)


def _runtime_env() -> dict[str, Any]:
    """What goes along: the code and settings of this folder. Raises: Refusal CFG-01 (exit 2) outside of a project."""
    if not RUNTIME_ENV.exists():
        problem, fix = f"there is no {RUNTIME_ENV} in {Path.cwd()}", "go to the project's folder"
        raise Refusal.of("CFG-01", "submit", problem, fix)
    return {**read_whole(dict[str, Any], "runtime_env", file=RUNTIME_ENV), "working_dir": "."}


async def _told(client: JobSubmissionClient, job_id: str) -> JobDetails:
    """What the job server says of a job; it is asked in a thread that nobody waits for, as Ray's question has no end.

    Raises: TimeoutError, OSError or RuntimeError if it does not say.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[JobDetails] = loop.create_future()

    def give(found: JobDetails | None, error: Exception | None) -> None:
        if not answer.done():
            answer.set_exception(error) if error else answer.set_result(found)  # type: ignore[arg-type]

    def ask() -> None:
        found, problem = None, None
        try:
            found = client.get_job_info(job_id)
        except Exception as error:
            problem = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(give, found, problem)

    threading.Thread(target=ask, daemon=True, name="job").start()
    return await asyncio.wait_for(answer, _ANSWER_WITHIN_S)


async def _shown(client: JobSubmissionClient, job_id: str) -> None:
    """Print what a job says, as it says it; a line to the head that breaks ends this, and nothing else."""
    with suppress(RuntimeError, OSError):
        async for words in client.tail_job_logs(job_id):
            print(words, end="", flush=True)


async def _follow(client: JobSubmissionClient, job_id: str) -> JobDetails:
    """Show what a job says until it ends; SIGINT and SIGTERM stop the job, and its end is waited for.

    Raises: Refusal CL-06 (exit 6) if the job server says nothing of the job for a while.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, client, job_id)
    shown = asyncio.ensure_future(_shown(client, job_id))
    answered_at = time.monotonic()
    try:
        while True:
            try:
                found = await _told(client, job_id)
                if found.status.is_terminal():
                    await asyncio.wait([shown], timeout=_ANSWER_WITHIN_S)  # its last words
                    return found
                answered_at = time.monotonic()
            except (TimeoutError, OSError, RuntimeError) as error:
                if time.monotonic() - answered_at > _SILENT_S:
                    raise _lost(job_id, error) from error
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            await asyncio.wait([shown], timeout=_SECONDS_BETWEEN_QUESTIONS)  # at once, once it has said all
    finally:
        shown.cancel()


def _stop(client: JobSubmissionClient, job_id: str) -> None:
    with suppress(RuntimeError, OSError):  # a head that is gone has taken the job along
        client.stop_job(job_id)


def _lost(job_id: str, error: Exception) -> Refusal:
    problem = f"the job server has said nothing of job {job_id} for {_SILENT_S:.0f} s: {words_of(error)}"
    fix = "if the head is lost, start the cluster again; the same command then goes on from the last checkpoint"
    return Refusal.of("CL-06", "cluster", problem, fix)


def exit_code_of(found: JobDetails) -> int:
    """Its command's own exit code; 75 if it was stopped; 1 if it never came to run."""
    if found.status == JobStatus.STOPPED:
        return int(ExitCode.RESUMABLE)
    return found.driver_exit_code if found.driver_exit_code is not None else int(ExitCode.INTERNAL)


def submitted(command: Sequence[str], *, folder: Path | None) -> int:
    """Run a command with the code of this folder as a job, and see it to its end; returns its exit code.

    Args:
        folder: data folder that the cluster's nodes share, in which to run; None is the upload's own folder.
    Raises: Refusal CFG-01, CL-06, CL-08.
    """
    runtime_env = _runtime_env()
    client = _client()
    words = ["sh", str(IN_PROJECT), str(folder.absolute()), *command] if folder else list(command)
    try:
        job_id = client.submit_job(entrypoint=shlex.join(words), runtime_env=runtime_env)
    except (OSError, RuntimeError) as error:
        problem, fix = f"the job server does not take the job: {words_of(error)}", "mend that, and submit it again"
        raise Refusal.of("CL-06", "cluster", problem, fix) from error
    print(f"job {job_id}; `ray job stop {job_id}` stops it", flush=True)
    found = asyncio.run(_follow(client, job_id))
    if found.status == JobStatus.FAILED and found.driver_exit_code is None:
        print(f"job {job_id} did not run: {found.message}", flush=True)
    return exit_code_of(found)


def job_tags() -> dict[str, str]:
    """The tag `ray_job`: the submission id of `ray job submit`; none where a stage runs by itself.

    The job server hands the id to a job in this variable, also before Ray is started in it.
    """
    try:
        job = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))["metadata"]["job_submission_id"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {"ray_job": str(job)}
