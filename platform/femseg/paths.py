"""Every path of a project, once; each counts from the project's root, where commands and stages run."""

import os
from pathlib import Path

SHIPPED_MODEL = Path(__file__).parent / "shipped"  # of this installation, not of the project
PARAMS, DVC_LOCK, PROMOTION_RULES = Path("params.yaml"), Path("dvc.lock"), Path("promotion.yaml")

OWN_STUDIES = Path("data/source")  # where `cohort.folder` looks by default
COHORT = Path("data/cohort")
OUR_STUDIES, MANIFEST, QUARANTINE = COHORT / "studies", COHORT / "manifest.json", COHORT / "quarantine.json"
ARRAYS = Path("data/arrays")  # at the scale that finds the femur
REFINE_ARRAYS = Path("data/refine")  # at the finer one
MASKS = ARRAYS / "mask"
SPLIT = Path("data/split.json")

MODELS, CASCADES = Path("models"), Path("cascades")  # of one scale, of both
CASCADE = "cascade-"  # how the names of models of both scales begin
TRAINED, EVALUATED, SEARCHED = Path("results/train"), Path("results/evaluate"), Path("results/search")
REFINE_SEARCHED = Path("results/refine-search")
REPEATS = Path("results/repeats")
FOLDS = REPEATS / "folds"
REGISTRATION = Path("results/registration.json")
REPORTS = Path("reports")

TRAIN_RUNS, SEARCH_RUNS = Path("runs/train"), Path("runs/search")
START_WEIGHTS = Path("runs/start")
TRACKING_DATABASE, AUDIT_COPIES = Path("mlruns/mlflow.db"), Path("mlruns/audit")


def project_root() -> Path:
    """The root of the project that owns the stores `runs/` and `mlruns/`, whatever it is called and wherever it lies.

    It is the nearest folder upwards with a `dvc.yaml`; here, where there is none. `dvc exp run --temp` and `--queue`
    run in a copy below the project's `.dvc/tmp`, which DVC deletes: there it is the project, named in DVC_ROOT.
    """
    here = Path.cwd()
    named = Path(os.environ.get("DVC_ROOT") or here)
    if here.is_relative_to(named / ".dvc" / "tmp"):
        return named
    return next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), here)


def arrays_of(kind: str, *, scale: str = "find") -> Path:
    """The network inputs of a mode, the masks or the places of patches, at a scale."""
    return (REFINE_ARRAYS if scale == "refine" else ARRAYS) / kind


def searched(scale: str) -> Path:
    """What the search of a scale leaves."""
    return REFINE_SEARCHED if scale == "refine" else SEARCHED


def best_trials(scale: str = "find") -> Path:
    """What the search of a scale found best."""
    return searched(scale) / "best.json"


def cascade_name(training: str) -> str:
    """The model of both scales whose finer network is a `refine.trainings` of this name: an input mode, or "best"."""
    return f"{CASCADE}{training}"


def model_of(name: str) -> Path:
    """A model package that may be registered: of an input mode, or a cascade."""
    return CASCADES / name.removeprefix(CASCADE) if name.startswith(CASCADE) else MODELS / name


def evaluation_of(name: str) -> Path:
    """Masks and scores of that model."""
    return EVALUATED / name


def fold_split(fold: int) -> Path:
    """The split of one fold."""
    return FOLDS / f"fold-{fold}.json"


def repeat_of(name: str, fold: int, seed: int) -> Path:
    """What training and evaluating again with one fold and seed leaves, of an input mode or a cascade."""
    folder = REPEATS / "cascades" if name.startswith(CASCADE) else REPEATS
    return folder / f"fold-{fold}-seed-{seed}" / name.removeprefix(CASCADE)


def trained_from(input_mode: str, refine_mode: str = "", *, painted: bool = False) -> tuple[str, ...]:
    """The DVC outs that a model's trainings and its evaluation read, as dvc.lock names them.

    Args:
        refine_mode: input mode of the finer network, if there is one.
        painted: the training painted scenes: theirs come last, of one scale or of both.
    """
    finer = [arrays_of(kind, scale="refine") for kind in (refine_mode, "mask", "places")] if refine_mode else []
    scales = ("find", "refine") if refine_mode else ("find",)
    scenes = [arrays_of("tissue", scale=scale) for scale in scales] if painted else []
    return tuple(path.as_posix() for path in (COHORT, arrays_of(input_mode), MASKS, SPLIT, *finer, *scenes))
