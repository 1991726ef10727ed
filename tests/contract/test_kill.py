"""A run that is killed again and again ends as if nothing had happened.

`AIGA_KILLS` sets how often; `make chaos` uses 20.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from aiga.runs.loop import run
from aiga.runs.record import Run

KILLS = int(os.environ.get("AIGA_KILLS", "2"))
RUNS = {
    "go_explore": (60 + 13 * KILLS, 8.0, {"cells": "domain", "batch": 40}),
    "map_elites": (200 + 30 * KILLS, 2.0, {"batch": 256, "fuse": 200}),
}
"""Steps, the longest wait for a kill in seconds, and options: long enough to be killed so often."""


def children(process: int) -> list[int]:
    """The worker processes of a run."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True).stdout
    return [int(line) for line in found.split()]


def started(directory: Path, process: subprocess.Popen, before: int) -> bool:
    """Wait until the process has taken a step; whether it is still alive."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if Run(directory).summary()["steps"] > before or children(process.pid):
            break
        time.sleep(0.05)
    return process.poll() is None


def kill_something(process: subprocess.Popen, chance: random.Random) -> None:
    workers = children(process.pid)
    victim = chance.choice([process.pid, *workers]) if workers else process.pid
    if process.poll() is None:
        os.kill(victim, signal.SIGKILL)


@pytest.mark.parametrize("system", RUNS)
def test_a_run_and_its_workers_may_be_killed_at_any_moment(system, tmp_path):
    steps, longest, options = RUNS[system]
    whole = run(system, seed=5, steps=steps, out=tmp_path / "whole", **options)
    begun = run(system, seed=5, steps=1, out=tmp_path / "killed", **options)
    chance = random.Random(0)
    command = [sys.executable, "-m", "aiga", "resume", str(begun.directory), "--steps", str(steps)]
    kills = 0
    while kills < KILLS and begun.summary()["steps"] < steps:
        before = begun.summary()["steps"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            if started(begun.directory, process, before):
                time.sleep(chance.uniform(0, chance.choice([longest / 8, longest])))
                kill_something(process, chance)
                time.sleep(chance.uniform(0, 1))
            kills += process.poll() != 0
            process.kill()
    assert kills >= KILLS // 2, "the run was over before it could be killed as often as it should be"
    if begun.status != "finished" or begun.summary()["steps"] < steps:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    killed = Run(begun.directory)
    assert killed.status == "finished"
    jax.tree.map(np.testing.assert_array_equal, killed.state, whole.state)
    for column, values in whole.lineage().items():
        assert values.tolist() == killed.lineage()[column].tolist(), column
    assert np.array_equal(killed.metric("run/steps").values, np.arange(1, steps + 1))
