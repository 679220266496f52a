"""From a package to the code that trained it: the git commit, and whether that commit holds this code."""

import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from femseg.promotion.links import Link, shortened

TRAINED_BY = ("networks", "training")  # what `lineage.sha256.code` is taken of
_SOURCE = "platform/femseg"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def code_links(lineage: Mapping[str, Any], repository: Path) -> list[Link]:
    """The links "git commit" and "training code".

    A commit from which files differed counts as long as it holds the very code that trained, by hash: the settings
    stand in the package. Without that it is broken, for nobody can go back to that code.
    """
    git, expected = lineage.get("git", {}), str(lineage.get("sha256", {}).get("code", ""))
    commit = str(git.get("commit") or "")
    if not is_commit(commit):
        what = "no commit is named: it was trained outside a git repository" if not commit else "is no commit"
        return [Link(what="git commit", value=commit[:64], state="broken", note=what)]
    differed = "other files than the training code differed from it" if git.get("modified") is not False else ""
    found = code_sha256_at(repository, commit)
    if found is None:
        unknown = "is not in this repository; `git fetch` may bring it"
        if differed:
            note = f"{unknown}, and files differed from it when it was trained"
            return [Link(what="git commit", value=commit, state="broken", note=note)]
        code = Link(what="training code", value=expected, state="not here", note="with its commit")
        return [Link(what="git commit", value=commit, state="not here", note=unknown), code]
    if found != expected:
        note = f"the commit holds {shortened(found)}: the model was trained with other code"
        code = Link(what="training code", value=expected, state="broken", note=note)
    else:
        code = Link(what="training code", value=expected, state="holds", note="as in the commit")
    return [Link(what="git commit", value=commit, state="holds", note=differed or "in this repository"), code]


def is_commit(text: str) -> bool:
    """Whether this is a full commit id, and so no option of git either."""
    return _COMMIT.fullmatch(text) is not None


def code_sha256_at(repository: Path, commit: str) -> str | None:
    """What `lineage.code_sha256` gives for the code of a commit; None if the repository has no such commit."""
    folders = [f"{_SOURCE}/{package}" for package in TRAINED_BY]
    try:
        done = subprocess.run(
            ["git", "archive", "--format=tar", commit, "--", *folders], cwd=repository, capture_output=True, check=False
        )
    except FileNotFoundError:  # no git on this machine
        return None
    if done.returncode != 0:
        return None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        files = {
            PurePosixPath(member.name).relative_to(_SOURCE): member for member in archive if member.name.endswith(".py")
        }
        digest = hashlib.sha256()
        for name in sorted(files):
            content = archive.extractfile(files[name])
            digest.update(name.as_posix().encode() + b"\0" + (content.read() if content else b""))
    return digest.hexdigest()
