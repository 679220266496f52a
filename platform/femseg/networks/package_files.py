"""The four files of a model package, each under a hash; proven without loading the network."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from femseg.durable import sha256_of_json
from femseg.errors import ExitCode, Fault, Refusal, printable
from femseg.networks.code_carriers import refuse_code
from femseg.plain_files import open_plain

WEIGHTS, MODEL, LINEAGE, MANIFEST = "weights.safetensors", "model.json", "lineage.json", "MANIFEST.json"
_HASHED = (WEIGHTS, MODEL, LINEAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFiles:
    """A package's bytes whose hashes held.

    Attributes:
        content: by file name.
        sha256: of MANIFEST.json, and so of the whole package.
    """

    content: Mapping[str, bytes]
    sha256: str


def read_package_files(folder: Path) -> PackageFiles:
    """Read a package's files and hold every hash; the bytes that are returned are the bytes that were hashed.

    Raises: Refusal RG-07 (exit 4) naming the file that is missing, altered or does not belong there; SC-01 … SC-05
        (exit 9) if it is a file that can carry code.
    """
    refuse_code(folder)
    content = _verified(folder)
    return PackageFiles(content=content, sha256=hashlib.sha256(content[MANIFEST]).hexdigest())


def _verified(folder: Path) -> dict[str, bytes]:
    """The bytes of the package's four files, all hashes checked."""
    try:
        found = {path.name for path in folder.iterdir()}
        content = {name: _bytes_of(folder / name) for name in (MANIFEST, *_HASHED)}
    except OSError as error:
        raise package_refusal(Path(error.filename or folder), f"cannot be read: {error.strerror}") from None
    extra = sorted(found - content.keys())
    if extra:
        raise package_refusal(folder / extra[0], "does not belong to the package")
    try:
        manifest = json.loads(content[MANIFEST])
        files = manifest["files"]
        intact = sha256_of_json(files) == manifest["sha256_of_files"] and sorted(files) == sorted(_HASHED)
        intact = intact and content[MANIFEST] == (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise package_refusal(folder / MANIFEST, "its own hash does not hold")
    for name in _HASHED:
        sha256 = hashlib.sha256(content[name]).hexdigest()
        if sha256 != files[name]:
            raise package_refusal(folder / name, f"SHA-256 is {sha256[:12]}…, expected {files[name][:12]}…")
    return content


def _bytes_of(file: Path) -> bytes:
    with open_plain(file) as stream:
        return stream.read()


def package_refusal(path: Path, problem: str) -> Refusal:
    """RG-07: a package that is not whole, or not one (exit 4)."""
    return Refusal(
        Fault(
            id="RG-07",
            file=printable(path),
            problem=problem,
            fix="take the package again from where it was written or registered",
            exit_code=ExitCode.INTEGRITY,
        )
    )
