import asyncio
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from aiga.agents import descent
from aiga.agents.descent import Stage, Staged, chain, fingerprint, fitted, judged, raised, rebuilt
from aiga.agents.domain import Attempt, Order, Outcome, Splits
from aiga.archives.lineage import Lineage
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation
from aiga.core.texts import Memory
from aiga.data.puzzles import Sealed
from aiga.safety.approval import Auto, Decision
from aiga.sandbox import diffs

FILES = [{"a.py": b"x = 1\n"}, {"a.py": b"x = 2\n"}, {"a.py": b"x = 2\n", "b.py": b"y = 3\n"}]
DIFFS = [diffs.diff(before, after) for before, after in pairwise(FILES)]


class Marks:
    """A domain of ten tasks; an agent scores on each what its file says."""

    name = "marks"
    splits = Splits(tuple(map(str, range(10))), (), Sealed(()))

    def statement(self, task):
        return task

    async def evaluate(self, agent, tasks, *, seed):
        del seed
        marks = agent["marks"].decode()
        return [Outcome(task, float(marks[int(task)])) for task in tasks]


class Bench:
    """A workshop whose agents hand in what they were made with."""

    def __init__(self, changes="", fault="", failure=""):
        self.attempt, self.fault = Attempt(changes, failure=failure), fault

    async def modify(self, agent, target, order, *, seed):
        del agent, target, order, seed
        return self.attempt

    async def sound(self, agent, *, seed):
        del agent, seed
        return self.fault


class Denial:
    name = "strict"

    async def decide(self, proposed):
        return Decision(False, "strict", f"{proposed.name} is too much")


def raise_(bench, approval=None):
    parent = {"marks": b"0000000000"}
    bench.attempt = bench.attempt._replace(
        changes=bench.attempt.changes or diffs.diff(parent, {"marks": b"1111100000"})
    )
    work = raised(
        parent,
        parent,
        Order("better"),
        [Stage(10)],
        name="child 1.0",
        workshop=bench,
        domain=Marks(),
        approval=approval or Auto(),
        seed=0,
    )
    return asyncio.run(work)


def archive(texts):
    """Three agents in a line, and one beside them."""
    lineage = Lineage.empty({"changes": jnp.zeros(16, jnp.uint8), "files": jnp.zeros(16, jnp.uint8)}, capacity=8)
    parents = [[-1, -1], [0, 0], [1, 0], [0, 0]]
    for files, changes, parent in zip([*FILES, FILES[1]], ["", *DIFFS, DIFFS[0]], parents, strict=True):
        genomes = {"changes": jnp.asarray(texts.put(changes))[None], "files": jnp.asarray(fingerprint(files))[None]}
        lineage, _ = lineage.add(genomes, Evaluation(jnp.zeros(1), jnp.zeros((1, 0))), jnp.array([[parent]]))
    return lineage


def test_a_chain_of_diffs_leads_from_the_first_agent_to_each():
    lineage = archive(Memory())
    assert [chain(lineage, row) for row in range(4)] == [[0], [0, 1], [0, 1, 2], [0, 3]]
    found = [descent.agent(lineage, row, FILES[0], Memory()) for row in range(4)]
    assert found == [*FILES, FILES[1]]


def test_a_diff_that_was_tampered_with_is_refused():
    class Tampered(Memory):
        def get(self, name):
            return super().get(name).replace("+x = 2", "+x = 9")

    with pytest.raises(UsageError, match="the record of this run was changed"):
        descent.agent(archive(Memory()), 1, FILES[0], Tampered())
    with pytest.raises(UsageError, match="does not fit"):
        rebuilt(FILES[0], [DIFFS[1], DIFFS[0], DIFFS[0]])


def test_a_fingerprint_tells_names_and_contents_apart():
    prints = [fingerprint(files).tobytes() for files in (*FILES, {"b.py": b"x = 1\n"}, {})]
    assert len(set(prints)) == 5
    assert np.array_equal(fingerprint({"a": b"1", "b": b"2"}), fingerprint({"b": b"2", "a": b"1"}))


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (Attempt(), "no change: nothing was edited"),
        (Attempt(failure="time", why="900 seconds are used"), "no change: time 900 seconds are used"),
        (Attempt(diffs.diff(FILES[0], {"a.py": b"\0"})), "it changes a file that is no text"),
        (Attempt(DIFFS[1].replace("b.py", "a.py")), "the diff does not apply: "),
    ],
)
def test_an_attempt_that_leaves_no_child_has_its_reason(attempt, reason):
    assert fitted(FILES[0], attempt).reason.startswith(reason)


def test_a_child_joins_if_it_applies_is_sound_and_is_allowed():
    child = raise_(Bench())
    assert (child.reason, child.files) == ("", {"marks": b"1111100000"})
    assert child.decision == Decision(True, "auto")
    assert child.staged.score == 0.5


def test_every_rejected_child_has_its_reason_and_is_not_evaluated():
    unsound, denied = raise_(Bench(fault="b.py does not compile")), raise_(Bench(), Denial())
    assert unsound.reason == "not sound: b.py does not compile"
    assert denied.reason == "denied by strict: child 1.0 is too much"
    assert (unsound.decision, unsound.staged, denied.staged) == (None, None, None)
    assert not denied.decision.allowed


@pytest.mark.parametrize(
    ("marks", "stages", "tasks"),
    [("1100000000", 1, 2), ("1110000000", 2, 5), ("1111100000", 3, 10), ("0000011111", 1, 2)],
)
def test_who_does_not_reach_what_a_stage_asks_for_is_not_given_the_next(marks, stages, tasks):
    """Two tasks; all of them and three more if both are solved and the next asks for nothing; ten from 0.8 on five."""
    ladder = [Stage(2, 1.0), Stage(5, 0.8), Stage(10)]
    if marks == "1100000000":
        ladder[0] = Stage(2, 1.1)
    staged = asyncio.run(judged(Marks(), {"marks": marks.encode()}, ladder, seed=0))
    assert (staged.stages, len(staged.outcomes), staged.share) == (stages, tasks, tasks / 10)
    assert staged.score == np.mean([int(mark) for mark in marks[:tasks]])


def test_outcomes_are_written_and_read():
    outcomes = [Outcome("a", 0.5, "diff", "log", "verdict", "time", 0.1, 7), Outcome("b", 1.0)]
    assert descent.read(descent.written(outcomes)) == outcomes
    assert Staged(outcomes, 1, 1.0).score == 0.75


def test_agents_are_compared_on_the_same_tasks():
    agents = [{"marks": b"1111100000"}, {"marks": b"0000000001"}]
    assert asyncio.run(descent.compared(Marks(), agents, ("0", "9"), seed=0)) == [0.5, 0.5]
