"""`femseg segment`: one CT in, a mask on its own grid out."""

import json
from pathlib import Path
from typing import Any

from femseg.errors import ExitCode, Fault, Refusal
from femseg.inference.segment import segment
from femseg.networks.package import ModelPackage, load_package
from femseg.volumes.files.mask_writing import write_mask


def load_model(model: str) -> ModelPackage:
    """A package folder, or a registered model by its `models:/` URI."""
    if not model.startswith("models:/"):
        return load_package(Path(model))
    from femseg.services.registry import load_registered  # MLflow takes a second to load; a folder does not need it
    from femseg.services.tracking import connect

    return load_registered(connect()[0], model)
