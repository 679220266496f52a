"""Ids are keyed hashes."""

import hashlib

from femseg.cohorts.identity import case_id, patient_id


def test_ids_depend_on_value_purpose_and_key_and_on_nothing_else_SC_12():
    assert patient_id("0001234", key=b"a") == patient_id("0001234", key=b"a")
    assert patient_id("0001234", key=b"a") != patient_id("0001235", key=b"a")
    assert patient_id("0001234", key=b"a") != patient_id("0001234", key=b"b")
    assert patient_id("x", key=b"a").removeprefix("patient-") != case_id("x", key=b"a").removeprefix("case-")


def test_without_the_key_no_short_patient_id_can_be_found_by_trying_SC_12():
    published = patient_id("4711", key=b"secret").removeprefix("patient-")
    tried = {hashlib.sha256(str(number).encode()).hexdigest()[:12] for number in range(10_000)}
    assert published not in tried
