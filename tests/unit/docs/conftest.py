"""One page of the documentation after the other."""

from pathlib import Path

import pytest
from documentation import PAGES, name_of


@pytest.fixture(params=PAGES, ids=name_of)
def page(request) -> Path:
    return request.param
