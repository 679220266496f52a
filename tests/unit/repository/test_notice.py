"""NOTICE names every package that an extra for users installs."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["dicom", "mesh", "shapes"])
def test_the_notice_names_every_package_of_an_extra_with_its_licence(extra):
    (told,) = re.findall(rf'^The extra "{extra}" installs(.*?)(?:\n\n|\Z)', (ROOT / "NOTICE").read_text(), re.S | re.M)
    for package in (re.match(r"[A-Za-z0-9._-]+", line)[0] for line in EXTRAS[extra]):
        assert re.search(rf"\b{re.escape(package)}\s+\([A-Z][\w.-]+\)", told), package
