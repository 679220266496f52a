"""What a training run pays besides its own arithmetic, piece by piece: what scaling_model.py reckons with.

    python -m benchmarks.scaling.scaling_costs --output benchmarks/results/scaling_costs.json

Gradient exchange and data-parallel steps over gloo with 1, 2 and 4 processes; reading cases of the paper's size from
the array store, from memory and from disk; checkpoints; points of a curve into SQLite and into an MLflow server.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, multiprocessing

from benchmarks.scaling.scaling_tracking import tracking_costs
from femseg.cohorts.settings import ArraySettings
from femseg.cohorts.store import ArrayStore, write_array, write_index
from femseg.files.durable import write_json_durably
from femseg.networks.vnet import VNet, VNetSettings
from femseg.settings import read_section
from femseg.training.batches import Batch
from femseg.training.checkpoint import read_checkpoint, write_checkpoint
from femseg.training.device import build_optimizer
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.trainer import Trainer
from femseg.volumes.grid import VoxelGrid

_PAPER, _DEMO = Path("params.paper.yaml"), Path("params.yaml")
_WORLDS = (1, 2, 4)
_NO_CASES: Any = None  # of a trainer that is given its batches


def median_seconds(action: Callable[[], object], repeats: int) -> float:
    """Of several calls; the first, which warms up, is left out."""
    taken = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def on_ranks(world: int, function: Callable[[int, int], Any]) -> Any:
    """What rank 0 gets from `function(rank, world)`, called in so many processes that share a gloo group."""
    with tempfile.TemporaryDirectory(prefix="femseg-gloo-") as folder:
        multiprocessing.spawn(_rank, (world, Path(folder), function), nprocs=world)
        return json.loads((Path(folder) / "result.json").read_text())


def _rank(rank: int, world: int, folder: Path, function: Callable[[int, int], Any]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world)
    result = function(rank, world)
    if rank == 0:
        (folder / "result.json").write_text(json.dumps(result))
    distributed.barrier()
    distributed.destroy_process_group()


def exchange(rank: int, world: int, *, sizes: tuple[int, ...], repeats: int) -> list[dict[str, float]]:
    """Seconds of an all-reduce of float32 tensors of so many bytes."""
    rows = []
    for size in sizes:
        tensor = torch.ones(size // 4)
        seconds = median_seconds(lambda tensor=tensor: distributed.all_reduce(tensor), repeats)  # type: ignore[misc]
        rows.append({"processes": world, "bytes": size, "seconds": seconds})
    return rows


def fitted_link(rows: list[dict[str, float]]) -> dict[str, float]:
    """Latency and bandwidth of a link, from 2 (N - 1) (latency + bytes / N / bandwidth); relative errors count."""
    taken = [row for row in rows if row["processes"] > 1]
    terms = np.array(
        [(2 * (r["processes"] - 1), 2 * (r["processes"] - 1) / r["processes"] * r["bytes"]) for r in taken]
    )
    seconds = np.array([row["seconds"] for row in taken])
    (latency, per_byte), *_ = np.linalg.lstsq(terms / seconds[:, None], np.ones(len(taken)), rcond=None)
    errors = np.abs(terms @ (latency, per_byte) / seconds - 1)
    return {
        "latency_seconds": float(latency),
        "bytes_per_second": float(1 / per_byte),
        "median_relative_error": float(np.median(errors)),
    }


def data_parallel_step(rank: int, world: int, *, iterations: int) -> dict[str, float]:
    """Median seconds of the demo's step where each process has two samples of its own, alone and data-parallel."""
    settings = read_section(OptimisationSettings, "optimisation", file=_DEMO)
    shape = read_section(ArraySettings, "arrays", file=_DEMO).shape_zyx
    settings = replace(settings, batch_size=2 * world)
    torch.manual_seed(0)
    network = VNet(read_section(VNetSettings, "network", file=_DEMO), 1)
    volume = torch.rand(2, 1, *shape)
    target = (volume[:, 0] > 0.5).float()
    batches = [
        Batch(iteration=n, case_ids=("case",) * 2 * world, input_bczyx=volume, target_bzyx=target)
        for n in range(1, iterations + 1)
    ]
    train, seconds = TrainSettings(learning_rate=1e-4, workers=world), {}
    for name in ("alone", "together"):
        trainer = Trainer(network, _NO_CASES, _NO_CASES, train, settings, folder=Path(), fingerprint={})
        if name == "together":
            trainer.model = torch.nn.parallel.DistributedDataParallel(network)
        taken = []
        for batch in batches:
            started = time.perf_counter()
            loss = trainer.forward_backward(batch)
            if trainer.all_finite(loss):
                trainer.optimizer.step()
            taken.append(time.perf_counter() - started)
        seconds[name] = statistics.median(taken[2:])
        distributed.barrier()
    return {"processes": world, "seconds_alone": seconds["alone"], "seconds_data_parallel": seconds["together"]}


