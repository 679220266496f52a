"""One more Ray node on this machine, on loopback: `python -m femseg.services.cluster_node ADDRESS CPUS`.

`ray start --address` would put the machine's own address in place of 127.0.0.1, and listen there.
"""

import os
import sys
import time

from ray._private.node import Node
from ray._private.parameter import RayParams

_OBJECT_STORE_BYTES = 256 * 2**20  # Ray would give each node 30 % of the machine


def main() -> None:
    """Join the cluster and stay until SIGTERM, or until one of the node's own processes is gone."""
    address, cpus = sys.argv[1:]
    params = RayParams(
        node_ip_address="127.0.0.1",
        gcs_address=address,
        num_cpus=int(cpus),
        num_gpus=0,  # the head has them
        object_store_memory=_OBJECT_STORE_BYTES,
        min_worker_port=0,
        max_worker_port=0,
        node_manager_port=0,
        runtime_env_dir_name=f"runtime_resources_{os.getpid()}",  # a node deletes and unpacks anew what jobs upload
        include_log_monitor=False,  # type: ignore[arg-type] # the head's reads the logs of all
    )
    node = Node(params, head=False, shutdown_at_exit=True, spawn_reaper=True)
    while node.remaining_processes_alive():  # type: ignore[no-untyped-call]
        time.sleep(1)
    sys.exit("a process of this node has ended")


if __name__ == "__main__":
    main()
