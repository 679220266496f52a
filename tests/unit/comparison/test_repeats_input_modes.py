"""Which inputs are compared is checked at the door."""

import pytest

from femseg.comparison.repeats import read_input_modes
from femseg.errors import Refusal
from femseg.faults import ExitCode


def params(folder, modes: str):
    path = folder / "params.yaml"
    path.write_text(f"input_modes: {modes}\n")
    return path


def test_the_modes_come_in_their_order(tmp_path):
    assert read_input_modes(params(tmp_path, "[gradient, raw, both]")) == ("gradient", "raw", "both")


@pytest.mark.parametrize("modes", ["[raw]", "[raw, raw, gradient]", "[raw, gradient, sobel]", "raw", "[]"])
def test_modes_that_cannot_be_compared_are_refused(tmp_path, modes):
    with pytest.raises(Refusal, match=r"params\.yaml: input_modes") as refused:
        read_input_modes(params(tmp_path, modes))
    assert refused.value.exit_code == ExitCode.USAGE
