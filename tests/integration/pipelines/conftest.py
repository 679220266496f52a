"""One tiny project whose whole pipeline has run; tests that change something work on a copy of it."""

import os
import shutil
from pathlib import Path

import pytest
from tiny_project import copy_of_the_working_tree, run


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """After `git commit` and one `dvc repro`; to be left as it is."""
    folder = copy_of_the_working_tree(tmp_path_factory.mktemp("pipeline") / "project")
    done = run(folder, "dvc", "repro")
    (folder.parent / "repro.log").write_text(done.stdout + done.stderr)
    return folder


@pytest.fixture
def copy(project, tmp_path) -> Path:
    """To do with as one likes."""
    shutil.copytree(project, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


@pytest.fixture
def light_copy(project, tmp_path) -> Path:
    """To replace files of, never to write into them: all but databases are links. Without DVC's cache."""

    def linked(file: str, to: str) -> None:
        (shutil.copy2 if file.endswith((".db", ".yaml")) else os.link)(file, to)

    but = shutil.ignore_patterns("cache", ".git")
    shutil.copytree(project, tmp_path / "project", symlinks=True, ignore=but, copy_function=linked)
    return tmp_path / "project"


@pytest.fixture(scope="session")
def clone(project, tmp_path_factory) -> Path:
    """What a colleague gets: `dvc push` here, `git clone` and `dvc pull` there."""
    folder = tmp_path_factory.mktemp("colleague")
    origin = folder / "origin"
    shutil.copytree(project, origin, symlinks=True)
    run(origin, "dvc", "remote", "add", "--default", "store", str(folder / "store"))
    run(origin, "git", "add", "--all")
    run(origin, "git", "commit", "--quiet", "--message", "Run the pipeline")
    run(origin, "dvc", "push")
    run(folder, "git", "clone", "--quiet", str(origin), str(folder / "clone"))
    run(folder / "clone", "dvc", "pull")
    return folder / "clone"
