"""The recipes for clusters say what Kubernetes, Slurm, Ray and we ourselves understand."""

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from aiga.runs import catalogue, loop

HERE = Path(__file__).parents[2]
RECIPES = HERE / "examples" / "cluster"
SCRIPTS = ("go_on.sh", "slurm.sh")
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do echo "$1" >> "$NOTES/srun"; shift; done
exec "$@"
"""
NOTE = """#!/bin/bash
echo "$@" >> "$NOTES/{name}"
{rest}
"""


@pytest.fixture(scope="module")
def documents():
    yaml = pytest.importorskip("yaml")
    return {document["kind"]: document for document in yaml.safe_load_all((RECIPES / "kuberay.yaml").read_text())}


@pytest.fixture(scope="module")
def cluster(documents):
    return documents["RayJob"]["spec"]["rayClusterSpec"]


def pods(cluster):
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def dockerfile():
    text = (RECIPES / "Dockerfile").read_text()
    return dict(re.findall(r"^(FROM|RUN) (.*)$", text, re.M)), text


def test_the_job_has_the_fields_that_kuberay_asks_for(documents, cluster):
    job = documents["RayJob"]
    assert (job["apiVersion"], set(job)) == ("ray.io/v1", {"apiVersion", "kind", "metadata", "spec"})
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,40}", job["metadata"]["name"])
    known = {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec"}
    assert set(job["spec"]) <= known
    assert job["spec"]["shutdownAfterJobFinishes"] or "ttlSecondsAfterFinished" not in job["spec"]
    assert set(cluster) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    for group in cluster["workerGroupSpecs"]:
        assert set(group) == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_its_containers_are_whole_and_ask_for_what_they_may_use(cluster):
    for pod in pods(cluster):
        [container] = pod["containers"]
        assert set(container) <= {"name", "image", "resources", "env", "volumeMounts"}
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert requests == limits
        assert float(limits["cpu"]) >= 1
        assert re.fullmatch(r"\d+Gi", limits["memory"])
        assert all(isinstance(variable["value"], str) for variable in container["env"])
        mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())}


def test_runs_are_kept_on_the_volume_that_is_claimed(documents, cluster):
    claim = documents["PersistentVolumeClaim"]
    assert claim["apiVersion"] == "v1"
    assert set(claim["spec"]) == {"accessModes", "resources"}
    head = pods(cluster)[0]
    assert head["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    directory = shlex.split(documents["RayJob"]["spec"]["entrypoint"])[1]
    assert Path(directory).is_relative_to(head["containers"][0]["volumeMounts"][0]["mountPath"])


def test_the_image_has_the_ray_of_the_manifest_our_extras_and_the_script(documents, cluster):
    lines, text = dockerfile()
    version = re.fullmatch(r"rayproject/ray:([\d.]+)-py311", lines["FROM"])[1]
    assert cluster["rayVersion"] == version
    assert f"ray=={version}\n" in (HERE / "constraints.txt").read_text()
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    extras = set(re.search(r"\[([a-z,]+)\]", lines["RUN"])[1].split(","))
    assert extras <= set(project["optional-dependencies"])
    assert extras >= {"ray", *catalogue.find("go_explore").ABOUT["needs"]}
    images = {pod["containers"][0]["image"] for pod in pods(cluster)}
    assert images == {f"aiga:{project['version']}"}
    assert f"docker build -t {images.pop()}" in text
    assert shlex.split(documents["RayJob"]["spec"]["entrypoint"])[0] in text


def known(command):
    """Are these options of `aiga run`, or of the system that it names?"""
    options = {word.split("=")[0].removeprefix("--").replace("-", "_") for word in command if word.startswith("--")}
    system = catalogue.find(command[1])
    return options <= {*inspect.signature(loop.run).parameters, *inspect.signature(system.make).parameters}


def test_the_job_begins_a_run_and_later_goes_on_with_it(documents, tmp_path, stubs):
    words = shlex.split(documents["RayJob"]["spec"]["entrypoint"])
    command = ["bash", str(RECIPES / "go_on.sh"), str(tmp_path / "run"), *words[2:]]
    subprocess.run(command, env=stubs, check=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    subprocess.run(command, env=stubs, check=True)
    begun, resumed = (line.split() for line in (tmp_path / "aiga").read_text().splitlines())
    assert begun[:2] == ["run", "go_explore"]
    assert known(begun)
    assert resumed[:2] == ["resume", str(tmp_path / "run")]
    assert begun[-6:] == resumed[-6:] == ["--pool", "ray", "--workers", "auto", "--address", "auto"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_sound_and_may_be_executed(script):
    subprocess.run(["bash", "-n", str(RECIPES / script)], check=True)
    assert os.access(RECIPES / script, os.X_OK)


def test_slurm_is_asked_for_nodes_time_and_a_warning():
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(\S*)$", (RECIPES / "slurm.sh").read_text(), re.M))
    assert {"nodes", "cpus-per-task", "mem-per-cpu", "time", "requeue"} <= set(options)
    assert options["ntasks-per-node"] == "1"
    assert re.fullmatch(r"B:TERM@\d+", options["signal"])


AWAIT = """[ -e "$NOTES/srun" ] || exit 0
for _ in $(seq 200); do [ "$(wc -l < "$NOTES/ray")" -ge 3 ] && exit 0; sleep 0.05; done"""
"""Below Slurm a run takes longer than the starts of Ray that the job began beside it, which end with the job."""


@pytest.fixture
def stubs(tmp_path):
    """The variables of a job whose commands note how they were called."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f'PATH="{programs}:$PATH"\n')
    notes = {
        "ray": "",
        "aiga": AWAIT,
        "scontrol": "[ $1 = requeue ] || printf '%s\\n' one two three",
        "hostname": "echo 10.0.0.1",
    }
    for name, rest in notes.items():
        (programs / name).write_text(NOTE.format(name=name, rest=rest))
    (programs / "srun").write_text(SRUN)
    for program in programs.iterdir():
        program.chmod(0o755)
    job = {"SLURM_SUBMIT_DIR": str(HERE), "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_ID": "123456"}
    sizes = {"SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_PER_TASK": "16"}
    path = f"{programs}:{os.environ['PATH']}"
    return os.environ | job | sizes | {"AIGA_VENV": str(tmp_path / "venv"), "NOTES": str(tmp_path), "PATH": path}


