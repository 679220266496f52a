"""What a cluster is asked for."""

import socket
import subprocess
import sys

import pytest

from femseg.errors import Refusal
from femseg.services.cluster.session import available_cpus, ray_session
from femseg.services.fit.scaling import cores_for_each

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray warns of itself


@pytest.mark.parametrize(
    ("workers", "cores_of_nodes", "cores"),
    [
        (1, [2], 2),
        (2, [2], 1),
        (2, [16], 8),
        (3, [8, 8], 4),  # an even share of 5 would leave the third worker without a node
        (4, [8, 8], 4),
        (2, [1, 15], 7),
        (5, [2, 3], 1),
    ],
)
def test_every_worker_fits_on_a_node_with_as_many_cores_as_can_be(workers, cores_of_nodes, cores):
    assert cores_for_each(workers, cores_of_nodes) == cores
    assert sum(node // cores for node in cores_of_nodes) >= workers


def test_at_least_one_core_is_there():
    assert available_cpus() >= 1


def test_a_cluster_that_is_gone_is_refused_at_once_CL_06(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(Refusal, match="CL-06: RAY_ADDRESS: no Ray cluster answers") as refused, ray_session():
            raise AssertionError("there is no cluster")
    assert refused.value.exit_code == 6


@pytest.mark.slow
def test_a_private_session_that_does_not_come_up_is_told_in_rays_words_CL_06():
    code = (
        "from ray._private import services; services.RAYLET_EXECUTABLE = '/bin/false'  # ends at once\n"
        "from femseg.exits import command_exit\n"
        "from femseg.services.cluster.session import ray_session\n"
        "with command_exit(), ray_session(cpus=1): pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 6
    assert "error CL-06: Ray: a private session does not start: The current node timed out" in done.stderr
    assert "INTERNAL" not in done.stderr
