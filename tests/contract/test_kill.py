"""A run that is killed again and again ends as if nothing had happened.

`AIGA_KILLS` sets how often; `make chaos` uses 20.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from aiga.runs.loop import resume, run
from aiga.runs.record import Run
from aiga.runs.store import Store
from tests.fm_server import Server, said, text

KILLS = int(os.environ.get("AIGA_KILLS", "2"))
RUNS = {
    "go_explore": (60 + 13 * KILLS, 8.0, {"cells": "domain", "batch": 40}),
    "map_elites": (200 + 30 * KILLS, 2.0, {"batch": 256, "fuse": 200}),
}
"""Steps, the longest wait for a kill in seconds, and options: long enough to be killed so often."""


SEEKER = str(Path(__file__).parents[1] / "toys" / "seeker.py")
CALLS = 8
"""In flight, of a model that takes 20 to 200 ms."""


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


def change(request):
    """A text that depends on the prompt, after a time that does too."""
    digest = hashlib.sha256(said(request).encode()).hexdigest()
    return text(digest[:16], delay=0.02 + 0.18 * int(digest[-4:], 16) / 16**4, usage=(100, 10))


def asked(record):
    """How often each question was answered, of those that the run knows of."""
    return Counter(call["request"]["messages"][0]["text"] for call in record.calls() if call["outcome"] == "ok")


def test_a_run_of_a_model_that_is_killed_pays_for_no_answer_twice_and_loses_none(tmp_path):
    steps = 100 + 60 * KILLS
    chance = random.Random(0)
    with Server(change) as server:
        begun = run(SEEKER, seed=5, steps=1, out=tmp_path / "killed", fm=server.model(), workers=1)
        command = [sys.executable, "-m", "aiga", "resume", str(begun.directory), "--steps", str(steps)]
        kills, answered = 0, Counter()
        while kills < KILLS and begun.summary()["steps"] < steps:
            before, received = begun.summary()["steps"], len(server.received)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                if chance.random() < 0.75:
                    started(begun.directory, process, before)
                time.sleep(chance.uniform(0, chance.choice([0.1, 1.0])))
                process.kill()
                kills += process.wait() != 0
            again = {said(request) for request in server.received[received:]}
            assert not again & answered.keys(), "a question was asked whose answer was known"
            assert not answered - asked(begun), "an answer was lost"
            answered = asked(begun)
        assert kills >= KILLS // 2, "the run was over before it could be killed as often as it should be"
        received = len(server.received)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        assert not {said(request) for request in server.received[received:]} & answered.keys()

        killed = Run(begun.directory)
        assert killed.status == "finished"
        assert np.array_equal(killed.metric("run/steps").values, np.arange(1, steps + 1))
        answered = asked(killed)
        assert set(answered.values()) == {1}
        assert killed.cost() == {"usd": 0.0, "tokens": 110 * len(answered), "calls": len(answered)}
        twice = Counter(said(request) for request in server.received) - answered
        assert twice.total() <= kills * CALLS, "only what was in flight when the run was killed"

        state, lineage, received = killed.state, killed.lineage(), len(server.received)
        for name in ("checkpoint.npz", "checkpoint.previous.npz"):
            (killed.directory / name).unlink()
        store = Store.open(killed.directory)
        store.note(status="stopped")
        store.close()
        replayed = resume(killed.directory, steps=steps)
        assert len(server.received) == received, "all of it is replayed for free"
    assert jax.tree.all(jax.tree.map(jax.numpy.array_equal, replayed.state, state))
    assert {name: column.tolist() for name, column in replayed.lineage().items()} == {
        name: column.tolist() for name, column in lineage.items()
    }
