"""A copy of the working tree with a tiny params.yaml, as a git repository of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from femseg.files.durable import sha256_of_file

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

PHANTOMS = 6
TINY: dict[str, Any] = {
    "phantom": {"patients": PHANTOMS, "spacing_mm_zyx": [8.0, 5.0, 5.0], "field_of_view_mm": 200.0},
    "arrays": {"shape_zyx": [32, 16, 16]},
    "split": {"validation": 1, "test": 2},
    "network": {
        "base_channels": 4,
        "strides": [[2, 2, 2], [2, 2, 2]],
        "convolutions_down": [1, 1, 1],
        "convolutions_up": [1, 1],
        "kernel_size": 3,
    },
    "search": {"trials_per_mode": 1, "rungs": [4]},
    "train": {"max_iterations": 10, "validate_every": 5, "checkpoint_every": 5},
    "refine": {"input_modes": [], "trainings": []},
    "compare": {"resamples": 200},
}


def changed(file: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Change keys of sections of a params.yaml."""
    params = yaml.safe_load(file.read_text())
    for section, values in changes.items():
        params[section] |= values
    file.write_text(yaml.safe_dump(params, sort_keys=False))


def environment(project: Path) -> dict[str, str]:
    """For commands in a project: its own code, the tests' interpreter, its own MLflow store, nobody's cluster."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_", "FEMSEG_", "DVC_", "GIT_"))}
    return kept | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(project / "platform"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
    }


def run(project: Path, *command: str, rc: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in a project; `rc` is what it must end with, None takes anything. The test's time limit ends it."""
    done = subprocess.run(command, cwd=project, env=environment(project), capture_output=True, text=True)
    assert rc is None or done.returncode == rc, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def copy_of_the_working_tree(project: Path, settings: Mapping[str, Mapping[str, Any]] = TINY) -> Path:
    """All files that git tracks or would, with tiny settings or others, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name)
    changed(project / "params.yaml", settings)
    run(project, "git", "init", "--quiet", "--initial-branch", "main")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--message", "Tiny project")
    return project


def outs(project: Path) -> list[str]:
    """What dvc.lock says the pipeline has made."""
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    return sorted(out["path"] for stage in stages.values() for out in stage["outs"])


def hashes(project: Path, paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of every file at or below these paths."""
    files: list[Path] = []
    for path in paths:
        at = project / path
        files += [file for file in at.rglob("*") if file.is_file()] if at.is_dir() else [at]
    return {file.relative_to(project).as_posix(): sha256_of_file(file) for file in files}
