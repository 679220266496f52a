"""Ids are keyed hashes."""

import hashlib
import stat

import pytest

from femseg.cohorts.case import case_id, cohort_key, patient_id
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import written_durably


def test_ids_depend_on_value_purpose_and_key_and_on_nothing_else_SC_12():
    assert patient_id("0001234", key=b"a") == patient_id("0001234", key=b"a")
    assert patient_id("0001234", key=b"a") != patient_id("0001235", key=b"a")
    assert patient_id("0001234", key=b"a") != patient_id("0001234", key=b"b")
    assert patient_id("x", key=b"a").removeprefix("patient-") != case_id("x", key=b"a").removeprefix("case-")


def test_without_the_key_no_short_patient_id_can_be_found_by_trying_SC_12():
    published = patient_id("4711", key=b"secret").removeprefix("patient-")
    tried = {hashlib.sha256(str(number).encode()).hexdigest()[:12] for number in range(10_000)}
    assert published not in tried


def test_a_key_is_made_once_whole_and_for_its_owner_alone_SC_12(tmp_path):
    path = tmp_path / "private" / "case-ids.key"
    key = cohort_key(path)
    assert len(key) >= 32
    assert cohort_key(path) == key
    assert cohort_key(tmp_path / "other.key") != key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("left_over", [b"", b"short"])
def test_a_key_that_is_no_secret_is_refused_with_exit_4_SC_12(tmp_path, left_over):
    path = tmp_path / "case-ids.key"
    path.write_bytes(left_over)
    with pytest.raises(Refusal, match="put back your copy") as refused:
        cohort_key(path)
    assert refused.value.exit_code == ExitCode.INTEGRITY
    assert path.read_bytes() == left_over


def test_the_key_of_whoever_came_first_stays_SC_12(tmp_path):
    path = tmp_path / "case-ids.key"
    with written_durably(path, keep_earlier=True) as temporary:
        temporary.write_bytes(b"second" * 8)
        path.write_bytes(b"first" * 8)
    assert cohort_key(path) == b"first" * 8
    assert list(tmp_path.iterdir()) == [path]
