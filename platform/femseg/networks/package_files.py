"""The four files of a model package, each under a hash, and what model.json holds; read without loading the network."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from femseg.errors import Refusal, printable, words_of
from femseg.files.durable import sha256_of_json
from femseg.files.plain import open_plain
from femseg.lineage.provenance import Lineage
from femseg.networks.code_carriers import refuse_code
from femseg.settings import checked
from femseg.volumes.network_input import InputMode, InputRecipe

WEIGHTS, MODEL, LINEAGE, MANIFEST = "weights.safetensors", "model.json", "lineage.json", "MANIFEST.json"
REFINE_WEIGHTS = "refine.safetensors"  # of a package with two networks
_HASHED = (WEIGHTS, MODEL, LINEAGE)
_MOST_VOXELS = 2**28  # 512 × 512 × 1024: a whole CT at full resolution
_TAKE_AGAIN = "take the package again from where it was written or registered"

File = TypeVar("File")
Bounds = tuple[tuple[float, float, float], tuple[float, float, float]]  # least and greatest, by axis (z, y, x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Which network: its settings as plain values, of which `name` says whose they are, and its input channels."""

    settings: dict[str, Any]
    input_channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMetrics:
    """The best validation Dice and the iteration that reached it; None where a package does not name them."""

    validation_dice: float | None = None
    best_iteration: int | None = None

    def __str__(self) -> str:
        return "no validation Dice" if self.validation_dice is None else f"validation Dice {self.validation_dice:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedSettings:
    """The sections `train` and `optimisation` as they were used, in plain values.

    Attributes:
        painted_share: of the samples that were painted from synthetic people; None in packages that do not say.
    """

    train: dict[str, Any] = field(default_factory=dict)
    optimisation: dict[str, Any] = field(default_factory=dict)
    painted_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How a network sees a scan in pieces.

    Attributes:
        shape_zyx: of a piece.
        overlap: of neighbours, as a fraction of their edge.
        mirror: every piece also mirrored left to right, and averaged.
        precision: of convolutions, as in training; bfloat16 only on a device that computes it as fast as it should.
    """

    shape_zyx: tuple[int, int, int]
    overlap: float = 0.5
    mirror: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRange:
    """Spacing and field of view of the CTs that a model was trained on."""

    spacing_mm_zyx: Bounds
    extent_mm_zyx: Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleDescription:
    """One network and all that it needs.

    Attributes:
        architecture: of the network.
        input_mode: of the recipe; it names folders.
        input_recipe: from a CT to the network's input.
        windows: None for a network that sees a scan whole.
        metrics: of the validation.
        training: settings of the training.
    """

    architecture: Architecture
    input_mode: InputMode
    input_recipe: InputRecipe
    windows: Windows | None = None
    metrics: TrainingMetrics = field(default_factory=TrainingMetrics)
    training: UsedSettings = field(default_factory=UsedSettings)

    def __post_init__(self) -> None:
        recipe, channels = self.input_recipe, self.architecture.input_channels
        if self.input_mode != recipe.input_mode:
            raise ValueError(f"input_mode is {self.input_mode!r}, but its recipe's is {recipe.input_mode!r}")
        if channels != len(recipe.channels):
            raise ValueError(f"the recipe makes {len(recipe.channels)} channels, the network takes {channels}")
        if math.prod(self.seen_shape_zyx) > _MOST_VOXELS:
            raise ValueError(f"a network grid of {self.seen_shape_zyx} is beyond {_MOST_VOXELS} voxels")

    @property
    def seen_shape_zyx(self) -> tuple[int, int, int]:
        """What the network takes at a time."""
        seen = self.windows.shape_zyx if self.windows else self.input_recipe.shape_zyx
        if seen is None:
            raise ValueError("windows: expected with a recipe of spacing_mm_zyx, whose scans differ in size")
        return seen


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription(ScaleDescription):
    """`model.json`: the network that finds the femur, alone or with one that cuts it out at a finer scale.

    Attributes:
        name: of the folders of its results; that of its input mode if not given.
        refine: the finer network; None if the other is alone.
        training_range: None in packages that do not say.
        cohort_source: `cohort.source` of the training: "phantom" has seen no patient; "" in packages that do not say.
        versions: of femseg and of what its numbers depend on.
        version: of this layout; files of femseg 0.1 have none and are read as they are.
    """

    name: str = ""
    refine: ScaleDescription | None = None
    training_range: TrainingRange | None = None
    cohort_source: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    version: int = 2

    @property
    def folder_name(self) -> str:
        """Under which its results lie."""
        return self.name or self.input_mode

    @property
    def of_phantoms(self) -> bool:
        """Whether the networks have seen phantoms alone."""
        return self.cohort_source == "phantom"

    @property
    def of_no_patient(self) -> bool:
        """Whether all CTs that the networks learnt from were drawn by a program."""
        return self.cohort_source in ("phantom", "synthetic")

    @property
    def learnt_from(self) -> str:
        """In words, without a share that was painted; empty if the package does not say."""
        drawn = {"phantom": "phantoms", "synthetic": "synthetic people"}.get(self.cohort_source, "CTs of a cohort")
        return drawn if self.cohort_source else ""

    @property
    def painted(self) -> bool:
        """Whether samples were painted from synthetic people, all or a share."""
        return self.cohort_source == "synthetic" or any(one.training.painted_share for one in self.scales)

    @property
    def refine_mode(self) -> str:
        """Input mode of the finer network; "" without one."""
        return self.refine.input_mode if self.refine else ""

    @property
    def finest(self) -> ScaleDescription:
        """The network that draws the mask's surface."""
        return self.refine or self

    @property
    def scales(self) -> tuple[ScaleDescription, ...]:
        """Coarse to fine."""
        return (self, self.refine) if self.refine else (self,)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFiles:
    """A package's bytes whose hashes held.

    Attributes:
        content: by file name.
        model, lineage: what model.json and lineage.json hold.
        sha256: of MANIFEST.json, and so of the whole package.
    """

    content: Mapping[str, bytes]
    model: ModelDescription
    lineage: Lineage
    sha256: str


