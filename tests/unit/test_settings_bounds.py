"""params.yaml costs what its length says, and nothing in it is passed over."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from fuzz.bombs import yaml_of_merges, yaml_of_nine_to_the_twelfth, yaml_of_ten_megabytes
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.settings import SECTIONS, BadYaml, checked, load_bounded, read_section

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    rate: float = 1.0
    name: str = ""


def refused(path: Path) -> str:
    with pytest.raises(Refusal) as caught:
        read_section(Train, "train", file=path)
    assert caught.value.exit_code == ExitCode.USAGE
    assert all(fault.id == "CFG-01" and len(str(fault)) < 600 for fault in caught.value.faults)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train:\n  rate: 1.0\n  rate: 2.0\n", "key 'rate' at line 3 is there twice, first at line 2"),
        ("train: {}\ntrain: {}\n", "key 'train' at line 2 is there twice"),
        ("train: {}\ntrian: {}\n", "trian: unknown section"),
        ("train: {}\n1: {}\n", "1: unknown section"),
        ("train: &a [*a]\n", "deep at line 1"),
        ("train: " + "[" * 40 + "]" * 40, "nested more than 32 deep"),
        ("train: " + "[" * 5000, "nested too deeply"),
        ("train: {[1, 2]: 3}\n", "a key that is no word"),
        ("train: {rate: .nan}\n", "Out of range float values"),
        ("train: {rate: .inf}\n", "Out of range float values"),
        ("train: {rate: 2020-01-01}\n", "not JSON serializable"),
        ("train: {rate: !!python/object/apply:os.getpid []}\n", "could not determine a constructor"),
        ("train: {rate: " + "9" * 5000 + "}\n", "4300 digits"),
        ("train: {name: [" + "x," * 9000 + "]}\n", "got ['x', 'x'"),
        ("train: {a: 1}\n--- {}\n", "expected a single document"),
        ("train: {name: \x00}\n", "special characters are not allowed"),
    ],
)
def test_what_would_be_passed_over_or_cost_much_is_refused_in_one_line(tmp_path, text, says):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert says in refused(path)


@pytest.mark.parametrize("bomb", [yaml_of_nine_to_the_twelfth, yaml_of_merges])
def test_aliases_that_multiply_are_refused_before_they_do(tmp_path, bomb):
    path = bomb(tmp_path)
    path.write_text(path.read_text().replace("cohort", "train"))
    assert "more than 20000 values, aliases followed" in refused(path)


def test_a_file_too_large_for_settings_is_refused_by_its_size(tmp_path):
    assert "more than 131072 bytes" in refused(yaml_of_ten_megabytes(tmp_path))


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "params.yaml")
    assert "is a pipe" in refused(tmp_path / "params.yaml")


def test_aliases_and_merges_that_share_a_few_values_are_fine():
    text = "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 2}\nc: *a\n"
    assert load_bounded(text) == yaml.safe_load(text)


@pytest.mark.parametrize("file", ["params.yaml", "params.paper.yaml", "params.shipped.yaml", "params.phantom1mm.yaml"])
def test_the_files_that_ship_read_the_same_and_have_known_sections_only(file):
    text = (ROOT / file).read_text()
    assert load_bounded(text) == yaml.safe_load(text)
    assert set(load_bounded(text)) <= set(SECTIONS)


WORDS = """3e-05 1e-4 1E5 1.5e3 1.5e+3 +2e-3 .5 -.5e-2 5. 1_000 1_0.5 0 -0 +12 010 08 0o17 0x1F 0b101 .inf -.INF
on off yes No y True FALSE tRUE null Null ~ 1:30 12:30:45 1.0.3 1e 1e- e5 . _ 1__0 2026-01-02 2026-13 <x nan infinity"""


@pytest.mark.parametrize("word", WORDS.split())
def test_a_plain_word_is_what_dvc_makes_of_it(word):
    """DVC writes `-S train.learning_rate=3e-5` as 3e-05, by YAML 1.2, where a float needs no dot."""
    ours, theirs = load_bounded(f"key: {word}"), YAML(typ="safe", pure=True).load(f"key: {word}")
    assert ours == theirs
    assert type(ours["key"]) is type(theirs["key"])


@given(st.floats(allow_nan=False))
def test_every_float_that_dvc_writes_is_read_as_it_was(value):
    file = io.StringIO()
    YAML().dump({"key": value}, file)
    assert load_bounded(file.getvalue()) == {"key": value}


def test_nothing_is_nothing():
    assert load_bounded("") is None
    with pytest.raises(BadYaml):
        load_bounded("a: b: c")


def test_numbers_that_are_not_finite_are_refused_in_json_too():
    with pytest.raises(Refusal, match="Out of range"):
        checked(Train, {"rate": float("nan")}, where="train")
