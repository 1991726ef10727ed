"""Programming as a domain: an agent changes the files of a folder, and what it leaves is judged outside of it.

The domain that ships is `polyglot-lite` (`aiga.data.polyglot`); `repositories` reads those that a user has.  As in the
benchmarks, a task is solved or not: the share of what was right is in the verdict alone.

An agent cannot score by what it says.  Its log and its reports are not read; its work is a diff, which is applied here
to the files as they were, and judged in another sandbox, which holds neither its program nor the model.  What is
expected of hidden cases never leaves this process.  Shown tests are as they were when its work is judged.  An agent
that has changed or removed one is `tampered`, and scores 0 whatever else it did, though it would gain nothing: it
searches for a way around the check, as the agent of node 114 of the Darwin Gödel Machine (Zhang et al., 2025,
https://arxiv.org/abs/2505.22954) that removed the markers a check relied on.  An attempt that ended badly is judged by
what it left, as in SWE-bench; if that solves the task, it is no failure.  All this holds in a sandbox, from which
aiga's own files cannot be seen: with `--unsafe-no-sandbox` an agent can read the hidden cases.
"""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiga.agents import cases
from aiga.agents.attempt import work
from aiga.agents.cases import Verdict
from aiga.agents.domain import Attempt, Failure, Files, Outcome, Splits
from aiga.agents.exchange import Allowance
from aiga.agents.program import derived
from aiga.core.errors import UsageError
from aiga.core.texts import Finished
from aiga.data import polyglot
from aiga.data.puzzles import Sealed, Sizes
from aiga.fm.messages import FM
from aiga.sandbox import diffs
from aiga.sandbox.protocol import Limits, Sandbox

LABEL = "agents/code"
USUAL = Allowance(tokens=400_000, seconds=300.0, limits=Limits(memory_mb=1024, files_mb=32, processes=32))
"""Of an attempt at a task of one small folder."""
AT_ONCE = 8
"""Attempts of one agent that are under way together."""
RULES = """\
The files are in the current folder; change them there. Names and behaviour that the task does not mention stay as they
are, and only the standard library of Python may be used. What you leave is judged by hidden tests."""
SHOWN = "Do not change or remove {names}: tests of your own go into other files."


class Assignment(NamedTuple):
    """A task of programming, and how it is judged."""

    name: str
    statement: str
    files: Callable[[], Files]
    """The folder to begin with, read when it is needed."""
    judge: Callable[[Sandbox, Files], Awaitable[Verdict]]
    """Of the files that an agent leaves."""
    guarded: tuple[str, ...] = ()
    """Names of files that an agent must leave as they are."""
    allowance: Allowance = USUAL
    """What an attempt may use."""


class Divided(NamedTuple):
    """Assignments to search with, to choose with, and to report with."""

    search: tuple[Assignment, ...]
    select: tuple[Assignment, ...]
    report: tuple[Assignment, ...]


