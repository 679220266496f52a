"""What is written of a segmented CT beside its mask: the same of one CT as of each study of a folder."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from femseg.cli.extras import extra_needed
from femseg.cli.sheets import as_csv
from femseg.cohorts.case import Case
from femseg.cohorts.manifest import verified
from femseg.errors import Fault, Refusal
from femseg.files.durable import require_writable, sha256_of_file, write_bytes_durably
from femseg.files.plain import name_fault
from femseg.formats.dicom.writing.reference import CtReference, MadeBy, ct_reference, require_object_name
from femseg.formats.dicom.writing.structure_set import write_structure_set
from femseg.inference.femora import AS_WRITTEN, Femora, FemurSide
from femseg.lineage.records import read_record, record_beside
from femseg.measurements.sheet import Sheet
from femseg.reports.case.segmented import Segmented

if TYPE_CHECKING:
    from femseg.cli.mesh import Femur as MeshedFemur
    from femseg.meshes.femur import FemurMesh

SMALL_PICTURE = "picture.webp"
Solids = Sequence[tuple["MeshedFemur", "FemurMesh"]]
_NOT_OF_THE_MASK = ("MS-01", "DC-01", "IN-22")  # the mask is good all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What is wanted beside the mask; for a folder of studies, names in each study's folder.

    Attributes:
        mesh: its suffix chooses the format; of two femora there are two.
        page: to be read in a browser.
        sheet: what was measured, as a table.
        dicom_seg, rtstruct: DICOM objects that refer to the CT's series.
    """

    mesh: Path | None = None
    page: Path | None = None
    sheet: Path | None = None
    dicom_seg: Path | None = None
    rtstruct: Path | None = None

    @property
    def objects(self) -> dict[str, Path]:
        """The DICOM objects by their options."""
        wanted = {"--dicom-seg": self.dicom_seg, "--rtstruct": self.rtstruct}
        return {option: path for option, path in wanted.items() if path is not None}

    @property
    def _chosen(self) -> dict[str, Path]:
        others = {"--mesh": self.mesh, "--page": self.page, "--sheet": self.sheet}
        return {**{option: path for option, path in others.items() if path is not None}, **self.objects}

    def below(self, folder: Path) -> Self:
        """The same in a folder."""
        return replace(self, **{_field(option): folder / path for option, path in self._chosen.items()})

    def options(self) -> dict[str, str]:
        """As a lineage record keeps them."""
        return {_field(option): path.name for option, path in self._chosen.items()}


