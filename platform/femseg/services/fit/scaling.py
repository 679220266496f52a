"""How many workers a training has, and what each gets.

Ray's controller loads this module beside PyTorch, so it asks for nothing more of femseg.
"""

from collections.abc import Sequence
from typing import Any

import ray
from ray.train.v2._internal.execution.context import TrainRunContext
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2.api.config import ScalingConfig


def cores_for_each(workers: int, cores_of_nodes: Sequence[int]) -> int:
    """The most cores that every worker can have, each worker on one node; Ray would wait for ever for more."""
    even = sum(cores_of_nodes) // workers
    return next((n for n in range(even, 1, -1) if sum(cores // n for cores in cores_of_nodes) >= workers), 1)


def scaling_config(workers: int, *, least: int, use_gpu: bool) -> ScalingConfig:
    """How many workers, each with a GPU and a core, or an even share of the CPU cores, which are its threads."""
    share: dict[str, float] = {"GPU": 1, "CPU": 1}
    if not use_gpu:
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        cores = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
        share = {"CPU": cores_for_each(workers, cores)}
    num_workers = (least, workers) if least < workers else workers
    return ScalingConfig(num_workers=num_workers, use_gpu=use_gpu, resources_per_worker=share)


class WorkersOfOneMachine(FixedScalingPolicy):
    """Ray's policy for a fixed number of workers, where no autoscaler could add a node.

    Ray asks one all the same, by an actor that takes two seconds to start while the workers wait.
    """

    def after_controller_start(self, train_run_context: TrainRunContext) -> None:
        """Asks nobody."""

    def _maybe_send_resource_request(self) -> None:
        """Asks nobody."""
