"""Two drivers, as on two hosts that have only the storage in common."""

import json
import re
import time

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.storage.backend import SharedFolder
from femseg.services.storage.lease import LeaseTimes, run_lease

TIMES = LeaseTimes(renewed_every_s=0.1, dead_after_s=0.8, settled_after_s=0.05, looked_every_s=0.1)
RUN, LEASE = "train/raw-1", "runs/train/raw-1/LEASE"


@pytest.fixture
def storage(tmp_path) -> SharedFolder:
    return SharedFolder(str(tmp_path))


def test_a_second_driver_is_refused_naming_the_first_and_the_first_goes_on_ST_08(storage):
    with run_lease(storage, RUN, times=TIMES):
        second = run_lease(storage, RUN, times=TIMES, say=lambda line: None)
        with pytest.raises(Refusal, match=r"ST-08: .*raw-1: is in use by process \d+ on ") as refused, second:
            pass
        assert refused.value.exit_code == ExitCode.USAGE
        assert storage.size(LEASE)
    assert storage.size(LEASE) is None


def test_another_run_is_free(storage):
    with run_lease(storage, RUN, times=TIMES), run_lease(storage, "train/gradient-1", times=TIMES):
        assert len([name for name in storage.sizes("") if name.endswith("LEASE")]) == 2


@pytest.mark.parametrize("where", ["elsewhere", "here"])
def test_a_dead_drivers_lease_is_taken_over_and_said_so_ST_08(storage, where):
    with run_lease(storage, RUN, times=TIMES):
        left = json.loads(storage.read(LEASE))
    left["owner"] = re.sub(r"pid=\d+", "pid=4194305", left["owner"])
    if where == "elsewhere":
        left["owner"] = re.sub("boot=", "boot=another-", left["owner"])
    storage.write(LEASE, json.dumps(left).encode())
    said, began = [], time.monotonic()
    with run_lease(storage, RUN, times=TIMES, say=said.append):
        waited = time.monotonic() - began
        assert json.loads(storage.read(LEASE))["owner"] != left["owner"]
    assert "taken over from process 4194305 on " in said[-1]
    assert (waited >= TIMES.dead_after_s) == (where == "elsewhere")


def test_a_torn_lease_holds_nobody_up(storage):
    storage.write(LEASE, b'{"id": ')
    with run_lease(storage, RUN, times=TIMES):
        assert json.loads(storage.read(LEASE))["owner"]
