"""Agents rewrite themselves with a model that also wants the worst: nothing escapes, every child is accounted for.

`AIGA_KILLS` sets how much of it: `make chaos` goes through 30 generations, and kills a run 20 times.
"""

import os
import random
import subprocess
import sys
import time
from contextlib import closing

import jax
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.runs.loop import resume, run
from aiga.runs.record import Run
from aiga.runs.store import connect_to_read
from aiga.sandbox import ladder
from tests.fm_server import Server
from tests.rewriting import ESCAPED, HELD, SECRET, WAYS, Model

KILLS = int(os.environ.get("AIGA_KILLS", "1"))
LONG = KILLS >= 20
OPTIONS = {"domain": "polyglot-lite", "stages": (4,), "children": 2, "finalists": 1}
SLOW = ("an endless agent",)
"""Ways that take 20 seconds of the processor."""
USUAL = tuple(way for way in WAYS if LONG or way not in SLOW)


@pytest.fixture(autouse=True)
def sandbox():
    try:
        return ladder.best()
    except UsageError as missing:
        pytest.skip(str(missing))


def rejected(record):
    return [(event["id"], event["reason"]) for event in record.events("rejected")]


def test_nothing_escapes_from_agents_that_rewrite_themselves_and_every_child_is_accounted_for(tmp_path, monkeypatch):
    generations = 30 if LONG else 5
    monkeypatch.setenv("AIGA_FM_KEY", SECRET)
    model = Model(USUAL)
    with Server(model) as server:
        model.port = int(server.url.rpartition(":")[2])
        options = {"generations": generations, "steps": generations + 2, **OPTIONS}
        done = run("dgm", seed=1, out=tmp_path / "run", fm=server.model(), **options)
    assert done.status == "finished"
    born, turned_down = done.lineage()["id"], rejected(done)
    assert len(born) - 1 + len(turned_down) == 2 * generations
    assert all(reason for _, reason in turned_down)
    words = told(done)
    assert SECRET not in words
    assert ESCAPED not in words
    assert HELD in words, "the hostile programs ran"
    assert done.metric("report/score").values[-1] >= done.metric("report/first").values[-1]


def told(record):
    """All that a run has of its agents: diffs, transcripts, calls, reasons."""
    texts = [path.read_text(errors="replace") for path in record.directory.glob("*.json")]
    with closing(connect_to_read(record.directory)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f"SELECT * FROM {table}"):
                texts += [cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell) for cell in row]
    return "\n".join(texts)


def test_a_run_of_agents_that_is_killed_asks_nothing_again_and_ends_in_the_same_tree(tmp_path):
    generations, chance = (12 if LONG else 2), random.Random(0)
    options = {"generations": generations, **OPTIONS}
    with Server(Model(tuple(way for way in USUAL if way not in SLOW))) as server:
        whole = run("dgm", seed=2, steps=generations + 2, out=tmp_path / "whole", fm=server.model(), **options)
        begun = run("dgm", seed=2, steps=1, out=tmp_path / "killed", fm=server.model(), **options)
        command = [sys.executable, "-m", "aiga", "resume", str(begun.directory), "--steps", str(generations + 2)]
        kills, known, most = 0, set(), 0.6 * len(server.received) / max(1, KILLS / 2)
        while kills < KILLS and begun.summary()["steps"] < generations + 2:
            received = len(server.received)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                enough = received + chance.uniform(0, most)
                while process.poll() is None and len(server.received) < enough:
                    time.sleep(0.02)
                time.sleep(chance.uniform(0, 0.2))
                process.kill()
                kills += process.wait() != 0
            assert not known & asked_of(server, received), "a question was asked whose answer was known"
            known = answered(begun)
        assert kills > KILLS // 2, "the run was over before it could be killed as often as it should be"
        received = len(server.received)
        if begun.status != "finished" or begun.summary()["steps"] < generations + 2:
            resume(begun.directory, steps=generations + 2)
        assert not known & asked_of(server, received)
    killed = Run(begun.directory)
    assert (killed.status, rejected(killed)) == ("finished", rejected(whole))
    jax.tree.map(np.testing.assert_array_equal, killed.state, whole.state)
    assert {n: c.tolist() for n, c in killed.lineage().items()} == {n: c.tolist() for n, c in whole.lineage().items()}


def asked_of(server, start):
    """The seeds of what a server was asked from then on: each call of each attempt has its own."""
    return {request["seed"] for request in server.received[start:]}


def answered(record):
    return {call["request"]["seed"] for call in record.calls() if call["outcome"] == "ok"}
