"""A training run as plain values that travel to any worker, and how one process runs it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as tensors_from_bytes

from femseg.cohorts.split import read_split
from femseg.cohorts.store import ArrayStore
from femseg.errors import Refusal
from femseg.files.durable import sha256_of_file, sha256_of_json
from femseg.files.lock import locked
from femseg.lineage.provenance import code_sha256
from femseg.networks.choice import NetworkField, source_sha256
from femseg.networks.network import Network, NetworkSettings, build_network
from femseg.paths import PARAMS
from femseg.services.storage.arrays import ObjectCache, fetched_split, fetched_store
from femseg.services.storage.backend import StorageSettings, no_answer, open_storage
from femseg.services.storage.checkpoints import CheckpointMirror, StoredRun
from femseg.services.storage.lease import run_lease
from femseg.services.tracking.address import tracking_uri
from femseg.settings import as_plain
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.training.agreement import refused_together
from femseg.training.batches import MixedCases, TrainingCases, share_of_rank
from femseg.training.checkpoint import Checkpoint, newest_good_checkpoint
from femseg.training.context import TrainerContext
from femseg.training.painted_cases import PaintedCases
from femseg.training.run_state import FitResult
from femseg.training.settings import OptimisationSettings, TrainSettings, what_decides
from femseg.training.stored_cases import PatchCases, PatchSettings, StoredCases
from femseg.training.trainer import Trainer
from femseg.volumes.network_input import InputRecipe, refuse_recipe_of_painted

_NO_STORAGE = StorageSettings()
_UPLOAD_WHEN_STOPPED_S = 20.0  # a worker that is asked to stop has 30 s
_LAST_UPLOAD_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """All that a training worker needs; plain values, so that it travels to any node.

    Attributes:
        inputs, masks, split: absolute paths that every node reaches; with a storage, the SHA-256 of index and split, of
            which it keeps the objects.
        places: the same, where the network sees a scan in patches.
        start: the same of the initial weights; "" draws them from the seed.
        patches: None if it sees a scan whole.
        fields, painting: scenes, the same, and how they are painted; none where all samples are of stored voxels.
        painted_share: of the samples, where there is painting; below 1 the scenes are of others than the split's cases.
        run_folder: the driver's, absolute; the same job started again goes on from here. See `node_folder`.
        storage: where every node finds data and checkpoints.
        mlflow_run_id: rank 0 records there; "" records nowhere.
        input_channels: of the network.
        fingerprint: what must be equal for a checkpoint to be gone on from.
    """

    inputs: str
    masks: str
    split: str
    run_folder: str
    network: NetworkField
    optimisation: OptimisationSettings
    train: TrainSettings
    places: str = ""
    start: str = ""
    fields: str = ""
    patches: PatchSettings | None = None
    painting: PaintingSettings | None = None
    painted_share: float = 1.0
    storage: StorageSettings = _NO_STORAGE
    tracking_uri: str = ""
    mlflow_run_id: str = ""
    input_channels: int = 1
    fingerprint: dict[str, Any]


def training_job(
    *,
    inputs: Path,
    masks: Path,
    split: Path,
    runs: Path,
    name: str,
    network: NetworkSettings,
    optimisation: OptimisationSettings,
    train: TrainSettings,
    places: Path | None = None,
    patches: PatchSettings | None = None,
    fields: Path | None = None,
    painting: PaintingSettings | None = None,
    painted_share: float = 1.0,
    start: Path | None = None,
    storage: StorageSettings = _NO_STORAGE,
) -> TrainingJob:
    """A job and its fingerprint; its run folder is `<runs>/<name>-<fingerprint>`, so that other settings, data or code
    never meet its checkpoints.

    Args:
        train: with a number as learning rate.
        start: a safetensors file of the network's initial weights.
        storage: what the paths hold must be published there before the job runs: `publish`.
    Raises: Refusal (exit 4) if an array store or the split is not whole; CFG-02 (exit 2) if the batch cannot be shared
        by the workers, or the network does not take the arrays' sizes.
    """
    store = ArrayStore.open(inputs)
    _refuse_what_does_not_fit(store.recipe, patches, painting, network, optimisation, train)
    masks_sha256 = ArrayStore.open(masks).sha256
    fingerprint = {
        "inputs": store.sha256,
        "masks": masks_sha256,
        "split": read_split(split).sha256,
        "network": as_plain(network),
        "optimisation": as_plain(optimisation),
        "train": what_decides(train, network),
        "code": code_sha256(["networks", "training"]),
    }
    places_sha256 = ""
    if patches and places:
        places_sha256 = ArrayStore.open(places).sha256
        fingerprint |= {"places": places_sha256, "patches": as_plain(patches)}
    fields_sha256 = ""
    if painting and fields:
        fields_sha256 = ArrayStore.open(fields).sha256
        painter = {"painting": as_plain(painting), "painting_code": code_sha256(["synthetic", "volumes"])}
        fingerprint |= {"fields": fields_sha256, **painter}
        if painted_share < 1:
            fingerprint["painted_share"] = painted_share
    if start:
        fingerprint["start"] = sha256_of_file(start)
    if foreign := source_sha256(network):
        fingerprint["network_code"] = foreign
    return TrainingJob(
        inputs=store.sha256 if storage.url else str(inputs.absolute()),
        masks=masks_sha256 if storage.url else str(masks.absolute()),
        split=sha256_of_file(split) if storage.url else str(split.absolute()),
        run_folder=str((runs / f"{name}-{sha256_of_json(fingerprint)[:12]}").absolute()),
        network=network,
        optimisation=optimisation,
        train=train,
        input_channels=len(store.recipe.channels),
        places=places_sha256 if storage.url or not places else str(places.absolute()),
        fields=fields_sha256 if storage.url or not fields else str(fields.absolute()),
        painting=painting,
        painted_share=painted_share,
        start="" if not start else fingerprint["start"] if storage.url else str(start.absolute()),
        patches=patches,
        storage=storage,
        tracking_uri=tracking_uri(),
        fingerprint=fingerprint,
    )


def _refuse_what_does_not_fit(
    recipe: InputRecipe,
    patches: PatchSettings | None,
    painting: PaintingSettings | None,
    network: NetworkSettings,
    optimisation: OptimisationSettings,
    train: TrainSettings,
) -> None:
    """Settings that are right one by one but not together, before a worker meets them."""
    try:
        seen = patches.shape_zyx if patches else recipe.shape_zyx
        if seen is None:
            raise ValueError("arrays.spacing_mm_zyx gives every scan its own size: patches are expected, got none")
        if painting:
            refuse_recipe_of_painted(recipe)
        network.check_shape(seen)
        share_of_rank(optimisation.batch_size, rank=0, world_size=train.workers)
    except ValueError as error:
        raise Refusal.of("CFG-02", PARAMS, str(error), "change one of these settings in params.yaml") from None


@contextmanager
def job_trainer(job: TrainingJob, context: TrainerContext) -> Iterator[Trainer]:
    """The trainer of a job in this process; when the block ends, its checkpoints are in the storage.

    Raises: Refusal ST-09 (exit 6) if the last checkpoint did not get there; the run folder has it.
    """
    train, validation = _cases(job, context.say)
    torch.manual_seed(job.train.seed)  # the initial weights belong to the seed
    network = build_network(job.network, job.input_channels)
    if job.start:
        network.load_state_dict(tensors_from_bytes(_start_weights(job, context.say)))
    with _checkpoints_in_storage(job, context) as listening:
        yield Trainer(
            network,
            train,
            validation,
            job.train,
            job.optimisation,
            folder=node_folder(job),
            fingerprint=job.fingerprint,
            context=listening,
        )


def fit_job(job: TrainingJob, context: TrainerContext) -> tuple[Network, FitResult]:
    """Run a job in this process, without Ray."""
    with job_trainer(job, context) as trainer:
        result = trainer.fit()
    return trainer.network, result


def finished_job(job: TrainingJob) -> tuple[Network, FitResult]:
    """The best network and the result of a complete run."""
    with job_trainer(job, TrainerContext(say=lambda line: None)) as trainer:
        result = trainer.finished_result()
    return trainer.network, result


def _cache(job: TrainingJob, say: Callable[[str], None]) -> ObjectCache | None:
    """Where this node keeps what it reads from the storage; None without one."""
    return ObjectCache(open_storage(job.storage.url), job.storage.cache_folder, say=say) if job.storage.url else None


def _start_weights(job: TrainingJob, say: Callable[[str], None]) -> bytes:
    """The initial weights' file. Raises: Refusal ST-02 (exit 4) if it is not the one that the run was made for."""
    cache = _cache(job, say)
    content = cache.read(job.start) if cache else Path(job.start).read_bytes()
    if hashlib.sha256(content).hexdigest() != job.fingerprint["start"]:
        problem, fix = "is not the file that this training was planned with", "start the stage again: it writes it anew"
        raise Refusal.of("ST-02", job.start, problem, fix)
    return content


