"""How many calls and files lie between the stage and the optimiser's step, counted in the source.

A call counts if its target is certain: a function by its name, a method of an object whose class the caller names or
gets by an annotation, and the function that Ray's TorchTrainer is handed to run on every rank.
"""

import ast
from collections import deque
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TARGET = "self.optimizer.step"


def file_of(module: str) -> Path | None:
    base = ROOT / ("platform" if module.startswith("femseg") else "")
    path = (base / module.replace(".", "/")).with_suffix(".py")
    return path if module.startswith(("femseg.", "pipelines.")) and path.is_file() else None


class Module:
    """Functions, classes and imported names of one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.defined = {}
        self.imported = {}
        for node in ast.parse(file_of(name).read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.defined[node.name] = node
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (node.module, alias.name)

    def found(self, name: str):
        """Where a name is defined: module and node; None if not in this project."""
        if name in self.defined:
            return self, self.defined[name]
        module, original = self.imported.get(name, ("", ""))
        return read(module).found(original) if file_of(module) else None


@cache
def read(name: str) -> Module:
    return Module(name)


def class_behind(module: Module, annotation: ast.expr | None):
    """The class that an annotation names, also as `Iterator[Class]`: what a `with` gives."""
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.slice
    found = module.found(annotation.id) if isinstance(annotation, ast.Name) else None
    return found if found and isinstance(found[1], ast.ClassDef) else None


def class_made(module: Module, call: ast.expr):
    """The class of what a call gives."""
    found = module.found(call.func.id) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else None
    if found and isinstance(found[1], ast.FunctionDef):
        return class_behind(found[0], found[1].returns)
    return found


def classes_of_names(module: Module, function: ast.FunctionDef):
    known = {argument.arg: class_behind(module, argument.annotation) for argument in function.args.args}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            known[node.targets[0].id] = class_made(module, node.value)
        elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            known[node.optional_vars.id] = class_made(module, node.context_expr)
    return {name: found for name, found in known.items() if found}


def method(found, name: str):
    module, node = found
    return next(
        ((module, node, each) for each in node.body if isinstance(each, ast.FunctionDef) and each.name == name), None
    )


def calls(module: Module, owner: ast.ClassDef | None, function: ast.FunctionDef):
    """What a function calls: module, class or None, function; TARGET for the step itself."""
    known = classes_of_names(module, function)
    if owner:
        known["self"] = (module, owner)
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) == TARGET:
            yield TARGET
        elif isinstance(call.func, ast.Name):
            found = module.found(call.func.id)
            if found and isinstance(found[1], ast.FunctionDef):
                yield found[0], None, found[1]
            elif found and "TorchTrainer" in map(ast.unparse, found[1].bases):
                handed = module.found(call.args[0].id)
                yield handed[0], None, handed[1]
        elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            found = known.get(call.func.value.id)
            if found and isinstance(found[1], ast.ClassDef) and (reached := method(found, call.func.attr)):
                yield reached


def shortest_path(start: str) -> list[tuple[str, str]]:
    """From a module's `main` to the optimiser's step: module and function of each caller on the way."""
    first = read(start)
    waiting, seen = deque([((first, None, first.defined["main"]), [(start, "main")])]), set()
    while waiting:
        (module, owner, function), path = waiting.popleft()
        for reached in calls(module, owner, function):
            if reached == TARGET:
                return path
            name = (f"{reached[1].name}." if reached[1] else "") + reached[2].name
            if (reached[0].name, name) not in seen:
                seen.add((reached[0].name, name))
                waiting.append((reached, [*path, (reached[0].name, name)]))
    raise AssertionError(f"no way from {start} to {TARGET}")


@pytest.mark.parametrize("stage", ["pipelines.train", "pipelines.repeat"])
def test_four_calls_in_three_files_lead_from_a_stage_to_the_optimisers_step(stage):
    assert shortest_path(stage) == [
        (stage, "main"),
        ("femseg.services.fit.driver", "train_on_ray"),
        ("femseg.services.fit.driver", "run_rank"),
        ("femseg.training.trainer", "Trainer.fit"),
    ]
