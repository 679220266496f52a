"""Every path of a project, once; each counts from the project's root, where commands and stages run."""

import os
from pathlib import Path

PARAMS, DVC_LOCK, PROMOTION_RULES = Path("params.yaml"), Path("dvc.lock"), Path("promotion.yaml")

OWN_STUDIES = Path("data/source")  # where `cohort.folder` looks by default
COHORT = Path("data/cohort")
PHANTOM_STUDIES, MANIFEST, QUARANTINE = COHORT / "studies", COHORT / "manifest.json", COHORT / "quarantine.json"
ARRAYS = Path("data/arrays")
MASKS = ARRAYS / "mask"
SPLIT = Path("data/split.json")

MODELS = Path("models")
TRAINED, EVALUATED, SEARCHED = Path("results/train"), Path("results/evaluate"), Path("results/search")
BEST_TRIALS = SEARCHED / "best.json"
REPEATS = Path("results/repeats")
FOLDS = REPEATS / "folds"
REGISTRATION = Path("results/registration.json")
REPORTS = Path("reports")

TRAIN_RUNS, SEARCH_RUNS = Path("runs/train"), Path("runs/search")
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


def arrays_of(input_mode: str) -> Path:
    """The network inputs of a mode."""
    return ARRAYS / input_mode


def model_of(input_mode: str) -> Path:
    """The model package of a mode, the one that may be registered."""
    return MODELS / input_mode


def evaluation_of(input_mode: str) -> Path:
    """Masks and scores of that model."""
    return EVALUATED / input_mode


def fold_split(fold: int) -> Path:
    """The split of one fold."""
    return FOLDS / f"fold-{fold}.json"


def repeats_of(fold: int, seed: int) -> Path:
    """The repeats with one fold and seed: a folder for each input mode."""
    return REPEATS / f"fold-{fold}-seed-{seed}"


def trained_from(input_mode: str) -> tuple[str, ...]:
    """The DVC outs that a training and its evaluation read, as dvc.lock names them."""
    return tuple(path.as_posix() for path in (COHORT, arrays_of(input_mode), MASKS, SPLIT))
