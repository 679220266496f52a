"""Files that would run code, write elsewhere or never end if they were loaded as others load them (G11).

Every payload makes a folder, the canary: where it lies afterwards, something ran.
"""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as safetensors
from tiny_model import write_tiny_package

from femseg.files.durable import sha256_of_file, sha256_of_json, write_json_durably

Make = Callable[[Path, Path], Path]  # a new folder, where the canary would be → what is given to a door


class Payload:
    """Unpickled, it makes the canary."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return (os.mkdir, (str(self.canary),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """One kind of file.

    Attributes:
        name: starts with its case of the matrix.
        make: writes it.
        says: id and exit code by which it is refused where a model is asked for.
    """

    name: str
    make: Make
    says: tuple[str, int]


def _bytes(kind: str, canary: Path) -> bytes:
    payload, stream = {"weights": Payload(canary)}, io.BytesIO()
    if kind.startswith("protocol"):
        return pickle.dumps(payload, protocol=int(kind[-1]))
    if kind == "object array":
        np.save(stream, np.array([Payload(canary)], dtype=object), allow_pickle=True)
    else:
        torch.save(payload, stream, _use_new_zipfile_serialization=kind == "zip")
    return stream.getvalue()


def pickled(kind: str, canary: Path) -> bytes:
    """A payload as "zip" or "legacy" of PyTorch, "protocol 0" to "protocol 5" of pickle, or an "object array"."""
    return _bytes(kind, canary)


PICKLES = ("zip", "legacy", "protocol 0", "protocol 2", "protocol 5", "object array")


def _file(kind: str, name: str) -> Make:
    def make(folder: Path, canary: Path) -> Path:
        folder.mkdir()
        (folder / name).write_bytes(pickled(kind, canary))
        return folder / name

    return make


def signed_anew(package: Path) -> Path:
    """The package's manifest as somebody writes it who changed a file and knows how."""
    files = {name: sha256_of_file(package / name) for name in ("weights.safetensors", "model.json", "lineage.json")}
    write_json_durably(package / "MANIFEST.json", {"files": files, "sha256_of_files": sha256_of_json(files)})
    return package


def package_with(name: str, content: Callable[[Path], bytes], *, sign: bool = True) -> Make:
    """A package in which one file is another, or is one too many; its manifest names the new content."""

    def make(folder: Path, canary: Path) -> Path:
        write_tiny_package(folder)
        (folder / name).write_bytes(content(canary))
        return signed_anew(folder) if sign else folder

    return make


def _distributed(folder: Path, canary: Path) -> Path:
    folder.mkdir()
    (folder / ".metadata").write_bytes(pickled("protocol 4", canary))
    (folder / "__0_0.distcp").write_bytes(bytes(64))
    return folder


def _exported(folder: Path, canary: Path) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.pt2", "w") as archive:
        archive.writestr("model/archive_format", "pt2")
        archive.writestr("model/data/weights/model.pt", pickled("zip", canary))
        archive.writestr("model/data/sample_inputs/model.pt", pickled("zip", canary))
    return folder / "model.pt2"


def _mlflow_model(flavor: str) -> Make:
    def make(folder: Path, canary: Path) -> Path:
        (folder / "code").mkdir(parents=True)
        (folder / "MLmodel").write_text(mlmodel(flavor))
        (folder / "code" / "evil_loader.py").write_text(f"import os\nos.mkdir({str(canary)!r})\n")
        (folder / "python_model.pkl").write_bytes(pickled("protocol 4", canary))
        return folder

    return make


MLMODELS = {
    "foreign loader": "flavors: {python_function: {loader_module: evil_loader, code: code, data: data}}",
    "code beside our loader": "flavors: {python_function: {loader_module: femseg.services.registry.versions, "
    "code: code}}",
    "pickled model": "flavors: {python_function: {loader_module: femseg.services.registry.versions, "
    "python_model: python_model.pkl}}",
    "another flavor": "flavors: {python_function: {loader_module: femseg.services.registry.versions}, "
    "pytorch: {model_data: data}}",
    "YAML tag": "flavors: !!python/object/apply:os.mkdir [CANARY]",
    "no flavor": "flavors: []",
}


def mlmodel(kind: str, canary: Path = Path("canary")) -> str:
    """An MLmodel that names code which is not ours."""
    return MLMODELS[kind].replace("CANARY", str(canary)) + "\n"