def _field(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of them: the meshes' records, page, sheet, DICOM objects by their kind, and why there is none."""

    meshes: tuple[dict[str, Any], ...] = ()
    page: Path | None = None
    sheet: Path | None = None
    objects: Mapping[str, Path] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    @property
    def files(self) -> dict[str, Path]:
        """What is one file each, by its kind."""
        pair = {"page": self.page, "sheet": self.sheet}
        return {**{kind: path for kind, path in pair.items() if path is not None}, **self.objects}

    def plain(self) -> dict[str, Any]:
        """As JSON, where there are any."""
        meshes = {"meshes": list(self.meshes)} if self.meshes else {}
        return {**meshes, **{kind: str(path) for kind, path in self.files.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dicom:
    """What DICOM objects need to know.

    Attributes:
        ct: what they refer to, where any are wanted.
        made_by: what they say of model and verdict.
        recorded: called with an object's name, and its file before it has that name.
    """

    ct: CtReference | None
    made_by: MadeBy
    recorded: Callable[[Path, Path], None] | None = None


def require_replaceable(record: Path) -> None:
    """A record without its file is an earlier one's and may go; what is no record of ours stays (IF-08)."""
    if os.path.lexists(record):
        try:
            read_record(record)
        except Refusal:
            problem, fix = "exists and is no lineage record", "move it away, or choose another name for the mask"
            raise Refusal.of("IF-08", record, problem, fix) from None


def require_places(outputs: Outputs, *, overwrite: bool) -> None:
    """Refuse before minutes of work what would be refused after. Raises: Refusal (exit 2 or 5)."""
    if outputs.mesh is not None:
        with extra_needed("mesh", "--mesh"):
            from femseg.cli.mesh import require_mesh_place
        require_mesh_place(outputs.mesh, overwrite=overwrite)
    for path, suffix in ((outputs.page, ".html"), (outputs.sheet, ".csv")):
        if path is not None:
            _require_place(path, suffix, overwrite=overwrite)
    for option, path in outputs.objects.items():
        require_object_name(path)
        require_writable(path)
        require_writable(record_beside(path))
        if not overwrite:
            require_replaceable(record_beside(path))
            if os.path.lexists(path):
                raise Refusal.of("IF-08", path, "exists already", "choose another name, or give --overwrite")
        _writer(option)
    if len({*outputs.objects.values()}) < len(outputs.objects):
        raise Refusal.of("CFG-01", "--rtstruct", "names the file of --dicom-seg", "give each a name of its own")


def _require_place(path: Path, suffix: str, *, overwrite: bool) -> None:
    if path.suffix != suffix or (problem := name_fault(path)):
        problem = problem if path.suffix == suffix else f"is written as {suffix}, not as {path.suffix!r}"
        raise Refusal.of("CFG-01", path, problem, f"choose another name, such as femur{suffix}")
    if os.path.lexists(path) and not overwrite:
        raise Refusal.of("IF-08", path, "exists already", "choose another name, or give --overwrite")
    require_writable(path)


def require_names(outputs: Outputs, folder: Path) -> None:
    """The same of what goes into each study's folder below this one.

    Raises: Refusal CFG-01 (exit 2) where more than a name is given.
    """
    for option, path in outputs._chosen.items():
        if str(path) != path.name:
            problem = f"names a place, {str(path)!r}, but each study has its own"
            raise Refusal.of("CFG-01", option, problem, f"give the file's name alone: {path.name}")
    require_places(outputs.below(folder), overwrite=True)


def reference_of(outputs: Outputs, case: Case, root: Path, *, name: str) -> CtReference | None:
    """What DICOM objects are to refer to, where any are wanted; read before the work, so that it is refused before.

    Args:
        case: a CT that was just checked, its files relative to `root`.
    Raises: Refusal DC-01 (exit 3) if the CT gives nothing to refer to, IF-08 (exit 2) if an object would replace a
        file of the CT, ST-05 (exit 4) if the CT has changed.
    """
    if not outputs.objects:
        return None
    with verified(case.ct, root) as folder:
        for path in outputs.objects.values():
            if path.exists() and any(path.samefile(file) for file in case.ct.paths(folder)):
                fix = "choose another name; a mask never replaces its CT"
                raise Refusal.of("IF-08", path, "is a file of the CT", fix)
        return ct_reference(case.ct, folder, case.grid, name=name)


def write_outputs(
    outputs: Outputs, made: Segmented, *, mask: Path, name: Path, overwrite: bool, dicom: Dicom | None = None
) -> Written:
    """Write what is wanted of a mask that was written.

    Args:
        mask: its file, whose hash goes into the meshes' records.
        name: what a fault names.
        dicom: what DICOM objects need, where they are wanted.
    """
    faults: list[Fault] = []
    objects: dict[str, Path] = {}
    for option, path in outputs.objects.items():
        try:
            _write_object(option, path, made.femora, dicom)
            objects[_field(option)] = path
        except Refusal as refusal:
            shown = path if name == mask else name / path.name
            faults += [replace(fault, file=str(shown)) for fault in _faults_beside_the_mask(refusal)]
    sheets = made.sheets() if outputs.sheet or outputs.page else {}
    if outputs.sheet is not None:
        write_bytes_durably(outputs.sheet, as_csv(tuple(sheets.values())).encode())
    meshes: list[dict[str, Any]] = []
    if outputs.mesh is not None or outputs.page is not None:
        solids, not_made = _solids(outputs.mesh, made.femora, name=name)
        if outputs.mesh is not None:
            meshes = _write_meshes(outputs.mesh, solids, mask, overwrite=overwrite)
            faults += not_made
        if outputs.page is not None:
            _write_page(outputs.page, made, sheets, solids, not_made, mask_sha256=sha256_of_file(mask))
    return Written(meshes=tuple(meshes), page=outputs.page, sheet=outputs.sheet, objects=objects, faults=tuple(faults))


def write_rejected(outputs: Outputs, made: Segmented) -> Written:
    """Of a mask that is not written: the page alone, to see why it was rejected."""
    if outputs.page is not None:
        _write_page(outputs.page, made, {})
    return Written(page=outputs.page)


def _faults_beside_the_mask(refusal: Refusal) -> tuple[Fault, ...]:
    if any(fault.id not in _NOT_OF_THE_MASK for fault in refusal.faults):
        raise refusal
    return refusal.faults


def _write_object(option: str, path: Path, femora: Femora, dicom: Dicom | None) -> None:
    if dicom is None or dicom.ct is None:
        raise ValueError("dicom: expected what DICOM objects refer to")
    _writer(option)(
        path,
        femora.labels,
        femora.structures,
        dicom.ct,
        made_by=dicom.made_by,
        before_named=dicom.recorded and partial(dicom.recorded, path),
    )


def _writer(option: str) -> Callable[..., None]:
    """Raises: Refusal CFG-02 (exit 2) if the extra that writes DICOM-SEG is not installed."""
    if option == "--rtstruct":
        return write_structure_set
    with extra_needed("dicom", option):
        from femseg.formats.dicom.writing.segmentation import write_segmentation
    return write_segmentation


def _solids(mesh: Path | None, femora: Femora, *, name: Path) -> tuple[Solids, tuple[Fault, ...]]:
    """The solid of each femur; or why there is none: of the mask, or because the extra is not installed."""
    try:
        with extra_needed("mesh", "a mesh"):
            from femseg.cli.mesh import MeshOptions, femora_of, solids_of
        found = femora_of(femora.labels.labels_zyx, femora.labels.grid, AS_WRITTEN, name=str(name))
        return solids_of(name.with_name(mesh.name) if mesh else name, found, MeshOptions()), ()
    except Refusal as refusal:
        if refusal.faults[0].id == "CFG-02" and mesh is None:
            return (), refusal.faults
        return (), _faults_beside_the_mask(refusal)


def _write_meshes(output: Path, solids: Solids, mask: Path, *, overwrite: bool) -> list[dict[str, Any]]:
    if not solids:
        return []
    from femseg.cli.mesh import MeshOptions, write_solids

    return write_solids(output, solids, MeshOptions(overwrite=overwrite), mask_sha256=sha256_of_file(mask))


def _write_page(
    page: Path,
    made: Segmented,
    sheets: Mapping[FemurSide, Sheet],
    solids: Solids = (),
    not_made: Sequence[Fault] = (),
    mask_sha256: str = "",
) -> None:
    """The page of a mask; without a hash, of one that is not written."""
    from femseg.reports.case.gathered import gathered  # with its figures it takes a second to load
    from femseg.reports.case.page import case_page

    by_side = {femur.side: solid for femur, solid in solids}
    no_mesh = "".join(f"It {fault.problem}: {fault.fix}." for fault in not_made)
    case = gathered(made, by_side, sheets, no_mesh=no_mesh, mask_sha256=mask_sha256)
    write_bytes_durably(page, case_page(case).encode())


def write_small_picture(folder: Path, made: Segmented) -> None:
    """A study's picture for the index page."""
    from femseg.reports.case.pictures import small_picture

    write_bytes_durably(folder / SMALL_PICTURE, small_picture(made.ct, made.femora.labels))