def _cases(job: TrainingJob, say: Callable[[str], None]) -> tuple[TrainingCases, TrainingCases]:
    """To train on and to validate with."""
    cache = _cache(job, say)
    split = fetched_split(cache, job.split) if cache else read_split(Path(job.split))

    def opened(place: str) -> ArrayStore:
        return fetched_store(cache, place) if cache else ArrayStore.open(Path(place))

    inputs, masks = opened(job.inputs), opened(job.masks)
    places = opened(job.places) if job.patches else None
    fields = opened(job.fields) if job.painting else None

    def part(case_ids: Sequence[str]) -> TrainingCases:
        whole = StoredCases.matched(inputs, masks, case_ids)
        if not (places and job.patches):
            return whole
        patches = PatchCases(stores=whole, places=places, settings=job.patches)
        if not (fields and job.painting):
            return patches
        if job.painted_share == 1:
            return PaintedCases(patches=patches, fields=fields, painting=job.painting)
        people = replace(patches, stores=replace(whole, case_ids=fields.case_ids))  # the masks' store has theirs, too
        others = PaintedCases(patches=people, fields=fields, painting=job.painting)
        return MixedCases(cohort=patches, others=others, share=job.painted_share)

    return part(split.train), part(split.validation)


def node_folder(job: TrainingJob) -> Path:
    """Where this node keeps the run's checkpoints and curve: the driver's run folder, or one in the node's cache.

    The cache has a place for each storage: the same training by way of another one is another run.
    """
    if not job.storage.url:
        return Path(job.run_folder)
    place = hashlib.sha256(job.storage.url.encode()).hexdigest()[:12]
    return job.storage.cache_folder / "runs" / place / name_in_storage(Path(job.run_folder))


