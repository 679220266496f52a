"""SC-06: no line of ours unpickles, unpacks anywhere or asks a shell; a planted one is found."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def _name(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def _given(call: ast.Call, name: str) -> object:
    return next((ast.unparse(word.value) for word in call.keywords if word.arg == name), None)


def unsafe(text: str) -> Iterator[str]:
    """What a module calls that could run code of a file, or write where a file says."""
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        name, last = _name(call.func), _name(call.func).rpartition(".")[2]
        if name.partition(".")[0] in PICKLING and last in ("load", "loads", "Unpickler", "open"):
            yield name
        elif name == "torch.load" and _given(call, "weights_only") != "True":
            yield f"{name} without weights_only=True"
        elif name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"):
            yield name
        elif _given(call, "allow_pickle") not in (None, "False"):
            yield f"{name} with pickles"
        elif name in ("np.load", "numpy.load") and _given(call, "allow_pickle") != "False":
            yield f"{name} without allow_pickle=False"
        elif last in ("extractall", "unpack_archive") and _given(call, "filter") != "'data'":
            yield f"{name} without a filter"
        elif _given(call, "shell") not in (None, "False") or name in ("os.system", "os.popen", "eval", "exec"):
            yield f"{name} in a shell, or of text"
        elif name.endswith(("pyfunc.load_model", "pytorch.load_model", "export.load", "Tuner.restore")):
            yield name


@pytest.mark.parametrize("folder", ["platform", "pipelines"])
def test_no_line_loads_what_could_run_SC_06(folder):
    found = {
        f"{file.relative_to(ROOT)}: {one}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        if "specimens" not in file.parts  # they write what is wrong, and load nothing
        for one in unsafe(file.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "line",
    [
        "pickle.load(f)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "yaml.load(f)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "archive.extractall(here)",
        "subprocess.run(words, shell=True)",
        "os.system(words)",
        "mlflow.pyfunc.load_model(uri)",
        "torch.export.load(f)",
        "tune.Tuner.restore(folder, trainable)",
    ],
)
def test_a_line_that_does_is_found_SC_06(line):
    assert len(list(unsafe(line))) == 1
