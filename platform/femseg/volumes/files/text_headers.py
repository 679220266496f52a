"""The readable headers of NRRD and MHA files: geometry that is really stated, and voxels in the same file.

ITK assumes 1 mm and the origin where a header is silent, and follows a header to data files that nobody hashed.
"""

from pathlib import Path

from femseg.errors import Fault, Refusal

_HEADER_AT_MOST_BYTES = 1 << 20
# each group of names says the same thing; one of them must be there
_NRRD_NEEDS = (("space directions",), ("space origin",), ("space", "space dimension"))
_MHA_NEEDS = (
    ("elementspacing", "elementsize"),
    ("offset", "origin", "position"),
    ("transformmatrix", "rotation", "orientation"),
)


def check_text_header(path: Path) -> None:
    """Check a .nrrd or .mha file's header. Raises: Refusal IN-18 naming the missing field, IN-26 if unreadable."""
    nrrd = path.suffix.lower() == ".nrrd"
    with path.open("rb") as stream:
        head = stream.read(_HEADER_AT_MOST_BYTES)
    fields = _nrrd_fields(head) if nrrd else _mha_fields(head)

    def refused(problem: str, fix: str) -> Refusal:
        return Refusal(Fault(id="IN-18", file=str(path), problem=problem, fix=fix))

    if nrrd and not head.startswith(b"NRRD"):
        raise refused(f"starts with {head[:4]!r}, expected b'NRRD'", "make sure that the file is what its name says")
    data_file = fields.get("data file", fields.get("datafile")) if nrrd else fields.get("elementdatafile")
    if (data_file is not None) if nrrd else (data_file != "LOCAL"):
        raise refused(f"keeps its voxels elsewhere ({data_file})", "store header and voxels in one file")
    for names in _NRRD_NEEDS if nrrd else _MHA_NEEDS:
        if not any(name in fields for name in names):
            raise refused(f"does not state its {' or '.join(names)}", "write the file again with its full geometry")


def _nrrd_fields(head: bytes) -> dict[str, str]:
    text = head.split(b"\n\n")[0].split(b"\r\n\r\n")[0].decode("latin-1")
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name.strip().lower(): value.strip(" =") for name, value in pairs}


def _mha_fields(head: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in head.split(b"\n"):
        name, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            break
        fields[name.strip().lower()] = value.strip()
        if "elementdatafile" in fields:
            break
    return fields
