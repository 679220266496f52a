"""Model files that can run code when somebody loads them: told by their bytes, refused, never loaded to find out.

Told apart are a pickle by itself or in PyTorch's ZIP or legacy form (SC-01), a folder of torch.distributed.checkpoint,
whose `.metadata` is a pickle (SC-02), an archive of torch.export, which falls back to unpickling (SC-03), a folder of
MLflow, whose MLmodel may name any code (SC-04), and a state of Ray Tune (SC-05).
"""

import zipfile
from pathlib import Path

from femseg.errors import Refusal, printable
from femseg.files.plain import open_plain
from femseg.formats.npy import MAGIC, may_be_pickle, npy_header

_FILES_AT_MOST = 1000  # a package has four
_MEMBERS_AT_MOST = 100_000
_HEAD_BYTES = 1 << 16
_PICKLED = {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill"}
_TORCH_LEGACY_TAR = b"././@LongLink"


def refuse_code(path: Path) -> None:
    """Refuse a file, or a folder with a file in it, that can carry code (SC-01 … SC-05, exit 9).

    What cannot be read passes: whoever reads it next says so.
    """
    for file in [path] if not path.is_dir() else sorted(path.iterdir())[:_FILES_AT_MOST]:
        found = code_carried(file)
        if found is not None:
            fault_id, what = found
            problem = f"{what}; it was not loaded"
            fix = "do not load it anywhere; ask whoever made it for a model package of femseg (weights.safetensors)"
            name = printable(file)
            raise Refusal.of(fault_id, name, problem, fix)


def code_carried(file: Path) -> tuple[str, str] | None:
    """The matrix id and what a file is, if it can carry code; None for any other, and for what cannot be read."""
    if file.name == ".metadata":
        return "SC-02", "is the pickled index of a distributed checkpoint, which runs code when it is loaded"
    if file.name == "MLmodel":
        return "SC-04", "describes a model of MLflow, which may name any code; a package lies in its folder data"
    if file.name == "tuner.pkl" or file.name.startswith("experiment_state-"):
        return "SC-05", "is a state of Ray Tune with pickles in it, which run code when they are loaded"
    try:
        with open_plain(file) as stream:
            head = stream.read(_HEAD_BYTES)
            if head.startswith(b"PK"):
                return _archive(file, zipfile.ZipFile(stream))
            if head.startswith(MAGIC):
                stream.seek(0)
                objects = npy_header(stream)[2].hasobject
                return ("SC-01", "holds Python objects (a pickle), which run code when loaded") if objects else None
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        head = b""
    # JSON, or safetensors (the length of a JSON header, then the header): no pickle begins so, whatever follows
    if head.lstrip()[:1] == b"{" or (head[8:9] == b"{" and head[7:8] == b"\0"):
        return None
    if may_be_pickle(head) or head.startswith(_TORCH_LEGACY_TAR):
        return "SC-01", "is a pickle, which runs code when it is loaded"
    if file.suffix.lower() in _PICKLED:
        return "SC-01", f"is a {file.suffix} file, a kind that runs code when it is loaded"
    return None


def _archive(file: Path, archive: zipfile.ZipFile) -> tuple[str, str] | None:
    """What a ZIP file of PyTorch is, by the names in it."""
    names = archive.namelist()[:_MEMBERS_AT_MOST]
    if file.suffix == ".pt2" or any(name.endswith("archive_format") for name in names):
        return "SC-03", "is an archive of torch.export, which is unpickled where its weights alone do not load"
    if file.suffix.lower() in _PICKLED or any(name.endswith((".pkl", ".pickle")) for name in names):
        return "SC-01", "is a checkpoint of PyTorch with a pickle in it, which runs code when it is loaded"
    return None
