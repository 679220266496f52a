"""Which inputs are compared is checked at the door."""

import pytest

from femseg.comparison.repeats import read_compared_modes, read_input_modes
from femseg.errors import Refusal
from femseg.faults import ExitCode


def params(folder, modes: str):
    path = folder / "params.yaml"
    path.write_text(f"input_modes: {modes}\n")
    return path


@pytest.mark.parametrize("read", [read_input_modes, read_compared_modes])
def test_the_modes_come_in_their_order(read, tmp_path):
    assert read(params(tmp_path, "[gradient, raw, both]")) == ("gradient", "raw", "both")


def test_one_mode_can_be_trained_but_not_compared(tmp_path):
    assert read_input_modes(params(tmp_path, "[both]")) == ("both",)
    with pytest.raises(Refusal, match=r"params\.yaml: input_modes: expected raw, gradient .* got both") as refused:
        read_compared_modes(params(tmp_path, "[both]"))
    assert refused.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("modes", ["[raw, raw, gradient]", "[raw, gradient, sobel]", "raw", "[]"])
def test_unknown_modes_and_repeated_ones_are_refused(tmp_path, modes):
    with pytest.raises(Refusal, match=r"params\.yaml: input_modes") as refused:
        read_input_modes(params(tmp_path, modes))
    assert refused.value.exit_code == ExitCode.USAGE
