"""What is wrong with an agent: from which of its outcomes that is asked, and what the model that is asked is shown.

A diagnosis sees one task of `search`: what the agent said and did, what it handed in, and what the tests said.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from aiga.agents.domain import Domain, Files, Outcome
from aiga.fm.messages import FM, Message

Kind = Literal["task", "empty patches", "stochasticity", "context length"]
COMMON, SHARE = 0.1, 0.25
"""From which share of empty diffs on these are looked at, and how often each kind of failure is."""
LONGEST = 40_000
"""Characters of each part that is shown; of a longer one, its beginning and its end."""


class Entry(NamedTuple):
    """What a modification starts from."""

    kind: Kind
    outcome: Outcome


@dataclass(frozen=True)
class Diagnosis:
    """What to change about an agent, and why."""

    log_summary: str
    """What the agent did on the task, and where it went wrong."""
    potential_improvements: str
    """General changes to the agent that would have helped, one a line."""
    proposal: str
    """The one of them that is worth most, in detail."""
    implementation_suggestion: str
    """How to build it into the agent's files."""
    problem_description: str
    """The same as an issue that a developer could work on."""

    def instruction(self) -> str:
        """What the one who modifies is asked for."""
        return INSTRUCTION.format(problem=self.problem_description, suggestion=self.implementation_suggestion)


def entry(outcomes: Sequence[Outcome], failures: bool, seed: int) -> Entry:
    """What to start from: a random task that is unsolved, or any if all are solved.

    Args:
        outcomes: The agent's on `search`.
        failures: Whether to look first at empty diffs (where one in ten is empty), at chance, and at full windows, each
            a quarter of the time; the rule for SWE-bench (the authors' code).
        seed: Of the draw.
    """
    chance = random.Random(seed)
    unsolved = [outcome for outcome in outcomes if outcome.score < 1] or list(outcomes)
    empty = [outcome for outcome in outcomes if outcome.failure == "empty"]
    full = [outcome for outcome in outcomes if outcome.failure == "context"]
    if failures and len(empty) >= COMMON * len(outcomes) and empty and chance.random() < SHARE:
        return Entry("empty patches", chance.choice(empty))
    if failures and chance.random() < SHARE:
        return Entry("stochasticity", chance.choice(unsolved))
    if failures and full and chance.random() < SHARE:
        return Entry("context length", chance.choice(full))
    return Entry("task", chance.choice(unsolved))


async def diagnose(fm: FM, domain: Domain, agent: Files, found: Entry, *, seed: int) -> Diagnosis:
    """What to change about an agent; ModelFailed where no usable reply came."""
    code = "\n\n".join(f"# {name}\n{content.decode(errors='replace')}" for name, content in sorted(agent.items()))
    outcome = found.outcome
    asked = QUESTION.format(
        focus=FOCUS[found.kind],
        statement=shortened(domain.statement(outcome.task)),
        log=shortened(outcome.log),
        handed_in=shortened(outcome.handed_in) or "(nothing)",
        verdict=shortened(outcome.verdict),
    )
    messages = [Message("system", SYSTEM.format(code=shortened(code, 3 * LONGEST))), Message("user", asked)]
    reply = await fm.generate(messages, seed=seed, task="dgm/diagnose", facts=found, schema=Diagnosis)
    return reply.parsed


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text without its middle, if it is long."""
    half = longest // 2
    return (
        text if len(text) <= longest else f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"
    )


def unaided(chance: random.Random, found: Entry) -> Diagnosis:
    """What stands for a diagnosis where no model is asked; a simulated workshop goes by the outcome itself."""
    del chance
    return Diagnosis(found.outcome.log, "", "", "", f"The task {found.outcome.task} was not solved.")


SYSTEM = """A coding agent works on tasks by asking a language model and using tools; and its own program is changed, \
again and again, to make it better. You are asked what to change next. Improve how the agent works on any task, never \
its chances on one task alone: it will be judged on many others, which you do not see. What measures it is not part of \
its program, and cannot be changed.

The agent's program:

{code}"""
FOCUS = {
    "task": "Below is a task that the agent did not solve.",
    "empty patches": "The agent often hands in nothing at all. Below is one such task.",
    "stochasticity": "The same agent solves a task once and fails at it another time. Below is a task that it failed "
    "at; think of how several attempts, or checks of an attempt, would make it reliable.",
    "context length": "The agent's conversations outgrow the window of its model. Below is one such task.",
}
QUESTION = """{focus}

## The task, as the agent was shown it
{statement}

## What it said and did
{log}

## What it handed in
{handed_in}

## What was found when that was tested
{verdict}

Reply with: `log_summary`, what it did and where it went wrong; `potential_improvements`, general changes to the \
agent's program that would have helped, one a line; `proposal`, the one that is worth most, in detail; \
`implementation_suggestion`, how to build that into its files; `problem_description`, the same as an issue for a \
developer who knows neither the task nor this conversation."""
INSTRUCTION = """Change the program in this folder. It is that of a coding agent.

## The issue
{problem}

## A suggestion
{suggestion}

The agent must still run, and still be able to edit files, when you are done."""
