"""Two hosts on one machine: network namespaces with an address and a loopback of their own, and a wire between them."""

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What runs `inside` sees this host's network alone."""

    name: str
    address: str
    wire: str

    def inside(self, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()} (needs root, and Debian's package iproute2)"


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Gone afterwards, with all that still listens there."""
    mark = secrets.token_hex(3)
    network = f"10.{int(mark[:2], 16)}.{int(mark[2:4], 16)}"
    here, there = (
        Host(name=f"fs-{mark}-{number}", address=f"{network}.{number}", wire=f"w{mark}{number}") for number in (1, 2)
    )
    hosts = (here, there)
    try:
        for host in hosts:
            _run("ip", "netns", "add", host.name)
        _run("ip", "link", "add", here.wire, "type", "veth", "peer", "name", there.wire)
        for host in hosts:
            _run("ip", "link", "set", host.wire, "netns", host.name)
            _run(*host.inside(["ip", "addr", "add", f"{host.address}/24", "dev", host.wire]))
            _run(*host.inside(["ip", "link", "set", host.wire, "up"]))
            _run(*host.inside(["ip", "link", "set", "lo", "up"]))
        yield here, there
    finally:
        for host in hosts:
            pids = subprocess.run(["ip", "netns", "pids", host.name], capture_output=True, text=True).stdout.split()
            if pids:
                subprocess.run(["kill", "-9", *pids], capture_output=True)
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)
