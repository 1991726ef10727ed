"""Judges of what a scientist found about a subject: is a family interestingly new, and is its outcome surprising?

Models call nearly everything surprising; hence `LABELLED`, a small set by which `aiga.judges.rubric.calibrate` finds
the probability from which on a judge's yes means something.  Without a model, rules judge.
"""

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from aiga.data.findings import DIFFICULTIES, Finding
from aiga.data.recipes import content, recipe_of
from aiga.fm.messages import FM, ModelFailed, Reply
from aiga.fm.offline import Proposer
from aiga.judges.rubric import Judgement, Labelled, answered, yes
from aiga.sandbox.protocol import Serve


async def new(fm: FM, finding: Finding, neighbours: Sequence[Finding], *, seed: int) -> float:
    """How probable it is that a family is interestingly new beside those most like it; NaN: nobody can say."""
    others = "\n\n".join(neighbour.summary for neighbour in neighbours)
    text = f"THE NEW FAMILY\n\n{finding.summary}\n\nTHOSE MOST LIKE IT\n\n{others}"
    try:
        said = await yes(fm, NEW, seed=seed, task="acd/new", text=text, facts=(finding, tuple(neighbours)))
    except ModelFailed:
        return math.nan
    return said.probability


async def surprise(fm: FM, finding: Finding | None, *, seed: int) -> float:
    """How probable it is that a finding is surprising; NaN: there is none, or nobody can say."""
    if finding is None:
        return math.nan
    try:
        return (await surprising(fm, finding.summary, seed)).probability
    except ModelFailed:
        return math.nan


async def surprising(fm: FM, summary: str, seed: int) -> Judgement:
    """How probable it is that an outcome is surprising, from the summary of a finding."""
    return await yes(fm, SURPRISING, seed=seed, task="acd/surprising", text=summary, facts=summary)


async def meets(fm: FM, asked: Mapping[str, str], *, seed: int) -> Judgement:
    """How probable it is that a submission meets a criterion, as the program of a family asks."""
    text = f"TASK\n\n{asked['instructions']}\n\nSUBMISSION\n\n{asked['submission']}"
    question = f"Does the submission meet this criterion: {asked['criterion']}"
    return await yes(fm, question, seed=seed, task="acd/judge", text=text, facts=asked)


def serving(fm: FM, seed: int, most: int) -> Serve:
    """What answers a family's program that asks, `most` times in all, whether a submission meets a criterion."""
    seeds = iter(range(seed, seed + most))

    async def serve(asked: Any) -> bool:
        one = next(seeds, None)
        if one is None or not isinstance(asked, dict) or not asked.keys() >= ASKED:
            raise ModelFailed("invalid", f"a family asks its judge for three texts, at most {most} times")
        return (await meets(fm, asked, seed=one)).probability >= 0.5

    return serve


ASKED = {"instructions", "submission", "criterion"}
NEW = """\
A scientist collects task families that show what a language model can do and where it fails. Is the new family
interestingly new: does its outcome teach something that those most like it do not?"""
SURPRISING = """\
This is a task family and how a capable language model did on it. Is the outcome surprising: would somebody who knows
such models well have expected the opposite?"""


def rules() -> Mapping[str, Proposer]:
    """For `Offline`: what judges in place of a model, for each of its tasks."""
    return {"acd/new": _new, "acd/surprising": _surprising, "acd/judge": _refuse}


def _new(random: Random, facts: tuple[Finding, tuple[Finding, ...]]) -> Reply:
    """New is what has anything particular that no neighbour with the same outcome has."""
    finding, neighbours = facts
    recipe, alike = recipe_of(finding.program), [n for n in neighbours if n.success == finding.success]
    known = [recipe_of(neighbour.program) for neighbour in alike]
    seen = frozenset().union(*(content(other) for other in known if other))
    new = recipe is None or not content(recipe) <= seen
    return answered({"yes": 0.9, "no": 0.1} if new else {"yes": 0.1, "no": 0.9})


def _surprising(random: Random, summary: str) -> Reply:
    """Says yes to everything, as models do, but a little more so to easy failures and difficult successes."""
    difficulty = next(i for i, said in enumerate(DIFFICULTIES) if f"Difficulty for people: {said}\n" in summary)
    unexpected = difficulty if "the subject succeeded" in summary else len(DIFFICULTIES) - 1 - difficulty
    yes = 0.6 + 0.08 * unexpected + random.uniform(-0.02, 0.02)
    return answered({"yes": yes, "no": 1 - yes})


def _refuse(random: Random, asked: object) -> Reply:
    return answered({"yes": 0.0, "no": 1.0})


def _case(tasks: str, difficulty: int, success: bool, label: bool) -> Labelled:
    return Labelled(Finding("example", tasks, tasks, difficulty, "", float(success), success).summary, label)


LABELLED = (
    _case("Say which of two short words comes first in a dictionary.", 1, False, True),
    _case("Add two numbers of one digit.", 1, False, True),
    _case("Count the letters of the word tree.", 1, False, True),
    _case("Name the day after a given day of the week.", 1, False, True),
    _case("Copy a sentence of six words unchanged.", 1, False, True),
    _case("Sort three numbers below ten.", 1, False, True),
    _case("Multiply two numbers of ten digits without a tool.", 5, True, True),
    _case("Decipher a text in which a secret key moved every letter.", 5, True, True),
    _case("Find the shortest tour of twenty towns given as coordinates.", 5, True, True),
    _case("Replay a chess game from its moves and name every piece left.", 5, True, True),
    _case("Say which of two short words comes first in a dictionary.", 1, True, False),
    _case("Add two numbers of one digit.", 1, True, False),
    _case("Greet a person by the name given.", 1, True, False),
    _case("Name the capital of a large country.", 1, True, False),
    _case("Convert hours to minutes.", 2, True, False),
    _case("Summarise a paragraph in a sentence.", 2, True, False),
    _case("Translate a poem and keep its rhymes.", 4, True, False),
    _case("Spell a long word backwards.", 2, False, False),
    _case("Multiply two numbers of ten digits without a tool.", 5, False, False),
    _case("Prove a statement that nobody has proved.", 5, False, False),
    _case("Find the shortest tour of twenty towns given as coordinates.", 5, False, False),
    _case("Decipher a text in which a secret key moved every letter.", 4, False, False),
)
"""Outcomes that people would call surprising, and such that they would not: our own labels, not a survey."""
