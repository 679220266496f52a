"""Hosts on one machine, each with a network and a /srv of its own, and a wire to all others and to this one.

Whatever runs on a host finds temporary files, home and data below /srv, as if it had a disk of its own; the programs
are this machine's. Needs root, and Debian's package iproute2.
"""

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import start, wait_until

ROOT = Path(__file__).parents[3]
JOIN_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnHost:
    """`disk` is what the host sees as /srv; `keys`, the secrets' folder, is put on it whenever the host starts."""

    name: str
    address: str
    wire: str
    disk: Path
    keys: Path

    def inside(self, command: Sequence[str]) -> list[str]:
        mount = ["sh", "-c", 'mount --bind "$0" /srv && exec "$@"', str(self.disk)]
        return ["ip", "netns", "exec", self.name, *mount, *command]

    def log(self) -> Path:
        return self.disk.with_suffix(".txt")

    def with_empty_disk(self) -> None:
        shutil.rmtree(self.disk, ignore_errors=True)
        for folder in ("home", "tmp"):
            (self.disk / folder).mkdir(parents=True)
        shutil.copytree(self.keys, self.disk / "secrets")

    def start_node(self, kind: str, head: "OwnHost", env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A Ray node of one core, as the images start it; returns when it has joined."""
        own = {
            "HOME": "/srv/home",
            "TMPDIR": "/srv/tmp",
            "RAY_TMPDIR": "/srv/tmp",
            "FEMSEG_SECRETS": "/srv/secrets",
            "RAY_HEAD": head.address,
            "RAY_NODE_IP": self.address,
            "RAY_CPUS": "1",
            "GLOO_SOCKET_IFNAME": self.wire,  # the machine's name stands for an address of no host
        }
        command = self.inside(["sh", str(ROOT / "docker" / "ray-node.sh"), kind])
        log = self.log()
        before = log.read_text().count("Ray runtime started") if log.exists() else 0
        process = start(command, env={**env, **own}, cwd=Path("/"), log=log)
        wait_until(lambda: log.read_text().count("Ray runtime started") > before, process, log, JOIN_S)
        return process

    def switch_off(self) -> None:
        """kill -9 of all that runs on it, and its disk is empty afterwards."""
        limit = time.monotonic() + 30
        while pids := _run("ip", "netns", "pids", self.name).split():
            subprocess.run(["kill", "-9", *pids], capture_output=True)
            assert time.monotonic() < limit, f"still running: {pids}"
            time.sleep(0.1)
        self.with_empty_disk()


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()} (needs root, and Debian's package iproute2)"
    return done.stdout


@contextmanager
def own_hosts(folder: Path, keys: Path, *, count: int) -> Iterator[tuple[str, list[OwnHost]]]:
    """This machine's address on the wire, and the hosts; gone afterwards, with all that runs there."""
    mark = secrets.token_hex(3)
    bridge, network = f"b{mark}", f"10.{int(mark[:2], 16)}.{int(mark[2:4], 16)}"
    hosts = [
        OwnHost(
            name=f"fs-{mark}-{n}", address=f"{network}.{n}", wire=f"w{mark}{n}", disk=folder / f"disk-{n}", keys=keys
        )
        for n in range(1, count + 1)
    ]
    try:
        _run("ip", "link", "add", "name", bridge, "type", "bridge")
        _run("ip", "addr", "add", f"{network}.254/24", "dev", bridge)
        _run("ip", "link", "set", bridge, "up")
        for host in hosts:
            host.with_empty_disk()
            _run("ip", "netns", "add", host.name)
            _run("ip", "link", "add", host.wire, "type", "veth", "peer", "name", f"{host.wire}b")
            _run("ip", "link", "set", f"{host.wire}b", "master", bridge, "up")
            _run("ip", "link", "set", host.wire, "netns", host.name)
            _run(*host.inside(["ip", "addr", "add", f"{host.address}/24", "dev", host.wire]))
            _run(*host.inside(["ip", "link", "set", host.wire, "up"]))
            _run(*host.inside(["ip", "link", "set", "lo", "up"]))
        yield f"{network}.254", hosts
    finally:
        for host in hosts:
            if Path("/run/netns", host.name).exists():
                host.switch_off()
                subprocess.run(["ip", "netns", "del", host.name], capture_output=True)
        subprocess.run(["ip", "link", "del", bridge], capture_output=True)
