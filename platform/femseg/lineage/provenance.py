"""What stands behind a model: code, data and settings by their hashes; written into its package."""

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import femseg
from femseg.errors import Refusal, words_of
from femseg.paths import DVC_LOCK
from femseg.settings import BadYaml, load_bounded

_LOCKED_VALUES = 1_000_000  # a path has four; the demo's dvc.lock has a few thousand
_PACKAGES = ("torch", "numpy", "SimpleITK", "ray", "mlflow", "dvc")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitState:
    """The commit that trained a model, and whether tracked files differed from it; None where there was no git."""

    commit: str | None = None
    modified: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """`lineage.json` of a package.

    Attributes:
        git: the code.
        dvc_md5: outs of earlier stages that the training read, as dvc.yaml names them, to the MD5 of dvc.lock.
        sha256: our own hashes: inputs, masks, split, manifest, code.
        seed: of the training.
        version: of this layout; files of femseg 0.1 have none and are read as they are.
    """

    git: GitState = field(default_factory=GitState)
    dvc_md5: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    version: int = 1


def git_state(repository: Path) -> GitState:
    """The commit, and whether tracked files differed from it; None where there is no git.

    dvc.lock does not count: DVC writes it after every stage, and what it says stands in the lineage by itself.
    """
    status, _ = _git(repository, "status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){DVC_LOCK}")
    commit, _ = _git(repository, "rev-parse", "HEAD")
    return GitState(commit=commit, modified=None if status is None else bool(status))


def commit_remark(repository: Path) -> str:
    """ "" where git names a commit; else, with git's own words, what that means for a model that is trained now."""
    commit, problem = _git(repository, "rev-parse", "--verify", "HEAD")
    if commit:
        return ""
    return f"warning RG-04: git names no commit ({problem}); a model trained now can never pass the gate"


def _git(repository: Path, *words: str) -> tuple[str | None, str]:
    """What git prints; or None, and what git says against it."""
    try:
        done = subprocess.run(["git", *words], cwd=repository, capture_output=True, text=True, check=False)
    except OSError as error:  # no git on this machine
        return None, f"git: {error.strerror}"
    return (done.stdout.strip(), "") if done.returncode == 0 else (None, words_of(done.stderr))


def dvc_hashes(lock_file: Path, paths: Sequence[str]) -> dict[str, str]:
    """What dvc.lock says of these outs: path to MD5; paths that it does not know are absent.

    Raises: Refusal ST-02 (exit 4) if it is no such file.
    """
    if not lock_file.exists():
        return {}
    try:
        text = lock_file.read_text(encoding="utf-8")
        stages = (load_bounded(text, values_at_most=_LOCKED_VALUES) or {}).get("stages", {})
        known = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", []) if "md5" in out}
    except (BadYaml, OSError, UnicodeDecodeError, AttributeError, TypeError, KeyError) as error:
        problem = f"is not as DVC writes it ({words_of(error)})"
        fix = f"take it again from git (`git checkout {DVC_LOCK}`)"
        raise Refusal.of("ST-02", lock_file, problem, fix) from None
    return {path: known[path] for path in paths if path in known}


def code_sha256(packages: Sequence[str]) -> str:
    """One hash over the source of these packages of femseg ("networks", "training").

    Raises: Refusal ST-02 (exit 4) if the source has gone since it was imported.
    """
    root = Path(femseg.__file__).parent
    digest = hashlib.sha256()
    files = sorted(file for package in packages for file in (root / package).rglob("*.py"))
    if not files:
        raise Refusal.of("ST-02", root, "femseg's source is no longer there", "start the same command again")
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def software_versions() -> dict[str, str]:
    """Versions of femseg and of what its numbers depend on."""
    return {"femseg": femseg.__version__, **{name: version(name) for name in _PACKAGES}}


def lineage(repository: Path, *, inputs: Sequence[str], sha256: Mapping[str, str], seed: int) -> Lineage:
    """`lineage.json` of a package.

    Args:
        repository: where dvc.lock and git are.
        inputs: outs of earlier stages that the training read, as dvc.yaml names them.
        sha256: our own hashes of the same: array indices, split, manifest.
    """
    return Lineage(
        git=git_state(repository), dvc_md5=dvc_hashes(repository / DVC_LOCK, inputs), sha256=dict(sha256), seed=seed
    )
