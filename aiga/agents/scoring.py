"""How well an agent solves tasks: its raw answers, which come out of a sandbox, scored here."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.agents.program import TOGETHER, Attempt, evaluate
from aiga.data.puzzles import Task, score, shown
from aiga.fm.messages import FM
from aiga.sandbox.protocol import Sandbox

RESAMPLES = 2_000
TRIED = 2
"""Tasks that are tried first: a program that fails on all of them is not tried on more."""


class Scored(NamedTuple):
    """How an agent did on some tasks."""

    scores: Float[np.ndarray, " n"]
    """From 0 to 1; a task on which the program failed has 0."""
    calls: float
    """Texts asked for, for each task."""
    failed: float
    """The share of tasks on which the program failed."""
    failure: str
    """What went wrong most often; empty: nothing."""

    @property
    def accuracy(self) -> float:
        return float(self.scores.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, bootstrapped over tasks."""
        n = len(self.scores)
        drawn = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
        low, high = np.quantile(self.scores[drawn].mean(axis=1), [0.025, 0.975])
        return float(low), float(high)


class Workplace(NamedTuple):
    """Where agents work, and whom they may ask."""

    fm: FM
    sandbox: Sandbox
    calls: int
    """Texts that an agent may ask for, for each task."""
    label: str

    async def score(self, code: str, tasks: Sequence[Task], seed: int) -> Scored:
        """An agent's scores on all tasks."""
        attempts = await self._attempts(code, tasks[:TRIED], seed)
        if not all(attempt.failure for attempt in attempts):
            attempts += await self._attempts(code, tasks[TRIED:], seed)
        scores = np.zeros(len(tasks))
        for i, (task, attempt) in enumerate(zip(tasks, attempts, strict=False)):
            scores[i] = 0.0 if attempt.failure else score(task, attempt.answer)
        failures = Counter(attempt.failure for attempt in attempts if attempt.failure)
        why = max(failures, key=failures.__getitem__, default="")
        calls = float(np.mean([attempt.calls for attempt in attempts]))
        return Scored(scores, calls, failures.total() / len(attempts), why)

    async def _attempts(self, code: str, tasks: Sequence[Task], seed: int) -> list[Attempt]:
        simulated = self.fm.name == "offline"
        return await evaluate(
            code,
            {task.name: shown(task) for task in tasks},
            fm=self.fm,
            sandbox=self.sandbox,
            seed=seed,
            calls=self.calls,
            together=max(1, len(tasks)) if simulated else TOGETHER,  # a simulated answer takes less time than a process
            at_once=not simulated,
            label=self.label,
            about={task.name: task for task in tasks} if simulated else None,
        )
