"""What a plan is made from: the cohort's grids, the machine, and what params.yaml says that the plan leaves alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from femseg.cohorts.case import Femur
from femseg.cohorts.split import SplitSettings
from femseg.search.halving import SearchSettings
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.stored_cases import PatchSettings
from femseg.volumes.grid import Triple, VoxelGrid, lps_grid
from femseg.volumes.network_input import InputMode

Shape = tuple[int, int, int]

# where params.yaml says nothing of the finer scale: the demo's, for longer
REFINE_TRAIN = TrainSettings(learning_rate=5e-3, max_iterations=2000, validate_every=200, checkpoint_every=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortFacts:
    """The cohort.

    Attributes:
        grids: of every CT, as seen from inferior, anterior and right.
        patients: how many the CTs are of.
        source: where this was learnt, for people.
    """

    grids: tuple[VoxelGrid, ...]
    patients: int
    source: str = "the cohort"

    def __post_init__(self) -> None:
        if not self.grids or not 1 <= self.patients <= len(self.grids):
            raise ValueError(f"expected CTs, and a patient or more, got {len(self.grids)} of {self.patients}")

    @classmethod
    def of(cls, grids: Iterable[VoxelGrid], *, patients: int, source: str) -> Self:
        """Of the CTs' own grids, of any orientation."""
        return cls(grids=tuple(lps_grid(grid) for grid in grids), patients=patients, source=source)

    @property
    def shape_zyx(self) -> Shape:
        """The median scan's size in voxels."""
        z, y, x = (int(n) for n in np.median([grid.shape_zyx for grid in self.grids], axis=0))
        return (z, y, x)

    @property
    def spacing_mm_zyx(self) -> Triple:
        """The median along each axis."""
        z, y, x = (float(mm) for mm in np.median([grid.spacing_mm_zyx for grid in self.grids], axis=0))
        return (z, y, x)

    @property
    def extents_mm_zyx(self) -> tuple[Triple, Triple, Triple]:
        """Edges of the scans' boxes: smallest, median, largest along each axis."""
        sizes = np.quantile([grid.extent_mm_zyx for grid in self.grids], (0.0, 0.5, 1.0), axis=0)
        smallest, median, largest = ((float(z), float(y), float(x)) for z, y, x in sizes)
        return (smallest, median, largest)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """The machine.

    Attributes:
        cores: that this process may use.
        memory_bytes: that it may use, of the host, not of GPUs.
        disk_bytes: free where the project lies.
        gpus: how many.
        gpu_bytes: memory of the smallest of them.
        bfloat16: whether it computes in bfloat16 faster than in float32.
    """

    cores: int
    memory_bytes: int
    disk_bytes: int
    gpus: int = 0
    gpu_bytes: int = 0
    bfloat16: bool = True

    def __post_init__(self) -> None:
        if min(self.cores, self.memory_bytes, self.disk_bytes) < 1 or (self.gpus > 0) != (self.gpu_bytes > 0):
            raise ValueError(f"expected cores, memory and disk, and memory of GPUs if there are some, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedScale:
    """What params.yaml says of a scale; the plan changes only what it decides."""

    patches: PatchSettings = field(default_factory=PatchSettings)
    optimisation: OptimisationSettings = field(default_factory=OptimisationSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    train: TrainSettings = field(default_factory=TrainSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What params.yaml says.

    Attributes:
        femur: "all" allows to mirror left and right.
        split: None where a split is given, which the plan leaves alone.
        phantoms: whether the cohort is still to be drawn.
    """

    input_modes: tuple[InputMode, ...] = ("raw", "gradient")
    femur: Femur = "all"
    split: SplitSettings | None = field(default_factory=SplitSettings)
    find: StatedScale = field(default_factory=StatedScale)
    refine: StatedScale = field(
        default_factory=lambda: StatedScale(search=SearchSettings(enabled=False), train=REFINE_TRAIN)
    )
    phantoms: bool = False
