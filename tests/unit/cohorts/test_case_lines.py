import json
import re
import tracemalloc
from hashlib import sha256

import pytest

from femseg.cohorts.case_lines import CaseLines, write_case_lines
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file

HEAD = {"format": 2, "kind": "raw"}
CASES = {"b-2": {"sha256": "bb"}, "a": {"sha256": "aa", "remarks": ['Ü, "quoted"\nline']}, "b": {"sha256": "b"}}


def _sealed(content):
    """As if the file had been forged, its hash too."""
    *above, _ = content.splitlines(keepends=True)
    return re.sub(rb"[0-9a-f]{64}(?=\"}\n\Z)", sha256(b"".join(above)).hexdigest().encode(), content)


def _opened(path, content):
    path.write_bytes(content)
    return CaseLines(path)


def test_head_and_cases_come_back_in_ascending_order_and_any_json_program_reads_the_file(tmp_path):
    path = tmp_path / "index.json"
    written = write_case_lines(path, HEAD, CASES)
    lines = CaseLines(path)
    assert (lines.head, dict(lines), list(lines)) == (HEAD, CASES, ["a", "b", "b-2"])
    assert lines.sha256 == written == sha256_of_file(path)
    *above, _ = path.read_bytes().splitlines(keepends=True)
    assert json.loads(path.read_text()) == {**HEAD, "cases": CASES, "sha256": sha256(b"".join(above)).hexdigest()}
    assert path.read_bytes().count(b"\n") == len(CASES) + 2


def test_cases_that_are_not_there_are_not_found(tmp_path):
    write_case_lines(tmp_path / "index.json", HEAD, CASES)
    lines = CaseLines(tmp_path / "index.json")
    for absent in ("", "A", "aa", "b-", "b-20", "z"):
        assert absent not in lines
        with pytest.raises(KeyError):
            lines[absent]


def test_a_list_without_cases_is_empty(tmp_path):
    write_case_lines(tmp_path / "index.json", HEAD, {})
    assert list(CaseLines(tmp_path / "index.json")) == []


def test_equal_cases_give_equal_bytes_in_whatever_order_they_come(tmp_path):
    backwards = dict(reversed(CASES.items()))
    assert write_case_lines(tmp_path / "one", HEAD, CASES) == write_case_lines(tmp_path / "two", HEAD, backwards)


def test_every_truncation_is_refused_by_the_name_of_the_file_ST_02(tmp_path):
    path = tmp_path / "index.json"
    write_case_lines(path, HEAD, CASES)
    whole = path.read_bytes()
    for length in range(len(whole)):
        with pytest.raises(Refusal, match=r"ST-02: .*index\.json") as caught:
            _opened(path, whole[:length])
        assert caught.value.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "ascending"),
        (lambda lines: [lines[0], lines[1], *lines[1:]], "ascending"),
        (lambda lines: [*lines, b"{}\n"], "torn or altered"),
        (lambda lines: [lines[0], lines[1].replace(b"},\n", b"}\n"), *lines[2:]], "torn or altered"),
        (lambda lines: [*lines[:-2], lines[-2].replace(b"}\n", b"},\n"), lines[-1]], "torn or altered"),
        (lambda lines: [lines[0], b'"../a": {},\n', *lines[1:]], "unsafe"),
        (lambda lines: [lines[0], b'"\xff": {},\n', *lines[1:]], "unsafe"),
        (lambda lines: [b'{"kind": raw, "cases": {\n', *lines[1:]], "no readable JSON"),
        (lambda lines: [b"".join(lines).replace(b"\n", b" ")], "a line each"),
    ],
)
def test_a_file_that_is_laid_out_otherwise_is_refused_ST_02(tmp_path, change, says):
    path = tmp_path / "index.json"
    write_case_lines(path, HEAD, CASES)
    lines = path.read_bytes().splitlines(keepends=True)
    with pytest.raises(Refusal, match=says):
        _opened(path, b"".join(change(lines)))


def test_one_flipped_bit_anywhere_is_refused_ST_02(tmp_path):
    path = tmp_path / "index.json"
    write_case_lines(path, HEAD, CASES)
    whole = path.read_bytes()
    for position in range(len(whole)):
        with pytest.raises(Refusal, match="ST-02"):
            _opened(path, whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])


def test_a_line_that_is_no_json_is_refused_when_it_is_asked_for(tmp_path):
    path = tmp_path / "index.json"
    write_case_lines(path, HEAD, CASES)
    lines = _opened(path, _sealed(path.read_bytes().replace(b'"bb"', b"bb")))
    assert lines["a"] == CASES["a"]
    with pytest.raises(Refusal, match="b-2"):
        lines["b-2"]


def test_an_index_that_is_replaced_meanwhile_stays_the_one_that_was_opened(tmp_path):
    path = tmp_path / "index.json"
    write_case_lines(path, HEAD, CASES)
    lines = CaseLines(path)
    write_case_lines(path, HEAD, {"a": {"sha256": "other"}})
    assert dict(lines) == CASES


def test_an_open_list_takes_eight_bytes_a_case(tmp_path):
    path, cases = tmp_path / "index.json", 20_000
    write_case_lines(path, HEAD, {f"case-{n:06d}": {"sha256": f"{n:064x}", "grid": [n] * 20} for n in range(cases)})
    tracemalloc.start()
    try:
        lines = CaseLines(path)
        assert lines["case-012345"]["grid"] == [12345] * 20
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10 * cases + 50_000
    assert peak < 3_000_000 < path.stat().st_size
