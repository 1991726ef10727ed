"""Hostile programs in the pool, on each rung: none learns anything of its zygote or changes what the next one finds."""

import ast
import asyncio
from pathlib import Path

import pytest

from aiga.core.errors import UsageError
from aiga.sandbox import bubblewrap, landlock
from aiga.sandbox.pool import Pool
from aiga.sandbox.protocol import Limits, Result

PROGRAMS = (Path(__file__).parent / "hostile_to_pool.py").read_text()
ATTACKS = [
    node.name
    for node in ast.parse(PROGRAMS).body
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name not in ("each", "look_around")
]
LIMITS = Limits(seconds=5, files_mb=4, processes=12)


class Watched:
    """A pool of one worker, and what the first program in it found."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.pristine = self.call("look_around").value

    def call(self, function: str) -> Result:
        return asyncio.run(self.pool.call(PROGRAMS, function, limits=LIMITS))


@pytest.fixture(scope="module", params=[bubblewrap, landlock], ids=["bubblewrap", "landlock"])
def watched(request):
    try:
        rung = request.param.rung()
    except UsageError as missing:
        pytest.skip(str(missing))
    with Pool(rung, 1) as pool:
        yield Watched(pool)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_pool_holds(watched, attack):
    found = watched.call(attack)
    assert not found.value, found
    assert found.outcome in ("ok", "error", "killed", "forged"), found
    after = watched.call("look_around")
    assert after.outcome == "ok", after
    assert after.value == watched.pristine


def test_there_are_enough_attacks():
    assert len(ATTACKS) >= 20