def _tune(folder: Path, canary: Path) -> Path:
    folder.mkdir()
    (folder / "tuner.pkl").write_bytes(pickled("protocol 5", canary))
    (folder / "experiment_state-2026-01-01_00-00-00.json").write_text("{}")
    return folder


def _weights(header: bytes, *, length: int | None = None) -> Callable[[Path], bytes]:
    return lambda canary: (len(header) if length is None else length).to_bytes(8, "little") + header + bytes(64)


def _model(text: str) -> Callable[[Path], bytes]:
    return lambda canary: text.encode()


def _pipe(folder: Path, canary: Path) -> Path:
    write_tiny_package(folder)
    (folder / "lineage.json").unlink()
    os.mkfifo(folder / "lineage.json")
    return folder


def _link(folder: Path, canary: Path) -> Path:
    write_tiny_package(folder)
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").symlink_to("/dev/zero")
    return folder


def _mode_that_leads_out(folder: Path, canary: Path) -> Path:
    write_tiny_package(folder)
    model = json.loads((folder / "model.json").read_text())
    model["input_mode"] = model["input_recipe"]["input_mode"] = "../../outside"
    (folder / "model.json").write_text(json.dumps(model))
    return signed_anew(folder)


_REFERENCES = (
    b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}'
)
BROKEN, CODE = ("RG-07", 4), 9
MODELS = (
    *(
        Carrier(name=f"SC_01 {kind} as {name}", make=_file(kind, name), says=("SC-01", CODE))
        for kind, name in zip(PICKLES, ("m.pt", "m.pth", "m.ckpt", "m.pkl", "m.bin", "m.npy"), strict=True)
    ),
    *(
        Carrier(
            name=f"SC_01 {kind} in the weights' place",
            make=package_with("weights.safetensors", lambda canary, kind=kind: pickled(kind, canary)),
            says=("SC-01", CODE),
        )
        for kind in PICKLES
    ),
    *(
        Carrier(
            name=f"SC_01 {kind} in the place of the finer network's weights",
            make=package_with("refine.safetensors", lambda canary, kind=kind: pickled(kind, canary), sign=False),
            says=("SC-01", CODE),
        )
        for kind in PICKLES
    ),
    Carrier(
        name="SC_01 a pickle beside a whole package",
        make=package_with("optimizer.pt", lambda canary: pickled("zip", canary), sign=False),
        says=("SC-01", CODE),
    ),
    Carrier(name="SC_02 distributed checkpoint", make=_distributed, says=("SC-02", CODE)),
    Carrier(name="SC_03 torch.export", make=_exported, says=("SC-03", CODE)),
    *(Carrier(name=f"SC_04 MLmodel with {kind}", make=_mlflow_model(kind), says=("SC-04", CODE)) for kind in MLMODELS),
    Carrier(name="SC_05 state of Ray Tune", make=_tune, says=("SC-05", CODE)),
    Carrier(
        name="safetensors: header beyond the file",
        make=package_with("weights.safetensors", _weights(b"{}", length=2**40)),
        says=BROKEN,
    ),
    Carrier(
        name="safetensors: nested header",
        make=package_with("weights.safetensors", _weights(b'{"a":' * 50_000)),
        says=BROKEN,
    ),
    Carrier(
        name="safetensors: overlapping tensors",
        make=package_with("weights.safetensors", _weights(_REFERENCES)),
        says=BROKEN,
    ),
    Carrier(
        name="safetensors: another network",
        make=package_with("weights.safetensors", lambda canary: safetensors({"x": torch.zeros(3)})),
        says=BROKEN,
    ),
    Carrier(name="JSON: deep", make=package_with("model.json", _model("[" * 200_000)), says=BROKEN),
    Carrier(
        name="JSON: a number of a million digits", make=package_with("model.json", _model("1" * 10**6)), says=BROKEN
    ),
    Carrier(name="JSON: no object", make=package_with("lineage.json", _model("[]")), says=BROKEN),
    Carrier(
        name="JSON: lists for objects",
        make=package_with("lineage.json", _model('{"git": [], "dvc_md5": 7}')),
        says=BROKEN,
    ),
    Carrier(name="a pipe in a file's place", make=_pipe, says=BROKEN),
    Carrier(name="a link to an endless device", make=_link, says=BROKEN),
    Carrier(name="SC_08 an input mode that leads out", make=_mode_that_leads_out, says=BROKEN),
)

MARKUP = "<img src=x onerror=alert(1)>"
FORMULA = "=cmd|' /C calc'!A1"
