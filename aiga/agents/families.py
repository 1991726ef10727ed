"""Task families as programs: what a model writes to test another, run in the sandbox alone.

A family is a Python program with three functions:

    get_tasks()                 -> dict       # from a name to the task, anything that is JSON
    get_instructions(task)      -> str        # what the subject is told
    score(task, submission)     -> number     # 1: solved

Its scores are a program's that nobody has read: they are part of the family, and a family that lies about them harms
its own entry in an archive only.  What it returns is checked here before anybody believes that it is a number.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiga.sandbox.protocol import USUAL, Limits, Result, Sandbox, Serve

MOST_TASKS = 10
LONGEST = 20_000
"""Characters of instructions, and of a submission."""
NONSENSE = "I have nothing to say to that."
"""What no family may take for a solution."""


class Task(NamedTuple):
    """One task of a family."""

    name: str
    data: Any
    instructions: str


class Broken(NamedTuple):
    """Why a family cannot be used."""

    kind: str
    """The sandbox's outcome, or `malformed`: it ran, and returned what it must not."""
    reason: str


async def tasks(sandbox: Sandbox, program: str, limits: Limits = USUAL) -> tuple[Task, ...] | Broken:
    """What a family sets."""
    result = await sandbox.call(program + ASKING, "_aiga_tasks", limits=limits)
    if result.outcome != "ok":
        return _stopped(result)
    rows = result.value
    if isinstance(rows, str):
        return Broken("malformed", rows[:LONGEST])
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_TASKS:
        return Broken("malformed", f"get_tasks must return a dict of 1 to {MOST_TASKS} tasks.")
    found = tuple(Task(*row) for row in rows if isinstance(row, list) and len(row) == len(Task._fields))
    told = [task.instructions for task in found if isinstance(task.name, str)]
    if len(told) < len(rows) or not all(isinstance(text, str) and 0 < len(text) <= LONGEST for text in told):
        return Broken("malformed", f"get_instructions must return a text of 1 to {LONGEST} characters.")
    return found


async def scores(
    sandbox: Sandbox,
    program: str,
    answered: Sequence[tuple[Task, str]],
    limits: Limits = USUAL,
    serve: Serve | None = None,
) -> tuple[float, ...] | Broken:
    """What a family says of submissions, 0 to 1 each; a family that takes nonsense for a solution is broken."""
    nonsense = [(task, NONSENSE) for task in {task.name: task for task, _ in answered}.values()]
    pairs = [[task.data, submission[:LONGEST]] for task, submission in [*answered, *nonsense]]
    result = await sandbox.call(program + ASKING, "_aiga_scores", [pairs], limits=limits, serve=serve)
    if result.outcome != "ok":
        return _stopped(result)
    values = result.value
    if not isinstance(values, list) or len(values) != len(pairs) or not all(_is_score(value) for value in values):
        return Broken("malformed", f"score must return a number from 0 to 1, but returned {json.dumps(values)[:200]}.")
    if all(value >= 1 for value in values[len(answered) :]):
        return Broken("malformed", f"score takes {NONSENSE!r} for a solution of every task.")
    return tuple(float(value) for value in values[: len(answered)])


def _is_score(value: Any) -> bool:
    return isinstance(value, bool | int | float) and math.isfinite(value) and 0 <= value <= 1


def _stopped(result: Result) -> Broken:
    said = {"timeout": "It ran out of time.", "memory": "It ran out of memory.", "killed": "It was killed."}
    return Broken(result.outcome, said.get(result.outcome, "") or result.stderr.strip()[-1500:] or "It failed.")


ASKING = """


def _aiga_tasks():
    tasks = get_tasks()
    if not isinstance(tasks, dict):
        return "get_tasks must return a dict, but returned " + repr(tasks)[:200]
    return [[str(name), task, get_instructions(task)] for name, task in tasks.items()]


def _aiga_scores(pairs):
    return [score(task, submission) for task, submission in pairs]


def _aiga_judge(instructions, submission, criterion):
    from broker import ask

    return ask({"instructions": str(instructions), "submission": str(submission), "criterion": str(criterion)})


if "judge" not in globals():
    judge = _aiga_judge  # for `score`: does a model say that a submission meets a criterion?
"""
"""Follows a family's program: one call for all tasks, one for all scores."""
