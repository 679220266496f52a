"""One function over many cases on real Ray workers."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from study_maker import SPACING_ZYX, ct_hu
from tiny_model import RECIPE

from femseg.cohorts.store import write_array
from femseg.errors import Fault, Refusal
from femseg.faults import ExitCode
from femseg.services.cluster.map_cases import map_cases
from femseg.services.cluster.session import ray_session, require_resources
from femseg.volumes.grid import CtVolume, VoxelGrid
from femseg.volumes.network_input import network_grid, network_input

SUPPORT = Path(__file__).parents[3] / "support"
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray warns of itself


@pytest.fixture(scope="module", autouse=True)
def two_workers():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
        with ray_session(cpus=2):
            yield


def names(count: int) -> list[str]:
    return [f"case{index}" for index in range(count)]


def test_results_come_in_the_order_of_the_cases_whichever_ends_first():
    def slow_first(item):
        time.sleep(0.5 if item == 0 else 0)
        return item * item

    assert map_cases(slow_first, range(5), names=names(5), task="squares") == [0, 1, 4, 9, 16]


def test_a_worker_that_dies_takes_no_other_case_with_it_IN_27(capfd):
    def check(item):
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    found = map_cases(check, range(3), names=names(3), task="check", on_crash=lambda item, fault: (item, fault.id))
    assert found == [0, (1, "PP-07"), 2]


def test_every_fault_of_every_case_is_in_one_refusal_IN_27(capfd):
    def check(item):
        if item % 2:
            faults = [Fault(id=f"IN-0{n}", file=f"case{item}", problem="bad", fix="mend it") for n in (2, 1)]
            raise Refusal(faults)
        return item

    with pytest.raises(Refusal) as refused:
        map_cases(check, range(5), names=names(5), task="check")
    assert [(fault.file, fault.id) for fault in refused.value.faults] == [
        ("case1", "IN-01"),
        ("case1", "IN-02"),
        ("case3", "IN-01"),
        ("case3", "IN-02"),
    ]
    assert "check: 5 of 5" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["left", "killed"])
def test_a_worker_that_dies_is_named_by_its_case_PP_07(kind, tmp_path):
    def die(item):
        if item == 1:
            if kind == "left":
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        (tmp_path / f"{item}").touch()
        return item

    with pytest.raises(Refusal) as refused:
        map_cases(die, range(4), names=names(4), task="arrays")
    (fault,) = refused.value.faults
    assert (fault.id, fault.file, fault.exit_code) == ("PP-07", "case1", ExitCode.RESOURCE)
    assert "more memory" in fault.fix
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2", "3"]


def test_an_error_of_ours_is_no_refusal():
    def broken(item):
        raise ValueError("programming error")

    with pytest.raises(RuntimeError, match=r"arrays, case[01]: ValueError: programming error"):
        map_cases(broken, range(2), names=names(2), task="arrays")


def test_more_memory_than_there_is_is_refused_at_once_CL_01():
    started = time.monotonic()
    with pytest.raises(Refusal) as refused:
        map_cases(str, range(2), names=names(2), task="arrays", memory_bytes=2**60)
    assert time.monotonic() - started < 60  # Ray would wait for ever
    assert refused.value.exit_code == ExitCode.RESOURCE
    assert "GiB of memory" in str(refused.value)


@pytest.mark.parametrize(("asked", "says"), [({"cpus": 99}, "99 CPUs"), ({"gpus": 8}, "8 GPUs")])
def test_more_than_the_cluster_has_is_refused_with_both_numbers_CL_01(asked, says):
    with pytest.raises(Refusal) as refused:
        require_resources(what="train raw", **asked)
    (fault,) = refused.value.faults
    assert (fault.id, fault.exit_code) == ("CL-01", ExitCode.RESOURCE)
    assert says in fault.problem
    assert "the cluster has" in fault.problem


def test_arrays_are_the_same_bytes_one_at_a_time_or_two_at_once_PP_08(tmp_path):
    def prepare(seed, folder):
        hu = ct_hu(seed=seed).astype(np.float32)
        grid = VoxelGrid(shape_zyx=hu.shape, spacing_mm_zyx=SPACING_ZYX)
        array = network_input(CtVolume(hu_zyx=hu, grid=grid), RECIPE)[0]
        return write_array(
            folder, f"case{seed}", array, kind="raw", network_grid=network_grid(grid, RECIPE), ct_grid=grid
        ).sha256

    alone = [prepare(seed, tmp_path / "alone") for seed in range(4)]
    half_of_memory = 2**30
    for memory_bytes in (0, half_of_memory):
        folder = tmp_path / f"workers-{memory_bytes}"
        work = partial(prepare, folder=folder)
        assert map_cases(work, range(4), names=names(4), task="arrays", memory_bytes=memory_bytes) == alone
        for file in (tmp_path / "alone").iterdir():
            assert (folder / file.name).read_bytes() == file.read_bytes()
