"""A second working tree at an older commit, with the data of that time: what a replay runs in."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo

from femseg.cohorts.manifest import cohort_root, read_manifest
from femseg.errors import Refusal, printable, words_of
from femseg.lineage.materials import Materials, is_inside
from femseg.lineage.replayed import GRID_FOLDERS
from femseg.paths import (
    CASCADE,
    COHORT,
    DVC_LOCK,
    EVALUATED,
    MANIFEST,
    REFINE_ARRAYS,
    SPLIT,
    arrays_of,
    evaluation_of,
    model_of,
)


def materials_of(repository: Path) -> Materials:
    """The repository's data, in the working tree and in DVC's cache; without the cache where DVC is not set up."""
    try:
        with Repo(str(repository)) as repo:
            cache = Path(repo.cache.local.path)
    except DvcException:
        return Materials(root=repository, cache=None)
    return Materials(root=repository, cache=cache)


def make_scratch(folder: Path, repository: Path, commit: str) -> None:
    """A clone that shares the repository's objects, checked out at a commit; the repository itself is left as it is.

    Raises: Refusal LN-03 (exit 4) if git cannot.
    """
    words = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(repository.absolute()), str(folder)]
    _run(words, folder.parent)
    _run(["git", "checkout", "--quiet", "--detach", commit], folder)


def bring_data(scratch: Path, repository: Path, md5: Mapping[str, str]) -> None:
    """Check these DVC outs out into a scratch tree, from the repository's cache, else from its remote.

    Args:
        md5: by path, as the lineage names them; they need not be those of any dvc.lock in git.
    Raises: Refusal LN-03 (exit 4) if DVC has none of them any more, SC-08 (exit 2) if a folder's listing names files
        outside of it: DVC would write there.
    """
    stages: dict[str, list[dict[str, str]]] = {}
    for path, value in md5.items():
        stages.setdefault(_stage_of(path), []).append({"path": path, "hash": "md5", "md5": value})
    lock = {"schema": "2.0", "stages": {stage: {"cmd": "-", "outs": outs} for stage, outs in stages.items()}}
    (scratch / DVC_LOCK).write_text(yaml.safe_dump(lock), encoding="utf-8")
    _share_dvc(scratch, repository)
    materials = materials_of(scratch)
    if any(materials.in_cache(value) is None for value in md5.values()):
        _run(_dvc("fetch", *md5), scratch)
    for path, value in md5.items():
        _require_inside(path, value, materials)
    try:
        _run(_dvc("checkout", *md5), scratch)
    except Refusal:  # a file of a folder was missing
        _run(_dvc("fetch", *md5), scratch)
        _run(_dvc("checkout", *md5), scratch)


def _require_inside(path: str, md5: str, materials: Materials) -> None:
    """Look at a folder's listing before DVC does, which writes wherever it says."""
    if not md5.endswith(".dir"):
        return
    try:
        names = [str(entry["relpath"]) for entry in json.loads(materials.in_cache(md5) or b"")]
    except (ValueError, TypeError, KeyError, RecursionError):
        problem = "DVC's listing of this folder is missing, altered, or none"
        raise _refused("LN-03", path, problem) from None
    if outside := [name for name in names if not is_inside(name)]:
        problem = f"DVC's listing of this folder names a file outside of it: {printable(outside[0])[:100]}"
        raise _refused("SC-08", path, problem)


def _refused(fault_id: str, path: str, problem: str) -> Refusal:
    fix = "do not check it out; find out who wrote it (`dvc pull` of the right data brings another one)"
    return Refusal.of(fault_id, path, problem, fix)


def bring_package(scratch: Path, package: Path, name: str) -> None:
    """Put a model package where the stages look for it."""
    shutil.copytree(package, scratch / model_of(name), dirs_exist_ok=True)


def bring_studies(scratch: Path, repository: Path) -> None:
    """Link the studies that the manifest names, where they lie outside of the cohort's own folder.

    Every file of a study is compared with its SHA-256 in the manifest whenever it is read, so a link is as good.
    """
    manifest = read_manifest(scratch / MANIFEST)
    wanted, there = cohort_root(manifest, scratch / MANIFEST), cohort_root(manifest, repository / MANIFEST)
    if wanted == there or not there.is_dir():
        return
    wanted.mkdir(parents=True, exist_ok=True)
    for study in there.iterdir():
        if not (wanted / study.name).exists():
            (wanted / study.name).symlink_to(study)


def evaluate_again(scratch: Path, name: str) -> Path:
    """Run the stage `evaluate` of the scratch tree's own code; returns the folder that it wrote.

    Raises: Refusal LN-03 (exit 4) with the stage's last words.
    """
    words = [sys.executable, "-m", "pipelines.evaluate", "--input-mode", name]
    _run(words, scratch, PYTHONPATH=str((scratch / "platform").absolute()))
    return scratch / evaluation_of(name)


def evaluated_paths(name: str) -> tuple[str, ...]:
    """The outs of `evaluate` that hold masks."""
    return tuple((evaluation_of(name) / grid).as_posix() for grid in GRID_FOLDERS)


def _stage_of(path: str) -> str:
    """The stage of dvc.yaml that has this out."""
    below, name = Path(path).parent, Path(path).name
    if below.parent == EVALUATED:
        training = below.name.removeprefix(CASCADE)
        return f"evaluate@{training}" if training == below.name else f"evaluate_cascade@{training}"
    of_masks = ("mask", "places", "tissue")
    fixed = {
        "masks": [arrays_of(kind) for kind in of_masks],
        "refine_masks": [arrays_of(kind, scale="refine") for kind in of_masks],
    }
    fixed |= {"cohort": [COHORT], "split": [SPLIT]}
    for stage, paths in fixed.items():
        if Path(path) in paths:
            return stage
    return f"refine_arrays@{name}" if below == REFINE_ARRAYS else f"arrays@{name}"


def _share_dvc(scratch: Path, repository: Path) -> None:
    """The same cache, remotes and credentials as the repository's; a remote's relative path counts from there."""
    private = repository / ".dvc" / "config.local"
    if private.is_file():
        shutil.copy2(private, scratch / ".dvc" / "config.local")
    with Repo(str(repository)) as repo:
        settings = {"cache.dir": repo.cache.local_cache_dir}
        settings |= {f"remote.{name}.url": str(one["url"]) for name, one in repo.config["remote"].items()}
    for name, value in settings.items():
        _run(_dvc("config", "--local", name, value), scratch)


def _dvc(*words: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *words]


def _run(words: Sequence[str], folder: Path, **environment: str) -> None:
    """Run a program quietly. Raises: Refusal LN-03 with the last line that it said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        words, cwd=folder, env=inherited | environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        called = " ".join(words[:3] if words[0] == sys.executable else words[:2]).replace(sys.executable, "python")
        problem = f"`{called}` ended with {done.returncode}: {words_of(done.stderr.strip() or done.stdout)}"
        fix = "bring what is missing (`git fetch`, `dvc pull`), then replay again"
        raise Refusal.of("LN-03", folder, problem, fix)
