"""promotion.yaml is read once and whole; a wrong key is named."""

from pathlib import Path

import pytest
import yaml

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.gate.rules import PromotionRules, read_rules
from femseg.settings import as_plain

FILE = Path(__file__).parents[3] / "promotion.yaml"


def test_the_rules_in_the_repository_are_the_defaults_spelled_out():
    assert as_plain(read_rules(FILE)) == as_plain(PromotionRules())
    assert yaml.safe_load(FILE.read_text()) == as_plain(PromotionRules())


def test_an_empty_file_is_the_defaults(tmp_path):
    (tmp_path / "promotion.yaml").touch()
    assert as_plain(read_rules(tmp_path / "promotion.yaml")) == as_plain(PromotionRules())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fewest: 3", "promotion.fewest: unknown setting"),
        ("fewest_cases: 0", "fewest_cases: expected 1 or more"),
        ("acceptable: {}", "at least one metric"),
        ("acceptable: {dise: {mean: 1, worst_case: 1, subgroup_mean: 1}}", "expected one of dice"),
        ("acceptable: {dice: {mean: 0.9}}", "worst_case"),
        ("non_inferiority: {margin: 0}", "margin: expected a positive number"),
        ("non_inferiority: {margin: -0.01}", "margin: expected a positive number"),
        ("non_inferiority: {margin: .nan}", "not JSON compliant"),
        ("non_inferiority: {margin: .inf}", "not JSON compliant"),
        ("non_inferiority: {margin: 1.0e+6}", "less than the whole range of dice"),
        ("non_inferiority: {margin: true}", "margin"),
        ("non_inferiority: {resamples: 1000000000}", "resamples: expected from 100 to 1000000"),
        ("acceptable: {dice: {mean: -5.0, worst_case: 0.5, subgroup_mean: 0.5}}", "dice.mean: expected from 0 to 1"),
        ("limits: {seconds_per_case: 1.0e+300}", "seconds_per_case: expected at most"),
        (
            "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(
                f"{key}: &{key} [{', '.join([f'*{before}'] * 10)}]\n"
                for before, key in zip("abcde", "bcdef", strict=True)
            ),
            "is no valid YAML",
        ),
        ("non_inferiority: {confidence: 1.0}", "confidence: expected from 0.5"),
        ("non_inferiority: {metric: beauty}", "expected one of dice"),
        ("limits: {memory_mib: 0}", "memory_mib: expected a positive number"),
        ("agreement: 0.5", "agreement: expected from 0.9"),
        ("- 1", "promotion"),
        ("{", "is no valid YAML"),
    ],
)
def test_a_wrong_rule_is_refused_by_name_CFG_01(tmp_path, text, says):
    (tmp_path / "promotion.yaml").write_text(text)
    with pytest.raises(Refusal) as refused:
        read_rules(tmp_path / "promotion.yaml")
    assert refused.value.exit_code == ExitCode.USAGE
    assert says in str(refused.value)


def test_a_folder_is_no_rules_CFG_01(tmp_path):
    with pytest.raises(Refusal, match="cannot be read") as refused:
        read_rules(tmp_path)
    assert refused.value.exit_code == ExitCode.USAGE


def test_without_the_file_nothing_is_assumed(tmp_path):
    with pytest.raises(Refusal, match="no such file"):
        read_rules(tmp_path / "promotion.yaml")
