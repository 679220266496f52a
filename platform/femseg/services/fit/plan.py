"""Which training it is, and the job that params.yaml, the arrays, the split and the search describe for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from femseg.cohorts.manifest import Manifest, read_manifest
from femseg.cohorts.settings import CohortSettings, Scale, read_arrays
from femseg.errors import Refusal
from femseg.networks.choice import read_network
from femseg.networks.network import NetworkSettings
from femseg.paths import (
    MANIFEST,
    PARAMS,
    SPLIT,
    TRAIN_RUNS,
    TRAINED,
    arrays_of,
    best_trials,
    cascade_name,
    model_of,
    project_root,
)
from femseg.search.halving import SearchSettings
from femseg.search.record import searched_learning_rate
from femseg.services.fit.job import TrainingJob, training_job
from femseg.services.storage.backend import StorageSettings
from femseg.settings import has_section, read_section
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.synthetic.settings import read_share
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.stored_cases import PatchSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSettings:
    """The settings of one scale: top-level sections of params.yaml, or those below `refine`.

    Attributes:
        painting: of both scales, where anything is painted.
        painted_share: of the samples: all of a synthetic cohort, `synthetic.share` of another.
    """

    patches: PatchSettings | None
    painting: PaintingSettings | None
    painted_share: float
    network: NetworkSettings
    optimisation: OptimisationSettings
    search: SearchSettings
    train: TrainSettings


def read_scale(scale: Scale) -> ScaleSettings:
    """The settings of a scale. Raises: Refusal (exit 2)."""
    below = "refine." if scale == "refine" else ""
    by_spacing = read_arrays(scale).spacing_mm_zyx is not None
    synthetic = has_section("cohort") and read_section(CohortSettings, "cohort").source == "synthetic"
    share = 1.0 if synthetic else read_share()
    return ScaleSettings(
        patches=read_section(PatchSettings, f"{below}patches") if by_spacing else None,
        painting=read_section(PaintingSettings, "painting") if share else None,
        painted_share=share,
        network=read_network(f"{below}network"),
        optimisation=read_section(OptimisationSettings, f"{below}optimisation"),
        search=read_section(SearchSettings, f"{below}search"),
        train=read_section(TrainSettings, f"{below}train"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """One training of the pipeline: what it reads and where its outputs go.

    Attributes:
        name: in words, as on the terminal; its MLflow run has it with hyphens.
        scale: of its network.
        cascade: the model of both scales that its network is part of; empty at the coarser scale.
        split: its split.json.
        model, curves: folders of package and curves.
        seed: instead of `train.seed`; None leaves that.
        parent_run_id: the MLflow run that it repeats; None for the model to register.
        tags: more of its MLflow run.
    """

    name: str
    input_mode: str
    scale: Scale = "find"
    cascade: str = ""
    split: Path
    model: Path
    curves: Path
    seed: int | None = None
    parent_run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        """The array store of its input mode."""
        return arrays_of(self.input_mode, scale=self.scale)

    @property
    def masks(self) -> Path:
        """The masks on the same grids."""
        return arrays_of("mask", scale=self.scale)

    @property
    def places(self) -> Path:
        """Where patches are drawn."""
        return arrays_of("places", scale=self.scale)

    @property
    def fields(self) -> Path:
        """The scenes that are painted."""
        return arrays_of("tissue", scale=self.scale)

    @property
    def split_out(self) -> Path:
        """The DVC out that holds its split.json."""
        return self.split if self.split == SPLIT else self.split.parent


def learning_rate(settings: TrainSettings, input_mode: str, scale: Scale = "find") -> float:
    """The number in params.yaml, or what the search found best for this input mode. Raises: Refusal (exit 2)."""
    if settings.learning_rate != "search":
        return float(settings.learning_rate)
    rate = searched_learning_rate(best_trials(scale), input_mode)
    if rate is None:
        problem = f"train.learning_rate is 'search', but the search holds no result for input mode '{input_mode}'"
        raise Refusal.of("CFG-02", PARAMS, problem, "set search.enabled to true, or give train.learning_rate a number")
    return rate


def refuse_one_sided(manifest: Manifest) -> None:
    """A left femur mirrored is a right one: where one side is the foreground, mirroring would teach a wrong label."""
    sides = sorted({case.femur for case in manifest.cases} - {"all"})
    if sides:
        problem = f"augmentation.mirror_left_right is on, but the cohort's foreground is the {sides[0]} femur alone"
        raise Refusal.of("CFG-02", PARAMS, problem, "set it to false, or cohort.femur to all")


def main_plan(input_mode: str) -> TrainingPlan:
    """The training of the model that may be registered."""
    return TrainingPlan(
        name=f"train {input_mode}",
        input_mode=input_mode,
        split=SPLIT,
        model=model_of(input_mode),
        curves=TRAINED / input_mode,
    )


def refine_plan(training: str, input_mode: str) -> TrainingPlan:
    """The training of the finer network of a cascade.

    Args:
        training: one of `refine.trainings`.
        input_mode: which that is.
    """
    name = cascade_name(training)
    return TrainingPlan(
        name=f"refine {training}",
        input_mode=input_mode,
        scale="refine",
        cascade=name,
        split=SPLIT,
        model=model_of(name),
        curves=TRAINED / name,
    )


def planned_job(plan: TrainingPlan, *, start: Path | None = None) -> TrainingJob:
    """The job that params.yaml, the arrays, the split and the search describe.

    Args:
        start: file of the initial weights, of a training that has `train.start_from`.
    """
    settings = read_scale(plan.scale)
    train, augmentation = settings.train, settings.optimisation.augmentation
    if augmentation.enabled and augmentation.mirror_left_right:
        refuse_one_sided(read_manifest(MANIFEST))
    seed = train.seed if plan.seed is None else plan.seed
    return training_job(
        inputs=plan.inputs,
        masks=plan.masks,
        split=plan.split,
        runs=project_root() / TRAIN_RUNS,
        name=plan.input_mode if plan.scale == "find" else f"refine-{plan.input_mode}",
        network=settings.network,
        optimisation=settings.optimisation,
        train=replace(train, learning_rate=learning_rate(train, plan.input_mode, plan.scale), seed=seed),
        places=plan.places if settings.patches else None,
        patches=settings.patches,
        fields=plan.fields if settings.painting else None,
        painting=settings.painting,
        painted_share=settings.painted_share,
        start=start,
        storage=read_section(StorageSettings, "storage"),
    )