def reading(cases: int) -> dict[str, float]:
    """Seconds to have one case of the paper's size, input and mask, with its hashes checked."""
    shape = read_section(ArraySettings, "arrays", file=_PAPER).shape_zyx
    grid = VoxelGrid(shape_zyx=shape, spacing_mm_zyx=(1.0, 1.0, 1.0))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="femseg-read-", dir=".") as folder:
        stores = []
        for kind in ("raw", "mask"):
            entries, place = {}, Path(folder) / kind
            for case_id in (f"case-{n:03d}" for n in range(cases)):
                raw = rng.random(shape, dtype=np.float32)
                array = raw if kind == "raw" else raw > 0.5
                entries[case_id] = write_array(place, case_id, array, kind=kind, network_grid=grid, ct_grid=grid)
            write_index(place, kind, ArraySettings(shape_zyx=shape).recipe(kind), entries)
            stores.append(ArrayStore.open(place))
        size = sum(path.stat().st_size for path in Path(folder).glob("*/case-000.npy"))

        def read(case_id: str, clock: Callable[[], float] = time.perf_counter) -> float:
            started = clock()
            for store in stores:
                np.array(store.load(case_id), dtype=np.float32)
            return clock() - started

        from_memory = [read(case_id) for _ in range(2) for case_id in stores[0].case_ids][cases:]
        processor = [read(case_id, time.process_time) for case_id in stores[0].case_ids]
        for path in Path(folder).glob("*/*.npy"):
            _forget(path)
        from_disk = [read(case_id) for case_id in stores[0].case_ids]
    return {
        "bytes_per_case": size,
        "seconds_from_memory": statistics.median(from_memory),
        "processor_seconds_from_memory": statistics.median(processor),
        "seconds_from_disk": statistics.median(from_disk),
    }


def _forget(path: Path) -> None:
    """Ask the kernel to drop a file from its cache; it was synced when it was written."""
    handle = os.open(path, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def checkpointing(params: Path, repeats: int) -> dict[str, float]:
    """Seconds to write a checkpoint durably, and to read one, with a full optimiser and a curve of 1000 rows."""
    network = VNet(read_section(VNetSettings, "network", file=params), 1)
    optimizer = build_optimizer(network, OptimisationSettings())
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    best = {name: value.clone() for name, value in network.state_dict().items()}
    rows = [[n, 0.5, 1e-4, 0.1, 20.0, None, None] for n in range(1000)]
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "best_weights": best, "rows": rows}
    with tempfile.TemporaryDirectory(prefix="femseg-checkpoint-", dir=".") as folder:
        iterations = iter(range(1, 1000))
        write = median_seconds(lambda: write_checkpoint(Path(folder), next(iterations), state, {}), repeats)
        read = median_seconds(lambda: read_checkpoint(Path(folder), 1), repeats)
        size = sum(path.stat().st_size for path in Path(folder).glob("step-000001/*"))
    weights = sum(value.numel() for value in network.parameters())
    return {
        "weights": weights,
        "gradient_bytes": 4 * weights,
        "bytes": size,
        "write_seconds": write,
        "read_seconds": read,
    }


def measured(repeats: int) -> dict[str, Any]:
    checkpoints = {"demo": checkpointing(_DEMO, repeats), "paper": checkpointing(_PAPER, repeats)}
    print(json.dumps(checkpoints), flush=True)
    sizes = (4 * 2**10, 2**20, 2**24, int(checkpoints["paper"]["gradient_bytes"]))
    exchanged = [row for n in _WORLDS for row in on_ranks(n, partial(exchange, sizes=sizes, repeats=repeats))]
    print(json.dumps(exchanged), flush=True)
    steps = [on_ranks(n, partial(data_parallel_step, iterations=2 + 3 * repeats)) for n in _WORLDS]
    print(json.dumps(steps), flush=True)
    read = reading(cases=8 * repeats)
    print(json.dumps(read), flush=True)
    return {
        "command": "python -m benchmarks.scaling.scaling_costs",
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "repeats": repeats,
        "gradient_exchange_gloo": {"rows": exchanged, "fitted": fitted_link(exchanged)},
        "data_parallel_step_demo": steps,
        "reading_a_case_of_the_papers_size": read,
        "checkpoint": checkpoints,
        "tracking": tracking_costs(repeats),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = measured(arguments.repeats)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
