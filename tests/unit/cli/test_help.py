"""The command line answers at once, and loads what is heavy only where it is needed."""

import os
import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "ray", "mlflow", "SimpleITK", "scipy", "pydicom", "matplotlib", "skimage", "trimesh")
CODE = """
import sys
sys.argv = ["femseg", *{words!r}]
from femseg.cli.main import main
try:
    main()
except SystemExit as left:
    print(left.code, *sorted({heavy!r} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["check", "--help"], ["segment", "--help"], ["mesh", "--help"]], ids=" ".join
)
def test_help_is_quick_and_loads_nothing_heavy(words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(words=words, heavy=set(HEAVY))], capture_output=True, text=True
    )
    assert done.stderr.split() == ["0"], done.stderr
    assert "femseg" in done.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2  # a quarter of a second, as a rule


def test_no_command_prints_the_help_and_an_unknown_option_says_so():
    def femseg(*words):
        return subprocess.run(
            [sys.executable, "-c", "from femseg.cli.main import main; main()", *words], capture_output=True, text=True
        )

    bare, odd = femseg(), femseg("check", "--what")
    assert "check" in bare.stdout + bare.stderr
    assert odd.returncode == 2
    assert "--what" in odd.stderr
    assert "Traceback" not in odd.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options_by_what_the_program_itself_knows(shell):
    asked = {
        "bash": {"COMP_WORDS": "femseg seg", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "femseg seg"},
        "fish": {"_TYPER_COMPLETE_ARGS": "femseg seg", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    code = "import sys; sys.argv = ['femseg']; from femseg.cli.main import app; app(prog_name='femseg')"
    env = {**os.environ, "_FEMSEG_COMPLETE": f"complete_{shell}", **asked}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert "segment" in done.stdout, done.stderr
    assert "promote" not in done.stdout
