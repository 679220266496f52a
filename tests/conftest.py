"""Tests that share what takes long to make stay in one process when several processes share the tests."""

import signal

import pytest
from xdist.scheduler import LoadScopeScheduling

ONE_PROJECT = "tests/integration/pipelines/"  # all use one project whose whole pipeline has run

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script: Ctrl-C would reach no child
    signal.signal(signal.SIGINT, signal.default_int_handler)


class FilesTogether(LoadScopeScheduling):
    """A file's tests share fixtures of the module, those of `pipelines` one of the session.

    pytest-xdist 3.8's own groups (`--dist loadgroup`) do nothing under pytest 9.2, and say nothing: they change
    `_nodeid`, from which `nodeid` is no longer read.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return ONE_PROJECT if file.startswith(ONE_PROJECT) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FilesTogether:
    """The scheduler of `--numprocesses`."""
    return FilesTogether(config, log)
