"""Small programs in the sandbox: the pool's forks against a confined process of its own for each, in one run.

Each program squares a number. The pool's peer is the bare launch of an interpreter on the same rung, without what
`Sandbox.run` does besides; both have two programs at a time.
"""

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from measure import measured, measured_in_turn, row

from aiga.core.errors import UsageError
from aiga.sandbox import ladder
from aiga.sandbox.launch import Rung, private_folder
from aiga.sandbox.pool import Pool
from aiga.sandbox.protocol import USUAL

WORKERS = 2
PROGRAMS = 1000
BUDGET = 5.0
"""Seconds for so many."""
LAUNCHES = 40
CODE = "def main(i):\n    return i * i\n"


def rows() -> list[dict[str, Any]]:
    """On the best rung of this machine."""
    rung = found()
    alone = f"one {rung.level} each"
    many, few = f"{PROGRAMS:,} programs, {WORKERS} workers", "one program at a time"
    with Pool(rung, WORKERS) as pool:
        asyncio.run(called(pool, 10))
        ours, launches = measured_in_turn(
            lambda _: asyncio.run(called(pool, PROGRAMS)), lambda _: launched(rung, LAUNCHES, WORKERS), repeats=3
        )
        one, launch = measured_in_turn(lambda _: asyncio.run(in_turn(pool, 100)), lambda _: launched(rung, 10, 1))
    rate, peer = PROGRAMS / ours.wall, LAUNCHES / launches.wall
    latency, start = 10 * one.wall, 100 * launch.wall
    return [
        row("sandbox", many, "s", ours.wall, BUDGET, "budget", smaller_is_better=True),
        row("sandbox", many, "programs/s", rate, peer, alone),
        row("sandbox", few, "ms", latency, start, alone, smaller_is_better=True),
        row("sandbox", "a worker starts", "ms", first(rung), start, alone, smaller_is_better=True),
    ]


def found() -> Rung:
    for finding in ladder.examine(""):
        if finding.rung:
            return finding.rung
    raise UsageError("no sandbox holds programs here; `aiga doctor` says how to get one.")


async def called(pool: Pool, programs: int) -> None:
    """All at once."""
    results = await asyncio.gather(*(pool.call(CODE, arguments=[i]) for i in range(programs)))
    assert [result.value for result in results] == [i * i for i in range(programs)]


async def in_turn(pool: Pool, programs: int) -> None:
    for i in range(programs):
        assert (await pool.call(CODE, arguments=[i])).value == i * i


def launched(rung: Rung, programs: int, workers: int) -> None:
    with ThreadPoolExecutor(workers) as threads:
        assert list(threads.map(lambda i: launch(rung, i), range(programs))) == [i * i for i in range(programs)]


def launch(rung: Rung, i: int) -> int:
    argv = ["python", "-I", "-S", "-c", f"{CODE}print(main({i}))"]
    with private_folder() as folder, rung.wrap(argv, folder, USUAL) as confined:
        done = subprocess.run(confined.argv, stdout=subprocess.PIPE, check=True, **confined.options)
    return int(done.stdout)


def first(rung: Rung) -> float:
    """Milliseconds from nothing to the first value."""

    def run(_: int) -> None:
        with Pool(rung, 1) as pool:
            asyncio.run(called(pool, 1))

    return 1000 * measured(run).wall


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=2)
