"""A cluster made by `femseg cluster`, and what the operating system says of it."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tiny_project import ROOT, environment


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCluster:
    """`env` is a stranger's environment, `inside` has what `up` printed."""

    env: dict[str, str]
    inside: dict[str, str]
    said: str

    @property
    def place(self) -> Path:
        return next(Path(self.env["XDG_STATE_HOME"]).glob("femseg/cluster-*"))

    @property
    def record(self) -> dict:
        return json.loads((self.place / "cluster.json").read_text())

    @property
    def token(self) -> str:
        return (self.place / "token").read_text()

    def processes(self) -> list[psutil.Process]:
        """The first process of each node, and all below them."""
        leaders = [psutil.Process(one["pid"]) for one in self.record["leaders"]]
        return leaders + [child for one in leaders for child in one.children(recursive=True)]


def femseg(env: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from femseg.cli.main import main; main()", *words]
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=240)


def exported(said: str) -> dict[str, str]:
    """What a shell would take from the printed lines."""
    lines = [shlex.split(line)[1] for line in said.splitlines() if line.startswith("export ")]
    return dict(line.split("=", 1) for line in lines)


@contextmanager
def own_cluster(tmp_path: Path, *options: str) -> Iterator[OwnCluster]:
    env = environment(ROOT) | {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    done = femseg(env, "cluster", "up", *options)
    try:
        assert done.returncode == 0, done.stderr
        yield OwnCluster(env=env, inside=env | exported(done.stdout), said=done.stdout)
    finally:
        femseg(env, "cluster", "down")


def listeners(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """Address and port of every TCP socket that takes connections."""
    found = set()
    for process in processes:
        try:
            found |= {tuple(c.laddr) for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        except psutil.NoSuchProcess:
            continue
    return found


def any_left(processes: list[psutil.Process]) -> list[int]:
    """Of these very processes, not of later ones with their numbers; zombies have ended."""
    return [p.pid for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def texts_of(process: psutil.Process) -> str:
    """What others could read of it: command line and environment."""
    try:
        return " ".join([*process.cmdline(), *process.environ().values()])
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def files_below(folder: Path) -> list[Path]:
    return [Path(at) / name for at, _, names in os.walk(folder) for name in names]
