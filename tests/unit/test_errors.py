"""The one-line refusal and what it becomes at the door."""

import json
import pickle

import pytest

from femseg.errors import Fault, Refusal, words_of
from femseg.exits import command_exit

GAP = Fault(id="IN-01", file="a.dcm", problem="2.0 mm between slices, expected 1.0", fix="find the missing slice")
TORN = Fault(id="IN-16", file="b\nc.nii", problem="10 of 20 bytes.", fix="copy it again.")


def test_a_fault_is_one_line_by_the_contract():
    assert str(GAP) == "error IN-01: a.dcm: 2.0 mm between slices, expected 1.0. Fix: find the missing slice."
    assert str(TORN) == "error IN-16: b\\nc.nii: 10 of 20 bytes. Fix: copy it again."


def test_all_faults_are_said_and_the_gravest_decides_the_exit_code(capsys):
    with pytest.raises(SystemExit) as ended, command_exit():
        raise Refusal([GAP, TORN])
    assert ended.value.code == 4
    assert capsys.readouterr().err.splitlines() == [str(GAP), str(TORN)]


def test_json_says_the_same(capsys):
    with pytest.raises(SystemExit), command_exit(as_json=True):
        raise Refusal(GAP)
    assert json.loads(capsys.readouterr().out)["faults"] == [GAP.as_dict()]


def test_an_unforeseen_error_is_one_line_without_a_traceback_unless_debugging(capsys, monkeypatch):
    with pytest.raises(SystemExit) as ended, command_exit():
        raise ZeroDivisionError("nothing\nto divide")
    assert ended.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("FEMSEG_DEBUG", "1")
    with pytest.raises(ZeroDivisionError), command_exit():
        raise ZeroDivisionError


def test_an_unforeseen_error_is_json_too_where_json_is_wanted(capsys):
    with pytest.raises(SystemExit) as ended, command_exit(as_json=True):
        raise ZeroDivisionError("nothing to divide")
    assert ended.value.code == 1
    said = capsys.readouterr()
    (fault,) = json.loads(said.out)["faults"]
    assert (fault["id"], fault["exit_code"]) == ("INTERNAL", 1)
    assert said.err == f"error INTERNAL: femseg: {fault['problem']}. Fix: {fault['fix']}.\n"


def test_a_refusal_travels_between_processes_whole():
    assert pickle.loads(pickle.dumps(Refusal([GAP, TORN]))).faults == (GAP, TORN)  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "fatal: detected dubious ownership\n\tTo add an exception:",
            "fatal: detected dubious ownership To add an exception:",
        ),
        ("first\n" + "noise " * 100 + "the cause", "first … " + ("noise " * 100 + "the cause")[-392:]),
        ("x" * 500, "x" * 400 + "…"),
        ("no s3://user:secret@host/\x1b[31m", "no s3://host/\\x1b[31m"),
        ("", "no message"),
        (OSError(), "OSError"),
    ],
)
def test_another_programs_message_keeps_its_first_line_and_its_end_and_loses_passwords(message, words):
    assert words_of(message) == words
