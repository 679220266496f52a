import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.training.checkpoint import newest_good_checkpoint, write_checkpoint
from femseg.training.run_identity import nearest_other_run, refuse_other_run

FINGERPRINT = {"train": {"learning_rate": 1e-4, "seed": 1}, "data": "aa"}


def test_tr_11_another_runs_checkpoint_is_refused_with_every_differing_key(tmp_path):
    write_checkpoint(tmp_path, 5, {"n": 1}, FINGERPRINT)
    checkpoint = newest_good_checkpoint(tmp_path, pytest.fail)
    refuse_other_run(checkpoint, FINGERPRINT, tmp_path)
    with pytest.raises(Refusal) as refused:
        refuse_other_run(checkpoint, {"train": {"learning_rate": 3e-4, "seed": 1}, "code": "bb"}, tmp_path)
    assert refused.value.exit_code == ExitCode.USAGE
    assert (
        "(code: absent there, bb now; data: aa there, absent now; train.learning_rate: 0.0001 there, 0.0003 now)"
        in str(refused.value)
    )


def test_tr_11_a_new_run_beside_others_says_which_differs_least_and_in_what(tmp_path):
    far = {"train": {"learning_rate": 3e-4, "seed": 2}, "data": "bb"}
    write_checkpoint(tmp_path / "raw-111111111111", 40, {"n": 1}, far)
    write_checkpoint(tmp_path / "raw-222222222222", 20, {"n": 1}, {**FINGERPRINT, "data": "bb"})
    write_checkpoint(tmp_path / "gradient-333333333333", 20, {"n": 1}, FINGERPRINT)
    own = tmp_path / "raw-444444444444"
    said = nearest_other_run(own, FINGERPRINT)
    assert f"{tmp_path / 'raw-222222222222'} has come to iteration 20 and stays as it is" in said
    assert said.endswith("differs in data: bb there, aa now")
    write_checkpoint(own, 10, {"n": 1}, FINGERPRINT)
    assert nearest_other_run(own, FINGERPRINT) == ""


def test_tr_11_a_run_beside_that_is_torn_is_passed_over(tmp_path):
    write_checkpoint(tmp_path / "raw-111111111111", 40, {"n": 1}, FINGERPRINT)
    (tmp_path / "raw-111111111111" / "step-000040" / "COMMIT").write_text("{")
    assert nearest_other_run(tmp_path / "raw-444444444444", FINGERPRINT) == ""
