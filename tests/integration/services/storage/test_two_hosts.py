"""Training over two hosts, each with a network of its own, when the wire between them is cut."""

import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from processes import ended, kill_tree, start, wait_until
from ray_training import Training
from tiny_project import ROOT, environment
from tiny_store import write_tiny_store

from .two_hosts import Host, two_hosts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")]
PORT, ITERATIONS, WITHIN_S = 26379, 400, 550
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]


@contextmanager
def node(host: Host, env: dict[str, str], folder: Path, *options: str) -> Iterator[None]:
    """A Ray node on a host, up to the end of the block."""
    log = folder / f"{secrets.token_hex(3)}.txt"
    env = env | {"GLOO_SOCKET_IFNAME": host.wire}  # the machine's name stands for an address of neither host
    process = start(host.inside([*RAY, f"--node-ip-address={host.address}", *options]), env=env, cwd=folder, log=log)
    try:
        wait_until(lambda: "Ray runtime started" in log.read_text(), process, log, WITHIN_S)
        yield
    finally:
        kill_tree(process)


def test_a_cut_wire_costs_a_retry_and_no_bits(tmp_path):
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    env = environment(ROOT) | access
    sessions = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path has room for no more
    store = write_tiny_store(tmp_path / "store")
    with two_hosts() as (here, there), ExitStack() as stack:
        stack.callback(shutil.rmtree, sessions, ignore_errors=True)
        stack.enter_context(node(here, env, tmp_path, "--head", f"--port={PORT}", f"--temp-dir={sessions}"))
        join = f"--address={here.address}:{PORT}"
        stack.enter_context(node(there, env, tmp_path, join))
        inside = access | {"RAY_ADDRESS": f"{here.address}:{PORT}"}

        def training(name: str) -> Training:
            made = Training(tmp_path / name, store, tmp_path / "mlflow.db", ITERATIONS, env=inside)
            made.command = here.inside(made.command)
            return made

        whole, cut = training("whole"), training("cut")
        whole.complete()
        process = cut.start()
        wait_until(lambda: cut.iterations_done >= 50, process, cut.log, WITHIN_S)
        done = cut.iterations_done
        wire = there.inside(["ip", "link", "set", there.wire])
        subprocess.run([*wire, "down"], check=True)
        assert done < ITERATIONS
        with node(here, env, tmp_path, join):  # a spare one, on the host that is left
            assert ended(process, cut.log, WITHIN_S) == 0, cut.log.read_text()[-3000:]
        assert "a worker was lost" in cut.log.read_text()
        assert cut.outcome["sha256"] == whole.outcome["sha256"]
        assert cut.outcome["losses"] == whole.outcome["losses"]
