"""The gate's log tells who is champion, and no line of it can be changed, taken out, put in or moved unseen."""

import json
from dataclasses import replace

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.gate.audit import BEGINNING, Holders, parse, standing

from .audit_entries import audit_entry, audit_story

LINES = [entry.line() for entry in audit_story()]


def refused(lines) -> str:
    with pytest.raises(Refusal) as refused:
        parse(lines, where="the log")
    assert refused.value.exit_code == ExitCode.INTEGRITY
    assert refused.value.faults[0].id == "RG-09"
    return str(refused.value)


def test_what_was_written_is_read_again():
    assert parse(LINES, where="the log") == audit_story()
    assert audit_story()[0].entry_before == BEGINNING


@pytest.mark.parametrize("number", range(len(LINES)), ids=lambda n: f"entry {n + 1}")
def test_any_character_that_is_changed_is_found(number):
    for place in range(len(LINES[number])):
        changed = LINES[number][:place] + chr(ord(LINES[number][place]) ^ 1) + LINES[number][place + 1 :]
        assert f"entry {number + 1}" in refused([*LINES[:number], changed, *LINES[number + 1 :]])


@pytest.mark.parametrize("number", range(len(LINES)), ids=lambda n: f"entry {n + 1}")
def test_an_entry_that_is_doubled_or_moved_is_found(number):
    assert "entry" in refused([*LINES[: number + 1], *LINES[number:]])
    if number:
        assert "entry" in refused([*LINES[: number - 1], LINES[number], LINES[number - 1], *LINES[number + 1 :]])


@pytest.mark.parametrize("number", range(len(LINES) - 1), ids=lambda n: f"entry {n + 1}")
def test_an_entry_that_is_taken_out_is_found(number):
    assert "entry" in refused([*LINES[:number], *LINES[number + 1 :]])


def test_an_entry_that_is_rewritten_with_a_hash_of_its_own_is_found_by_the_next():
    forged = replace(audit_story()[0], words="refused for no reason", sha256="")
    forged = replace(forged, sha256=forged.own_sha256)
    assert "entry 2 follows another entry 1" in refused([forged.line(), *LINES[1:]])


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", "{" * 5000, '{"number": 1}'])
def test_what_is_no_entry_is_refused(line):
    assert "entry 1 is none" in refused([line])


def test_the_log_says_who_is_champion_and_who_was_before():
    holders = [standing(audit_story()[:end]).holders for end in range(8)]
    assert [(one.champion, one.previous) for one in holders] == [
        (None, None), (None, None), (None, None), (1, None), (1, None), (2, 1), (2, 1), (1, 2),
    ]  # fmt: skip


def test_a_move_that_was_begun_and_not_ended_is_open():
    assert standing(audit_story()[:4]).begun == audit_story()[3]
    assert standing(audit_story()[:5]).begun is None


def test_an_abandoned_move_leaves_everything_as_it_was():
    log = audit_story()[:4]
    log = (*log, audit_entry("abandoned", 2).chained(log))
    assert standing(log).holders == Holders(champion=1)
    assert standing(log).begun is None


def test_an_entry_fits_into_a_tag_however_much_there_is_to_say():
    (entry,) = (audit_entry(words="“ü\n" * 4000).chained(()),)
    assert len(entry.line()) < 5000 * 2
    assert json.loads(entry.line())["words"].endswith("…")
