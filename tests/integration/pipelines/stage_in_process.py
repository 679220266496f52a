"""A stage in the tests' own process: all but the seconds that an interpreter and its imports take."""

import importlib
import io
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from femseg.exits import command_exit

_UNSET = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "FEMSEG_DEBUG")


def run_here(project: Path, stage: str, **variables: str) -> tuple[int, str]:
    """Exit code and all that is said by a stage such as "train --input-mode raw".

    Args:
        variables: set in the environment meanwhile.
    """
    name, *words = stage.split()
    said = io.StringIO()
    with chdir(project), redirect_stdout(said), redirect_stderr(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *words])
        for variable in _UNSET:
            patch.delenv(variable, raising=False)
        for variable, value in variables.items():
            patch.setenv(variable, value)
        try:
            with command_exit():
                importlib.import_module(f"pipelines.{name}").main()
        except SystemExit as ended:
            return int(ended.code or 0), said.getvalue()
    return 0, said.getvalue()
