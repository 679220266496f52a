"""A search that has not ended goes on as it was begun; another space is refused, a torn record is no new search."""

from dataclasses import replace

import pytest
from fuzz.damage import cuts, flips

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.search.halving import SearchSettings
from femseg.search.record import begin, changes, end, search_space

SETTINGS = SearchSettings(trials_per_mode=2, rungs=(2, 4))


def space(modes=("raw", "gradient"), code="c" * 64, **settings):
    shared = {"masks": "m" * 64, "split": "s" * 64, "network": "n" * 64, "optimisation": "o" * 64, "code": code}
    return search_space(replace(SETTINGS, **settings), modes, {mode: {"inputs": mode, **shared} for mode in modes})


def begun(folder, its_space):
    said = []
    return begin(folder, its_space, said.append), said


def test_a_search_that_has_not_ended_goes_on_in_its_own_folder(tmp_path):
    folder, _ = begun(tmp_path, space())
    assert begun(tmp_path, space()) == (folder, [])


def test_how_many_may_fail_and_the_search_s_name_are_no_part_of_the_space():
    assert space(allow_failed=3, name="other", use_gpu=True) == space()


def test_a_changed_space_is_refused_with_what_was_added_and_removed_SE_05(tmp_path):
    begun(tmp_path, space())
    with pytest.raises(Refusal) as refused:
        begun(tmp_path, space(("raw", "both"), learning_rate=(1e-4, 1e-1), rungs=(2, 8), seed=1, code="d" * 64))
    (fault,) = refused.value.faults
    assert (fault.id, fault.exit_code) == ("SE-05", ExitCode.USAGE)
    rates = [f"{rate:g}" for rate in space()["first_learning_rates"]]
    for words in (
        "input_modes: added both; removed gradient",
        "learning_rate: [0.0001, 0.01] there, [0.0001, 0.1] now",
        f"removed {', '.join(rates)}",
        "rungs: added 8; removed 4",
        "seed: 0 there, 1 now",
        "code: cccccccccccc… there, dddddddddddd… now",
        "inputs_gradient: gradient there, absent now",
    ):
        assert words in fault.problem
    assert "search.name" in fault.fix
    assert begun(tmp_path, space())[1] == []  # nothing was changed by the refusal


def test_an_ended_search_makes_way_for_another_space_and_is_found_again(tmp_path):
    first, _ = begun(tmp_path, space())
    end(tmp_path, space())
    second, _ = begun(tmp_path, space(seed=1))
    assert second != first
    end(tmp_path, space(seed=1))
    assert begun(tmp_path, space())[0] == first


def test_many_values_are_cut_short():
    (told,) = changes({"rungs": [1]}, {"rungs": list(range(1, 30))})
    assert told == "rungs: added 2, 3, 4, 5, 6, 7, 8, 9 and 20 more"


@pytest.mark.parametrize("torn", [b"", b"{", b'{"content": {"space"', b'"text"', b"\xff\xfe"], ids=repr)
def test_a_torn_record_is_rebuilt_where_trials_of_these_settings_are_SE_02(tmp_path, torn):
    folder, _ = begun(tmp_path, space())
    folder.mkdir()
    (tmp_path / "search.json").write_bytes(torn)
    again, said = begun(tmp_path, space())
    assert again == folder
    assert [line.split(":")[0] for line in said] == ["warning SE-02"]
    with pytest.raises(Refusal, match="SE-05"):
        begun(tmp_path, space(seed=1))


@pytest.mark.parametrize("damage", [lambda right: cuts(right, 40), lambda right: flips(right, 40)], ids=["G3", "G4"])
def test_a_record_damaged_anywhere_starts_no_new_search_in_the_old_folder_SE_02(tmp_path, damage):
    folder, _ = begun(tmp_path, space())
    folder.mkdir()
    record = tmp_path / "search.json"
    right = record.read_bytes()
    for wrong in damage(right.rstrip()):
        record.write_bytes(wrong)
        with pytest.raises(Refusal) as refused:
            begun(tmp_path, space(seed=1))
        (fault,) = refused.value.faults
        assert (fault.id, fault.file) == ("SE-02", str(record)), wrong
        again, said = begun(tmp_path, space())
        assert again == folder
        assert str(record) in said[0]
        assert record.read_bytes() == right


def test_a_torn_record_beside_trials_of_other_settings_is_refused_SE_02(tmp_path):
    folder, _ = begun(tmp_path, space())
    folder.mkdir()
    content = (tmp_path / "search.json").read_bytes()
    (tmp_path / "search.json").write_bytes(content.replace(b'"ended": false', b'"ended": true'))  # its hash says so
    with pytest.raises(Refusal) as refused:
        begun(tmp_path, space(seed=1))
    assert (refused.value.faults[0].id, refused.value.exit_code) == ("SE-02", ExitCode.INTEGRITY)
