"""What is written of a segmented CT beside its mask: the same of one CT as of each study of a folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from femseg.cli.extras import extra_needed
from femseg.errors import Fault, Refusal
from femseg.files.durable import sha256_of_file
from femseg.inference.femora import Femora

_NO_SOLID = ("MS-01", "IN-22")  # the mask is good all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What is wanted beside the mask; for a folder of studies, names in each study's folder.

    Attributes:
        mesh: its suffix chooses the format; of two femora there are two.
    """

    mesh: Path | None = None

    def below(self, folder: Path) -> Self:
        """The same in a folder."""
        return replace(self, mesh=self.mesh and folder / self.mesh)

    def options(self) -> dict[str, str]:
        """As a lineage record keeps them."""
        return {"mesh": self.mesh.name} if self.mesh else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of them: the meshes' records, and why there is none."""

    meshes: tuple[dict[str, Any], ...] = ()
    faults: tuple[Fault, ...] = ()


def require_places(outputs: Outputs, *, overwrite: bool) -> None:
    """Refuse before minutes of work what would be refused after. Raises: Refusal (exit 2 or 5)."""
    if outputs.mesh is not None:
        with extra_needed("mesh", "--mesh"):
            from femseg.cli.mesh import require_mesh_place
        require_mesh_place(outputs.mesh, overwrite=overwrite)


def require_names(outputs: Outputs, folder: Path) -> None:
    """The same of what goes into each study's folder below this one.

    Raises: Refusal CFG-01 (exit 2) where more than a name is given.
    """
    for option, path in (("--mesh", outputs.mesh),):
        if path is not None and str(path) != path.name:
            problem = f"names a place, {str(path)!r}, but each study has its own"
            raise Refusal.of("CFG-01", option, problem, f"give the file's name alone: {path.name}")
    require_places(outputs.below(folder), overwrite=True)


def write_outputs(outputs: Outputs, femora: Femora, *, mask: Path, name: Path, overwrite: bool) -> Written:
    """Write what is wanted of a mask that was written.

    Args:
        mask: its file, whose hash goes into the meshes' records.
        name: what a fault names.
    """
    if outputs.mesh is None:
        return Written()
    from femseg.cli.mesh import OWN_LABELS, MeshOptions, femora_of, solids_of, write_solids

    options = MeshOptions(overwrite=overwrite)
    try:
        found = femora_of(femora.labels.labels_zyx, femora.labels.grid, OWN_LABELS, name=str(name))
        solids = solids_of(name.with_name(outputs.mesh.name), found, options)
    except Refusal as refusal:
        if any(fault.id not in _NO_SOLID for fault in refusal.faults):
            raise
        return Written(faults=refusal.faults)
    return Written(meshes=tuple(write_solids(outputs.mesh, solids, options, mask_sha256=sha256_of_file(mask))))
