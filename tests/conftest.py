"""Tests that share what takes long to make stay in one process when several processes share the tests."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ONE_PROJECT = TESTS / "integration" / "pipelines"  # all use one project whose whole pipeline has run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests share fixtures of the module, those of `pipelines` one of the session."""
    for item in items:
        together = ONE_PROJECT if item.path.is_relative_to(ONE_PROJECT) else item.path
        item.add_marker(pytest.mark.xdist_group(together.relative_to(TESTS).as_posix()))
