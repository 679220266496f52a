"""From a package to the data that trained it: DVC's MD5 of each input, and our own SHA-256 of what lies behind them."""

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from femseg.errors import words_of
from femseg.files.durable import sha256_of_json
from femseg.lineage.materials import Link, Materials, is_inside, is_md5, shortened
from femseg.lineage.provenance import Lineage
from femseg.paths import MANIFEST, trained_from


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vouched:
    """One of our own hashes: what it is called, its key in the lineage, and the file that it is taken of."""

    what: str
    key: str
    path: str
    inner: str = ""
    hashed: Callable[[bytes], str] = lambda content: hashlib.sha256(content).hexdigest()

    def hash_of(self, content: bytes) -> str:
        """The hash of a file's bytes; of a torn file one that equals none."""
        try:
            return self.hashed(content)
        except (ValueError, KeyError, TypeError, RecursionError):
            return "no hash"


def _vouched(input_mode: str, refine_mode: str, *, painted: bool = False) -> tuple[_Vouched, ...]:
    cohort, inputs, masks, split, *more = trained_from(input_mode, refine_mode, painted=painted)
    keys = ("inputs", "masks", "places")
    finer, scenes = (more[: len(keys)], more[len(keys) :]) if refine_mode else ([], more)
    return (
        _Vouched(what="cohort manifest", key="manifest", path=cohort, inner=MANIFEST.name),
        _Vouched(what="split", key="split", path=split, hashed=lambda text: sha256_of_json(json.loads(text)["parts"])),
        _Vouched(what="network inputs", key="inputs", path=inputs, inner="index.json"),
        _Vouched(what="network masks", key="masks", path=masks, inner="index.json"),
        *(
            _Vouched(what=f"{key} of the finer network", key=f"refine_{key}", path=path, inner="index.json")
            for key, path in zip(keys, finer, strict=False)
        ),
        *(
            _Vouched(what=what, key=key, path=path, inner="index.json")
            for what, key, path in zip(
                ("scenes", "scenes of the finer network"), ("fields", "refine_fields"), scenes, strict=False
            )
        ),
    )


def data_links(lineage: Lineage, input_mode: str, materials: Materials, refine_mode: str = "") -> list[Link]:
    """A link for each DVC input of the training, one for each of our own hashes of them, and the seed."""
    md5 = lineage.dvc_md5
    vouched = _vouched(input_mode, refine_mode, painted="fields" in lineage.sha256)
    paths = dict.fromkeys([*(one.path for one in vouched), *md5])
    links = [_dvc_link(path, md5.get(path, ""), materials) for path in paths]
    for one in vouched:
        links.append(_own_link(one, lineage.sha256.get(one.key, ""), md5.get(one.path, ""), materials))
    if lineage.seed is None:
        return [*links, Link(what="seed", value="", state="broken", note="no seed is named")]
    return [*links, Link(what="seed", value=str(lineage.seed), state="holds")]


def _dvc_link(path: str, md5: str, materials: Materials) -> Link:
    what = f"DVC {path}"
    if not md5:
        return Link(what=what, value="", state="broken", note="dvc.lock did not name it when the model was trained")
    if not is_md5(md5) or not is_inside(path):
        return Link(what=what, value=md5[:40], state="broken", note="is no MD5 of a path in this repository")
    if materials.in_cache(md5) is not None:
        return Link(what=what, value=md5, state="holds", note="in DVC's cache")
    if materials.locked_md5(path) == md5:
        return Link(what=what, value=md5, state="holds", note="as dvc.lock names it; `dvc pull` brings it")
    return Link(what=what, value=md5, state="not here", note="neither in DVC's cache nor in dvc.lock at hand")


def _own_link(one: _Vouched, expected: str, md5: str, materials: Materials) -> Link:
    if not expected:
        return Link(what=one.what, value="", state="broken", note="the lineage names no hash of it")
    cached, lying = materials.in_cache(md5, one.inner), materials.in_tree(one.path, one.inner)
    if cached is not None and (found := one.hash_of(cached)) != expected:
        note = f"DVC's {shortened(md5)} holds {shortened(found)}, trained on was {shortened(expected)}"
        return Link(what=one.what, value=expected, state="broken", note=note)
    if cached is not None:
        return Link(what=one.what, value=expected, state="holds", note="in DVC's cache")
    if lying is not None and one.hash_of(lying) == expected:
        return Link(what=one.what, value=expected, state="holds", note="in the working tree")
    return Link(what=one.what, value=expected, state="not here", note="`dvc pull` may bring it")


def trained_on(lineage: Lineage, key: Literal["manifest", "split"], materials: Materials) -> Any:
    """The cohort's manifest or the split that a model was trained on, as JSON values; None if it is not here."""
    one = next(one for one in _vouched("", "") if one.key == key)
    expected = lineage.sha256.get(key)
    cached = materials.in_cache(lineage.dvc_md5.get(one.path, ""), one.inner)
    for content in (cached, materials.in_tree(one.path, one.inner)):
        if content is not None and one.hash_of(content) == expected:
            return json.loads(content)
    return None


# From a package to the code that trained it: the git commit, and whether that commit holds this code.


TRAINED_BY = ("networks", "training")  # what `lineage.sha256.code` is taken of
_SOURCE = "platform/femseg"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def code_links(lineage: Lineage, repository: Path) -> list[Link]:
    """The links "git commit" and "training code".

    A commit from which files differed counts as long as it holds the very code that trained, by hash: the settings
    stand in the package. Without that it is broken, for nobody can go back to that code.
    """
    git, expected = lineage.git, lineage.sha256.get("code", "")
    commit = git.commit or ""
    if not is_commit(commit):
        what = "no commit is named: it was trained outside a git repository" if not commit else "is no commit"
        return [Link(what="git commit", value=commit[:64], state="broken", note=what)]
    differed = "other files than the training code differed from it" if git.modified is not False else ""
    try:
        found = code_sha256_at(repository, commit)
    except LookupError as error:
        unknown = f"git does not give it ({error}); `git fetch` may bring a commit that is not here"
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


def code_sha256_at(repository: Path, commit: str) -> str:
    """What `lineage.code_sha256` gives for the code of a commit. Raises: LookupError with git's own words."""
    folders = [f"{_SOURCE}/{package}" for package in TRAINED_BY]
    try:
        done = subprocess.run(
            ["git", "archive", "--format=tar", commit, "--", *folders], cwd=repository, capture_output=True, check=False
        )
    except OSError as error:  # no git on this machine
        raise LookupError(f"git: {error.strerror}") from None
    if done.returncode != 0:
        raise LookupError(words_of(done.stderr.decode(errors="replace")))
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        files = {
            PurePosixPath(member.name).relative_to(_SOURCE): member for member in archive if member.name.endswith(".py")
        }
        digest = hashlib.sha256()
        for name in sorted(files):
            content = archive.extractfile(files[name])
            digest.update(name.as_posix().encode() + b"\0" + (content.read() if content else b""))
    return digest.hexdigest()
