"""Model packages in the storage: `packages/<SHA-256>/`, each proven by reading it back."""

import tempfile
from pathlib import Path

from femseg.errors import Refusal
from femseg.files.durable import folder_written_durably, write_bytes_durably
from femseg.networks.package import ModelPackage, load_package
from femseg.services.storage.backend import Storage, no_answer

_MANIFEST = "MANIFEST.json"


def upload_package(storage: Storage, folder: Path) -> str:
    """Put a package there, its manifest last, and load it from there again; returns its URL.

    Raises: Refusal RG-07 (exit 4) if the package is torn or altered, here or once it is there; ST-09 (6) if the storage
        does not take it.
    """
    package = load_package(folder)
    place = f"packages/{package.sha256}"
    try:
        names = sorted((path.name for path in folder.iterdir()), key=lambda name: name == _MANIFEST)
        there = storage.sizes(place)
        for name in names:
            content = (folder / name).read_bytes()
            if there.get(f"{place}/{name}") != len(content):
                storage.write(f"{place}/{name}", content)
    except OSError as error:
        raise no_answer(storage, error) from error
    with tempfile.TemporaryDirectory(prefix="femseg-") as proving:
        download_package(storage, package.sha256, Path(proving) / "package")
    return f"{storage.url}/{place}"


def download_package(storage: Storage, sha256: str, folder: Path) -> ModelPackage:
    """Bring the package of this hash into a folder, whole or not at all.

    Raises: Refusal RG-07 (exit 4) if it is missing, torn or altered there; ST-09 (6) if the storage does not answer.
    """
    place = f"packages/{sha256}"
    try:
        names = list(storage.sizes(place))
        with folder_written_durably(folder) as made:
            for name in names:
                write_bytes_durably(made / name.rpartition("/")[2], storage.read(name))
            package = _proven(made, sha256, f"{storage.url}/{place}")
    except OSError as error:
        raise no_answer(storage, error) from error
    return package


def _proven(made: Path, sha256: str, url: str) -> ModelPackage:
    """Load it, naming the storage in what is refused."""
    try:
        package = load_package(made)
        problem = "" if package.sha256 == sha256 else f"is the package {package.sha256[:12]}…"
    except Refusal as refusal:
        (fault,) = refusal.faults
        problem = f"{Path(fault.file).name} {fault.problem}"
    if not problem:
        return package
    raise Refusal.of("RG-07", url, problem, "remove it there, then run the stage `train` again, which uploads it")