def test_the_job_starts_a_head_and_workers_and_joins_them(tmp_path, stubs):
    command = [str(RECIPES / "slurm.sh"), str(tmp_path / "run")]
    subprocess.run(command, env=stubs, check=True, timeout=20)
    called = sorted((tmp_path / "ray").read_text().splitlines())
    assert [line.split()[0] for line in called] == ["health-check", "start", "start"]
    joins, head = called[1:]
    port = re.search(r"--port=(\d+)", head)[1]
    assert f"--address=10.0.0.1:{port}" in joins
    assert {"--nodelist=one", "--exclude=one", "--nodes=2"} <= set((tmp_path / "srun").read_text().split())
    begun = (tmp_path / "aiga").read_text().split()
    assert begun[:2] == ["run", "go_explore"]
    assert known(begun)
    assert begun[-1] == f"10.0.0.1:{port}"


FLAGS = "from ray.scripts.scripts import start; print(*(flag for option in start.params for flag in option.opts))"


def test_ray_knows_the_options_of_its_commands(cluster):
    if find_spec("ray") is None:
        pytest.skip("needs Ray")
    # in a process of its own: Ray reads the environment when it is imported
    told = subprocess.run([sys.executable, "-c", FLAGS], capture_output=True, text=True, check=True)
    flags = set(told.stdout.split())
    used = re.findall(r"ray start ((?:.|\\\n)*?)--block", (RECIPES / "slurm.sh").read_text())
    assert len(used) == 2
    assert {word.split("=")[0] for line in used for word in line.split() if word.startswith("--")} <= flags
    assert {f"--{name}" for name in cluster["headGroupSpec"]["rayStartParams"]} <= flags
