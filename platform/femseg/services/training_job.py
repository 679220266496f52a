"""A training run as plain values that travel to any worker, and how one process runs it."""

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mlflow.tracking import MlflowClient

from femseg.cohorts.split import read_split
from femseg.cohorts.store import ArrayStore
from femseg.durable import sha256_of_json
from femseg.errors import ExitCode, Fault, Refusal
from femseg.networks.vnet import VNet, VNetSettings
from femseg.promotion.lineage import code_sha256
from femseg.services.point_spool import SPOOL, PointSpool
from femseg.services.tracking import MlflowRecorder, tracking_uri
from femseg.settings import as_plain
from femseg.training.batches import share_of_rank
from femseg.training.checkpoint import newest_good_checkpoint
from femseg.training.curves import rows_from_plain
from femseg.training.session import FitResult, fit
from femseg.training.settings import OptimisationSettings, TrainSettings, what_decides
from femseg.training.stored_cases import StoredCases
from femseg.training.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """All that a training worker needs; plain values, so that it travels to any node.

    Attributes:
        inputs, masks, split: absolute paths that every node reaches.
        run_folder: checkpoints and the curve; the same job started again goes on from here.
        mlflow_run_id: rank 0 records there; "" records nowhere.
        fingerprint: what must be equal for a checkpoint to be gone on from.
    """

    inputs: str
    masks: str
    split: str
    run_folder: str
    network: VNetSettings
    optimisation: OptimisationSettings
    train: TrainSettings
    tracking_uri: str = ""
    mlflow_run_id: str = ""
    fingerprint: dict[str, Any]


def training_job(
    *,
    inputs: Path,
    masks: Path,
    split: Path,
    runs: Path,
    name: str,
    network: VNetSettings,
    optimisation: OptimisationSettings,
    train: TrainSettings,
) -> TrainingJob:
    """A job and its fingerprint; its run folder is `<runs>/<name>-<fingerprint>`, so that other settings, data or code
    never meet its checkpoints.

    Args:
        train: with a number as learning rate.
    Raises: Refusal (exit 4) if an array store or the split is not whole; CFG-02 (exit 2) if the batch cannot be shared
        by the workers, or the network cannot halve the arrays' sizes.
    """
    store = ArrayStore.open(inputs)
    _refuse_what_does_not_fit(store.recipe.shape_zyx, network, optimisation, train)
    fingerprint = {
        "inputs": store.sha256,
        "masks": ArrayStore.open(masks).sha256,
        "split": read_split(split).sha256,
        "network": as_plain(network),
        "optimisation": as_plain(optimisation),
        "train": what_decides(train, network),
        "code": code_sha256(["networks", "training"]),
    }
    return TrainingJob(
        inputs=str(inputs.absolute()),
        masks=str(masks.absolute()),
        split=str(split.absolute()),
        run_folder=str((runs / f"{name}-{sha256_of_json(fingerprint)[:12]}").absolute()),
        network=network,
        optimisation=optimisation,
        train=train,
        tracking_uri=tracking_uri(),
        fingerprint=fingerprint,
    )


def _refuse_what_does_not_fit(
    shape_zyx: tuple[int, int, int], network: VNetSettings, optimisation: OptimisationSettings, train: TrainSettings
) -> None:
    """Settings that are right one by one but not together, before a worker meets them."""
    try:
        network.bottom_shape(shape_zyx)
        share_of_rank(optimisation.batch_size, rank=0, world_size=train.workers)
    except ValueError as error:
        fix = "change one of these settings in params.yaml"
        fault = Fault(id="CFG-02", file="params.yaml", problem=str(error), fix=fix, exit_code=ExitCode.USAGE)
        raise Refusal(fault) from None


def fit_job(job: TrainingJob, surroundings: Surroundings) -> tuple[VNet, FitResult]:
    """Run a job in this process: what a Ray worker does, and what a script without Ray may do."""
    split = read_split(Path(job.split))
    train = StoredCases.open(Path(job.inputs), Path(job.masks), split.train)
    validation = StoredCases.open(Path(job.inputs), Path(job.masks), split.validation)
    torch.manual_seed(job.train.seed)  # the initial weights belong to the seed
    network = VNet(job.network, len(train.inputs.recipe.channels))
    result = fit(
        network,
        train,
        validation,
        job.train,
        job.optimisation,
        folder=Path(job.run_folder),
        fingerprint=job.fingerprint,
        surroundings=surroundings,
    )
    return network, result


def is_complete(job: TrainingJob) -> bool:
    """Whether the run folder holds a finished run: starting it again would train nothing (TR-16)."""
    newest = newest_good_checkpoint(Path(job.run_folder), print)
    return newest is not None and bool(newest.state["finished"])


def record_curve(client: MlflowClient, job: TrainingJob) -> None:
    """Send every point of the run's newest checkpoint that its MLflow run does not hold yet.

    These are the points that waited in the spool while the store was away, and those that were trained on another node.
    """
    newest = newest_good_checkpoint(Path(job.run_folder), print)
    with closing(PointSpool(Path(job.run_folder) / SPOOL)) as spool:
        recorder = MlflowRecorder(client, job.mlflow_run_id, spool)
        for row in rows_from_plain(newest.state["rows"]) if newest else ():
            for name, value in asdict(row).items():
                if name != "iteration" and value is not None:
                    recorder.metric(name, value, step=row.iteration)
        recorder.flush()
