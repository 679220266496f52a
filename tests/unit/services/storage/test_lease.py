"""Two drivers, as on two hosts that have only the storage in common."""

import json
import re
import time

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.storage.backend import SharedFolder
from femseg.services.storage.lease import ClaimTimes, claimed_in_storage

TIMES = ClaimTimes(renewed_every_s=0.1, dead_after_s=0.8, settled_after_s=0.05, looked_every_s=0.1)
RUN, CLAIM = "train/raw-1", "runs/train/raw-1/CLAIM"


@pytest.fixture
def storage(tmp_path) -> SharedFolder:
    return SharedFolder(str(tmp_path))


def test_a_second_driver_is_refused_naming_the_first_and_the_first_goes_on_ST_08(storage):
    with claimed_in_storage(storage, RUN, times=TIMES):
        second = claimed_in_storage(storage, RUN, times=TIMES, say=lambda line: None)
        with pytest.raises(Refusal, match=r"ST-08: .*raw-1: is in use by process \d+ on ") as refused, second:
            pass
        assert refused.value.exit_code == ExitCode.USAGE
        assert storage.size(CLAIM)
    assert storage.size(CLAIM) is None


def test_another_run_is_free(storage):
    with claimed_in_storage(storage, RUN, times=TIMES), claimed_in_storage(storage, "train/gradient-1", times=TIMES):
        pass


@pytest.mark.parametrize("where", ["elsewhere", "here"])
def test_a_dead_drivers_claim_is_taken_over_and_said_so_ST_08(storage, where):
    with claimed_in_storage(storage, RUN, times=TIMES):
        left = json.loads(storage.read(CLAIM))
    left["owner"] = re.sub(r"pid=\d+", "pid=4194305", left["owner"])
    if where == "elsewhere":
        left["owner"] = re.sub("boot=", "boot=another-", left["owner"])
    storage.write(CLAIM, json.dumps(left).encode())
    said, began = [], time.monotonic()
    with claimed_in_storage(storage, RUN, times=TIMES, say=said.append):
        waited = time.monotonic() - began
        assert json.loads(storage.read(CLAIM))["owner"] != left["owner"]
    assert "taken over from process 4194305 on " in said[-1]
    assert (waited >= TIMES.dead_after_s) == (where == "elsewhere")


def test_a_torn_claim_holds_nobody_up(storage):
    storage.write(CLAIM, b'{"id": ')
    with claimed_in_storage(storage, RUN, times=TIMES):
        pass