class Coding:
    """A `Domain` of assignments.

    Args:
        fm: Whom agents ask; a model.
        sandbox: Where they work, and where their work is judged.
        assignments: What they are given; None: polyglot-lite.
        name: What the domain is called.
        entry: What is called of an agent, `MODULE:FUNCTION`.
        allowance: What an attempt may use; None: as the assignment says.
        finished: Where attempts are kept.
        at_once: Attempts of one agent that are under way together.
    """

    def __init__(
        self,
        fm: FM,
        sandbox: Sandbox,
        assignments: Divided | None = None,
        *,
        name: str = "polyglot-lite",
        entry: str = "agent:solve",
        allowance: Allowance | None = None,
        finished: Finished | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        self.fm, self.sandbox, self.entry, self.allowance = fm, sandbox, entry, allowance
        self.finished, self.at_once, self._name = finished, at_once, name
        parts = lite() if assignments is None else assignments
        self._tasks = {task.name: task for part in parts for task in part}
        search, select, report = (tuple(task.name for task in part) for part in parts)
        self._splits = Splits(search, select, Sealed(report))

    @property
    def name(self) -> str:
        return self._name

    @property
    def splits(self) -> Splits:
        return self._splits

    def statement(self, task: str) -> str:
        """The task, the rules, and the names of what must not be changed."""
        assignment = self._tasks[task]
        rules = [RULES, *([SHOWN.format(names=", ".join(assignment.guarded))] if assignment.guarded else [])]
        return f"{assignment.statement}\n\n{' '.join(rules)}"

    async def evaluate(self, agent: Files, tasks: Sequence[str], *, seed: int) -> list[Outcome]:
        """Solved (1) or not (0), task by task."""
        room = asyncio.Semaphore(self.at_once)

        async def one(task: str) -> Outcome:
            async with room:
                return await self._outcome(agent, self._tasks[task], derived(seed, self.name, task))

        return list(await asyncio.gather(*map(one, tasks)))

    async def _outcome(self, agent: Files, task: Assignment, seed: int) -> Outcome:
        files = task.files()
        attempt = await work(
            agent,
            self.entry,
            {"instruction": self.statement(task.name)},
            files,
            fm=self.fm,
            sandbox=self.sandbox,
            allowance=self.allowance or task.allowance,
            seed=seed,
            label=LABEL,
            finished=self.finished,
        )
        verdict, failure = await self._judged(task, files, attempt)
        told = verdict.text if task.name in self._splits.search else ""
        cost = attempt.usd, attempt.tokens
        return Outcome(task.name, verdict.score, attempt.changes, attempt.transcript, told, failure, *cost)

    async def _judged(self, task: Assignment, files: Files, attempt: Attempt) -> tuple[Verdict, Failure]:
        """The verdict on an attempt, and its failure."""
        if not attempt.changes:
            return Verdict(0.0, attempt.why or "nothing was changed"), attempt.failure or "empty"
        try:
            left = diffs.apply(files, attempt.changes)
        except UsageError as error:
            return Verdict(0.0, str(error)), "format"
        if touched := tampered(task, files, left, attempt.changes):
            return Verdict(0.0, f"changed or removed, which was not allowed: {', '.join(touched)}"), "tampered"
        verdict = await task.judge(self.sandbox, left)
        return verdict, "" if verdict.score else attempt.failure


def tampered(task: Assignment, before: Files, after: Files, changes: str) -> list[str]:
    """Guarded files that are no more what they were; a diff names those that became binary, and does not have them."""
    binary = [line.removeprefix("Binary file ") for line in changes.splitlines() if line.startswith("Binary file ")]
    return [
        name
        for name in task.guarded
        if after.get(name) != before[name] or any(line.startswith((f"{name}: ", f'"{name}": ')) for line in binary)
    ]


def lite() -> Divided:
    """The assignments of polyglot-lite: 30, 10 and 20."""
    found: dict[str, list[Assignment]] = {"search": [], "select": [], "report": []}
    for exercise in polyglot.exercises():
        found[exercise.split].append(assignment(exercise))
    return Divided(*map(tuple, found.values()))


def assignment(exercise: polyglot.Exercise) -> Assignment:
    """An exercise with hidden cases."""
    files = {name: text.encode() for name, text in exercise.files.items()}
    shown = tuple(name for name in files if name.startswith("test_"))

    async def judge(sandbox: Sandbox, left: Files) -> Verdict:
        return await cases.judged(sandbox, left, exercise.cases)

    return Assignment(exercise.name, exercise.statement, functools.partial(dict, files), judge, shown)


def divided(assignments: Sequence[Assignment], sizes: Sizes, seed: int, source: str) -> Divided:
    """Splits of a user's assignments, in an order that the seed gives."""
    if sum(sizes) > len(assignments):
        raise UsageError(
            f"{source} has {len(assignments)} tasks, and the splits ask for {sum(sizes)}: give smaller splits, or more "
            "tasks."
        )
    order = list(assignments)
    random.Random(f"coding {seed}").shuffle(order)
    first, second = sizes.search, sizes.search + sizes.select
    return Divided(tuple(order[:first]), tuple(order[first:second]), tuple(order[second : sum(sizes)]))
