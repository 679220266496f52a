"""Whatever happens to a file's bytes: it goes in, or it is refused in one line, within bounds; never a crash (SC-14).

The damage and the doors are those of tests/support/fuzz; `benchmarks/intake/intake_fuzz.py` runs ten thousand of
them and keeps the figures.
"""

from typing import Any

import pytest
from fuzz.carriers import CARRIERS
from fuzz.runs import faulty, run_carriers, run_jobs
from study_maker import ct_slices, write_series

from femseg.errors import Refusal
from femseg.formats.dicom.headers import read_slice_header

SECONDS, MEGABYTES = 5, 500
SEEDS_IN_SHORT, SEEDS = 12, 670
FOUND_ONCE = [
    ("DICOM explicit", 193, 194),  # bytes behind the pixels, for which GDCM reserved 437 MB
    ("MHA raw", 250, 251),  # voxels taken for a line of the header
    ("MHA zlib", 30, 31),  # no compressed size
    ("MHA zlib", 284, 285),  # a blank that is none
]


def broken(results: list[dict[str, Any]]) -> list[str]:
    return [
        f"{result['carrier']} seed {result['seed']} ({result['what']}): {', '.join(wrong)}; {result.get('line', '')}"
        f"{result.get('trace', '')}{result.get('noise', '')}"
        for result in results
        if (wrong := faulty(result, seconds=SECONDS, megabytes=MEGABYTES))
    ]


def test_a_few_damaged_files_of_every_kind_go_in_or_are_refused_SC_14():
    short = [(carrier.name, 0, SEEDS_IN_SHORT) for carrier in CARRIERS]
    results = run_jobs([*short, *FOUND_ONCE])
    assert broken(results) == []
    assert {result["outcome"] for result in results} == {"accepted", "refused"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_files_go_in_or_are_refused_SC_14_G14():
    results = run_carriers(SEEDS)
    assert len(results) == SEEDS * len(CARRIERS) >= 10_000
    assert broken(results) == []


@pytest.mark.slow
def test_a_worker_that_dies_or_hangs_is_told_by_its_seed(monkeypatch):
    monkeypatch.setenv("FEMSEG_FUZZ_SABOTAGE", "2 die 4 hang")
    monkeypatch.setattr("fuzz.runs.HANG_SECONDS", 5)
    outcomes = [result["outcome"] for result in run_jobs([("NPY", 0, 6)])]
    assert outcomes == ["refused", "refused", "crash (-11)", "refused", "hang", "refused"]


def test_a_slice_cut_anywhere_is_refused_IN_14(tmp_path):
    (path, *_) = write_series(tmp_path, ct_slices())
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(Refusal, match="IN-14"):
            read_slice_header(path)
