"""The model that came with this installation; MLflow is not asked."""

import os
from typing import TYPE_CHECKING, NamedTuple

from femseg.paths import SHIPPED_MODEL, TRACKING_DATABASE, project_root
from femseg.services.registry.model_name import SHIPPED

if TYPE_CHECKING:
    from femseg.networks.package import ModelPackage


class InUse(NamedTuple):
    """A model that is put to use: its package, what whoever uses it must know, and which one it is."""

    package: "ModelPackage"
    remarks: tuple[str, ...]
    name: str


def is_model_shipped() -> bool:
    """Whether this installation has a model of its own."""
    return (SHIPPED_MODEL / "MANIFEST.json").is_file()


def is_registry_at_hand() -> bool:
    """Whether there is a registry to ask: a tracking server, or the store of the project here."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (project_root() / TRACKING_DATABASE).is_file()


def shipped_for_use(reason: str) -> InUse:
    """Load it, with why it is used. Raises: Refusal RG-07 (exit 4) if it is not whole."""
    from femseg.networks.package import load_package  # PyTorch: seconds that whoever loads no network saves

    package = load_package(SHIPPED_MODEL)
    return InUse(package, (f"RG-17: {reason}: this is the model that came with femseg", *package.remarks), SHIPPED)
