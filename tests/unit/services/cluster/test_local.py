"""What `femseg cluster` refuses before it starts anything, and which processes it calls its own."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from femseg.errors import Refusal
from femseg.services.cluster.job_server import missing_requirements, require_job_server
from femseg.services.cluster.local import ClusterWish, is_loopback, up
from femseg.services.cluster.processes import MARK, ClusterPlace, Leader, end, leader, processes_of


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "example.org"])
def test_a_job_server_open_to_other_machines_without_a_token_is_refused_CL_07(tmp_path, host):
    wish = ClusterWish(nodes=1, cpus=1, dashboard_host=host, with_token=False)
    with pytest.raises(Refusal, match="CL-07") as refused:
        up(ClusterPlace(folder=tmp_path / "place"), wish)
    assert refused.value.exit_code == 9
    assert list(tmp_path.iterdir()) == []


def test_loopback_is_what_only_this_machine_reaches():
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost"))
    assert not is_loopback("localhost.example.org")


def test_ray_without_its_job_server_is_named_with_the_command_that_installs_it_CL_06(tmp_path, monkeypatch):
    about = tmp_path / "halfray-2.60.0.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(
        "Metadata-Version: 2.1\nName: halfray\nVersion: 2.60.0\nProvides-Extra: default\nRequires-Dist: numpy\n"
        'Requires-Dist: no-such-server>=3; extra == "default"\nRequires-Dist: numpy; extra == "default"\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert metadata.version("halfray") == "2.60.0"
    with pytest.raises(Refusal, match=r"CL-06: halfray: .*no-such-server.*halfray\[default\]==2\.60\.0") as refused:
        require_job_server("halfray")
    assert refused.value.exit_code == 6


def test_ray_here_has_its_job_server():
    assert missing_requirements("ray", "default") == []


def test_a_folder_that_others_can_read_is_no_place_for_a_token_CL_09(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(Refusal, match="CL-09") as refused:
        up(ClusterPlace(folder=tmp_path / "open"), ClusterWish(nodes=1, cpus=1))
    assert refused.value.exit_code == 9


def test_processes_are_known_by_their_mark_and_their_session_not_by_their_name(tmp_path):
    marked = subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: "mine"}, start_new_session=True)
    child = (
        "import subprocess, time; subprocess.Popen(['sleep', '1000'], env={}, start_new_session=True); time.sleep(99)"
    )
    parent = subprocess.Popen([sys.executable, "-c", child], env={**os.environ, MARK: "mine"})
    other = subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: "another"})
    bare = subprocess.Popen(["sleep", "1000"], env={}, cwd=tmp_path, start_new_session=True)
    try:
        leaders = [leader(bare.pid)]
        stale = Leader(pid=bare.pid, started_ticks=leaders[0].started_ticks + 1)  # the number was given again
        while len(processes_of("mine", tmp_path, leaders)) < 4:
            assert other.poll() is None
        assert bare.pid not in processes_of("mine", tmp_path, [stale])
        assert bare.pid not in processes_of("mine", tmp_path / "elsewhere", leaders)
        assert end("mine", tmp_path, leaders) == 4
        assert [p.wait(10) for p in (marked, parent, bare)] == [-9, -9, -15]
        assert other.poll() is None
    finally:
        for process in (marked, parent, other, bare):
            process.kill()
            process.wait()