def stored_run(job: TrainingJob) -> StoredRun:
    """The run in the storage, of a job that has one."""
    return StoredRun(open_storage(job.storage.url), name_in_storage(Path(job.run_folder)))


def name_in_storage(run_folder: Path) -> str:
    """The name by which every node finds a run folder's copy."""
    return "/".join(run_folder.parts[-2:])


@contextmanager
def _checkpoints_in_storage(job: TrainingJob, context: TrainerContext) -> Iterator[TrainerContext]:
    """Go on from the storage's newest good checkpoint, on whatever node, and put every new one there."""
    if not job.storage.url:
        yield context
        return
    run, folder = stored_run(job), node_folder(job)
    with refused_together(context.device):
        if context.rank == 0:
            run.reconcile(folder, context.say)
    if context.rank != 0:
        run.reconcile(folder, context.say)  # what rank 0 goes on from is there by now
        yield context
        return
    mirror = CheckpointMirror(run, folder, keep=job.train.keep_checkpoints, say=context.say)
    within_s = _UPLOAD_WHEN_STOPPED_S
    try:
        yield replace(context, on_checkpoint=mirror.committed)
        within_s = _LAST_UPLOAD_S
    finally:
        failure = mirror.close(within_s)
    if failure:
        raise no_answer(open_storage(job.storage.url), failure)


@contextmanager
def locked_everywhere(job: TrainingJob) -> Iterator[None]:
    """Hold the run, against drivers on any host that use the storage, while the block runs.

    Raises: Refusal ST-08 (exit 2) naming who holds it.
    """
    with ExitStack() as stack:
        stack.enter_context(locked(Path(job.run_folder)))
        if job.storage.url:
            stack.enter_context(run_lease(open_storage(job.storage.url), name_in_storage(Path(job.run_folder))))
        yield


def newest_checkpoint(job: TrainingJob, say: Callable[[str], None] = print) -> Checkpoint | None:
    """The run's newest good checkpoint, also if another node wrote it. Raises: Refusal, as `newest_good_checkpoint`."""
    if job.storage.url:
        stored_run(job).reconcile(node_folder(job), say)
    return newest_good_checkpoint(node_folder(job), say)


def is_complete(job: TrainingJob) -> bool:
    """Whether the run is finished: starting it again would train nothing (TR-16)."""
    newest = newest_checkpoint(job)
    return newest is not None and bool(newest.state["finished"])
