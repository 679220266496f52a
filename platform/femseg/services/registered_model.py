"""A registered package, loaded by us or by MLflow's `pyfunc` flavor, which calls our loader: nothing is unpickled."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray

from femseg.networks.package import ModelPackage, load_package
from femseg.networks.vnet import foreground_probability
from femseg.services.registry import registered_version, require_registered, stored_package


class FemurProbability:
    """Network input (B, C, Z, Y, X) to femur probability (B, Z, Y, X)."""

    def __init__(self, package: ModelPackage) -> None:
        self.package = package

    def predict(self, model_input: NDArray[np.float32], params: dict[str, Any] | None = None) -> NDArray[np.float32]:
        """MLflow's calling convention; there are no parameters."""
        with torch.inference_mode():
            logits = self.package.network.eval()(torch.from_numpy(np.asarray(model_input, dtype=np.float32)))
            return np.asarray(foreground_probability(logits).numpy())


def _load_pyfunc(path: str) -> FemurProbability:
    return FemurProbability(load_package(Path(path)))


def load_registered(client: MlflowClient, uri: str) -> ModelPackage:
    """Load `models:/femseg@challenger` or `models:/femseg/3` with our own loader, after its hashes hold.

    Raises: Refusal if there is no such version (exit 2), or if the stored package is not the one that was
        registered (exit 4).
    """
    version = registered_version(client, uri)
    package = load_package(stored_package(version, uri))
    require_registered(version, uri, package.sha256)
    return package
