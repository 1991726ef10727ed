"""Agents that are rewritten, two a step, and ask for approval: the smallest system with a gate.

Nothing runs: an agent is a file of words, a modification adds one, and the score counts them.
"""

import asyncio
from typing import Any, NamedTuple

import numpy as np

from aiga.agents import descent
from aiga.agents.domain import Attempt, Order, Outcome, Splits
from aiga.core.texts import Memory, hexadecimal
from aiga.data.puzzles import Sealed
from aiga.runs.events import Approved, Born, Denied, Rejected
from aiga.safety.approval import Auto
from aiga.sandbox import diffs

ABOUT = {"papers": (), "pillar": "", "needs": ()}
STAGES = (descent.Stage(1),)


class Words(NamedTuple):
    """How many steps were taken, and how many children were evaluated."""

    steps: Any
    evaluated: Any


class Counting:
    """Scores a file by its words."""

    name = "words"
    splits = Splits(("count",), (), Sealed(()))
    evaluated = 0

    def statement(self, task):
        return task

    async def evaluate(self, agent, tasks, *, seed):
        del seed
        self.evaluated += 1
        return [Outcome(task, len(agent["agent.py"].split()) / 100) for task in tasks]


class Writing:
    """Adds a line."""

    def __init__(self, line):
        self.line = line

    async def modify(self, agent, target, order, *, seed):
        del agent, seed
        line = self.line.format(n=order.facts)
        return Attempt(diffs.diff(target, {"agent.py": target["agent.py"] + f"{line}\n".encode()}))

    async def sound(self, agent, *, seed):
        del agent, seed
        return ""


class Petitioner:
    """Two children of the first agent a step, at the same time."""

    def __init__(self, line, approval, texts):
        self.line, self.approval, self.texts = line, approval, texts

    def init(self, key):
        del key
        return Words(np.zeros((), int), np.zeros((), int))

    async def step(self, key, state):
        del key
        root, domain, step = {"agent.py": b"one two\n"}, Counting(), int(state.steps)
        children = await asyncio.gather(
            *(
                descent.raised(
                    root,
                    root,
                    Order(f"add line {step}.{i}", facts=f"{step}.{i}"),
                    STAGES,
                    name=f"child {step}.{i}",
                    workshop=Writing(self.line),
                    domain=domain,
                    approval=self.approval,
                    seed=i,
                )
                for i in range(2)
            )
        )
        info: dict[str, Any] = {"toy/evaluated": domain.evaluated}
        for i, child in enumerate(children):
            identity, blob = (step, i), hexadecimal(self.texts.put(child.changes))
            if child.decision and child.decision.allowed:
                info[f"approved/{i}"] = Approved(identity, child.decision.by)
            elif child.decision:
                info[f"denied/{i}"] = Denied(identity, child.decision.by, child.decision.reason)
            if child.staged:
                born = np.array([identity]), np.full((1, 1, 2), -1), "words", [2], [child.staged.score]
                info[f"born/{i}"] = Born(*born, blob=[blob])
            else:
                info[f"rejected/{i}"] = Rejected(identity, child.reason, None, blob)
        return Words(state.steps + 1, state.evaluated + domain.evaluated), info


def make(line: str = "line {n}", *, approval=None, texts=None):
    """Petition.

    Args:
        line: What a child adds; `{n}` is its number.
    """
    return Petitioner(line, approval or Auto(), texts or Memory())


PAPER: dict[str, Any] = {}
