"""A run on several Ray nodes, one of which dies, ends as a run on local workers does.

Part of `make chaos`: it starts a cluster, which costs a minute of the processor.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest

from aiga.runs.loop import run
from aiga.runs.record import Run

if find_spec("ray") is None:
    pytest.skip("needs Ray", allow_module_level=True)
if int(os.environ.get("AIGA_KILLS", "1")) < 20:
    pytest.skip("long; `make chaos` runs it", allow_module_level=True)

NODES = 3
"""The head, which has no CPU for workers, and two with one CPU each."""
PATIENCE = 240.0
"""Seconds; the machine may be busy."""
RUNS = {
    "go_explore": (12, {"cells": "domain", "batch": 40}),
    "poet": (
        30,
        {"capacity": 2, "mutate_every": 2, "children": 2, "transfer_every": 2, "horizon": 40, "episodes": 1}
        | {"pairs": 8, "batch": 8, "reproduce": -1000.0, "criterion": (-1000.0, 1000.0), "table": 2**18},
    ),
}
"""Steps, and options that make it small, yet with work for both nodes."""


@pytest.mark.parametrize("system", RUNS)
def test_a_run_goes_on_when_a_node_dies_and_equals_the_local_one(system, tmp_path):
    steps, options = RUNS[system]
    begun = run(system, seed=5, steps=1, out=tmp_path / "ray", workers=1, **options)
    with cluster() as (address, raylets, variables):
        command = [sys.executable, "-m", "aiga", "resume", str(begun.directory), "--steps", str(steps)]
        command += ["--pool", "ray", "--workers", "auto", "--address", address]
        with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as going:
            try:
                await_until(lambda: begun.summary()["steps"] >= 2 and all(map(actors, raylets)), going)
                before, victims = begun.summary()["steps"], [raylets[-1], *children(raylets[-1])]
                for process in victims:
                    os.kill(process, signal.SIGKILL)
                _, said = going.communicate(timeout=PATIENCE)
            finally:
                going.kill()
            assert going.returncode == 0, said.decode()[-2000:]
        assert before < steps - 1, "it was over before the node died"
        assert children(raylets[0]), "the other node died as well"
    whole = run(system, seed=5, steps=steps, out=tmp_path / "whole", workers=1, **options)
    sys.stdout.write(f"{system}: a node of {len(victims)} processes killed after step {before} of {steps}\n")
    assert equal(Run(begun.directory), whole)


@contextmanager
def cluster():
    """Where it is, its raylets, and the variables with which it is joined."""
    variables = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback alone
    }
    command = [sys.executable, str(Path(__file__).with_name("ray_nodes.py")), str(NODES)]
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as host:
        try:
            told = json.loads(host.stdout.readline())
            yield told["address"], told["raylets"], variables
        finally:
            host.stdin.close()
            host.wait(60)


def await_until(ready, process):
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, process.stderr.read().decode()[-2000:]
        assert time.monotonic() < deadline, "it does nothing"
        time.sleep(0.05)


def children(process):
    files = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text().split()]


def actors(raylet):
    """The workers of our pool on this node."""
    return [child for child in children(raylet) if b"Actor" in Path(f"/proc/{child}/cmdline").read_bytes()]


def equal(one, other):
    """NaN equals NaN: a pair that is young has no scores of before."""
    alike = jax.tree.all(jax.tree.map(partial(np.array_equal, equal_nan=True), one.state, other.state))
    lineages = one.lineage(), other.lineage()
    return alike and all(
        np.array_equal(lineages[0][column], values, equal_nan=values.dtype.kind == "f")
        for column, values in lineages[1].items()
    )
