"""A run goes on on any node: its checkpoints lie in the storage, and each node's cache folder stands for a node."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from servers.s3_server import s3_server
from tiny_model import TINY_NETWORK
from tiny_store import write_tiny_store

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.fit import job as job_module
from femseg.services.fit.job import fit_job, is_complete, newest_checkpoint, node_folder, training_job
from femseg.services.storage import backend as storage_module
from femseg.services.storage.arrays import publish
from femseg.services.storage.backend import Storage, StorageSettings, open_storage
from femseg.training.context import TrainerContext
from femseg.training.curves import rows_from_plain
from femseg.training.settings import OptimisationSettings, TrainSettings

BUCKET = "runs"
LAST = 24


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as one:
        one.make_bucket(BUCKET)
        yield one


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store"))


def job_in(folder: Path, data: Path, url: str, node: str = "first"):
    job = training_job(
        inputs=data / "raw",
        masks=data / "mask",
        split=data / "split.json",
        runs=folder / "train",
        name="raw",
        network=TINY_NETWORK,
        optimisation=OptimisationSettings(),
        train=TrainSettings(learning_rate=3e-3, max_iterations=LAST, validate_every=4, checkpoint_every=4),
        storage=StorageSettings(url=url, cache=str(folder / node)),
    )
    if url:
        publish(open_storage(url), stores=[data / "raw", data / "mask"], files=[data / "split.json"])
    return job


@pytest.fixture(params=["folder", "s3"])
def url(request, server, tmp_path, monkeypatch) -> str:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return str(tmp_path / "shared") if request.param == "folder" else f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def folder_url(tmp_path) -> str:
    """What holds for one kind of storage holds for the other: test_storage.py proves them alike."""
    return str(tmp_path / "shared")


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    return fitted(job_in(tmp_path_factory.mktemp("undisturbed"), data, ""))


def fitted(job, **context):
    network, result = fit_job(job, TrainerContext(**{"say": lambda line: None, **context}))
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    return weights, [row.train_dice_loss for row in result.curve], result.validation_dice


def assert_same_bits(found, expected) -> None:
    assert found[1:] == expected[1:]
    assert all(torch.equal(value, expected[0][name]) for name, value in found[0].items())


def stopped_after(job, iteration: int) -> None:
    """As a signal would: the checkpoint committed, exit 75."""
    seen: list[int] = []
    stop = lambda: bool(seen) and seen[-1] >= iteration  # noqa: E731
    with pytest.raises(Refusal) as refused:
        fitted(job, progress=lambda done, note: seen.append(done), stop_requested=stop)
    assert refused.value.exit_code == ExitCode.RESUMABLE


def kept(storage: Storage) -> list[str]:
    """Checkpoints in the storage and their parts, as `20/COMMIT`."""
    return [name.split("step-")[1].lstrip("0") for name in storage.sizes("runs") if "step-" in name]


def test_a_run_stopped_on_one_node_goes_on_on_another_with_the_same_bits_TR_02(url, data, tmp_path, undisturbed):
    stopped_after(job_in(tmp_path, data, url), 9)
    second = job_in(tmp_path, data, url, "second")
    said: list[str] = []
    assert_same_bits(fitted(second, say=said.append), undisturbed)
    assert said == ["going on after iteration 9"]
    third = job_in(tmp_path, data, url, "third")
    assert is_complete(third)
    assert_same_bits(fitted(third), undisturbed)
    rows = rows_from_plain(newest_checkpoint(third).state["rows"])
    assert [row.iteration for row in rows] == list(range(1, LAST + 1))


def test_the_storage_keeps_the_newest_checkpoints_and_the_best_ST_07(url, data, tmp_path):
    job = job_in(tmp_path, data, url)
    fitted(job)
    best = newest_checkpoint(job).state["best_iteration"]
    expected = sorted({20, 24, best})
    assert kept(open_storage(url)) == [f"{n}/{part}" for n in expected for part in ("COMMIT", "state.pt")]


def altered(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("part", "damage"),
    [("state.pt", altered), ("state.pt", lambda content: content[:1000]), ("COMMIT", altered), ("state.pt", None)],
    ids=["a bit of the state", "state cut", "a bit of the mark", "state gone"],
)
def test_a_torn_newest_checkpoint_is_set_aside_in_the_storage_and_the_one_before_used_TR_03(
    folder_url, data, tmp_path, undisturbed, part, damage: Callable[[bytes], bytes] | None
):
    stopped_after(job_in(tmp_path, data, folder_url), 14)
    storage = open_storage(folder_url)
    (name,) = [name for name in storage.sizes("runs") if name.endswith(f"step-000014/{part}")]
    if damage:
        storage.write(name, damage(storage.read(name)))
    else:
        storage.remove(name)
    said: list[str] = []
    assert_same_bits(fitted(job_in(tmp_path, data, folder_url, "second"), say=said.append), undisturbed)
    assert said[0].startswith(f"warning TR-03: {folder_url}/runs/train/raw-")
    assert "step-000014/ is set aside as COMMIT.corrupt" in said[0]
    assert said[1] == "going on after iteration 12"


def test_an_upload_that_was_cut_off_before_its_mark_never_counts_TR_02(folder_url, data, tmp_path, undisturbed):
    stopped_after(job_in(tmp_path, data, folder_url), 14)
    storage = open_storage(folder_url)
    (mark,) = [name for name in storage.sizes("runs") if name.endswith("step-000014/COMMIT")]
    storage.remove(mark)
    said: list[str] = []
    assert_same_bits(fitted(job_in(tmp_path, data, folder_url, "second"), say=said.append), undisturbed)
    assert said == ["going on after iteration 12"]


def test_where_no_checkpoint_in_the_storage_is_good_the_run_is_refused_TR_03(folder_url, data, tmp_path):
    stopped_after(job_in(tmp_path, data, folder_url), 6)
    storage = open_storage(folder_url)
    for name in storage.sizes("runs"):
        if name.endswith("state.pt"):
            storage.write(name, b"")
    with pytest.raises(Refusal, match=r"TR-03: .*none of the 2 checkpoints of this run is good") as refused:
        fitted(job_in(tmp_path, data, folder_url, "second"))
    assert refused.value.exit_code == ExitCode.INTEGRITY


def test_a_torn_copy_on_the_node_is_mended_from_the_storage(folder_url, data, tmp_path, undisturbed):
    job = job_in(tmp_path, data, folder_url)
    stopped_after(job, 14)
    state = node_folder(job) / "step-000014/state.pt"
    state.write_bytes(altered(state.read_bytes()))
    said: list[str] = []
    assert_same_bits(fitted(job, say=said.append), undisturbed)
    assert said == ["going on after iteration 14"]


def test_the_same_training_by_way_of_another_storage_is_another_run_on_the_same_node(folder_url, data, tmp_path):
    stopped_after(job_in(tmp_path, data, folder_url), 6)
    other = job_in(tmp_path, data, f"{folder_url}-of-another-project")
    assert newest_checkpoint(other) is None
    assert not any(name.endswith("COMMIT") for name in open_storage(other.storage.url).sizes("runs"))


@pytest.fixture
def impatient(server, monkeypatch):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage_module, "_READ_S", 0.5)


@pytest.mark.usefixtures("impatient")
def test_training_goes_on_while_the_storage_is_silent_and_is_uploaded_afterwards(server, data, tmp_path, undisturbed):
    url, said = f"s3://{BUCKET}/{tmp_path.name}", []

    def meanwhile(done: int, note: str) -> None:
        """Silence from iteration 7 on, until it was complained of; the training has come to 15 by then."""
        if done == 7:
            silence.__enter__()
        if done == 15:
            limit = time.monotonic() + 60
            while not said and time.monotonic() < limit:
                time.sleep(0.05)
            silence.__exit__(None, None, None)

    silence = server.stopped()
    assert_same_bits(fitted(job_in(tmp_path, data, url), progress=meanwhile, say=said.append), undisturbed)
    assert len(said) == 1
    assert said[0].startswith("warning ST-09: checkpoint ")
    assert f"{LAST}/COMMIT" in kept(open_storage(url))


@pytest.mark.usefixtures("impatient")
def test_a_run_whose_end_the_storage_does_not_take_is_refused_and_completed_later(
    server, data, tmp_path, undisturbed, monkeypatch
):
    monkeypatch.setattr(job_module, "_LAST_UPLOAD_S", 1.0)
    url = f"s3://{BUCKET}/{tmp_path.name}"
    job = job_in(tmp_path, data, url)
    silence = server.stopped()
    with pytest.raises(Refusal) as refused:
        fitted(job, progress=lambda done, note: silence.__enter__() if done == LAST else None)
    silence.__exit__(None, None, None)
    (fault,) = refused.value.faults
    assert (fault.id, fault.file, fault.exit_code) == ("ST-09", url, ExitCode.SERVICE_DOWN)
    assert_same_bits(fitted(job), undisturbed)
    assert is_complete(replace(job, storage=StorageSettings(url=url, cache=str(tmp_path / "second"))))
