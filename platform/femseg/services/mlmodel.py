"""MLflow's MLmodel beside a package: whether it names any code but our loader.

We never load through it. Others do (`mlflow.pyfunc.load_model`, `mlflow models serve`), and MLflow runs whatever
module, code folder or pickle it names. A version whose MLmodel is not as we wrote it is not ours.
"""

from pathlib import Path
from typing import Any

from femseg.bounded_yaml import BadYaml, load_bounded
from femseg.errors import printable
from femseg.plain_files import open_plain

_AT_MOST_BYTES = 1 << 20
_PYFUNC = "python_function"
_OURS = {"loader_module", "python_version", "data", "env", "streamable"}


def foreign_code(file: Path, loader_module: str) -> str:
    """What an MLmodel names that could run code which is not ours; "" if nothing, or if there is no such file."""
    try:
        with open_plain(file) as stream:
            content = stream.read(_AT_MOST_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    try:
        plain = load_bounded(content[:_AT_MOST_BYTES].decode("utf-8"))
    except (BadYaml, UnicodeDecodeError) as error:
        return f"is no plain YAML ({printable(' '.join(str(error).split()))[:200]})"
    return _foreign(plain, loader_module)


def _foreign(plain: Any, loader_module: str) -> str:
    flavors = plain.get("flavors") if isinstance(plain, dict) else None
    if not isinstance(flavors, dict) or not isinstance(flavors.get(_PYFUNC), dict):
        return f"has no flavor {_PYFUNC}"
    if others := sorted(str(name) for name in flavors if name != _PYFUNC):
        return f"has the flavor {printable(others[0])[:80]}, which MLflow would load in its own way"
    pyfunc = flavors[_PYFUNC]
    if pyfunc.get("loader_module") != loader_module:
        return f"names the loader {printable(pyfunc.get('loader_module'))[:80]}, ours is {loader_module}"
    if others := sorted(str(key) for key, value in pyfunc.items() if key not in _OURS and value is not None):
        return f"names {printable(others[0])[:80]}, from which MLflow would load code"
    return ""
