"""Settings are checked once, at the door, and every wrong key is named."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.settings import as_plain, checked, read_section


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    low: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    learning_rate: float = 1e-4
    shape_zyx: tuple[int, int, int] = (8, 8, 8)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate: expected a positive number, got {self.learning_rate}")


def test_a_section_round_trips_through_plain_values():
    settings = Example(learning_rate=3e-4, inner=Inner(low=-1.0))
    assert checked(Example, as_plain(settings), where="train") == settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"learning_rate": "1e-4"}, ["train.learning_rate", "'1e-4'", "in quotes it is text"]),
        ({"learning_rate": -1.0}, ["expected a positive number, got -1.0"]),
        ({"learning_rte": 1.0}, ["train.learning_rte", "unknown setting"]),
        ({"inner": {"lo": 1.0}}, ["train.inner.lo", "unknown setting"]),
        ({"shape_zyx": [8, 8]}, ["train.shape_zyx"]),
        ({"shape_zyx": [8, 8, 8.5]}, ["train.shape_zyx.2", "8.5"]),
        ([1], ["train"]),
    ],
)
def test_wrong_settings_are_refused_naming_key_and_value(given, words):
    with pytest.raises(Refusal) as refused:
        checked(Example, given, where="train")
    assert refused.value.exit_code == ExitCode.USAGE
    assert all(word in str(refused.value) for word in words), str(refused.value)


@pytest.mark.parametrize("text", [None, "train: [", "other: {}", "- 1", "train: 0", "train: &a [*a]", "[" * 5000])
def test_a_params_file_that_is_missing_broken_or_without_the_section_is_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Refusal, match=r"params\.yaml") as refused:
        read_section(Example, "train", file=path)
    assert refused.value.exit_code == ExitCode.USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    rate: float | Literal["search"] = "search"


def test_a_value_that_fits_no_member_of_a_union_is_one_line_under_its_own_key():
    with pytest.raises(Refusal) as refused:
        checked(Either, {"rate": "3e-4"}, where="train")
    (fault,) = refused.value.faults
    assert fault.problem.startswith("train.rate: ")
    assert "got '3e-4'; in quotes it is text" in fault.problem


def test_a_folder_in_place_of_the_params_file_is_refused(tmp_path):
    with pytest.raises(Refusal, match="cannot be read"):
        read_section(Example, "train", file=tmp_path)
