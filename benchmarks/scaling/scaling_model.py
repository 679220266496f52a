"""What data-parallel training at the paper's size would cost on 1 … 1024 GPUs with 60 … 1 000 000 cases.

It reckons with what scaling_costs.py measured, and with assumptions, which `Assumptions` lists with their
sources. Nothing of it was run on more than the machine of the measurements: it says where to look first, not what will
be. scaling_page.py makes the figures and tables of docs/explanation/scaling.md from it.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

Storage = Literal["shared folder", "S3", "copy on each node"]
PARTS = ("computing", "gradients", "reading", "stragglers", "checkpoints", "validation", "failures")
_GPUS_OF_A_NODE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A way between GPUs: seconds a message, and bytes per second of one GPU's share, each way."""

    name: str
    latency_seconds: float
    bytes_per_second: float


NVLINK = Link(name="NVLink 4", latency_seconds=5e-6, bytes_per_second=360e9)
PCIE = Link(name="PCIe 4 ×16", latency_seconds=1e-5, bytes_per_second=16e9)
INFINIBAND = Link(name="InfiniBand 400 Gb/s a GPU", latency_seconds=1e-5, bytes_per_second=40e9)
ETHERNET_100 = Link(name="Ethernet 100 Gb/s a node", latency_seconds=3e-5, bytes_per_second=10e9 / _GPUS_OF_A_NODE)
ETHERNET_10 = Link(name="Ethernet 10 Gb/s a node", latency_seconds=5e-5, bytes_per_second=1e9 / _GPUS_OF_A_NODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Taken from the results of scaling_costs.py; loading in processor time, as each worker has a core."""

    gradient_bytes: float
    case_bytes: float
    seconds_to_load_a_case: float
    checkpoint_seconds: float
    points_a_second: float

    @classmethod
    def of(cls, costs: dict[str, Any]) -> "Measured":
        reading, paper = costs["reading_a_case_of_the_papers_size"], costs["checkpoint"]["paper"]
        rows = [row for row in costs["tracking"] if row["store"] == "server on sqlite"]
        return cls(
            gradient_bytes=paper["gradient_bytes"],
            case_bytes=reading["bytes_per_case"],
            seconds_to_load_a_case=reading["processor_seconds_from_memory"],
            checkpoint_seconds=paper["write_seconds"],
            points_a_second=max(row["points_a_second"] for row in rows),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What was not measured; every one can be changed in the sensitivity analysis.

    Attributes:
        step_seconds: forward, backward and Adam on one GPU, two samples of 512 × 64 × 64: the goal for an H200 in
            bfloat16 (200 TFLOP/s of the 790 that it reaches in matrix products).
        inside, between: links in a node of eight GPUs and among nodes.
        overlapped: part of the step, the backward pass, behind which DDP hides the exchange.
        last_bucket_bytes: DDP's bucket size; what is exchanged last cannot hide.
        jitter: standard deviation of a GPU's step as a part of it; all wait for the slowest.
        shared_folder: bytes per second of a file server, for all nodes together.
        s3_of_a_node, disk_of_a_node: bytes per second that a node gets from an object store, and from its own NVMe.
        cache_bytes: of a node's memory that keeps files.
        hours_between_failures: of one GPU with its share of a node; 419 interruptions in 54 days on 16 384 GPUs
            (Grattafiori et al. 2024, "The Llama 3 Herd of Models").
        restart_seconds: from a lost node to training again (68 s seen with Ray when a node was lost).
        noise_scale: batch size at which half of the samples are wasted (McCandlish et al. 2018, "An Empirical Model of
            Large-Batch Training"); unknown for this network.
    """

    step_seconds: float = 0.060
    inside: Link = NVLINK
    between: Link = INFINIBAND
    overlapped: float = 2 / 3
    last_bucket_bytes: float = 25 * 2**20
    jitter: float = 0.02
    shared_folder: float = 2e9
    s3_of_a_node: float = 2.5e9
    disk_of_a_node: float = 5e9
    cache_bytes: float = 500e9
    hours_between_failures: float = 50_000
    restart_seconds: float = 68
    noise_scale: float = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A run: how many GPUs and cases, and what its settings say.

    Attributes:
        samples: of one GPU in one step.
        checkpoint_every, validate_every: iterations, as in params.paper.yaml; `checkpoint_minutes` overrules the first.
        validation_cases: scored at each validation, shared by the GPUs.
        points: of curves, recorded in each step; a thread of rank 0 sends them, which stops no step.
    """

    gpus: int
    cases: int = 60
    samples: int = 2
    storage: Storage = "copy on each node"
    checkpoint_every: int = 250
    checkpoint_minutes: float | None = None
    validate_every: int = 250
    validation_cases: int = 6
    points: int = 4


def exchange_seconds(gpus: int, size: float, world: Assumptions) -> float:
    """All-reduce of so many bytes: rings inside the nodes, each GPU's part in a ring among the nodes, rings inside."""
    inside = min(gpus, _GPUS_OF_A_NODE)
    nodes = math.ceil(gpus / _GPUS_OF_A_NODE)
    seconds = 2 * (inside - 1) * (world.inside.latency_seconds + size / inside / world.inside.bytes_per_second)
    part = size / inside / nodes
    return seconds + 2 * (nodes - 1) * (world.between.latency_seconds + part / world.between.bytes_per_second)


def _small_sum_seconds(gpus: int, world: Assumptions) -> float:
    """All-reduce of a few numbers, along a tree."""
    inside = math.ceil(math.log2(min(gpus, _GPUS_OF_A_NODE)))
    between = math.ceil(math.log2(math.ceil(gpus / _GPUS_OF_A_NODE)))
    return 2 * (inside * world.inside.latency_seconds + between * world.between.latency_seconds)


def _reading_seconds(run: Setting, measured: Measured, world: Assumptions) -> float:
    """The slower of one worker's loading (hash, copy) and what storage gives all of them, for one step."""
    in_node, nodes = min(run.gpus, _GPUS_OF_A_NODE), math.ceil(run.gpus / _GPUS_OF_A_NODE)
    loading = run.samples * measured.seconds_to_load_a_case
    if run.cases * measured.case_bytes <= world.cache_bytes:
        return loading  # after the first pass files come from memory
    of_a_node = {
        "shared folder": world.shared_folder / nodes,
        "S3": world.s3_of_a_node,
        "copy on each node": world.disk_of_a_node,
    }
    return max(loading, in_node * run.samples * measured.case_bytes / of_a_node[run.storage])


def seconds_of_a_step(run: Setting, measured: Measured, world: Assumptions) -> dict[str, float]:
    """Where the time of one step goes, on average over a long run; the sum is the time of a step."""
    compute = world.step_seconds * run.samples / 2
    exchange = exchange_seconds(run.gpus, measured.gradient_bytes, world)
    last = exchange * min(1.0, world.last_bucket_bytes / measured.gradient_bytes)
    gradients = max(last, exchange - world.overlapped * compute) + 2 * _small_sum_seconds(run.gpus, world)
    slowest = NormalDist().inv_cdf((run.gpus - 0.375) / (run.gpus + 0.25)) if run.gpus > 1 else 0.0
    stragglers = compute * world.jitter * slowest
    reading = max(0.0, _reading_seconds(run, measured, world) - compute - gradients - stragglers)
    per_gpu = math.ceil(run.validation_cases / run.gpus)
    validation = per_gpu * max(world.step_seconds / 6, measured.seconds_to_load_a_case) / run.validate_every
    work = compute + gradients + stragglers + reading + validation
    every = run.checkpoint_every * work
    if run.checkpoint_minutes is not None:
        every = run.checkpoint_minutes * 60
    checkpoints = work * measured.checkpoint_seconds / every
    lost = run.gpus / (world.hours_between_failures * 3600) * (world.restart_seconds + every / 2)
    return {
        "computing": compute,
        "gradients": gradients,
        "reading": reading,
        "stragglers": stragglers,
        "checkpoints": checkpoints,
        "validation": validation,
        "failures": (work + checkpoints) * lost,
    }


def samples_per_second(run: Setting, measured: Measured, world: Assumptions) -> float:
    """Of all GPUs together."""
    return run.gpus * run.samples / sum(seconds_of_a_step(run, measured, world).values())


def efficiency(run: Setting, measured: Measured, world: Assumptions) -> float:
    """Part of the time in which GPUs compute."""
    parts = seconds_of_a_step(run, measured, world)
    return parts["computing"] / sum(parts.values())


def what_binds(run: Setting, measured: Measured, world: Assumptions, *, tolerated: float = 0.1) -> str:
    """The part that takes most besides computing, or "computing" if the GPUs compute all but a tolerated part."""
    parts = seconds_of_a_step(run, measured, world)
    if parts["computing"] >= (1 - tolerated) * sum(parts.values()):
        return "computing"
    return max(PARTS[1:], key=lambda part: parts[part])


def hours_of_the_papers_training(run: Setting, measured: Measured, world: Assumptions) -> float:
    """To what 10 000 iterations at batch 2 reach, with a larger batch: iterations fall as 1 + noise scale / batch."""
    batch = run.gpus * run.samples
    iterations = 10_000 * (1 + world.noise_scale / batch) / (1 + world.noise_scale / 2)
    return iterations * sum(seconds_of_a_step(run, measured, world).values()) / 3600


def runs_of_one_store(run: Setting, measured: Measured, world: Assumptions) -> float:
    """How many runs like this one may send their curves at once before points wait longer and longer."""
    return measured.points_a_second * sum(seconds_of_a_step(run, measured, world).values()) / run.points


def sensitivity(run: Setting, measured: Measured, world: Assumptions) -> dict[str, tuple[float, float]]:
    """Samples per second with each number halved and doubled, as a part of those with the number as it stands."""
    base = samples_per_second(run, measured, world)

    def both(change: Any) -> tuple[float, float]:
        halved, doubled = (samples_per_second(*change(factor)) / base for factor in (0.5, 2.0))
        return halved, doubled

    def in_world(name: str) -> Any:
        return lambda f: (run, measured, replace(world, **{name: getattr(world, name) * f}))

    def in_link(name: str, part: str) -> Any:
        link = getattr(world, name)
        return lambda f: (run, measured, replace(world, **{name: replace(link, **{part: getattr(link, part) * f})}))

    def in_measured(name: str) -> Any:
        return lambda f: (run, replace(measured, **{name: getattr(measured, name) * f}), world)

    return {
        "time of a GPU's step": both(in_world("step_seconds")),
        "time to write a checkpoint": both(in_measured("checkpoint_seconds")),
        "time to load a case": both(in_measured("seconds_to_load_a_case")),
        "bytes of the gradients": both(in_measured("gradient_bytes")),
        "bandwidth between nodes": both(in_link("between", "bytes_per_second")),
        "latency between nodes": both(in_link("between", "latency_seconds")),
        "jitter of a step": both(in_world("jitter")),
        "hours between failures": both(in_world("hours_between_failures")),
    }
