import pytest
import sphere_run


@pytest.fixture(scope="session")
def spheres():
    """The module of small runs on noisy ellipsoids."""
    return sphere_run
