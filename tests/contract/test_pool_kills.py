"""Workers killed every five seconds for two minutes: all results, once each.  Part of `make chaos`; `test_pools` and
`test_ray` have shorter ones."""

import asyncio
import os
import random
import signal
import sys
import time
from collections import deque
from importlib.util import find_spec
from itertools import count, takewhile
from pathlib import Path

import pytest

from aiga.runs.pools import opened

if int(os.environ.get("AIGA_KILLS", "1")) < 20:
    pytest.skip("long; `make chaos` runs it", allow_module_level=True)

EVERY, FOR = 5.0, 120.0
"""Seconds."""
WORKERS = 4


def work(number):
    """Longer for some than for others; who did it."""
    time.sleep(0.02 + 0.03 * (number % 7))
    return number, os.getpid()


@pytest.mark.parametrize("kind", ["local", "ray"])
def test_workers_killed_every_five_seconds_for_two_minutes_lose_nothing(kind):
    if kind == "ray" and find_spec("ray") is None:
        pytest.skip("needs Ray")
    chance, recent, killed = random.Random(0), deque(maxlen=WORKERS), []
    numbers = []

    async def kill(deadline):
        while time.monotonic() < deadline - EVERY:
            await asyncio.sleep(EVERY)
            process = chance.choice(list(recent))
            if alive(process):
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    async def go():
        with opened(kind, WORKERS) as pool:
            recent.append((await pool.submit(work, 0))[1])
            deadline = time.monotonic() + FOR
            killer = asyncio.create_task(kill(deadline))
            items = takewhile(lambda _: time.monotonic() < deadline, count())
            async for number, process in pool.map(work, items):
                numbers.append(number)
                recent.append(process)
            await killer

    asyncio.run(go())
    sys.stdout.write(f"{kind}: {len(killed)} workers killed, {len(numbers)} results\n")
    assert numbers == list(range(len(numbers)))
    assert len(killed) >= 0.8 * FOR / EVERY
    assert len(numbers) > 0.25 * FOR * WORKERS / 0.11


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
