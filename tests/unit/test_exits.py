"""How commands end: not by what they raise, which `test_errors.py` has, but what an ending process still does."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("ends", ["", "raise SystemExit(3)"], ids=["done", "left early"])
def test_an_ending_command_looks_for_no_garbage(ends):
    """Of what MLflow and PyTorch have loaded it takes as long as half of their import."""
    code = f"""
class Ring:
    def __init__(self): self.ring = self
    def __del__(self): print("found")
from femseg.exits import command_exit
kept = Ring()
with command_exit():
    {ends or "pass"}
"""
    before = subprocess.run(
        [sys.executable, "-c", code.replace("with command_exit():", "if True:")], capture_output=True
    )
    assert before.stdout == b"found\n"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).stdout == b""
