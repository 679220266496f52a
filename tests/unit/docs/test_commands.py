"""Every command that the documentation names exists, with its options."""

import re
import shlex

import pytest
import typer
import yaml
from documentation import PAGES, ROOT, command_lines

from femseg.cli.main import app

CLI = typer.main.get_command(app)
COMMANDS = sorted({line for page in PAGES for line in command_lines(page)})


def starting_with(*words: str) -> list[str]:
    return [line for line in COMMANDS if line.split()[: len(words)] == list(words) and len(line.split()) > len(words)]


def options_of(command) -> set[str]:
    names = {name for option in command.params for name in [*option.opts, *option.secondary_opts]}
    below = [options_of(command) for command in getattr(command, "commands", {}).values()]
    return {name for name in names if name.startswith("-")}.union(*below)


@pytest.mark.parametrize("line", starting_with("femseg"))
def test_femseg_command_exists_with_its_options(line):
    words = shlex.split(line.partition(" -- ")[0])[1:]  # behind " -- " is a command that `submit` runs
    named = [word for word in words if word in CLI.commands]
    known = {"--help"}.union(options_of(CLI), *(options_of(CLI.commands[word]) for word in named))
    assert {word for word in words if word.startswith("-")} <= known
    assert named or words[0] in known


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("python -m pipelines.")])
def test_pipeline_stage_exists_with_its_options(line):
    module, *words = shlex.split(line)[2:]
    if module.endswith("<stage>"):
        return
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    for option, value in zip(words[::2], words[1::2], strict=True):
        assert f'"{option}"' in source
        assert value.isdigit() or f'"{value}"' in source


@pytest.mark.parametrize("line", starting_with("make"))
def test_make_target_has_a_rule(line):
    makefile = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
    targets = [word for word in shlex.split(line)[1:] if "=" not in word]
    assert all(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("line", starting_with("dvc", "repro"))
def test_reproduced_stage_exists(line):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert {word.partition("@")[0] for word in shlex.split(line)[2:]} <= stages.keys()


@pytest.mark.parametrize("line", [line for line in COMMANDS if "-S " in line and line.startswith("dvc exp run")])
def test_changed_setting_exists(line):
    key = line.split("-S ")[1].split("=")[0]
    value = yaml.safe_load((ROOT / "params.yaml").read_text())
    for part in key.split("."):
        assert part in value
        value = value[part]


def test_the_reference_names_every_command_option_and_target():
    page = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    options = {name for command in CLI.commands.values() for name in options_of(command)} - {"-h", "--help"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    stages = {path.stem for path in (ROOT / "pipelines").glob("*.py")}
    missing = [name for name in options if not re.search(rf"`{re.escape(name)}[` ]", page)]
    missing += [f"make {name}" for name in targets if f"`make {name}`" not in page]
    missing += [name for name in stages if f"`python -m pipelines.{name}" not in page]
    missing += [name for name in CLI.commands if f"### `femseg {name} " not in page]
    assert missing == []
