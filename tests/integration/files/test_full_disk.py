"""G10: a disk that is full at any moment of a write ends in exit 5, and what was there before is whole."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from .full_disk import ARTEFACTS, refusals_until_it_fits

SCRIPT = Path(__file__).with_name("full_disk.py")


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_a_file_that_may_grow_to_so_many_bytes_only_is_refused_or_whole_G10_ST_06(tmp_path, artefact):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ARTEFACTS[artefact][0](tmp_path, 1)
    try:
        refused = refusals_until_it_fits(
            tmp_path, artefact, lambda step: resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * step, before[1]))
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused >= 5


@pytest.mark.slow
@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_a_disk_without_room_for_one_more_page_or_file_is_refused_or_whole_G10_ST_01(artefact):
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*alone, sys.executable, str(SCRIPT), artefact], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"needs user namespaces, to mount a small tmpfs:\n{done.stderr}"
    counted = json.loads(done.stdout)
    assert counted["pages"] >= 2
    assert counted["files"] >= 1