def read_package_files(folder: Path) -> PackageFiles:
    """Read a package's files and hold every hash; the bytes that are returned are the bytes that were hashed.

    Raises: Refusal RG-07 (exit 4) naming the file that is missing, altered, of a later version or does not belong
        there; SC-01 … SC-05 (exit 9) if it is a file that can carry code.
    """
    refuse_code(folder)
    content = _verified(folder)
    model = _read(ModelDescription, content[MODEL], folder / MODEL)
    if (model.refine is not None) != (REFINE_WEIGHTS in content):
        raise package_refusal(folder / MODEL, f"and {REFINE_WEIGHTS} do not belong together")
    return PackageFiles(
        content=content,
        model=model,
        lineage=_read(Lineage, content[LINEAGE], folder / LINEAGE),
        sha256=hashlib.sha256(content[MANIFEST]).hexdigest(),
    )


def _verified(folder: Path) -> dict[str, bytes]:
    """The bytes of the package's files, all hashes checked."""
    try:
        found = {path.name for path in folder.iterdir()}
        names = (*_HASHED, *({REFINE_WEIGHTS} & found))
        content = {name: _bytes_of(folder / name) for name in (MANIFEST, *names)}
    except OSError as error:
        raise package_refusal(Path(error.filename or folder), f"cannot be read: {error.strerror}") from None
    extra = sorted(found - content.keys())
    if extra:
        raise package_refusal(folder / extra[0], "does not belong to the package")
    try:
        manifest = json.loads(content[MANIFEST])
        files = manifest["files"]
        intact = sha256_of_json(files) == manifest["sha256_of_files"] and sorted(files) == sorted(names)
        intact = intact and content[MANIFEST] == (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise package_refusal(folder / MANIFEST, "its own hash does not hold")
    for name in names:
        sha256 = hashlib.sha256(content[name]).hexdigest()
        if sha256 != files[name]:
            raise package_refusal(folder / name, f"SHA-256 is {sha256[:12]}…, expected {files[name][:12]}…")
    return content


def _bytes_of(file: Path) -> bytes:
    with open_plain(file) as stream:
        return stream.read()


def _read(file_type: type[File], content: bytes, file: Path) -> File:
    """A checked `model.json` or `lineage.json`; one without a version is read as it is."""
    newest: int = next(one.default for one in fields(file_type) if one.name == "version")  # type: ignore[arg-type, assignment]
    try:
        plain = json.loads(content)
        version = plain.get("version", newest)
        if isinstance(version, int) and version > newest:
            fix = "update femseg, or make the package anew with `dvc repro train`"
            raise package_refusal(file, f"is of version {version}, this femseg reads up to {newest}", fix)
        return checked(file_type, plain, where=file.stem, file=file)
    except (ValueError, AttributeError, RecursionError) as error:
        raise package_refusal(file, f"holds no JSON object ({words_of(error)})") from None
    except Refusal as refusal:
        if refusal.faults[0].id == "RG-07":
            raise
        problem = "; ".join(fault.problem for fault in refusal.faults[:3])
        raise package_refusal(file, problem, "make the package anew with `dvc repro train`") from None


def package_refusal(path: Path, problem: str, fix: str = _TAKE_AGAIN) -> Refusal:
    """RG-07: a package that is not whole, or not one (exit 4)."""
    return Refusal.of("RG-07", printable(path), problem, fix)
