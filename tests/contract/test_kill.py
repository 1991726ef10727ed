"""A run that is killed again and again ends as if nothing had happened.

`AIGA_KILLS` sets how often each system is killed, in `AIGA_CHAOS_MINUTES` at most; `make chaos` uses 20.
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

KILLS = int(os.environ.get("AIGA_KILLS", "1"))
LONG = KILLS >= 20
MINUTES = float(os.environ.get("AIGA_CHAOS_MINUTES", "6"))
"""For the kills of one system."""
SMALL = {"table": 2**12, "hidden": 4}
RUNS = {
    "map_elites": (2.0, {"batch": 256, "fuse": 200}),
    "go_explore": (6.0 if LONG else 2.0, {"cells": "domain", "batch": 20}),
    "me_es": (2.0, {"pairs": 4, "repeats": 1, "side": 8, "population": 2, "visit": 2, "test": 1, **SMALL}),
    "deep_ga": (3.0, {"population": 16, "parents": 4, "episodes": 1, "neighbours": 3, **SMALL}),
    "poet": (
        6.0,
        {"capacity": 2, "mutate_every": 2, "children": 2, "transfer_every": 2, "horizon": 40, "episodes": 1}
        | {"pairs": 2, "batch": 8, "reproduce": -1000.0, "criterion": (-1000.0, 1000.0), "table": 2**18},
    ),
}
"""The longest wait for a kill in seconds, and options that make it small."""
SYSTEMS = [*RUNS] if LONG else ["go_explore"]
FOREVER = 10**6
"""Steps."""
COMMITTED = 5.0
"""Seconds after which a row is on disk."""
SEEKER = str(Path(__file__).parents[1] / "toys" / "seeker.py")
CALLS = 8
"""In flight, of a model that takes 20 to 200 ms."""


class Victim:
    """A process that goes on with a run until it is killed."""

    def __init__(self, directory, steps, *options):
        command = [sys.executable, "-m", "aiga", "resume", str(directory), "--steps", str(steps), *options]
        self.record, self.before = Run(directory), Run(directory).summary()["steps"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.seen = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def started(self):
        """Wait until it has taken a step."""
        self.await_steps(self.before + 1)

    def await_steps(self, steps):
        """Wait until a step is committed; note when, by our clock and by the run's."""
        deadline = time.monotonic() + 600
        while (now := self.record.summary())["steps"] < steps:
            assert self.process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, "it does nothing"
            time.sleep(0.05)
        self.seen = time.monotonic(), now["seconds"]

    def workers(self):
        files = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for file in files for child in file.read_text().split()]

    def kill(self, worker=None):
        """Kill one of its workers, if it is given, then the run itself; who was killed."""
        killed, workers = [], self.workers()
        if worker in workers:
            os.kill(worker, signal.SIGKILL)
            killed.append("worker")
            self.await_steps(self.record.summary()["steps"] + 1)
            workers = self.workers()
        assert self.process.poll() is None
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL
        killed.append("run")
        deadline = time.monotonic() + 20
        while any(map(alive, workers)):
            assert time.monotonic() < deadline, "a worker outlives its run"
            time.sleep(0.05)
        return killed

    def uncommitted(self):
        """The seconds that the run had worked beyond its last row on disk when it was killed; zero if not known."""
        if self.seen is None:
            return 0.0
        at, clock = self.seen
        return time.monotonic() - at - (self.record.summary()["seconds"] - clock)


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def killed_often(directory, longest, chance, deadline):
    """Kill a run `KILLS` times, or until time is over: who was killed, and the longest time without a commit."""
    killed, uncommitted = Counter(), 0.0
    while killed.total() < KILLS and (time.monotonic() < deadline or not killed):
        with Victim(directory, FOREVER, "--workers", str(chance.choice([1, 2]))) as victim:
            if not killed or chance.random() < 0.6:
                victim.started()
                time.sleep(chance.uniform(0, chance.choice([longest / 8, longest])))
            else:
                time.sleep(chance.uniform(0, 6))  # while it starts
            before = victim.record.summary()["steps"]
            workers = victim.workers()
            wanted = workers and (not killed or chance.random() < 0.5)
            killed.update(victim.kill(chance.choice(workers) if wanted else None))
            uncommitted = max(uncommitted, victim.uncommitted())
            assert victim.record.summary()["steps"] >= before, "rows that were on disk are lost"
            assert victim.record.status == "killed"
    return killed, uncommitted


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_run_and_its_workers_may_be_killed_at_any_moment(system, tmp_path):
    longest, options = RUNS[system]
    begun = run(system, seed=5, steps=1, out=tmp_path / "killed", **options)
    deadline = time.monotonic() + 60 * MINUTES
    killed, uncommitted = killed_often(begun.directory, longest, random.Random(0), deadline)
    steps = begun.summary()["steps"] + 2
    done = resume(begun.directory, steps=steps, workers=1)
    whole = run(system, seed=5, steps=steps, out=tmp_path / "whole", **options)
    sys.stdout.write(f"{system}: {dict(killed)} killed, {steps} steps, {uncommitted:.1f} s without a commit at most\n")
    assert killed.total() >= 1
    assert killed.total() >= KILLS or time.monotonic() > deadline
    assert done.status == "finished"
    jax.tree.map(assert_equal, done.state, whole.state)
    for column, values in whole.lineage().items():
        np.testing.assert_array_equal(values, done.lineage()[column], err_msg=column)
    assert np.array_equal(done.metric("run/steps").values, np.arange(1, steps + 1))
    assert events(done) == events(whole)
    slowest = np.diff(done.metric("run/seconds").values, prepend=0).max()
    assert uncommitted < COMMITTED + slowest


def assert_equal(a, b):
    """As arrays, or as random keys."""
    if isinstance(a, jax.Array) and jax.numpy.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    np.testing.assert_array_equal(a, b)


def events(record):
    return [{name: value for name, value in event.items() if name != "time"} for event in record.events()]


def change(request):
    """A text that depends on the prompt, after a time that does too."""
    digest = hashlib.sha256(said(request).encode()).hexdigest()
    return text(digest[:16], delay=0.02 + 0.18 * int(digest[-4:], 16) / 16**4, usage=(100, 10))


def asked(record):
    """How often each question was answered, of those that the run knows of."""
    return Counter(call["request"]["messages"][0]["text"] for call in record.calls() if call["outcome"] == "ok")


def test_a_run_of_a_model_that_is_killed_pays_for_no_answer_twice_and_loses_none(tmp_path):
    chance = random.Random(0)
    with Server(change) as server:
        begun = run(SEEKER, seed=5, steps=1, out=tmp_path / "killed", fm=server.model(), workers=1)
        kills, answered = 0, Counter()
        while kills < KILLS:
            received = len(server.received)
            with Victim(begun.directory, FOREVER) as victim:
                if kills == 0 or chance.random() < 0.75:
                    victim.started()
                time.sleep(chance.uniform(0, chance.choice([0.1, 1.0])))
                victim.kill()
                kills += 1
            again = {said(request) for request in server.received[received:]}
            assert not again & answered.keys(), "a question was asked whose answer was known"
            assert not answered - asked(begun), "an answer was lost"
            answered = asked(begun)
        received = len(server.received)
        steps = begun.summary()["steps"] + 20
        resume(begun.directory, steps=steps)
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
    jax.tree.map(assert_equal, replayed.state, state)
    assert {name: column.tolist() for name, column in replayed.lineage().items()} == {
        name: column.tolist() for name, column in lineage.items()
    }
