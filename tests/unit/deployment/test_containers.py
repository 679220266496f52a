"""docker/ without an engine: schemas, linters, and what no schema knows."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
SCRIPTS = sorted([*DOCKER.glob("*.sh"), *DOCKER.glob("slurm/*.sbatch")])
SECRETS = {"ray_token", "postgres_password", "mlflow_password", "mlflow_session_key", "s3_password"}


def checked(*command: str | Path) -> str:
    """What a checker says; "" if it finds nothing."""
    program = shutil.which(str(command[0]))
    assert program, f"{command[0]} is missing: pip install -e '.[dev]'"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_compose_file_keeps_to_the_compose_specification():
    assert checked("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml") == ""


def test_the_checker_of_compose_files_finds_a_wrong_key(tmp_path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DOCKER / "compose.yaml").read_text().replace("healthcheck:", "health_check:", 1))
    assert "health_check" in checked("check-jsonschema", "--builtin-schema", "vendor.compose-spec", wrong)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_passes_shellcheck(script):
    assert checked("shellcheck", script) == ""


def test_dockerfile_passes_hadolint():
    assert checked("hadolint", DOCKER / "Dockerfile") == ""


def test_every_published_port_is_on_loopback_G12():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_service_has_a_health_check_and_waits_for_healthy_ones():
    lasting = {name: service for name, service in SERVICES.items() if service["restart"] != "no"}
    assert [name for name, service in lasting.items() if "healthcheck" not in service] == []
    needs = [need for service in SERVICES.values() for need in service.get("depends_on", {}).values()]
    assert {need["condition"] for need in needs} == {"service_healthy", "service_completed_successfully"}


def test_secrets_come_from_files_that_git_and_images_leave_out_SC_15(tmp_path):
    assert {name: entry["file"] for name, entry in COMPOSE["secrets"].items()} == {n: f"./secrets/{n}" for n in SECRETS}
    for service in SERVICES.values():
        secret = [k for k in service.get("environment", {}) if re.search("PASSWORD|TOKEN|SECRET|KEY", k)]
        assert all(name.endswith("_FILE") for name in secret)
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "docker/secrets/ray_token"], cwd=ROOT)
    assert ignored.returncode == 0
    assert "docker/secrets" in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()


def test_made_secrets_are_for_their_owner_alone_and_made_once(tmp_path):
    folder = tmp_path / "secrets"
    make = ["sh", DOCKER / "make-secrets.sh", folder]
    subprocess.run(make, check=True, capture_output=True)
    values = {file.name: file.read_text() for file in folder.iterdir()}
    assert values.keys() == SECRETS
    assert all(len(value) == 64 for value in values.values())
    subprocess.run(make, check=True, capture_output=True)
    assert values == {file.name: file.read_text() for file in folder.iterdir()}
    assert len(set(values.values())) == len(SECRETS)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_images_are_pinned_and_nobody_runs_as_root():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases == ["python:3.11.13-slim-bookworm", "base", "trainer", "base"]
    for name in ("trainer", "tracking"):
        stage = DOCKERFILE.split(f" AS {name}")[1].split("\nFROM ")[0]
        assert re.findall(r"^USER (\S+)", stage, re.MULTILINE) == ["1000:1000"]
    images = [service["image"] for service in SERVICES.values()]
    assert all(re.search(r":.*\d", image) for image in images)


def test_versions_are_those_of_the_constraints():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pinned = {r.name.lower(): str(r.specifier).removeprefix("==") for r in map(Requirement, lines)}
    job = yaml.safe_load((DOCKER / "kubernetes/rayjob.yaml").read_text())
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]
    extra = [Requirement(line) for line in (DOCKER / "tracking.txt").read_text().splitlines() if line[0] != "#"]
    assert [str(r) for r in extra if r.specifier or r.name not in pinned] == []  # two versions of one cannot be had


def test_a_stopped_training_has_90_seconds_for_its_checkpoint_on_every_kind_of_cluster_TR_06():
    """`_STOPPED_WITHIN_S` in services/fit/monitor.py is 60."""
    job = yaml.safe_load((DOCKER / "kubernetes/rayjob.yaml").read_text())["spec"]["rayClusterSpec"]
    for group in (job["headGroupSpec"], *job["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > 90
        assert {"name": "RAY_JOB_STOP_WAIT_TIME_S", "value": "90"} in pod["containers"][0]["env"]
    scripts = ("ray-node.sh", "slurm/femseg.sbatch")
    assert all("RAY_JOB_STOP_WAIT_TIME_S" in (DOCKER / script).read_text() for script in scripts)


def test_trainer_image_has_the_client_for_s3():
    assert '".[cluster]"' in (DOCKER / "install.sh").read_text()


def test_rayjob_asks_for_a_token_and_no_root():
    spec = yaml.safe_load((DOCKER / "kubernetes/rayjob.yaml").read_text())["spec"]
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    pods = [
        cluster["headGroupSpec"]["template"],
        cluster["workerGroupSpecs"][0]["template"],
        spec["submitterPodTemplate"],
    ]
    for pod in pods:
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
