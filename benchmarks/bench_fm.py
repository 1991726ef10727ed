"""Sixty-four calls in flight: how much of that capacity is used, and what a call costs in CPU time of ours.

The model of the first row is in this process and only waits, log-normally (sigma 0.75, median 0.5 s): what is missing
is what the search loses between two calls.  The second row is a whole run against a server on loopback, in a process of
its own, that answers at once: the client, the wire, budget, record and search.  Both against limits that we set.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from measure import measured, row

import aiga
from aiga.core.lifts import SteadyState
from aiga.fm.messages import Message, Reply
from aiga.runs import catalogue

TESTS = Path(__file__).parents[1] / "tests"
SEEKER = TESTS / "toys" / "seeker.py"
SERVE = """
import sys
from fm_server import Server, said, text
with Server(lambda request: text(str(hash(said(request))))) as server:
    print(server.model(), flush=True)
    sys.stdin.read()
"""
CALLS = 64
MEDIAN, SIGMA = 0.5, 0.75
SECONDS = 20.0
FEW, MANY = 100, 300
"""Steps of the runs whose difference is a step without beginning and end."""


def rows() -> list[dict[str, Any]]:
    """The share of the capacity, and milliseconds of CPU time."""
    name = f"share of {CALLS} calls in flight, model in process"
    with served() as model:
        costs = cost(model)
    return [
        row("fm", name, "share", asyncio.run(capacity()), 0.95, "budget"),
        row("fm", "CPU of a call, client to record", "ms", costs, 10.0, "budget", smaller_is_better=True),
    ]


class Waiting:
    """A model that takes its time; counts the seconds that calls were in flight."""

    name = "waiting"

    def __init__(self) -> None:
        self.seconds, self.flying, self.changed = 0.0, 0, time.perf_counter()

    def count(self, change: int) -> None:
        now = time.perf_counter()
        self.seconds += self.flying * (now - self.changed)
        self.flying, self.changed = self.flying + change, now

    async def generate(self, messages: list[Message], *, seed: int, **_: Any) -> Reply:
        self.count(1)
        await asyncio.sleep(MEDIAN * float(np.exp(SIGMA * np.random.default_rng(seed).standard_normal())))
        self.count(-1)
        return Reply(f"{seed}")


async def capacity() -> float:
    """The mean share of the slots that wait for the model."""
    model = Waiting()
    system = catalogue.find(str(SEEKER)).make(calls=CALLS, fm=model)
    assert isinstance(system, SteadyState)
    state, step, key = system.init(jax.random.key(0)), 0, jax.random.key(1)
    began = end = time.perf_counter()
    while step <= 2 * CALLS or time.perf_counter() < end:
        if step == 2 * CALLS:  # warm
            model.count(0)
            model.seconds, began = 0.0, time.perf_counter()
            end = began + SECONDS
        state, _ = await system.step(jax.random.fold_in(key, step), state)
        step += 1
    model.count(0)
    return model.seconds / (CALLS * (time.perf_counter() - began))


def cost(model: str) -> float:
    """Milliseconds of a step, which is a call: what the steps of a long run cost above those of a short one."""
    few, many = (measured(lambda seed, steps=steps: _run(model, seed, steps)).cpu for steps in (FEW, MANY))
    return 1000 * (many - few) / (MANY - FEW)


def _run(model: str, seed: int, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        aiga.run(str(SEEKER), seed=seed, steps=steps, out=f"{folder}/run", fm=model, workers=1, calls=CALLS)


@contextmanager
def served() -> Iterator[str]:
    """The name of a model that a process of its own serves."""
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("")


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=2)
