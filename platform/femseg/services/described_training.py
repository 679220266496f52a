"""Which training it is, and the job that params.yaml, the arrays, the split and the search describe for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from femseg.cohorts.manifest import Manifest, read_manifest
from femseg.errors import ExitCode, Fault, Refusal
from femseg.networks.vnet import VNetSettings
from femseg.services.storage import StorageSettings
from femseg.services.training_job import TrainingJob, training_job
from femseg.settings import read_section
from femseg.training.found_rate import found_rate
from femseg.training.settings import OptimisationSettings, TrainSettings

MASKS, SPLIT, MANIFEST = Path("data/arrays/mask"), Path("data/split.json"), Path("data/cohort/manifest.json")
BEST = Path("results/search/best.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Which training this is, what it reads and where its outputs go.

    Attributes:
        name: in words, as on the terminal; its MLflow run has it with hyphens.
        split: its split.json.
        model, curves: folders of package and curves.
        seed: instead of `train.seed`; None leaves that.
        parent_run_id: the MLflow run that it repeats; None for the model to register.
        tags: more of its MLflow run.
    """

    name: str
    input_mode: str
    split: Path
    model: Path
    curves: Path
    seed: int | None = None
    parent_run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        """The array store of its input mode."""
        return Path("data/arrays") / self.input_mode

    @property
    def split_out(self) -> str:
        """The DVC out that holds its split.json."""
        return (self.split if self.split == SPLIT else self.split.parent).as_posix()


def learning_rate(settings: TrainSettings, input_mode: str) -> float:
    """The number in params.yaml, or what the search found best for this input mode. Raises: Refusal (exit 2)."""
    if settings.learning_rate != "search":
        return float(settings.learning_rate)
    found = found_rate(BEST, input_mode)
    if found is None:
        fault = Fault(
            id="CFG-02",
            file="params.yaml",
            problem=f"train.learning_rate is 'search', but the search holds no result for input mode '{input_mode}'",
            fix="set search.enabled to true, or give train.learning_rate a number",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)
    return found


def refuse_one_sided(manifest: Manifest) -> None:
    """A left femur mirrored is a right one: where one side is the foreground, mirroring would teach a wrong label."""
    sides = sorted({case.femur for case in manifest.cases} - {"all"})
    if sides:
        fault = Fault(
            id="CFG-02",
            file="params.yaml",
            problem=f"augmentation.mirror_left_right is on, but the cohort's foreground is the {sides[0]} femur alone",
            fix="set it to false, or cohort.femur to all",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)


def main_training(input_mode: str) -> Training:
    """The training of the model that may be registered."""
    return Training(
        name=f"train {input_mode}",
        input_mode=input_mode,
        split=SPLIT,
        model=Path("models") / input_mode,
        curves=Path("results/train") / input_mode,
    )


def described_job(training: Training) -> TrainingJob:
    """The job that params.yaml, the arrays, the split and the search describe."""
    train = read_section(TrainSettings, "train")
    optimisation = read_section(OptimisationSettings, "optimisation")
    augmentation = optimisation.augmentation
    if augmentation.enabled and augmentation.mirror_left_right:
        refuse_one_sided(read_manifest(MANIFEST))
    seed = train.seed if training.seed is None else training.seed
    return training_job(
        inputs=training.inputs,
        masks=MASKS,
        split=training.split,
        runs=Path("runs/train"),
        name=training.input_mode,
        network=read_section(VNetSettings, "network"),
        optimisation=optimisation,
        train=replace(train, learning_rate=learning_rate(train, training.input_mode), seed=seed),
        storage=read_section(StorageSettings, "storage"),
    )
