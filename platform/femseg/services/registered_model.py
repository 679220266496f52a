"""What MLflow's `pyfunc` flavor calls to load a registered version; nothing is unpickled.

The name of this module stands in the MLmodel file of every version that was ever registered: it must not move.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.networks.network import foreground_probability
from femseg.networks.package import ModelPackage, load_package


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
