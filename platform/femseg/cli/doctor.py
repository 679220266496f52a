"""`femseg doctor`: the installation, the project and the registry, a line each."""

import gc
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from femseg import __version__
from femseg.errors import Fault, Refusal, words_of
from femseg.faults import ExitCode
from femseg.files.plain import is_folder
from femseg.installation.packages import Found, extras_found, packages_found, ray_found, torch_found
from femseg.installation.places import connections_from_now_on, disk_found, encoding_found, remote_found
from femseg.lineage.provenance import commit_remark
from femseg.paths import OWN_STUDIES, PARAMS, project_root
from femseg.services.cluster.socket_place import SESSION_BYTES, place_for_sockets
from femseg.services.registry.shipped import is_registry_at_hand
from femseg.services.tracking.address import local_database, redacted, tracking_uri
from femseg.settings import BadYaml, load_bounded

_MADE_HERE = ("phantom", "synthetic")  # as cohorts.settings has them, which loads SciPy


def doctor(*, as_json: bool) -> int:
    """Look at everything; say it. Returns the exit code: of the gravest fault, 0 if there is none."""
    gc.disable()  # loading MLflow makes many objects and no garbage: looking for it takes a fifth of the time
    heard = connections_from_now_on()
    root = project_root()
    found = [*_installation(root), *_project(root), *_registry()]
    found.append(_connections(heard))
    faults = [one.fault for one in found if one.fault]
    if as_json:
        checks = [{"what": one.what, "ok": one.fault is None, "found": one.words} for one in found]
        plain: dict[str, Any] = {"checks": checks, "connections": heard, "faults": [f.as_dict() for f in faults]}
        print(json.dumps(plain, indent=2))
    else:
        print("\n".join(one.line() for one in found))
    for fault in faults:
        print(fault, file=sys.stderr)
    return int(Refusal(faults).exit_code) if faults else int(ExitCode.DONE)


def _installation(root: Path) -> Iterator[Found]:
    yield Found(what="femseg", words=f"{__version__}, Python {platform.python_version()}")
    yield packages_found()
    yield extras_found()
    yield torch_found()
    yield ray_found()
    yield _ray_place()
    yield disk_found("project's disk", root)
    yield disk_found("temporary disk", Path(tempfile.gettempdir()))
    yield encoding_found()
    yield remote_found(root)


def _ray_place() -> Found:
    try:
        return disk_found("Ray's sessions", Path(place_for_sockets()), needed_bytes=SESSION_BYTES)
    except Refusal as refusal:
        return Found(what="Ray's sessions", fault=refusal.faults[0])


def _project(root: Path) -> Iterator[Found]:
    """Its settings, its studies and its commit; nothing where there is no project."""
    if not (root / "dvc.yaml").is_file():
        yield Found(what="project", words="none here (no dvc.yaml)")
        return
    try:
        plain = load_bounded((root / PARAMS).read_text(encoding="utf-8"))
        cohort = plain["cohort"]
        source, folder = str(cohort["source"]), str(cohort.get("folder", OWN_STUDIES))
    except (BadYaml, OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        problem = f"has no section `cohort` that can be read ({words_of(error)})"
        yield Found(what="project", fault=Fault("CFG-01", PARAMS, problem, "put it back from git, or correct it"))
        return
    if source not in _MADE_HERE and not is_folder(root / folder):
        problem, fix = f"cohort.folder is {folder}, which is no folder", "set it to the folder of your studies"
        yield Found(what="project", fault=Fault("CFG-01", PARAMS, problem, fix))
        return
    if remark := commit_remark(root).removeprefix("warning RG-04: "):
        fix = "`git init` if need be, and commit before you train"
        yield Found(what="project", fault=Fault("RG-04", "git", remark.removeprefix("git "), fix))
        return
    yield Found(what="project", words=f"cohort of {source}; git names its commit")


def _registry() -> Iterator[Found]:
    """The tracking store and the registered model. A store that is not there yet is not made."""
    if not is_registry_at_hand():
        yield Found(what="MLflow store", words="none yet; the first training makes it")
        return
    from femseg.services.registry.doctor import registry_faults  # MLflow: nearly all of this command's time
    from femseg.services.registry.versions import answering
    from femseg.services.tracking.connect import connect

    try:
        client, _ = connect()
        with answering(client):
            faults = registry_faults(client)
    except Refusal as refusal:
        yield from (Found(what="MLflow store", fault=fault) for fault in refusal.faults)
        return
    yield Found(what="MLflow store", words=f"{redacted(tracking_uri())} answers, of this MLflow's schema")
    yield from (Found(what="registry", fault=fault) for fault in faults)
    if not faults:
        yield Found(what="registry", words="log, aliases and packages are as the gate left them")


def _connections(heard: list[str]) -> Found:
    """What this command has opened, and how that is known."""
    uri = tracking_uri()
    driver = "" if local_database(uri) or urlsplit(uri).scheme in ("http", "https") else ", and the database's driver"
    opened = ", ".join(f"{address} ({heard.count(address)})" for address in dict.fromkeys(heard)) or "none"
    return Found(what="connections", words=f"{opened}{driver}; by Python's audit hook (socket.connect, sendto)")
