"""Which input modes are trained and compared: the `input_modes:` of params.yaml."""

from pathlib import Path
from typing import Literal

from femseg.errors import ExitCode, Fault, Refusal
from femseg.settings import read_section

InputMode = Literal["raw", "gradient", "both"]


def read_input_modes(file: Path = Path("params.yaml")) -> tuple[InputMode, ...]:
    """The input modes, the baseline first.

    Raises: Refusal (exit 2) if a mode is unknown or named twice, or if "raw" or "gradient" is missing: to compare these
        two is what the pipeline is for.
    """
    modes: tuple[InputMode, ...] = read_section(tuple[InputMode, ...], "input_modes", file=file)
    if len(set(modes)) != len(modes) or not {"raw", "gradient"} <= set(modes):
        fault = Fault(
            id="CFG-01",
            file=str(file),
            problem=f"input_modes: expected raw, gradient and perhaps both, each once, got {', '.join(modes)}",
            fix="correct this setting",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)
    return modes
