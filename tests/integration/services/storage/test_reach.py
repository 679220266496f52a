"""Two nodes, each with a cache of its own, and one storage: what reaches it, and a training that goes by way of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from servers.s3_server import SECRET_KEY, s3_server
from tiny_store import write_tiny_store

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[3] / "support"
BUCKET = "femseg"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Environment of a driver, the S3 server, and the folder of all."""
    folder = tmp_path_factory.mktemp("two-nodes")
    write_tiny_store(folder / "store")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_", "FEMSEG_", "AWS_"))}
    sessions = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path has room for no more
    with s3_server(folder) as server:
        server.make_bucket(BUCKET)
        env = kept | server.env
        env |= {
            "PYTHONPATH": os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1] / "platform")]),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "OMP_NUM_THREADS": "1",
            "RAY_TMPDIR": sessions,
            "XDG_CACHE_HOME": str(folder / "first"),
        }
        yield env, server, folder
    shutil.rmtree(sessions, ignore_errors=True)


def two_nodes(env: dict[str, str], what: str, store: Path, runs: Path, url: str, **second: str) -> str:
    words = [f"{name}={value}" for name, value in second.items()]
    command = [sys.executable, str(Path(__file__).with_name("two_nodes.py")), what, str(store), str(runs), url, *words]
    done = subprocess.run(command, env=env, cwd=store.parent, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SECRET_KEY not in done.stdout + done.stderr
    return done.stdout


def test_a_storage_that_one_node_does_not_reach_is_refused_naming_it_CL_04(shared):
    env, server, folder = shared
    urls = f"s3://{BUCKET}/a,{folder / 'shared'},s3://nobodys/a"
    said = two_nodes(
        env, "reach", folder / "store", folder / "runs", urls, AWS_ENDPOINT_URL="http://127.0.0.1:9"
    ).splitlines()
    assert re.match(
        rf"error CL-04: s3://{BUCKET}/a: node [\d.]+ \(\w{{8}}\) does not reach it: .*127\.0\.0\.1:9/", said[0]
    )
    assert said[1] == "2"
    assert said[2] == f"{folder / 'shared'}: every node reaches it"
    assert said[3].startswith("error CL-04: s3://nobodys/a: node ")
    assert said[4:] == ["2"]
    assert server.objects(BUCKET) == {}
    assert not any((folder / "shared").iterdir())


@pytest.mark.timeout(1500)
def test_two_nodes_train_by_way_of_s3_as_one_process_does_without(shared):
    env, server, folder = shared
    alone = folder / "alone"
    alone.mkdir()
    command = [sys.executable, str(SUPPORT / "train_driver.py"), str(folder / "store"), str(alone), "--alone"]
    subprocess.run(command, env=env, check=True, timeout=300)
    expected = json.loads((alone / "outcome.json").read_text())

    drivers = [folder / place / "train" for place in ("there", "elsewhere")]
    for runs in drivers:
        runs.mkdir(parents=True)
        url, cache = f"s3://{BUCKET}/trained", str(folder / "second")
        two_nodes(env, "train", folder / "store", runs, url, XDG_CACHE_HOME=cache)
    there, elsewhere = (json.loads((runs / "outcome.json").read_text()) for runs in drivers)
    assert there["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert elsewhere == there  # found complete, its MLflow run and all, by a driver with an empty run folder

    assert all(any((folder / cache / "femseg/objects").rglob("*")) for cache in ("first", "second"))
    names = server.objects(BUCKET)
    left = [name for name in names if name.startswith(("trained/ray/", "trained/probes/"))]
    assert all(name.endswith("/") for name in left)  # pyarrow's marks of folders
    assert any(name.endswith("step-000020/COMMIT") for name in names)
